"""Measures the cases that come in on standard input, one JSON line each, and prints their results as JSON lines.

Started by ``benchmarks.gpu.run``. One process measures many cases, because imports and the start of CUDA take longer
than most of them; a call that takes too long is cut by a timer between two operations, and what that cannot cut, the
process that listens ends. After an error that leaves the device in doubt this process ends by itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache, partial
from types import FrameType
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

import gpbo
from benchmarks import stock
from benchmarks.gpu.cases import Case
from benchmarks.gpu.device import held_bytes, peak_bytes, release, reset_peak, synchronise
from benchmarks.record import Line
from benchmarks.scale.cases import Array, Objective, observations
from gpbo.models.exact import read_model
from gpbo.models.fit import fit
from gpbo.models.objective import log_posterior
from gpbo.numerics import available, memory

_NOISE = 0.05  # of the standardized outcomes that models are fitted to; those of asks are exact
BUDGET = 1.5  # seconds of a measurement after which it is not repeated
_MOST = 5  # times that a call is repeated
_ONCE = 8.0  # seconds from which a call is made only once, though it was the first
_AGAIN = 2.0  # seconds between one attempt to cut a call and the next


class TookTooLong(BaseException):
    """The timer's; no handler of ordinary exceptions in the code under test may catch it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises :class:`TookTooLong` in the block once it has run for so long, between two operations of Python."""

    def cut(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, max(1e-3, seconds), _AGAIN)
    try:
        yield
    finally:
        disarm()
        signal.signal(signal.SIGALRM, before)


def disarm() -> None:
    """Stops the timer."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)


@lru_cache(2)
def _data(n: int, d: int, seed: int) -> tuple[Array, Array]:
    return observations(n, d, Objective(d), seed)


class Clock:
    """The times of one kind of call.

    Attributes:
        device: What is waited for at the end of a call.
        limit: Seconds after which a call is cut.
        budget: Seconds after which it is not repeated.
        seconds: The times so far.
        peak: Most memory that a call held.
    """

    def __init__(self, device: torch.device, limit: float, budget: float = BUDGET) -> None:
        self.device, self.limit, self.budget = device, limit, budget
        self.seconds: list[float] = []
        self.peak: int | None = None

    def time(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the call gives."""
        reset_peak(self.device)
        synchronise(self.device)
        with limited(self.limit):
            start = time.perf_counter()
            found = call(*arguments)
            synchronise(self.device)
            self.seconds.append(time.perf_counter() - start)
        held = peak_bytes(self.device)
        self.peak = held if self.peak is None or held is None else max(self.peak, held)
        return found

    def enough(self, twice: bool) -> bool:
        """Whether not to repeat the call: often enough, or long enough; ``twice`` to have one that starts nothing."""
        total, count = sum(self.seconds), len(self.seconds)
        if count == 0 or (count == 1 and twice and total < _ONCE):
            return False
        return count >= _MOST or total > self.budget

    def again(self) -> Clock:
        """A clock for another kind of call, set alike."""
        return Clock(self.device, self.limit, self.budget)

    def line(self) -> Line:
        """Median, and the first, which loads and compiles and counts only where it is the only one."""
        counted = self.seconds[1:] or self.seconds
        return {
            "outcome": "done",
            "seconds": statistics.median(counted),
            "first_seconds": self.seconds[0],
            "repeats": len(counted),
            "warm": len(self.seconds) > 1,
            "peak_bytes": self.peak,
        }


def measurements(case: Case, accelerator: torch.device, limit: float, budget: float = BUDGET) -> Iterator[Line]:
    """A line per mode of the case, or one that says what went wrong in the place of those that are missing.

    Args:
        case: What to measure.
        accelerator: What "gpu" stands for.
        limit: Seconds after which a call is cut.
        budget: Seconds after which it is not repeated.
    """
    device = torch.device("cpu") if case.device == "cpu" else accelerator
    release(device)
    held = held_bytes(device)
    modes = iter(case.modes)
    measured = {"evaluate": _evaluations, "fit": _fits, "ask": _asks}[case.task](case, Clock(device, limit, budget))
    found: Line = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for line in measured:
                yield {"mode": next(modes), "held_bytes": held} | line
    except TookTooLong:
        disarm()  # it may have struck where the timer was about to be stopped
        found = {"outcome": "more than", "seconds": limit}
    except Exception as error:  # one case that fails must not end the others; its line says so
        short = "out of memory" if memory.refused(error) else "failed"
        found = {"outcome": short, "message": f"{type(error).__name__}: {error}"[-500:]}
        if short == "failed":
            found["where"] = traceback.format_exc()[-1500:]
            found["ends"] = isinstance(error, RuntimeError) and "CUDA" in str(error)
    if found:
        yield {"mode": next(modes)} | found
    del measured
    release(device)


def _fitted_data(case: Case, seed: int) -> tuple[Array, Array]:
    """Points, and outcomes to be maximised: standardized, with noise."""
    X, y = _data(case.n, case.d, seed)
    noise = _NOISE * np.random.default_rng(seed).standard_normal(case.n)
    return X, -(y - y.mean()) / y.std() + noise


