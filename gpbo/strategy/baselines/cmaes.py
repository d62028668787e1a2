"""CMA-ES of the package ``cmaes``; restarts with twice the population once converged (Auger and Hansen 2005)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from cmaes import CMA

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.space import Space
from gpbo.strategy.baselines.base import Baseline
from gpbo.strategy.settings import Settings

_SIGMA = 0.3
_BLOCKS = 32


class Cmaes(Baseline):
    """Every ``population_size`` observations, in order of telling, make a generation, whoever proposed them."""

    name: ClassVar[str] = "cmaes"

    def __init__(self, space: Space, settings: Settings, seed: int) -> None:
        super().__init__(space, settings, seed)
        self._dim = max(space.dim, 2)  # the package wants two; a second one is ignored
        self._restarts = 0
        self._used = 0  # observations that are part of a generation
        self._evolution = self._started(None)

    def _started(self, population: int | None) -> CMA:
        random = np.random.default_rng([self._seed, 0, self._restarts]).random(self._dim)
        mean = np.full(self._dim, 0.5) if self._restarts == 0 else random
        bounds = np.tile([0.0, 1.0], (self._dim, 1))
        return CMA(mean=mean, sigma=_SIGMA, bounds=bounds, population_size=population)

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        self._learn(data)
        self._evolution.reseed_rng(int(rng.integers(2**32)))
        for _ in range(_BLOCKS):
            rows = np.array([self._evolution.ask() for _ in range(q)])
            yield self._space.snap(rows[:, : self._space.dim])

    def _learn(self, data: Data) -> None:
        """Complete as many generations as there are observations for."""
        while self._used + self._evolution.population_size <= len(data.y):
            generation = slice(self._used, self._used + self._evolution.population_size)
            rows = np.full((self._evolution.population_size, self._dim), 0.5)
            rows[:, : self._space.dim] = data.X[generation]
            scale = np.abs(data.y[generation]).max() or 1.0  # only ranks matter; the package refuses huge values
            self._evolution.tell(list(zip(rows, -data.y[generation] / scale, strict=True)))
            self._used = generation.stop
            if self._evolution.should_stop():
                self._restarts += 1
                self._evolution = self._started(2 * self._evolution.population_size)
