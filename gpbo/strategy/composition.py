"""Composes a batch from several sources, each of which is told what the others have chosen before it.

Regions come first, because nobody else looks there so closely; then LogEI on the model of the whole space, conditioned
on all that is pending and chosen; sample paths last, which need not be told: their randomness keeps them apart. Where
memory is short a source does with fewer candidates, conditioned points or picks, and leaves the rest to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Set
from dataclasses import dataclass

import numpy as np

from gpbo.acquisition.improvement import HostImprovement, Improvement, base_normals
from gpbo.acquisition.paths import Paths
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.data import Data
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.numerics import memory
from gpbo.search.axes import TurnedBatch
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates
from gpbo.search.domain import Batch, Domain
from gpbo.search.greedy import Chosen, enumerate_best, greedy
from gpbo.search.thompson import sample_optima
from gpbo.space import Space
from gpbo.strategy.fitted import Posterior
from gpbo.strategy.regions import Region

_SAMPLES = 128  # fantasies of pending points and of picks within a batch
_MOST_FANTASISED = 32  # pending points with fantasies; older ones are conditioned on at their mean
_MOST_BELIEVED = 2048  # pending points conditioned on at all: those that promise most
_MOST_FAILED = 512  # failed points, likewise
_PATHS = 1024  # sample paths held at a time
_FEWEST = 64  # raw candidates of a search, however short memory is
_CANDIDATES = "searches from {} candidates"
_SOBOL = 600  # fantasies beyond are at the mean: base samples in more dimensions would cost more than they say
EXPLOIT = 0.5  # of the deviation of sample paths
LOCAL, THOMPSON, DESIGN = "local LogEI", "Thompson", "design"


@dataclass(frozen=True)
class _Place:
    """Where a search goes about, in coordinates of its own.

    Attributes:
        domain: The space, or the axes of a region.
        candidates: Draws raw candidates there.
        batch: Takes up what is found there.
        box: Part of it to stay in.
    """

    domain: Domain
    candidates: Candidates
    batch: Batch
    box: Box | None


class Composer:
    """Fills one batch."""

    def __init__(
        self,
        space: Space,
        candidates: Candidates,
        data: Data,
        also: Array,
        taken: Set[Hashable],
        rng: np.random.Generator,
    ) -> None:
        """An empty batch.

        Args:
            space: The space.
            candidates: Draws raw candidates.
            data: What is known.
            also: Points that go into the same batch from elsewhere, shape (k, D).
            taken: Keys that must not be proposed, those of ``also`` included.
            rng: The ask's random numbers.
        """
        self._space, self._candidates, self._data, self._rng = space, candidates, data, rng
        self._pending = np.vstack([data.pending, also])
        self._taken = taken
        self.chosen = Chosen(space, taken, self._pending)
        self._sources: dict[str, int] = {}  # points by their source

    def in_region(self, region: Region, q: int, candidates: int) -> int:
        """Adds q points by LogEI on a region's model, inside its box; returns how many memory was too short for."""
        axes, space = region.axes, self._space
        if axes is None:
            box = region.box.of_points(space)
            place = _Place(space, self._candidates, self.chosen, box)
        else:
            box = region.box
            place = _Place(axes, self._candidates.along(axes), TurnedBatch(self.chosen, axes), box)

        def inside(points: Array) -> Array:
            points = points if axes is None else axes.turned(points)
            return points[box.contains(points)]

        failed = inside(self._data.failed)

        def acquisition(count: int) -> tuple[Improvement, int]:
            return self._improvement(
                region.posterior, region.best, inside(self._under_way()), failed, failed[:0], count
            )

        return self._greedily(acquisition, region.posterior, region.ranked, q, candidates, place, LOCAL)

    def in_whole(
        self, posterior: Posterior, best: float | None, baseline: Array, ranked: Array, q: int, candidates: int
    ) -> int:
        """Adds q points by LogEI on the model of the whole space; returns how many memory was too short for.

        Args:
            posterior: The model.
            best: What to improve on; None for the best of ``baseline`` under each fantasy.
            baseline: Promising observations, with fantasies of their noise-free outcomes, shape (b, D).
            ranked: Observed points, best first.
            q: Number of points.
            candidates: Raw candidates.
        """

        def acquisition(count: int) -> tuple[Improvement, int]:
            return self._improvement(posterior, best, self._under_way(), self._data.failed, baseline, count)

        place = _Place(self._space, self._candidates, self.chosen, None)
        return self._greedily(acquisition, posterior, ranked, q, candidates, place, _named(best))

    def all_of(self, posterior: Posterior, best: float | None, baseline: Array, q: int) -> int:
        """Adds the q best points of a small finite space by LogEI, each given those before it; returns as above."""
        goal = len(self.chosen) + q

        def enumerated() -> None:
            try:
                acquisition, count = self._improvement(
                    posterior, best, self._under_way(), self._data.failed, baseline, q
                )
                for u in enumerate_best(acquisition, self._space, self._taken, count):
                    self.chosen.take([u[None]], self._rng)
            finally:
                posterior.release()

        memory.unless_refused(enumerated, "no enumeration of the space")
        return self._tally(f"{_named(best)} by enumeration", q, goal)

    def by_paths(self, posterior: Posterior, ranked: Array, q: int, candidates: int) -> int:
        """Adds the optima of q sample paths; returns how many memory was too short for."""
        goal = len(self.chosen) + q

        def all_paths() -> None:
            _, pool = memory.halving(
                lambda count: self._candidates.draw(ranked[:5], self._rng, count), candidates, _CANDIDATES, _FEWEST
            )

            def some(count: int) -> None:
                left = goal - len(self.chosen)
                paths = Paths(posterior, np.full(min(count, left), EXPLOIT), self._rng)
                sample_optima(paths, self.chosen, pool, self._space, self._rng)

            count = min(_PATHS, q)
            while len(self.chosen) < goal:
                count, _ = memory.halving(some, count, "{} sample paths at a time")

        memory.unless_refused(all_paths, "no sample paths")
        return self._tally(THOMPSON, q, goal)

    def anywhere(self, q: int) -> None:
        """Adds q space-filling points: what is left to do where no memory is left to choose."""
        goal = len(self.chosen) + q
        while len(self.chosen) < goal:
            for u in self._candidates.draw(self._pending[:0], self._rng, 2 * _FEWEST).U[: goal - len(self.chosen)]:
                self.chosen.take([u[None]], self._rng)
        self._tally(DESIGN, q, goal)

    def described(self) -> str:
        """What the batch is made of, for the report."""
        return " + ".join(name for name, count in self._sources.items() if count)

    def _tally(self, name: str, q: int, goal: int) -> int:
        missing = goal - len(self.chosen)
        self._sources[name] = self._sources.get(name, 0) + q - missing
        return missing

    def _greedily(
        self,
        acquisition: Callable[[int], tuple[Improvement, int]],
        posterior: Posterior,
        ranked: Array,
        q: int,
        candidates: int,
        place: _Place,
        name: str,
    ) -> int:
        """Adds q points one given the other; returns how many memory was too short for, with few candidates as well.

        A search that was refused is begun anew for the points that are missing yet: whatever it conditioned on is
        forgotten, and what it chose is under way by then.
        """
        goal = len(self.chosen) + q

        def search(count: int) -> None:
            try:
                improvement, picks = acquisition(goal - len(self.chosen))
                pool = place.candidates.draw(ranked[:5], self._rng, count, place.box)
                greedy(improvement, place.batch, pool, place.domain, picks, self._rng)
            finally:
                posterior.release()

        def searches() -> None:
            memory.halving(search, candidates, _CANDIDATES, _FEWEST)

        memory.unless_refused(searches, f"fewer points by {name}")
        return self._tally(name, q, goal)

    def _under_way(self) -> Array:
        """Pending points and those of the batch."""
        return np.vstack([self._pending, *self.chosen.points])

    def _improvement(
        self, posterior: Posterior, best: float | None, pending: Array, failed: Array, baseline: Array, q: int
    ) -> tuple[Improvement, int]:
        """LogEI, conditioned on what is under way and has failed, and the picks that there is room for."""
        limit, most = memory.current().limit, _MOST_BELIEVED
        if limit is not None:  # the factor, and a second one while it grows
            most = max(_MOST_FANTASISED, min(most, math.isqrt(limit // 18) - posterior.n - q))
        pending = _promising(posterior, pending, most)
        failed = _promising(posterior, failed, _MOST_FAILED)
        if isinstance(posterior, HostPosterior):
            wanted = len(baseline) + len(pending) + len(failed) + q
            held, _ = memory.halving(posterior.reserve, wanted, "room for {} pending points and picks")
            if held < wanted:
                held = max(held, posterior.room) - len(baseline)
                q = min(q, max(1, held // 2))
                pending = pending[max(0, len(pending) + q - held) :]
                failed = failed[: max(0, held - q - len(pending))]
        recent = pending[-_MOST_FANTASISED:]
        fantasies = len(baseline) + len(recent) + q - 1
        normals = np.zeros((0, 1))
        if fantasies:
            normals = base_normals(min(fantasies, _SOBOL), _SAMPLES, int(self._rng.integers(2**31)))
        acquisition: Improvement
        if isinstance(posterior, HostPosterior):
            acquisition = HostImprovement(posterior, best, normals)
        else:
            acquisition = TorchImprovement(posterior, best, normals)
        acquisition.believe(pending[: len(pending) - len(recent)])
        if len(failed):
            reference = best if best is not None else float(posterior.predict(baseline)[0].max())
            acquisition.disappoint(failed, reference)
        acquisition.fantasise(baseline)
        acquisition.fantasise(recent)
        return acquisition, q


def _promising(posterior: Posterior, points: Array, most: int) -> Array:
    """The points, or of very many those with the highest upper confidence bound, in their order."""
    if len(points) <= most:
        return points
    mean, variance = posterior.predict(points)
    order = np.argsort(-(mean + np.sqrt(variance)), kind="stable")[:most]
    return points[np.sort(order)]


def _named(best: float | None) -> str:
    return "LogEI" if best is not None else "noisy LogEI"