def _evaluations(case: Case, clock: Clock) -> Iterator[Line]:
    device = clock.device
    X, y = _fitted_data(case, 0)
    gp = stock.model(torch.as_tensor(X), torch.as_tensor(y))
    rng = np.random.default_rng(0)
    if case.provider == "gpbo":
        problem, theta = read_model(gp)
        inputs, targets = (torch.tensor(part, device=device) for part in (problem.X, problem.y))
        more: Line = {"host_path": "plain torch"} if device.type == "cpu" else {}

        def once(shift: Array) -> object:
            at = torch.tensor(theta + shift, device=device)[None]
            return log_posterior(problem.spec, inputs, targets, None, at)

        size = len(theta)
    else:
        gp = gp.to(device)
        gp.train()
        mll = stock.likelihood(gp)
        parameters = list(gp.parameters())
        start = [parameter.detach().clone() for parameter in parameters]
        more = {}

        def once(shift: Array) -> object:
            with torch.no_grad():
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value * math.exp(shift[0]))
            likelihood: Tensor = mll(gp(*gp.train_inputs), gp.train_targets)
            return torch.autograd.grad(likelihood, parameters)

        size = 1
    while not clock.enough(twice=True):
        clock.time(once, 0.05 * rng.standard_normal(size))
    yield clock.line() | more


def _fits(case: Case, clock: Clock) -> Iterator[Line]:
    device, seed = clock.device, 0
    more: Line = {}
    while not clock.enough(twice=case.provider == "gpbo"):
        X, y = _fitted_data(case, seed)
        gp = stock.model(torch.as_tensor(X), torch.as_tensor(y))
        if case.provider == "gpbo":
            problem, _ = read_model(gp)
            found = clock.time(partial(fit, device=device), problem)
            more = {"evaluations": found.evaluations, "log_posterior": found.log_posterior} | _host(device)
        else:
            gp = gp.to(device)
            clock.time(stock.fit, gp)
        seed += 1
    yield clock.line() | more


def _host(device: torch.device) -> Line:
    return {"host_path": "compiled" if available() else "plain torch"} if device.type == "cpu" else {}


def _asks(case: Case, clock: Clock) -> Iterator[Line]:
    if case.provider == "botorch":
        seed = 0
        while not clock.enough(twice=False):
            X, y = (torch.as_tensor(part).to(clock.device) for part in _data(case.n, case.d, seed))
            clock.time(stock.ask, X, -y, case.q)
            seed += 1
        yield clock.line()
        return
    yield from _our_asks(case, clock)


def _our_asks(case: Case, clock: Clock) -> Iterator[Line]:
    """Asks through ``gpbo.Optimizer``, in the modes of the case."""
    name = {"auto": "auto", "cpu": "cpu"}.get(case.device, str(clock.device))
    objective = Objective(case.d)
    seed = 0
    while not clock.enough(twice=True):
        opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * case.d, [1.0] * case.d), seed=seed, device=name)
        opt.add(*_data(case.n, case.d, seed))
        batch = clock.time(opt.ask, case.q)
        seed += 1
    yield clock.line() | _reported(opt)
    clock = clock.again()
    while not clock.enough(twice=True):
        opt.tell(batch[:1], objective(batch.x[:1]))
        if case.q > 1:
            opt.forget(batch[1:])
        batch = clock.time(opt.ask, case.q)
    yield clock.line() | _reported(opt)
    if "refit" not in case.modes:
        return
    clock, rng = clock.again(), np.random.default_rng(0)
    while not clock.enough(twice=True):
        opt.tell(batch, objective(batch.x))
        X = rng.random((math.ceil(case.n / 100) + 1, case.d))
        opt.add(X, objective(X))
        batch = clock.time(opt.ask, case.q)
    yield clock.line() | _reported(opt)


def _reported(opt: gpbo.Optimizer) -> Line:
    """What the last ask says of itself, and how many observations its model holds."""
    report = opt.last_ask
    assert report is not None
    ran_on = report.device.split(":")[0]
    found: Line = {"ask": asdict(report), "refitted": report.refitted, "ran_on": ran_on}
    return found | {"modelled": len(opt.model.train_targets)} | (_host(torch.device("cpu")) if ran_on == "cpu" else {})


def warm_up(accelerator: torch.device) -> None:
    """Imports, and compiles or loads what every case needs."""
    for device in dict.fromkeys((accelerator.type, "cpu")):
        label = "cpu" if device == "cpu" and accelerator.type != "cpu" else "gpu"
        for provider in ("gpbo", "botorch"):
            for task, q in (("evaluate", 0), ("fit", 0), ("ask", 2)):
                for line in measurements(Case(task, 24, 3, q, provider, label), accelerator, 120.0):
                    if line["outcome"] != "done":
                        print(f"warm-up on {device}: {line}", file=sys.stderr)


def serve(cases: TextIO, results: TextIO, accelerator: torch.device) -> None:
    """Answers each line of ``cases`` by the lines of its measurements and one that says that there are no more."""

    def answer(line: Line) -> None:
        results.write(json.dumps(line) + "\n")
        results.flush()

    warm_up(accelerator)
    answer({"ready": True})
    for text in cases:
        wanted = json.loads(text)
        for line in measurements(Case(**wanted["case"]), accelerator, wanted["limit"], wanted["budget"]):
            ends = line.pop("ends", False)
            answer(line)
            if ends:
                return
        answer({"end": True})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accelerator", default="cuda", help='the device that "gpu" stands for')
    options = parser.parse_args()
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    serve(sys.stdin, results, torch.device(options.accelerator))


if __name__ == "__main__":
    main()
