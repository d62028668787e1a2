"""Composes a batch from several sources, each of which is told what the others have chosen before it.

Regions come first, because nobody else looks there so closely; then LogEI on the model of the whole space, conditioned
on all that is pending and chosen; sample paths last, which need not be told: their randomness keeps them apart.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Set

import numpy as np

from gpbo.acquisition.improvement import HostImprovement, Improvement, base_normals
from gpbo.acquisition.paths import Paths
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.data import Data
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.numerics import memory
from gpbo.search.candidates import Candidates
from gpbo.search.greedy import Chosen, enumerate_best, greedy
from gpbo.search.thompson import sample_optima
from gpbo.space import Space
from gpbo.strategy.regimes import Plan
from gpbo.strategy.regions import Region
from gpbo.strategy.surrogate import Posterior

_SAMPLES = 128  # fantasies of pending points and of picks within a batch
_MOST_FANTASISED = 32  # pending points with fantasies; older ones are conditioned on at their mean
_MOST_BELIEVED = 2048  # pending points conditioned on at all: those that promise most
_MOST_FAILED = 512  # failed points, likewise
_PATHS = 1024  # sample paths held at a time
_SOBOL = 600  # fantasies beyond are at the mean: base samples in more dimensions would cost more than they say
EXPLOIT = 0.5  # of the deviation of sample paths


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

    def in_region(self, region: Region, q: int, candidates: int) -> None:
        """Adds q points by LogEI on a region's model, inside its box."""
        box = region.box.of_points(self._space)
        pending, failed = self._under_way(), self._data.failed
        pending, failed = pending[box.contains(pending)], failed[box.contains(failed)]
        acquisition = self._improvement(region.posterior, region.best, pending, failed, pending[:0], q)
        pool = self._candidates.draw(region.ranked[:5], self._rng, candidates, box)
        try:
            greedy(acquisition, self.chosen, pool, self._space, q, self._rng)
        finally:
            region.posterior.release()

    def in_whole(
        self, posterior: Posterior, best: float | None, baseline: Array, ranked: Array, q: int, candidates: int
    ) -> None:
        """Adds q points by LogEI on the model of the whole space.

        Args:
            posterior: The model.
            best: What to improve on; None for the best of ``baseline`` under each fantasy.
            baseline: Promising observations, with fantasies of their noise-free outcomes, shape (b, D).
            ranked: Observed points, best first.
            q: Number of points.
            candidates: Raw candidates.
        """
        acquisition = self._improvement(posterior, best, self._under_way(), self._data.failed, baseline, q)
        try:
            pool = self._candidates.draw(ranked[:5], self._rng, candidates)
            greedy(acquisition, self.chosen, pool, self._space, q, self._rng)
        finally:
            posterior.release()

    def all_of(self, posterior: Posterior, best: float | None, baseline: Array, q: int) -> None:
        """Adds the q best points of a small finite space by LogEI, each given those before it."""
        acquisition = self._improvement(posterior, best, self._under_way(), self._data.failed, baseline, q)
        try:
            self.chosen.points.extend(enumerate_best(acquisition, self._space, self._taken, q))
        finally:
            posterior.release()

    def by_paths(self, posterior: Posterior, ranked: Array, q: int, candidates: int) -> None:
        """Adds the optima of q sample paths."""
        pool = self._candidates.draw(ranked[:5], self._rng, candidates)
        for start in range(0, q, _PATHS):
            paths = Paths(posterior, np.full(min(_PATHS, q - start), EXPLOIT), self._rng)
            sample_optima(paths, self.chosen, pool, self._space, self._rng)

    def _under_way(self) -> Array:
        """Pending points and those of the batch."""
        return np.vstack([self._pending, *self.chosen.points])

    def _improvement(
        self, posterior: Posterior, best: float | None, pending: Array, failed: Array, baseline: Array, q: int
    ) -> Improvement:
        limit, most = memory.current().limit, _MOST_BELIEVED
        if limit is not None:  # the factor, and a second one while it grows
            most = max(_MOST_FANTASISED, min(most, math.isqrt(limit // 18) - posterior.n - q))
        pending = _promising(posterior, pending, most)
        failed = _promising(posterior, failed, _MOST_FAILED)
        recent = pending[-_MOST_FANTASISED:]
        fantasies = len(baseline) + len(recent) + q - 1
        normals = np.zeros((0, 1))
        if fantasies:
            normals = base_normals(min(fantasies, _SOBOL), _SAMPLES, int(self._rng.integers(2**31)))
        acquisition: Improvement
        if isinstance(posterior, HostPosterior):
            others = len(baseline) + len(recent) + len(failed) + q
            older = len(pending) - len(recent)
            if older:
                held, _ = memory.halving(lambda k: posterior.reserve(others + k), older, "{} pending points")
                pending = pending[older - held :]
            else:
                posterior.reserve(others)
            acquisition = HostImprovement(posterior, best, normals)
        else:
            acquisition = TorchImprovement(posterior, best, normals)
        acquisition.believe(pending[: len(pending) - len(recent)])
        if len(failed):
            reference = best if best is not None else float(posterior.predict(baseline)[0].max())
            acquisition.disappoint(failed, reference)
        acquisition.fantasise(baseline)
        acquisition.fantasise(recent)
        return acquisition


def _promising(posterior: Posterior, points: Array, most: int) -> Array:
    """The points, or of very many those with the highest upper confidence bound, in their order."""
    if len(points) <= most:
        return points
    mean, variance = posterior.predict(points)
    order = np.argsort(-(mean + np.sqrt(variance)), kind="stable")[:most]
    return points[np.sort(order)]


def described(plan: Plan, missing: int, name: str) -> str:
    """What a batch is made of, for the report; ``missing`` points of the regions came from sample paths."""
    parts = [
        (sum(plan.local) - missing, "local LogEI"),
        (plan.whole, name),
        (plan.paths + missing, "Thompson"),
    ]
    return " + ".join(each for count, each in parts if count)
