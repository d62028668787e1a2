"""A model of outcomes clipped at a level, which says where to look while it predicts the better ones better.

Penalties, cliffs and slopes a thousand times as steep on one side as on the other make a stationary model spend its
variance and its lengthscales on where nobody wants to go. There outcomes worse than a level may as well lie on it. That
is not for the evidence to decide, for clipped outcomes are other data: what counts is how well each of the better half
is predicted from all others (leave-one-out log density; Geisser and Eddy 1979, Rasmussen and Williams 2006, section
5.4.2). Clipped outcomes have to be better at it by a margin.

The model stands beside that of the study, on the same scale of outcomes and with the same kernel: everything that users
see of the model is the other's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpbo.models.exact import Problem
from gpbo.models.fit import Fit, fit
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.leave_one_out import leave_one_out
from gpbo.models.spec import Array
from gpbo.strategy.fitted import Posterior

LEVELS = (0.25, 0.5)  # shares of the outcomes that are raised to the level
FEWEST = 8  # observations, as many as it takes to tell a trend
MOST = 200  # those up to which every ask fits anew
_LARGEST = 64  # hyperparameters
MARGIN = 12.0  # nats over the better half; its predictions share hyperparameters and neighbours, so odds mislead
PROMISING = 0.5 * MARGIN  # nats from which a model is looked at again for every ask
_EACH = 30  # observations that make a refit one refit of the study's model rarer, from twice as many on
_SELDOM = 4  # refits of the study's model for one of a clipped one that does not promise anything
_RESOLUTION = 1e-10  # spread of the clipped outcomes below which nothing is left of them, in units of the study's

Mask = NDArray[np.bool_]


def useful(problem: Problem) -> bool:
    """Whether to look at all: there are observations enough and neither too many nor too many parameters."""
    return FEWEST <= len(problem.y) <= MOST and problem.spec.size <= _LARGEST


def due(n: int, since: int, *, promising: bool) -> bool:
    """Whether to refit.

    Args:
        n: Observations.
        since: Refits of the study's model since the last one.
        promising: Whether the last one was of use, or nearly.
    """
    return since >= max(1 if promising else _SELDOM, n // _EACH - 1)


def clipped(problem: Problem, share: float) -> tuple[Problem, float] | None:
    """The problem with the worst outcomes raised to a level, standardized anew, and its unit; None where that is none.

    Args:
        problem: On the study's scale, without told noise: noise of outliers falls away.
        share: Of the outcomes that lie below the level.
    """
    level = _quantile(problem.y, share)
    raised = np.maximum(problem.y, level)
    unit = float(raised.std(ddof=1))
    if level <= problem.y.min() or not unit > _RESOLUTION:
        return None
    return replace(problem, y=(raised - raised.mean()) / unit, known=None), unit


def better(problem: Problem) -> Mask:
    """The observations above the highest level, shape (n,)."""
    mask: Mask = problem.y > _quantile(problem.y, LEVELS[-1])
    return mask


def refitted(problem: Problem, near: Fit, last: Fit | None, *, cold: bool) -> Fit:
    """The fit of a clipped problem.

    Args:
        problem: Clipped.
        near: Of the problem as it is, to start from.
        last: An earlier fit, to start from instead.
        cold: Whether to start anew as well, which is done while there are few observations.
    """
    tries = [fit(problem, last or near)]
    if (cold and len(problem.y) <= 2 * _EACH) or last is None or not np.isfinite(tries[0].log_posterior):
        tries.append(fit(problem))
    return max(tries, key=lambda one: one.log_posterior)


def predicted(posterior: Posterior, rows: Mask) -> float:
    """Log density of some outcomes, each from all others, in nats up to a constant; -inf where there is none."""
    try:
        residuals, variances = leave_one_out(posterior)
    except NotPositiveDefinite:
        return -np.inf
    residuals, variances = residuals[rows], variances[rows]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        density = -0.5 * float((np.log(variances) + np.square(residuals) / variances).sum())
    return density if np.isfinite(density) else -np.inf


def _quantile(values: Array, share: float) -> float:
    """Linear between the order statistics; NumPy's own takes longer to look at its arguments than to find it."""
    at = share * (len(values) - 1)
    low = int(at)
    ordered = np.sort(values)
    return float(ordered[low] + (at - low) * (ordered[min(low + 1, len(values) - 1)] - ordered[low]))
