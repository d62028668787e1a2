"""MAP hyperparameters of an exact GP: closed form where the model is known, BoTorch's own fit where it is not."""

from __future__ import annotations

import functools
import logging
import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from gpbo.models.compiled_fit import maximise_posterior
from gpbo.models.exact import MIN_KNOWN_NOISE, Problem, Unrecognised, read_model, write_theta
from gpbo.models.objective import log_posterior
from gpbo.models.spec import Array, Spec
from gpbo.numerics import available, one_thread
from gpbo.numerics.batched_bfgs import minimise
from gpbo.numerics.buckets import bucket
from gpbo.numerics.rows import KINDS, SUMS

logger = logging.getLogger(__name__)

_CPU = torch.device("cpu")
_MUCH_NOISE = math.exp(-2.0)  # an eighth of the outcomes' variance
_SUM = 0.3  # of the outputscale, with which a fit of sums starts
_COLD, _WARM = 200, 60  # most line searches; a warm start that is not done by then goes on at the next refit


@dataclass(frozen=True)
class Fit:
    """A maximum of the log posterior.

    Attributes:
        theta: [mean, log noise, log outputscale, log lengthscales], shape (d + 3,).
        curvature: Inverse Hessian of the negative log posterior per observation there, shape (d + 3, d + 3).
        log_posterior: Value in nats; -inf when no point with a positive definite covariance was found.
        evaluations: Evaluations of the objective.
    """

    theta: Array
    curvature: Array
    log_posterior: float
    evaluations: int


def fit(
    problem: Problem, previous: Fit | None = None, *, device: torch.device = _CPU, compiled: bool | None = None
) -> Fit:
    """Maximises the log posterior, from an earlier fit's optimum and curvature if there is one.

    A cold fit with inferred noise starts twice, from little noise and from much: the posterior often has a maximum that
    interpolates and one that smooths, and a climb finds the one on whose side it starts.

    Args:
        problem: Specification and data.
        previous: An earlier fit of the same specification, usually on fewer observations.
        device: Where to compute.
        compiled: Force (True) or forbid (False) the compiled host path; None takes it where it can run.
    """
    host = device.type == "cpu" and available() if compiled is None else compiled
    climb = _fit_host if host else _fit_torch
    if previous is not None:
        return climb(problem, previous.theta, previous.curvature, device, _WARM)
    found = climb(problem, problem.spec.start(), None, device, _COLD)
    if problem.spec.infer_noise and problem.spec.initial_noise < _MUCH_NOISE:
        noisy = problem.spec.start()
        noisy[1] = math.log(_MUCH_NOISE)
        found = max(found, climb(problem, noisy, None, device, _COLD), key=lambda one: one.log_posterior)
    return found


def fit_sums(problem: Problem, theta: Array, previous: Fit | None = None) -> Fit:
    """Maximises the log posterior of a model with sums, from an earlier maximum or else from that without sums.

    Compiled host path only.

    Args:
        problem: Specification and data; the specification has ``sums``.
        theta: Hyperparameters of the same model without, shape (d + 3,).
        previous: An earlier fit of the same specification, usually on fewer observations.
    """
    if previous is not None:
        return _fit_host(problem, previous.theta, previous.curvature, _CPU, _WARM)
    start = problem.spec.start()
    start[: len(theta)] = theta
    start[len(theta)] = theta[2] + math.log(_SUM)
    lower, upper = problem.spec.bounds()
    return _fit_host(problem, np.clip(start, lower, upper), None, _CPU, _COLD)


def _known(problem: Problem) -> Array:
    n = len(problem.y)
    return np.full(n, np.nan) if problem.known is None else np.maximum(problem.known, MIN_KNOWN_NOISE)


def _fit_host(problem: Problem, start: Array, curvature: Array | None, device: torch.device, iterations: int) -> Fit:
    spec, n = problem.spec, len(problem.y)
    lower, upper = spec.bounds()
    H = np.eye(spec.size) if curvature is None else curvature.copy()
    with one_thread():
        theta, value, evaluations = maximise_posterior(
            start,
            H,
            curvature is not None,
            lower,
            upper,
            np.array(problem.X.T, order="C"),  # copies: read-only arrays would be compiled for once more
            np.array(problem.y),
            _known(problem),
            spec.infer_noise,
            KINDS[spec.kind] + SUMS * spec.sums,
            spec.priors(),
            iterations,
        )
    return Fit(theta, H, -value * n if value < 1e200 else -np.inf, evaluations)


def _fit_torch(problem: Problem, start: Array, curvature: Array | None, device: torch.device, iterations: int) -> Fit:
    spec, n = problem.spec, len(problem.y)

    rows = np.arange(bucket(n))  # padded, so that the graphs of one size serve many

    def tensor(values: Array) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    def padded(values: Array) -> Tensor:
        return tensor(np.pad(values, [(0, len(rows) - n), *[(0, 0)] * (values.ndim - 1)]))

    inputs = {"X": padded(problem.X), "y": padded(problem.y), "there": torch.as_tensor(rows < n, device=device)}
    if problem.known is not None:
        inputs["known"] = padded(_known(problem))
    lower, upper = spec.bounds()
    theta, value, H, evaluations = minimise(
        functools.partial(_loss, spec),
        tensor(start)[None],
        tensor(lower),
        tensor(upper),
        curvature=None if curvature is None else tensor(curvature)[None],
        iterations=2 * iterations,
        tolerance=1e-7 / float(np.sqrt(n)),
        gradient_tolerance=1e-6,
        first_step=0.5,
        inputs=inputs,
        kind=("fit", spec),
    )
    return Fit(theta[0].cpu().numpy(), H[0].cpu().numpy(), -value.item() * n, evaluations)


def _loss(
    spec: Spec, theta: Tensor, X: Tensor, y: Tensor, there: Tensor, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The negative log posterior per observation, and its gradient."""
    value, gradient = log_posterior(spec, X, y, known, theta, there)
    n = there.sum(dtype=y.dtype)
    return -value / n, -gradient / n


def fit_model(model: SingleTaskGP) -> str:
    """Fits any BoTorch model in place and leaves it in eval mode.

    Args:
        model: A ``SingleTaskGP``, or any model with an exact marginal likelihood.

    Returns:
        "closed form", or "BoTorch: ..." with what the closed form did not recognise.
    """
    model.train()
    try:
        problem, theta = read_model(model)
    except Unrecognised as reason:
        _fit_stock(model)
        return f"BoTorch: {reason}"
    spec = problem.spec
    lower, upper = spec.bounds()
    result = (_fit_host if available() else _fit_torch)(problem, np.clip(theta, lower, upper), None, _CPU, _COLD)
    if not np.isfinite(result.log_posterior):
        _fit_stock(model)
        return "BoTorch: the covariance is not positive definite at the starting point"
    write_theta(model, result.theta)
    model.eval()
    return "closed form"


def _fit_stock(model: SingleTaskGP) -> None:
    """BoTorch's fit; when even its restarts fail the model keeps its hyperparameters, which is said once."""
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit_gpytorch_mll(mll)
    except ModelFittingError as error:
        logger.warning("BoTorch could not fit the model and its hyperparameters stay as they were: %s", error)
    model.eval()
