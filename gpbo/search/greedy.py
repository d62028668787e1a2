"""Chooses q points one after the other, each conditioned on those before it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence, Set

import numpy as np

from gpbo.acquisition.improvement import Improvement, Screen
from gpbo.models.spec import Array
from gpbo.search.candidates import Pool, wander
from gpbo.search.gradient import Effort
from gpbo.search.mixed import maximise
from gpbo.space import Space

FIRST = Effort(starts=16, iterations=100, tolerance=1e-6)
LATER = Effort(starts=8, iterations=30, tolerance=1e-4)  # within a batch, where the fantasies' own error is larger
TOGETHER = Effort(starts=1, iterations=15, tolerance=1e-3)  # of each pick of a small block, in each sweep
HASTY = Effort(starts=1, iterations=8, tolerance=1e-3)  # of a large one
_SWEEPS = 2  # searches of a block; from the second on, its picks know where those before them have gone
_CURVATURES = 2**24  # numbers in the curvatures of all searches of a block
_SHORTLIST = 256  # candidates that take part in the picks of a block, at least
_CLOSE = 2.0**-13  # side of the cells of which sample paths fill each but once, as far as they can


class Chosen:
    """The points of a batch so far, and what must not be proposed."""

    def __init__(self, space: Space, taken: Set[Hashable], near: Array) -> None:
        """An empty batch.

        Args:
            space: The space.
            taken: Keys that must not be proposed.
            near: Points next to which nothing is to be proposed either, where there is a choice, shape (k, D).
        """
        self._space, self._taken = space, taken
        self._keys: set[Hashable] = set()
        self._cells = set(_cells(near))
        self._walk: Iterator[Array] | None = None
        self.points: list[Array] = []

    def __len__(self) -> int:
        return len(self.points)

    def take(
        self,
        offers: Iterable[Array],
        rng: np.random.Generator,
        *,
        keys: Sequence[Hashable] | None = None,
        apart: bool = False,
    ) -> Array:
        """Adds the first open point of the offers, or of a walk over the space; returns it.

        Args:
            offers: Blocks of feasible points, best first.
            rng: For the walk.
            keys: Of the points of the first block, where they are known.
            apart: Prefer a point that is not a hair away from others to one that is.
        """
        fallback: tuple[Array, Hashable] | None = None
        for u, key in self._open(offers, keys):
            if not apart or _cells(u[None])[0] not in self._cells:
                return self._add(u, key)
            fallback = (u, key) if fallback is None else fallback
        if fallback is not None:
            return self._add(*fallback)
        if self._walk is None:
            self._walk = wander(self._space, rng)
        for u in self._walk:  # goes on where it stopped: what it passed is taken by now
            (key,) = self._space.keys(u[None])
            if key not in self._taken and key not in self._keys:
                return self._add(u, key)
        raise AssertionError("the caller counted the untaken points")

    def _open(self, offers: Iterable[Array], keys: Sequence[Hashable] | None) -> Iterator[tuple[Array, Hashable]]:
        for block in offers:
            for start in range(0, len(block), 16):
                some = block[start : start + 16]
                known = self._space.keys(some) if keys is None else keys[start : start + 16]
                for u, key in zip(some, known, strict=True):
                    if key not in self._taken and key not in self._keys:
                        yield u, key
            keys = None

    def _add(self, u: Array, key: Hashable) -> Array:
        self.points.append(u)
        self._keys.add(key)
        self._cells.update(_cells(u[None]))
        return u


def _cells(U: Array) -> list[int]:
    return [hash(row.tobytes()) for row in np.round(U / _CLOSE).astype(np.int32)]


def block_size(q: int) -> int:
    """Picks that are searched for together: one by one in small batches, where each counts; more where q is large."""
    return 1 if q <= 16 else 4 if q < 64 else min(64, max(8, q // 8))


def greedy(
    acquisition: Improvement, chosen: Chosen, pool: Pool, space: Space, q: int, rng: np.random.Generator
) -> None:
    """Adds q distinct feasible points to a batch, each the best found given those before it.

    In large batches points are picked from the pool first, a block at a time, and then searched for together: each from
    its own start, conditioned on the picks before it as the last sweep left them, and in the first as the pool had
    them.

    Args:
        acquisition: What to maximise; every pick is conditioned on.
        chosen: Receives the points; the caller has made sure that q untaken ones exist.
        pool: Raw candidates and the box to search in.
        space: The space.
        q: Number of points.
        rng: For the case that everything found is taken.
    """
    screen = acquisition.screen(pool.U)
    size = min(block_size(q), max(1, _CURVATURES // space.dim**2))
    left = q
    while left:
        if size == 1:
            u = _one(acquisition, chosen, pool, space, screen, FIRST if left == q else LATER, rng)
            picks = [u]
        else:
            picks = _block(acquisition, chosen, pool, space, screen, min(size, left), rng)
        left -= len(picks)
        if left:
            acquisition.fantasise(np.array(picks))


def _one(
    acquisition: Improvement,
    chosen: Chosen,
    pool: Pool,
    space: Space,
    screen: Screen,
    effort: Effort,
    rng: np.random.Generator,
) -> Array:
    values = screen.values()
    starts = _starts(screen, values, pool.spread, effort.starts)
    points, reached = maximise(acquisition, space, starts, effort, pool.box)
    ranked = pool.U[np.argsort(-values, kind="stable")]
    return chosen.take([points[np.argsort(-reached, kind="stable")], ranked], rng)


def _block(
    acquisition: Improvement,
    chosen: Chosen,
    pool: Pool,
    space: Space,
    screen: Screen,
    size: int,
    rng: np.random.Generator,
) -> list[Array]:
    before = acquisition.mark()
    values = screen.values()
    rows = np.argsort(-values, kind="stable")[: max(_SHORTLIST, 16 * size)]
    short = screen.shortlist(rows)
    picks, marks = acquisition.pick(short, values[rows], min(size, len(rows)))
    starts, effort = short.U[picks], TOGETHER if size <= 16 else HASTY
    points, _ = maximise(acquisition.at(marks), space, starts, effort, pool.box)
    for _ in range(_SWEEPS - 1):
        acquisition.rewind(before)
        marks = acquisition.follow(points)
        points, _ = maximise(acquisition.at(marks), space, points, effort, pool.box)
    acquisition.rewind(before)
    rest = np.delete(short.U, picks, axis=0)
    return [chosen.take([points[i][None], starts[i][None], rest], rng) for i in range(len(picks))]


def _starts(screen: Screen, values: Array, spread: int, count: int) -> Array:
    """The best candidates of either half, by value; ties and duplicates are of no consequence."""
    order = np.argsort(-values, kind="stable")
    wide, near = order[order < spread], order[order >= spread]
    half = count - count // 2 if len(near) else count
    starts: Array = screen.U[np.concatenate([wide[:half], near[: count // 2]])]
    return starts


def enumerate_best(acquisition: Improvement, space: Space, taken: Set[Hashable], q: int) -> Array:
    """The same for a small finite space: every untaken point is a candidate and nothing is left to a local search."""
    everything, keys = space.enumerated()
    left = np.array([key not in taken for key in keys])
    points = everything[left]
    screen = acquisition.screen(points)
    picks, _ = acquisition.pick(screen, screen.values(), q)
    best: Array = points[picks]
    return best
