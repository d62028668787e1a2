"""Whether the engine is right on the device, before anything is timed: ``python -m benchmarks.gpu.check``.

Prints a JSON line per check: what differs from the reference on the CPU, and how much may. Ends with status 1 if one of
them does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

import gpbo
from benchmarks import stock
from benchmarks.record import Line
from benchmarks.scale.cases import Objective, observations
from benchmarks.scale.measure import distinct
from gpbo.models.exact import Problem, read_model
from gpbo.models.fit import fit
from gpbo.models.objective import log_posterior
from gpbo_kernels import KINDS, covariance

_TOLERANCE = 1e-8  # of float64 results, relative to the largest entry
_REACHED = 1e-6  # of the value at the optimum of a fit, relative
_PREDICTED = 0.05  # of predictions after fits of their own, in standard deviations of the outcomes
_DEVICES = 2000  # observations from which an ask has to be where it was wanted
_LESS = 1.0  # by which the log acquisition value of a suggestion may be below that of the CPU's

Check = Callable[[], tuple[float, float]]  # gives an error and its tolerance


def relative(found: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest entry of the reference; infinite where NaN is found."""
    difference = float((found.detach().cpu() - reference.detach()).abs().max() / reference.abs().max())
    return difference if math.isfinite(difference) else math.inf


