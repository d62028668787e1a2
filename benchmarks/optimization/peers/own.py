"""This project, and what no model at all achieves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import qmc

import gpbo
from benchmarks.optimization import ingredients
from benchmarks.optimization.ingredients import INGREDIENTS
from benchmarks.optimization.peers.base import Params
from gpbo.strategy import composition, regimes

_SHARES, _EXPLOIT = regimes.SHARES, composition.EXPLOIT


class Gpbo:
    """This project; further settings are those of ``gpbo.Optimizer``.

    More of them, for experiments on what a batch is made of: ``local`` and ``whole``, the shares of regions and of
    LogEI on the whole, and ``deviation``, the factor of sample paths' deviation from the mean. ``ingredient`` names a
    change of the recipe (see ``ingredients``).
    """

    def __init__(
        self,
        space: gpbo.Space,
        seed: int,
        params: list[Params],
        values: list[float],
        local: float | None = None,
        whole: float = 0.0,
        deviation: float | None = None,
        ingredient: str | None = None,
        **settings: Any,
    ) -> None:
        # They are constants of the engine, not settings; a process runs one optimizer at a time.
        regimes.SHARES = _SHARES if local is None else ((math.inf, (local, whole)),)
        composition.EXPLOIT = _EXPLOIT if deviation is None else deviation
        ingredients.use(ingredient)
        self._observed = ingredient == "recommend_observed"
        settings = (INGREDIENTS[ingredient].settings(space, len(params)) if ingredient else {}) | settings
        chosen: dict[str, Any] = {"n_initial": len(params), "device": "cpu", **settings}
        self.optimizer = gpbo.Optimizer(space, direction="minimize", seed=seed, **chosen)
        self.optimizer.add(params, values)

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self.batch = self.optimizer.ask(q)
        return self.batch.params

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        self.optimizer.tell(self.batch, values)

    def recommend(self) -> Params:
        """The evaluated point with the best posterior mean."""
        return (self.optimizer.best() if self._observed else self.optimizer.recommend()).params


class Sobol:
    """A scrambled Sobol sequence, of which the initial design is the beginning."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        self.space = space
        self.sequence = qmc.Sobol(space.n_params, seed=seed)
        self.sequence.fast_forward(len(params))

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        return self.space.decode(self.space.sample(self.sequence.random(q)))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """Nothing to learn."""


class Random:
    """Independent points, uniform on every parameter's scale."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        return self.space.decode(self.space.sample(self.rng.random((q, self.space.n_params))))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """Nothing to learn."""
