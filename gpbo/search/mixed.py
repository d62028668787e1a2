"""Search in spaces with integers and categories: gradient steps on what is continuous, neighbour moves on what is not.

The acquisition is only ever compared at feasible points, so the answer is never a relaxed optimum rounded at the end.
"""

from __future__ import annotations

import numpy as np

from gpbo.acquisition.improvement import Acquisition
from gpbo.acquisition.paths import AssignedPaths
from gpbo.models.spec import Array
from gpbo.numerics import memory
from gpbo.search.box import Box
from gpbo.search.domain import Domain
from gpbo.search.gradient import Effort, climb

_FINE = 16  # grids with at least so many levels also take part in a relaxed gradient search, as a source of starts
_GAIN = 1e-9


def maximise(
    acquisition: Acquisition, space: Domain, starts: Array, effort: Effort, box: Box | None = None
) -> tuple[Array, Array]:
    """Feasible local maxima reached from feasible starts.

    Args:
        acquisition: What to maximise.
        space: Says which coordinates are continuous and what the neighbours of a point are.
        starts: Feasible points, shape (R, D).
        effort: How long a gradient search goes on.
        box: Where to stay; the whole cube by default.

    Returns:
        Feasible points (R, D) and values (R,).
    """
    box = box or Box.whole(space.dim)
    continuous = space.levels == 0
    if continuous.all():
        lower, upper = np.broadcast_to(box.lower, starts.shape), np.broadcast_to(box.upper, starts.shape)
        points, values = _climb(acquisition, starts, lower, upper, effort)
        snapped = space.snap(points)
        return snapped, values if np.array_equal(snapped, points) else acquisition.values(snapped)
    points, values = starts, acquisition.values(starts)
    relaxed = continuous | (space.levels >= _FINE)
    if relaxed.any():
        points, values = _climb_some(acquisition, space, points, values, relaxed, effort, box)
    for _ in range(effort.moves):
        points, values, moved = _move(acquisition, space, points, values, box)
        if not moved.any():
            break
        if continuous.any():
            some = acquisition.of(np.flatnonzero(moved))
            points[moved], values[moved] = _climb_some(
                some, space, points[moved], values[moved], continuous, effort, box
            )
    return points, values


def _climb(acquisition: Acquisition, starts: Array, lower: Array, upper: Array, effort: Effort) -> tuple[Array, Array]:
    """Gradient search from every start inside its own box, as many starts together as memory allows."""
    if isinstance(acquisition, AssignedPaths):  # cuts itself, finer
        return climb(acquisition, starts, lower, upper, effort)
    points, values = np.empty_like(starts), np.empty(len(starts))

    def some(start: int, stop: int) -> None:
        rows = slice(start, stop)
        part = acquisition.of(np.arange(start, stop))
        points[rows], values[rows] = climb(part, starts[rows], lower[rows], upper[rows], effort)

    memory.in_pieces(some, len(starts), 8 * starts.shape[1] ** 2, "searches of the acquisition")  # the curvatures
    return points, values


def _climb_some(
    acquisition: Acquisition, space: Domain, points: Array, values: Array, free: Array, effort: Effort, box: Box
) -> tuple[Array, Array]:
    """Gradient search on the free coordinates, snapped; a start that did not gain stays where it was."""
    lower, upper = (
        np.where(free, np.minimum(box.lower, points), points),
        np.where(free, np.maximum(box.upper, points), points),
    )
    found = space.snap(_climb(acquisition, points, lower, upper, effort)[0])
    reached = acquisition.values(found)
    better = reached > values
    return np.where(better[:, None], found, points), np.where(better, reached, values)


def _move(
    acquisition: Acquisition, space: Domain, points: Array, values: Array, box: Box
) -> tuple[Array, Array, Array]:
    """The best neighbour of every point, where it gains; all neighbours of all points are evaluated in one call."""
    points, values = points.copy(), values.copy()
    moved = np.zeros(len(points), dtype=bool)
    everywhere = bool((box.lower == 0.0).all() and (box.upper == 1.0).all())

    def some(start: int, stop: int) -> None:
        blocks = [space.neighbours(u) for u in points[start:stop]]
        if not everywhere:
            blocks = [block[box.contains(block)] for block in blocks]
        sizes = [len(block) for block in blocks]
        if not sum(sizes):
            return
        owner = np.repeat(np.arange(start, stop), sizes)
        reached = acquisition.of(owner).values(np.concatenate(blocks))
        end = 0
        for r, block in enumerate(blocks, start):
            end += len(block)
            own = reached[end - len(block) : end]
            if len(own) and own.max() > values[r] + _GAIN:
                points[r], values[r], moved[r] = block[own.argmax()], own.max(), True

    # Most neighbours of a point: every choice of every category.
    memory.in_pieces(some, len(points), 8 * 4 * space.dim * (space.dim + 16), "neighbours of points")
    return points, values, moved
