"""The interface of a peer, and points as other packages want them: plain numbers, a category as its index."""

from __future__ import annotations

from typing import Any, Protocol

from gpbo import Categorical, Float, Int, Space

Params = dict[str, Any]
Numbers = dict[str, float | int]


class Provider(Protocol):
    """Called as ``(space, seed, params, values)``, then asked and told in turn.

    A method ``recommend() -> Params`` is optional, for noisy cases.
    """

    def ask(self, q: int) -> list[Params]:
        """The next q points to evaluate."""
        ...

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the points of the last ask, in their order, to be minimised."""
        ...


def variable(space: Space) -> dict[str, Float | Int | Categorical]:
    """The parameters with more than one value; many packages refuse constants."""
    return {name: parameter for name, parameter in space.items() if parameter.count != 1}


def levels(parameter: Float | Int | Categorical) -> int | None:
    """Number of values of a parameter that has no scale of its own: a category or a stepped float; None for others."""
    if isinstance(parameter, Categorical) or (isinstance(parameter, Float) and parameter.step is not None):
        return parameter.count
    return None


def to_numbers(space: Space, params: list[Params]) -> list[Numbers]:
    """Named points as plain numbers, without constants; a category or a stepped float is the index of its level."""
    kept = variable(space)
    return [
        {
            name: parameter.read(point[name]) if levels(parameter) is not None else point[name]
            for name, parameter in kept.items()
        }
        for point in params
    ]


def from_numbers(space: Space, numbers: Numbers) -> Params:
    """The feasible named point nearest to plain numbers, the inverse of :func:`to_numbers`."""
    return {name: _nearest(parameter, numbers.get(name)) for name, parameter in space.items()}


def _nearest(parameter: Float | Int | Categorical, number: float | int | None) -> Any:
    if number is None:
        return parameter.natives([parameter.low if parameter.count is None else 0])[0]
    if (count := levels(parameter)) is not None:
        return parameter.natives([min(max(round(number), 0), count - 1)])[0]
    assert not isinstance(parameter, Categorical)
    if isinstance(parameter, Int):
        return min(max(round(number), parameter.low), parameter.high)
    return min(max(float(number), parameter.low), parameter.high)
