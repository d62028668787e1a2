"""CMA-ES of the package ``cma``, restarted with twice the population when it stops."""

from __future__ import annotations

from typing import Any

import cma
import numpy as np
from numpy.typing import NDArray

from benchmarks.optimization.peers.base import Params
from gpbo import Space


class Cmaes:
    """One generation after another in the unit cube; integers and categories are the nearest feasible values.

    The first run starts at the best initial point, those after a restart anywhere. A population has the package's
    default size, or as many points as are asked for where that is more; a smaller batch makes it the next multiple of
    the batch, so that a generation is told before the next one is drawn.
    """

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float], sigma: float = 0.25) -> None:
        self.space, self.sigma, self.rng = space, sigma, np.random.default_rng(seed)
        self.start: NDArray[np.float64] = space.encode([params[int(np.argmin(values))]])[0]
        self.population = 0
        self.drawn: list[Any] = []  # the generation; its first `told` points have values, its first `given` are out
        self.values: list[float] = []
        self.given = 0

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        if not self.population:
            usual = 4 + int(3 * np.log(self.space.dim))  # of Hansen 2016, as in the package
            self.population = q * -(-usual // q)
            self._begin()
        if missing := q - (len(self.drawn) - self.given):
            if self.given == len(self.drawn):
                self.drawn, self.values, self.given = self.strategy.ask(), [], 0
                missing = q - len(self.drawn)
            if missing > 0:
                self.drawn += self.strategy.ask(missing)
        points = self.drawn[self.given : self.given + q]
        self.given += q
        return self.space.decode(self.space.snap(np.array(points)))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        self.values += values
        if len(self.values) < len(self.drawn):
            return
        self.strategy.tell(self.drawn, self.values)
        if self.strategy.stop():
            self.population *= 2
            self.start = self.rng.random(self.space.dim)
            self._begin()

    def _begin(self) -> None:
        settings = {
            "bounds": [0, 1],
            "popsize": self.population,
            "seed": np.nan,  # leaves NumPy's global state alone
            "randn": lambda *shape: self.rng.standard_normal(shape),
            "verbose": -9,
        }
        self.strategy = cma.CMAEvolutionStrategy(self.start, self.sigma, settings)
        self.drawn, self.values, self.given = [], [], 0