def covariances(kind: str, n: int, d: int, device: torch.device) -> tuple[float, float]:
    """Covariance and lengthscale gradient of one kernel, at an odd size."""
    generator = torch.Generator().manual_seed(n)
    X, other = (torch.rand(m, d, dtype=torch.float64, generator=generator) for m in (n, n // 2 + 1))
    weights = torch.randn(n, n // 2 + 1, dtype=torch.float64, generator=generator)

    def both(where: torch.device) -> tuple[Tensor, Tensor]:
        lengthscale = torch.full((1, d), 0.5, dtype=torch.float64, device=where, requires_grad=True)
        K = covariance(kind, X.to(where), other.to(where), lengthscale)
        return K, torch.autograd.grad((weights.to(where) * K).sum(), lengthscale)[0]

    pairs = zip(both(device), both(torch.device("cpu")), strict=True)
    return max(relative(found, reference) for found, reference in pairs), _TOLERANCE


def _problem(n: int, d: int) -> tuple[Problem, Tensor]:
    X, y = observations(n, d, Objective(d))
    y = (y - y.mean()) / y.std() + 0.05 * np.random.default_rng(n).standard_normal(n)
    problem, theta = read_model(stock.model(torch.as_tensor(X), torch.as_tensor(y)))
    return problem, torch.as_tensor(theta)


def _log_posterior(problem: Problem, theta: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    X, y = (torch.tensor(part, device=device) for part in (problem.X, problem.y))
    return log_posterior(problem.spec, X, y, None, theta.to(device)[None])


def objectives(n: int, d: int, device: torch.device) -> tuple[float, float]:
    """Log posterior and its gradient at a random point."""
    problem, theta = _problem(n, d)
    theta = theta + 0.1 * torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = zip(
        _log_posterior(problem, theta, device), _log_posterior(problem, theta, torch.device("cpu")), strict=True
    )
    return max(relative(found, reference) for found, reference in pairs), _TOLERANCE


def fits(n: int, d: int, device: torch.device) -> tuple[float, float]:
    """What a fit says that it reached, against the definition on the CPU; and whether it is a maximum worth the name.

    The error is infinite where the fit is worse than the CPU's by more than a nat.
    """
    problem, _ = _problem(n, d)
    found, reference = fit(problem, device=device), fit(problem)
    value, _ = _log_posterior(problem, torch.as_tensor(found.theta), torch.device("cpu"))
    if found.log_posterior < reference.log_posterior - 1.0:
        return math.inf, _REACHED
    return abs(float(value[0]) - found.log_posterior) / max(1.0, abs(float(value[0]))), _REACHED


def _asked(n: int, d: int, q: int, device: str) -> tuple[gpbo.Optimizer, gpbo.Batch]:
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * d, [1.0] * d), seed=0, kernel="matern52", device=device)
    X, y = observations(n, d, Objective(d))
    opt.add(X, y)
    batch = opt.ask(q)
    report = opt.last_ask
    assert report is not None
    if not distinct(batch.x, X, q) or not ((batch.x >= 0) & (batch.x <= 1)).all():
        raise ValueError(f"ask({q}) gave points that are known, alike or outside the space")
    if "design" in report.strategy or "failed" in report.message:
        raise ValueError(f"ask({q}) did without a model: {report.strategy}; {report.message}")
    if n >= _DEVICES and report.device.split(":")[0] != device.split(":")[0]:
        raise ValueError(f"ask({q}) ran on {report.device} and not on {device}")
    return opt, batch


def predictions(n: int, d: int, q: int, device: torch.device) -> tuple[float, float]:
    """Mean and deviation after an ask, against the CPU's: each from a fit of its own, to the same data."""
    opt, _ = _asked(n, d, q, str(device))
    host, _ = _asked(n, d, q, "cpu")
    points = np.random.default_rng(1).random((64, d))
    spread = float(np.std(observations(n, d, Objective(d))[1]))
    pairs = zip(opt.predict(points), host.predict(points), strict=True)
    error = max(float(np.abs(found - reference).max()) for found, reference in pairs) / spread
    return error if math.isfinite(error) else math.inf, _PREDICTED


def suggestions(n: int, d: int, device: torch.device) -> tuple[float, float]:
    """How much worse the suggestion is than the CPU's, by the CPU's own acquisition function."""
    _, found = _asked(n, d, 1, str(device))
    opt, reference = _asked(n, d, 1, "cpu")
    opt.forget(reference)
    with torch.no_grad():
        function = opt.acquisition()
        theirs, ours = (float(function(torch.as_tensor(batch.x)[None])) for batch in (reference, found))
    return theirs - ours if math.isfinite(ours) else math.inf, _LESS


def checks(device: torch.device, *, large: bool) -> Iterator[tuple[str, Check]]:
    """Name and check; ``large`` for sizes that are the GPU's in any case."""
    for kind in KINDS:
        for n in (1, 63, 257):
            yield f"covariance {kind} n={n}", partial(covariances, kind, n, 6, device)
    for n, d in ((33, 3), (257, 6), *(((1000, 20),) if large else ())):
        yield f"log posterior n={n} d={d}", partial(objectives, n, d, device)
    yield "fit n=60 d=3", partial(fits, 60, 3, device)
    if large:
        yield "fit n=500 d=6", partial(fits, 500, 6, device)
    for n, d, q in ((60, 3, 1), (60, 3, 20), *(((2500, 6, 1), (2500, 6, 100)) if large else ())):
        yield f"prediction after ask({q}) n={n} d={d}", partial(predictions, n, d, q, device)
    for n, d in ((60, 3), *(((2500, 6),) if large else ())):
        yield f"suggestion n={n} d={d}", partial(suggestions, n, d, device)


def lines(device: torch.device, *, large: bool) -> Iterator[Line]:
    """A line per check; one that raises does not hold."""
    for name, check in checks(device, large=large):
        line: Line = {"stage": "check", "check": name, "device": device.type}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                error, tolerance = check()
        except Exception:  # a check that cannot be made does not hold, and the others are made
            yield line | {"outcome": "failed", "message": traceback.format_exc()[-1500:]}
            continue
        outcome = "held" if error <= tolerance else "failed"
        yield line | {"outcome": outcome, "error": min(error, 1e300), "tolerance": tolerance}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="small studies only")
    options = parser.parse_args()
    failed = 0
    for line in lines(torch.device(options.device), large=not options.small):
        print(json.dumps(line), flush=True)
        failed += line["outcome"] == "failed"
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
