"""Points from a model with sums over single parameters: when there is one, and its fit.

Outcomes are often sums of what single parameters do and of a remainder. Such a sum is learnt from far fewer
observations than a function of all parameters at once (Duvenaud, Nickisch and Rasmussen 2011; here their orders 1 and
d). The model stands beside that of the study, on the same scale of outcomes and with the same kernel: it says where to
look next, and everything that users see of the model is the other's.

It is computed on the host whatever the device, for there are few observations; where compiled code cannot run there is
none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpbo.models.exact import Problem
from gpbo.models.fit import Fit, fit_sums
from gpbo.models.host_posterior import HostPosterior, NotPositiveDefinite
from gpbo.models.spec import Array, with_sums
from gpbo.numerics import one_thread

MOST = 100  # observations; beyond, a fit costs more than all else that an ask does
_LARGEST = 28  # hyperparameters, for the same reason: 12 dimensions
_OFTEN = 60  # observations up to which every refit of the study's model brings one of this; beyond, every second
_ENOUGH = 2  # observations a hyperparameter: with fewer, irrelevant parameters are taken for relevant ones
_SURE = 1e-6  # share of a variance a priori below which an outcome counts as known


def summed(problem: Problem) -> Problem | None:
    """The problem with sums; None where noise was told or observations are too few or too many."""
    spec = with_sums(problem.spec)
    few = len(problem.y) < _ENOUGH * spec.size
    if problem.known is not None or spec.d == 1 or spec.size > _LARGEST or few or len(problem.y) > MOST:
        return None
    return replace(problem, spec=spec)


def due(n: int, since: int) -> bool:
    """Whether to refit with n observations, after so many refits of the study's model."""
    return since >= (1 if n <= _OFTEN else 2)


def refitted(problem: Problem, theta: Array, last: Fit | None, *, cold: bool) -> Fit:
    """The fit of a problem with sums.

    Args:
        problem: With sums.
        theta: Hyperparameters of the model without.
        last: An earlier fit, to start from.
        cold: Whether to start anew as well, which takes five times as long: done while there are few observations.
    """
    tries = [] if last is None else [fit_sums(problem, theta, last)]
    if (cold and len(problem.y) <= _OFTEN) or not tries or not np.isfinite(tries[0].log_posterior):
        tries.append(fit_sums(problem, theta))
    return max(tries, key=lambda one: one.log_posterior)


def usable(problem: Problem, found: Fit, avoid: Array) -> HostPosterior | None:
    """The posterior; None where it cannot be had, or could not keep the next points away from others.

    Args:
        problem: With sums.
        found: Its fit.
        avoid: Points under way and failed, shape (k, d). Where the model is sure of one of their outcomes, its
            uncertainty does not keep them away from there.
    """
    if not np.isfinite(found.log_posterior):
        return None
    try:
        with one_thread():
            posterior = HostPosterior(problem, found.theta, room=max(32, len(avoid) + 1))
    except NotPositiveDefinite:
        return None
    sure = len(avoid) > 0 and posterior.predict(avoid)[1].min() < _SURE * posterior.scale
    return None if sure else posterior
