"""scikit-optimize with its defaults: a Gaussian process and a hedge of three acquisition functions."""

from __future__ import annotations

from typing import Any

from skopt import Optimizer, space

from benchmarks.optimization.peers.base import Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space


class Skopt:
    """``skopt.Optimizer``, with its settings; a batch is chosen with the strategy ``cl_min``, its default."""

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float], **settings: Any) -> None:
        self.space = space
        self.names = list(variable(space))
        dimensions = [_dimension(each) for each in variable(space).values()]
        self.optimizer = Optimizer(dimensions, n_initial_points=0, random_state=seed, **settings)
        self.optimizer.tell([[each[name] for name in self.names] for each in to_numbers(space, params)], values)

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self.points = [self.optimizer.ask()] if q == 1 else self.optimizer.ask(n_points=q)
        return [from_numbers(self.space, dict(zip(self.names, each, strict=True))) for each in self.points]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        self.optimizer.tell(self.points, values)


def _dimension(parameter: Float | Int | Categorical) -> Any:
    if isinstance(parameter, Categorical) and not parameter.ordered:
        return space.Categorical(range(parameter.count))
    if (count := levels(parameter)) is not None:
        return space.Integer(0, count - 1)
    assert not isinstance(parameter, Categorical)
    prior = "log-uniform" if parameter.log else "uniform"
    kind = space.Integer if isinstance(parameter, Int) else space.Real
    return kind(parameter.low, parameter.high, prior=prior)
