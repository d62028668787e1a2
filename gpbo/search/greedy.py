"""Chooses q points one after the other, each conditioned on those before it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Set

import numpy as np

from gpbo.acquisition.improvement import Improvement, Screen
from gpbo.models.spec import Array
from gpbo.search.candidates import wander
from gpbo.search.gradient import Effort
from gpbo.search.mixed import maximise
from gpbo.space import Space

FIRST = Effort(starts=16, iterations=100, tolerance=1e-6)
LATER = Effort(starts=8, iterations=30, tolerance=1e-4)  # within a batch, where the fantasies' own error is larger
REFINED = 64  # picks of a batch that are refined; later ones are the best raw candidates


def greedy(
    acquisition: Improvement,
    space: Space,
    taken: Set[Hashable],
    candidates: tuple[Array, int],
    q: int,
    rng: np.random.Generator,
) -> Array:
    """Q distinct feasible points that are not taken, each the best found given those before it.

    Args:
        acquisition: What to maximise; every pick is conditioned on.
        space: The space; the caller has made sure that q untaken points exist.
        taken: Keys that must not be proposed.
        candidates: Raw candidates (R, D) and the number of space-filling ones, which come first.
        q: Number of points.
        rng: For the case that everything found is taken.

    Returns:
        Points, shape (q, D).
    """
    raw, spread = candidates
    screen = acquisition.screen(raw)
    chosen: set[Hashable] = set()
    picks: list[Array] = []
    for pick in range(q):
        values = screen.values()
        ranked = raw[np.argsort(-values, kind="stable")]
        offers: list[Array] = [ranked]
        if pick < REFINED:
            effort = FIRST if pick == 0 else LATER
            starts = _starts(screen, values, spread, effort.starts)
            points, reached = maximise(acquisition, space, starts, effort)
            offers.insert(0, points[np.argsort(-reached, kind="stable")])
        u, key = _first_untaken(space, offers, taken, chosen, rng)
        picks.append(u)
        chosen.add(key)
        if pick + 1 < q:
            acquisition.fantasise(u[None])
    return np.array(picks)


def _starts(screen: Screen, values: Array, spread: int, count: int) -> Array:
    """The best candidates of either half, by value; ties and duplicates are of no consequence."""
    order = np.argsort(-values, kind="stable")
    wide, near = order[order < spread], order[order >= spread]
    half = count - count // 2 if len(near) else count
    starts: Array = screen.U[np.concatenate([wide[:half], near[: count // 2]])]
    return starts


def _first_untaken(
    space: Space, offers: Iterable[Array], taken: Set[Hashable], chosen: Set[Hashable], rng: np.random.Generator
) -> tuple[Array, Hashable]:
    for block in offers:
        for start in range(0, len(block), 16):
            some = block[start : start + 16]
            for u, key in zip(some, space.keys(some), strict=True):
                if key not in taken and key not in chosen:
                    return u, key
    for u in wander(space, rng):
        (key,) = space.keys(u[None])
        if key not in taken and key not in chosen:
            return u, key
    raise AssertionError("the caller counted the untaken points")


def enumerate_best(acquisition: Improvement, space: Space, taken: Set[Hashable], q: int) -> Array:
    """The same for a small finite space: every untaken point is a candidate and nothing is left to a local search."""
    assert space.cardinality is not None
    everything = np.array([space.point(index) for index in range(space.cardinality)])
    left = np.array([key not in taken for key in space.keys(everything)])
    points = everything[left]
    screen = acquisition.screen(points)
    open_ = np.ones(len(points), dtype=bool)
    picks: list[int] = []
    for pick in range(q):
        index = int(np.where(open_, screen.values(), -np.inf).argmax())
        if not open_[index]:  # every open value is -inf
            index = int(open_.argmax())
        open_[index] = False
        picks.append(index)
        if pick + 1 < q:
            acquisition.fantasise(points[index][None])
    best: Array = points[picks]
    return best
