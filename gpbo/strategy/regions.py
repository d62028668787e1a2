"""Exact models of small parts of the space, around the best observations.

A model of the whole space smooths over what matters close to an optimum: its lengthscales are those of the landscape,
and its outcomes are standardized over a range beside which the last decimals vanish. A model of the nearest
observations alone has its own. The box it is searched in is the one they span, a little wider: it shrinks as a study
closes in and moves when something better turns up elsewhere, without a state of its own.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from gpbo.data import Data
from gpbo.models.batched_posterior import factorised_together
from gpbo.models.exact import MIN_KNOWN_NOISE, Problem
from gpbo.models.fit import fit
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Array, Prior, default_spec, lengthscale_prior
from gpbo.numerics import available, memory
from gpbo.search.axes import Axes, principal
from gpbo.search.axes import enough as enough_to_turn
from gpbo.search.box import Box
from gpbo.space import Space
from gpbo.strategy.fitted import Fitted, Posterior
from gpbo.strategy.regimes import region_size
from gpbo.strategy.subsets import Rows
from gpbo.strategy.surrogate import factorised, given_noise
from gpbo.transforms import OutcomeMap

S = TypeVar("S")
T = TypeVar("T")

_FIT_ON = 256
_MARGIN = 0.1  # by which the box is wider than what its observations span, on either side
_NOISELESS = Prior("lognormal", -12.0, 3.0)
_DEVIATION = math.sqrt(3.0)  # of log lengthscales: along a valley and across it they differ by orders of magnitude
_THREADS = 4  # models made at the same time, which takes half the time of one after the other; more gained nothing
_COPIES = 3  # matrices of a factor's size that a model takes while it is made and searched


@dataclass(frozen=True)
class Region:
    """A model of the observations around one of the best.

    Attributes:
        posterior: Outcomes standardized among the region's.
        ranked: The region's points, best first, shape (m, D).
        best: What to improve on.
        box: Where to search.
        axes: The coordinates of all these, where they are not those of the unit cube.
    """

    posterior: Posterior
    ranked: Array
    best: float
    box: Box
    axes: Axes | None


def centres(data: Data, fitted: Fitted, count: int, scores: Array) -> Rows:
    """Rows of the best observations that are not in one another's region.

    Args:
        data: What is known.
        fitted: Its lengthscales measure distances.
        count: Most rows.
        scores: What observations are ranked by, shape (n,).
    """
    order = np.argsort(-scores, kind="stable")
    order = order[~np.isin(order, fitted.outliers)]  # which say nothing
    first: Rows = order[:1]
    if count == 1:
        return first
    chosen = [int(order[0])]
    size = min(_size(len(scores), data.X.shape[1]), len(order))
    squared = _squared_distances(data, fitted, chosen[0])[order]
    radius = 0.5 * math.sqrt(float(np.partition(squared, size - 1)[size - 1]))
    apart = np.sqrt(squared)
    while len(chosen) < count:
        far = np.flatnonzero(apart > radius)
        if not len(far):
            break
        row = int(order[far[0]])
        chosen.append(row)
        apart = np.minimum(apart, np.sqrt(_squared_distances(data, fitted, row))[order])
    return np.array(chosen)


def _squared_distances(data: Data, fitted: Fitted, row: int) -> Array:
    """Of all observations from one, in lengthscales of the model of the whole space, shape (n,)."""
    inverse, squared = np.exp(-fitted.theta[3:]), np.empty(len(data.X))

    def some(start: int, stop: int) -> None:
        squared[start:stop] = np.square((data.X[start:stop] - data.X[row]) * inverse).sum(-1)

    memory.in_pieces(some, len(data.X), 8 * 3 * data.X.shape[1], "distances")
    return squared


def _size(n: int, dim: int) -> int:
    return min(n, max(2 * dim + 3, region_size(n)))


def enough(n: int, dim: int) -> bool:
    """Whether there are observations enough for a region to be smaller than the whole."""
    return n >= max(3 * dim, 12)


def determined(n: int, space: Space) -> bool:
    """Whether the observations of a region say along which axes outcomes are curved."""
    return bool((space.levels == 0).all()) and enough_to_turn(_size(n, space.dim), space.dim)


@dataclass(frozen=True)
class _Draft:
    """A region before its covariance is factorised."""

    problem: Problem
    theta: Array
    ranked: Array
    box: Box
    axes: Axes | None
    noisy: bool

    def region(self, posterior: Posterior) -> Region:
        y = self.problem.y
        best = float((posterior.smoothed(y) if self.noisy else y).max())
        return Region(posterior, self.ranked, best, self.box, self.axes)


def regions_around(
    data: Data,
    fitted: Fitted,
    centres: Sequence[int],
    kernel: str,
    *,
    noisy: bool,
    turn: bool,
    device: torch.device,
) -> Iterator[Region | None]:
    """The models around some observations, in their order; None where there is none, or no memory for it.

    Several are made at the same time: in threads on the host, in one batched factorisation on a GPU. A model that does
    not fit into memory gets half of its observations.
    """
    n, d = data.X.shape
    size, limit = _size(n, d), memory.current().limit
    host = device.type == "cpu" and available()
    together = _threads() if host else len(centres)
    if limit is not None:
        together = min(together, limit // 4 // (_COPIES * 8 * size**2))
    together = max(1, together)

    def alone(centre: int) -> Region | None:
        def of(most: int) -> Region | None:
            return region_around(data, fitted, centre, kernel, noisy=noisy, turn=turn, device=device, most=most)

        def halved() -> Region | None:
            return memory.halving(of, size, "a region of {} observations", min(size, 2 * d + 3))[1]

        return memory.unless_refused(halved, "no model of a region")

    for start in range(0, len(centres), together):
        rows = [int(row) for row in centres[start : start + together]]
        found: list[Region | None] | None = None
        if not host and len(rows) > 1:
            batched = partial(_batched, data, fitted, rows, kernel, noisy=noisy, turn=turn, device=device)
            found = memory.unless_refused(batched, "regions one after the other")
        if found is None:
            found = _at_once(alone, rows) if host else [alone(row) for row in rows]
        found.reverse()
        while found:  # no region is kept longer than it is searched
            yield found.pop()


def _batched(
    data: Data, fitted: Fitted, rows: Sequence[int], kernel: str, *, noisy: bool, turn: bool, device: torch.device
) -> list[Region | None]:
    drafts = _at_once(lambda row: _draft(data, fitted, row, kernel, noisy=noisy, turn=turn), rows)
    there = [draft for draft in drafts if draft is not None]
    if not there:
        return [None] * len(rows)
    posteriors = iter(factorised_together([each.problem for each in there], [each.theta for each in there], device))
    regions: list[Region | None] = []
    for draft in drafts:
        posterior = None if draft is None else next(posteriors)
        regions.append(None if draft is None or posterior is None else draft.region(posterior))
    return regions


def _at_once(make: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """``make`` of every item, in threads: compiled code runs without Python's lock, and no result depends on it."""
    if len(items) == 1 or _threads() == 1:
        return [make(item) for item in items]
    with ThreadPoolExecutor(min(_threads(), len(items))) as pool:
        futures = [pool.submit(contextvars.copy_context().run, make, item) for item in items]
        return [future.result() for future in futures]


