"""How each participant's time is taken. Every measure returns the CPU seconds of its steps.

CPU time of one thread is what the wall shows on an idle core, and unlike the wall it does not charge a participant for
other processes on the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import gpbo
from benchmarks import stock
from benchmarks.optimization.peers import PROVIDERS, Provider
from benchmarks.speed.cases import Case, objective, observations

Measure = Callable[[Case, int], list[float]]
_NOISE = 0.05  # of the outcomes that models are fitted to; those of asks and loops are exact


def _timed(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _space(d: int) -> gpbo.Space:
    return gpbo.Space.from_bounds([0.0] * d, [1.0] * d)


# Fits ------------------------------------------------------------------------------------------------------------


def _model(n: int, d: int, seed: int) -> Any:
    X, y = observations(n, d, seed, _NOISE)
    return stock.model(torch.as_tensor(X), -torch.as_tensor(y))


def cold_fit_stock(case: Case, seed: int) -> list[float]:
    """BoTorch's fit of its default model."""
    model = _model(case.n, case.d, seed)
    return [_timed(lambda: stock.fit(model))]


def cold_fit_ours(case: Case, seed: int) -> list[float]:
    """The closed form's fit of the same model, read and written back."""
    from gpbo.models.fit import fit_model

    model = _model(case.n, case.d, seed)
    return [_timed(lambda: fit_model(model))]


def carried_refit_ours(case: Case, seed: int) -> list[float]:
    """The closed form's fit of the same model, from the fit to all observations but the last."""
    from gpbo.models.exact import read_model
    from gpbo.models.fit import fit

    before = fit(read_model(_model(case.n - 1, case.d, seed))[0])
    X, y = observations(case.n - 1, case.d, seed, _NOISE)
    rng = np.random.default_rng(seed)
    new = np.clip(X[y.argmin()] + 0.1 * rng.standard_normal((1, case.d)), 0.0, 1.0)  # as a loop would add it
    X, y = np.vstack([X, new]), np.append(y, objective(new) + _NOISE * rng.standard_normal())
    problem, _ = read_model(stock.model(torch.as_tensor(X), -torch.as_tensor(y)))
    return [_timed(lambda: fit(problem, before))]


# Asks and loops --------------------------------------------------------------------------------------------------


def cold_ask_ours(case: Case, seed: int) -> list[float]:
    """``Optimizer.ask`` of an optimizer that has just been given all observations; its defaults."""
    X, y = observations(case.n, case.d, seed)
    optimizer = gpbo.Optimizer(_space(case.d), seed=seed)
    optimizer.add(X, y)
    return [_timed(lambda: optimizer.ask(case.q))]


def cold_ask_stock(case: Case, seed: int) -> list[float]:
    """BoTorch: model, fit, LogEI (one by one with pending points for q > 1), search with local starts."""
    X, y = (torch.as_tensor(part) for part in observations(case.n, case.d, seed))
    return [_timed(lambda: stock.ask(X, -y, case.q, {"sample_around_best": True}))]


def loop(make: Callable[..., Provider], ours: bool, case: Case, seed: int) -> list[float]:
    """Tell one and ask one, after an untimed first ask."""
    space = _space(case.d)
    X, y = observations(case.n, case.d, seed)
    provider = make(space, seed, space.from_x(X), y.tolist())
    params = provider.ask(1)[0]
    seconds = []
    for _ in range(case.steps if ours else case.rival_steps):
        value = float(objective(space.to_x([params]))[0])

        def step(params: dict[str, Any] = params, value: float = value) -> dict[str, Any]:
            provider.tell([params], [value])
            return provider.ask(1)[0]

        start = time.process_time()
        params = step()
        seconds.append(time.process_time() - start)
    return seconds


def importing(code: str, case: Case, seed: int) -> list[float]:
    """CPU seconds of a fresh process that runs ``code``."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = spent()
    subprocess.run([sys.executable, "-c", code], check=True)
    return [spent() - start]


MEASURES: dict[tuple[str, str], Measure] = {
    ("cold fit", "gpbo"): cold_fit_ours,
    ("cold fit", "botorch"): cold_fit_stock,
    ("carried refit", "gpbo"): carried_refit_ours,
    ("carried refit", "botorch"): cold_fit_stock,
    ("cold ask", "gpbo"): cold_ask_ours,
    ("cold ask", "botorch_local"): cold_ask_stock,
    **{(row, "gpbo"): cold_ask_ours for row in ("greedy 8", "greedy 50")},
    **{(row, "botorch_local"): cold_ask_stock for row in ("greedy 8", "greedy 50")},
    **{(row, "gpbo"): partial(loop, PROVIDERS["gpbo"], True) for row in ("loop", "loop 1000")},
    **{(row, "botorch_local"): partial(loop, PROVIDERS["botorch_local"], False) for row in ("loop", "loop 1000")},
    **{(row, "optuna_gp"): partial(loop, PROVIDERS["optuna_gp"], False) for row in ("loop", "loop 1000")},
    ("loop", "ax"): partial(loop, PROVIDERS["ax"], False),
    ("loop", "skopt"): partial(loop, partial(PROVIDERS["skopt"], acq_func="EI"), False),
    ("import", "gpbo"): partial(importing, "import gpbo"),
    ("import", "gpbo_first_use"): partial(importing, "import gpbo; gpbo.Optimizer({'x': gpbo.Float(0, 1)}).ask()"),
    ("import", "torch"): partial(importing, "import torch"),
}


def one_thread() -> None:
    """Limits this process to one thread, and silences what peers say about their own affairs."""
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore")
