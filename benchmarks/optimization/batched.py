"""The interface of an optimizer under test: built from the evaluated initial design, then asked and told in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from scipy.stats import qmc

import gpbo
from benchmarks.optimization.member import Params


class Provider(Protocol):
    """Called as ``(space, seed, params, values)``; a method ``recommend() -> Params`` is optional, for noisy cases."""

    def ask(self, q: int) -> list[Params]:
        """The next q points to evaluate."""
        ...

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points, in their order, to be minimised."""
        ...


class Gpbo:
    """This project; further settings are those of ``gpbo.Optimizer``."""

    def __init__(
        self, space: gpbo.Space, seed: int, params: list[Params], values: list[float], **settings: Any
    ) -> None:
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
        return self.optimizer.recommend().params


class Sobol:
    """A scrambled Sobol sequence: what no model at all achieves."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        self.space = space
        self.sequence = qmc.Sobol(space.n_params, seed=seed)
        self.sequence.fast_forward(len(params))  # the initial design is its beginning

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        return self.space.decode(self.space.sample(self.sequence.random(q)))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """Nothing to learn."""


class OneByOne:
    """An optimizer whose interface knows no batches."""

    def __init__(self, make: Callable[..., Any], *arguments: Any, **settings: Any) -> None:
        self.inner = make(*arguments, **settings)

    def ask(self, q: int) -> list[Params]:
        """The next point to evaluate.

        Raises:
            ValueError: If more than one is asked for.
        """
        if q != 1:
            raise ValueError(f"This optimizer proposes one point at a time; got q={q}.")
        return [self.inner.ask()]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The value of the last point."""
        self.inner.tell(params[0], values[0])
