"""Exact models of small parts of the space, around the best observations.

A model of the whole space smooths over what matters close to an optimum: its lengthscales are those of the landscape,
and its outcomes are standardized over a range beside which the last decimals vanish. A model of the nearest
observations alone has its own. The box it is searched in is the one they span, a little wider: it shrinks as a study
closes in and moves when something better turns up elsewhere, without a state of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from gpbo.data import Data
from gpbo.models.exact import MIN_KNOWN_NOISE, Problem
from gpbo.models.fit import fit
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Array, Prior, default_spec
from gpbo.search.box import Box
from gpbo.strategy.regimes import region_size
from gpbo.strategy.subsets import Rows
from gpbo.strategy.surrogate import Fitted, Posterior, factorised, given_noise
from gpbo.transforms import OutcomeMap

_FIT_ON = 256
_MARGIN = 0.1  # by which the box is wider than what its observations span, on either side
_NOISELESS = Prior("lognormal", -12.0, 3.0)


@dataclass(frozen=True)
class Region:
    """A model of the observations around one of the best.

    Attributes:
        posterior: In the coordinates of the unit cube; outcomes standardized among the region's.
        ranked: The region's points, best first, shape (m, D).
        best: What to improve on.
        box: Where to search.
    """

    posterior: Posterior
    ranked: Array
    best: float
    box: Box


def centres(data: Data, fitted: Fitted, count: int, scores: Array) -> Rows:
    """Rows of the best observations that are not in one another's region.

    Args:
        data: What is known.
        fitted: Its lengthscales measure distances.
        count: Most rows.
        scores: What observations are ranked by, shape (n,).
    """
    order = np.argsort(-scores, kind="stable")
    first: Rows = order[:1]
    if count == 1:
        return first
    Z = data.X * np.exp(-fitted.theta[3:])
    chosen = [int(order[0])]
    size = _size(len(scores), Z.shape[1])
    radius = 0.5 * math.sqrt(float(np.partition(np.square(Z - Z[order[0]]).sum(-1), size - 1)[size - 1]))
    apart = np.sqrt(np.square(Z[order] - Z[order[0]]).sum(-1))
    while len(chosen) < count:
        far = np.flatnonzero(apart > radius)
        if not len(far):
            break
        row = int(order[far[0]])
        chosen.append(row)
        apart = np.minimum(apart, np.sqrt(np.square(Z[order] - Z[row]).sum(-1)))
    return np.array(chosen)


def _size(n: int, dim: int) -> int:
    return min(n, max(2 * dim + 3, region_size(n)))


def enough(n: int, dim: int) -> bool:
    """Whether there are observations enough for a region to be smaller than the whole."""
    return n >= max(3 * dim, 12)


def region_around(
    data: Data, fitted: Fitted, centre: int, kernel: str, *, noisy: bool, device: torch.device
) -> Region | None:
    """The model around one observation; None where its outcomes are all alike or its covariance is singular."""
    n, d = data.X.shape
    distance = np.square((data.X - data.X[centre]) * np.exp(-fitted.theta[3:])).sum(-1)
    rows = np.argsort(distance, kind="stable")[: _size(n, d)]
    X = data.X[rows]
    outcome_map = OutcomeMap.of(data.y[rows])
    assert outcome_map is not None
    y = outcome_map.forward(data.y[rows])
    if not y.max() > y.min():
        return None
    low, high = X.min(0), X.max(0)
    margin = np.where(high > low, _MARGIN * (high - low), 0.0)
    box = Box(np.maximum(low - margin, 0.0), np.minimum(high + margin, 1.0))
    width = np.where(high > low, box.upper - box.lower, 1.0)
    given = given_noise(data)
    known = None
    if given is not None:
        known = np.maximum(outcome_map.variance(data.y[rows], given[rows]), MIN_KNOWN_NOISE)
    spec = default_spec(kernel, d, infer_noise=known is None or bool(np.isnan(known).any()))
    spec = replace(spec, lengthscale_bounds=(1e-3, 1e3), noise=spec.noise if noisy else _NOISELESS)
    nearest = slice(0, _FIT_ON)
    scaled = Problem(spec, (X[nearest] - box.lower) / width, y[nearest], None if known is None else known[nearest])
    theta = fit(scaled).theta.copy()  # on the host, which is faster for so few
    theta[3:] += np.log(width)
    try:
        posterior = factorised(Problem(spec, X, y, known), theta, device)
    except NotPositiveDefinite:
        return None
    best = float((posterior.smoothed(y) if noisy else y).max())
    return Region(posterior, X[np.argsort(-y, kind="stable")], best, box)
