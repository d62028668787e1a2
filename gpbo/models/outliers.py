"""Outcomes so much worse than a model of the others predicts that they say nothing of the function, like crashes.

A Gaussian process that has to pass near them takes the whole function for noise. Here they get a variance of their own,
the square of what they are off by, which is the maximum of their likelihood: for one observation i with residual r and
variance v from all others, log N(r; 0, v + e) is largest at e = r^2 - v, and nothing else in the marginal likelihood
depends on e (Ament et al. 2024, "Robust Gaussian processes via relevance pursuit"). Which ones they are is found by
fitting to those that are not, from a robust start on, until the division no longer changes.

It is a hypothesis that has to pay: the evidence of the model with outliers, less a price for each, against that of the
plain one. Good outcomes are never doubted, and neither are bad ones that lie side by side more often than by chance:
those are part of the function, a cliff or a region of failure, and no accidents. With few of them that cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpbo.models.exact import Problem
from gpbo.models.fit import Fit, fit
from gpbo.models.host_posterior import HostPosterior, NotPositiveDefinite
from gpbo.models.leave_one_out import leave_one_out
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior

Mask = NDArray[np.bool_]
Factorised = Callable[[Problem, Array], HostPosterior | TorchPosterior]

FEWEST = 8  # observations among which some can stick out
_MOST = 0.3  # share of the observations; beyond, they are the rule
_PRICE = 4.0  # nats for each: odds of one in twenty, and a scale that is free
_MARGIN = 2.0  # nats by which outliers must be the better explanation
_FAR = 4.0  # deviations below the prediction
_START = 3.0  # robust deviations below the median, for the first division
_ROUNDS = 4
_CHANCE = 2.5  # deviations by which outliers may be each other's neighbours more often than by chance
_SKILL = 0.5  # share of the outcomes' variance that a model explains which needs no outliers


@dataclass(frozen=True)
class Division:
    """Observations divided into ordinary ones and outliers.

    Attributes:
        variances: Of the noise of the outliers, NaN for ordinary ones, in the model's units, shape (n,).
        fit: Hyperparameters fitted to the ordinary ones.
        log_posterior: Of the observations that models are fitted to, less the price of the outliers, in nats.
    """

    variances: Array
    fit: Fit
    log_posterior: float


def explained(problem: Problem, theta: Array, factorised: Factorised) -> bool:
    """Whether a model predicts its observations from one another well enough to leave no room for outliers."""
    try:
        residuals, variances = leave_one_out(factorised(problem, theta))
    except NotPositiveDefinite:
        return True  # it interpolates, or nothing can be said
    if _far(residuals, variances, float(problem.y.std())).any():
        return False
    return float(np.square(residuals).sum()) < (1.0 - _SKILL) * float(np.square(problem.y - problem.y.mean()).sum())


def worthwhile(division: Division, plain: float) -> bool:
    """Whether a division explains the observations better than the plain model with that log posterior."""
    return division.log_posterior > plain + _MARGIN


def divide(
    problem: Problem, rows: NDArray[np.int64], factorised: Factorised, before: Mask | None = None
) -> Division | None:
    """The best division that is found; None where no outcome sticks out.

    Args:
        problem: All observations, without known noise.
        rows: Those that models are fitted to.
        factorised: Makes a posterior.
        before: Outliers to start from, if some are known, shape (n,).
    """
    X, y = problem.X[rows], problem.y[rows]
    centre = float(np.median(y))
    starts = [y < centre - _START * 1.4826 * float(np.median(np.abs(y - centre)))]
    if before is not None:
        starts.append(before[rows])
    best: tuple[float, Mask, Fit] | None = None
    tried: set[bytes] = set()
    for outlying in starts:
        for _ in range(_ROUNDS):
            if outlying.tobytes() in tried or not 0 < outlying.sum() <= _MOST * len(y) or np.ptp(y[~outlying]) == 0.0:
                break
            tried.add(outlying.tobytes())
            ordinary = replace(problem, X=X[~outlying], y=y[~outlying])
            found = fit(ordinary)
            try:
                residuals, variances = _residuals(ordinary, found.theta, X, y, outlying, factorised)
            except NotPositiveDefinite:
                break
            if (residuals[outlying] < 0.0).all():
                off = np.maximum(variances, np.square(residuals))[outlying]
                likelihood = -0.5 * (np.log(2.0 * np.pi * off) + np.square(residuals[outlying]) / off)
                value = found.log_posterior + float(likelihood.sum()) - _PRICE * float(outlying.sum())
                if best is None or value > best[0]:
                    best = value, outlying, found
            outlying = _far(residuals, variances, float(ordinary.y.std()))
    if best is None or not _scattered(X, best[1]):
        return None
    value, outlying, found = best
    ordinary = replace(problem, X=X[~outlying], y=y[~outlying])
    mask = np.zeros(len(problem.y), dtype=bool)
    mask[rows[outlying]] = True
    if len(rows) < len(mask):  # what the model says of those it was not fitted to
        others = np.delete(np.arange(len(mask)), rows)
        mean, variance = factorised(ordinary, found.theta).predict(problem.X[others])
        residuals = problem.y[others] - mean
        mask[others] = _far(residuals, variance + np.exp(found.theta[1]), float(ordinary.y.std()))
    if mask.sum() > _MOST * len(mask):
        return None
    mean, _ = factorised(ordinary, found.theta).predict(problem.X[mask])
    variances = np.full(len(mask), np.nan)
    variances[mask] = np.square(problem.y[mask] - mean)
    return Division(variances, found, value)


def surprising(posterior: HostPosterior | TorchPosterior, problem: Problem, theta: Array, n: int) -> bool:
    """Whether a model of the first n observations is contradicted by a later one as outliers contradict one.

    Args:
        posterior: Of the first n observations.
        problem: All observations.
        theta: Hyperparameters.
        n: Observations of the model.
    """
    mean, variance = posterior.predict(problem.X[n:])
    ordinary = problem.y[:n] if problem.known is None else problem.y[:n][np.isnan(problem.known[:n])]
    return bool(_far(problem.y[n:] - mean, variance + np.exp(theta[1]), float(ordinary.std())).any())


def _residuals(
    ordinary: Problem, theta: Array, X: Array, y: Array, outlying: Mask, factorised: Factorised
) -> tuple[Array, Array]:
    """Of each observation from the ordinary ones without itself: residual and variance, noise included."""
    posterior = factorised(ordinary, theta)
    residuals, variances = np.empty(len(y)), np.empty(len(y))
    residuals[~outlying], variances[~outlying] = leave_one_out(posterior)
    mean, variance = posterior.predict(X[outlying])
    residuals[outlying], variances[outlying] = y[outlying] - mean, variance + np.exp(theta[1])
    return residuals, variances


def _far(residuals: Array, variances: Array, spread: float) -> Mask:
    """Which are off by many deviations, and by more than ordinary outcomes differ among themselves."""
    mask: Mask = (residuals < -_FAR * np.sqrt(variances)) & (residuals < -spread)
    return mask


def _scattered(X: Array, outlying: Mask) -> bool:
    """Whether the nearest neighbours of outliers are outliers no more often than others, as far as chance has it.

    Two neighbours of each of k outliers, a share p of all; as neighbours are mostly mutual, about k independent draws
    with variance p (1 - p).
    """
    norms = np.square(X).sum(1)
    squared = norms[:, None] + norms - 2.0 * (X @ X.T)
    np.fill_diagonal(squared, np.inf)
    near = np.argsort(squared, axis=1, kind="stable")[:, :2]
    share, draws = float(outlying.mean()), int(outlying.sum())
    seen = float(outlying[near[outlying]].mean())
    return seen <= share + _CHANCE * float(np.sqrt(share * (1.0 - share) / draws))