def _threads() -> int:
    """As many as the user lets torch have."""
    return min(_THREADS, torch.get_num_threads())


def region_around(
    data: Data,
    fitted: Fitted,
    centre: int,
    kernel: str,
    *,
    noisy: bool,
    turn: bool,
    device: torch.device,
    most: int | None = None,
) -> Region | None:
    """The model around one observation; None where its outcomes are all alike or its covariance is singular.

    Args:
        data: What is known.
        fitted: The model of the whole space, whose lengthscales measure distances.
        centre: Row of the observation.
        kernel: Name of the kernel.
        noisy: Whether outcomes are noisy.
        turn: Whether to work along the axes of the curvature, where the observations determine them.
        device: Where the model lives.
        most: Observations it is made of; chosen by their number if None.
    """
    draft = _draft(data, fitted, centre, kernel, noisy=noisy, turn=turn, most=most)
    if draft is None:
        return None
    try:
        return draft.region(factorised(draft.problem, draft.theta, device))
    except NotPositiveDefinite:
        return None


def _draft(
    data: Data, fitted: Fitted, centre: int, kernel: str, *, noisy: bool, turn: bool, most: int | None = None
) -> _Draft | None:
    n, d = data.X.shape
    ordinary = np.delete(np.arange(n), fitted.outliers)
    size = min(_size(n, d) if most is None else most, len(ordinary))
    rows = ordinary[np.argsort(_squared_distances(data, fitted, centre)[ordinary], kind="stable")[:size]]
    points, axes = data.X, None
    if turn and enough_to_turn(size, d):
        axes, curvature = principal(points[rows], data.y[rows], points[centre])
        points = axes.turned(points)
        rows = ordinary[np.argsort(np.square(points[ordinary]) @ curvature, kind="stable")[:size]]
    X = points[rows]
    outcome_map = OutcomeMap.of(data.y[rows])
    assert outcome_map is not None
    y = outcome_map.forward(data.y[rows])
    if not y.max() > y.min():
        return None
    low, high = X.min(0), X.max(0)
    margin = np.where(high > low, _MARGIN * (high - low), 0.0)
    box = Box(low - margin, high + margin)
    if axes is None:
        box = Box(np.maximum(box.lower, 0.0), np.minimum(box.upper, 1.0))
    width = np.where(high > low, box.upper - box.lower, 1.0)
    given = given_noise(data)
    known = None
    if given is not None:
        known = np.maximum(outcome_map.variance(data.y[rows], given[rows]), MIN_KNOWN_NOISE)
    spec = default_spec(kernel, d, infer_noise=known is None or bool(np.isnan(known).any()))
    spec = replace(
        spec,
        lengthscale=lengthscale_prior(d, _DEVIATION),
        lengthscale_bounds=(1e-3, 1e3),
        noise=spec.noise if noisy else _NOISELESS,
    )
    nearest = slice(0, _FIT_ON)
    scaled = Problem(spec, (X[nearest] - box.lower) / width, y[nearest], None if known is None else known[nearest])
    theta = fit(scaled).theta.copy()  # on the host, which is faster for so few
    theta[3:] += np.log(width)
    return _Draft(Problem(spec, X, y, known), theta, X[np.argsort(-y, kind="stable")], box, axes, noisy)
