"""Between Optuna's distributions and gpbo's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from gpbo.errors import SpaceError
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.space import Codes, Space


@dataclass(frozen=True)
class Axis:
    """One distribution as a parameter.

    Categories and integers with a step are searched by index, so that Optuna's own objects come back.
    """

    distribution: BaseDistribution
    parameter: Parameter

    def inward(self, value: Any) -> Any:
        """A value of Optuna's as one of gpbo's."""
        if isinstance(self.distribution, CategoricalDistribution):
            return int(self.distribution.to_internal_repr(value))
        if isinstance(self.distribution, IntDistribution) and self.distribution.step > 1:
            index, rest = divmod(value - self.distribution.low, self.distribution.step)
            return index if rest == 0 else -1  # no level: refused by the parameter
        return value

    def outward(self, value: Any) -> Any:
        """A value of gpbo's as one of Optuna's."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices[value]
        if isinstance(self.distribution, IntDistribution) and self.distribution.step > 1:
            return self.distribution.low + value * self.distribution.step
        return value


class Axes:
    """The part of a relative search space that the engine can search.

    A range with more than 2**63 levels, beyond int64 or of fewer than a million floats is left out, and is then sampled
    independently.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = {}
        self._axes: dict[str, Axis] = {}
        for name, distribution in distributions.items():
            parameter = None if distribution.single() or not name else _parameter(distribution)
            if parameter is not None:
                self.distributions[name] = distribution
                self._axes[name] = Axis(distribution, parameter)

    def __len__(self) -> int:
        return len(self._axes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axes) and list(self._axes.items()) == list(other._axes.items())

    __hash__ = None  # type: ignore[assignment]

    def space(self) -> Space:
        """The search space; there must be a parameter."""
        return Space({name: axis.parameter for name, axis in self._axes.items()})

    def inward(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values of gpbo that stand for Optuna's; names that are not searched are dropped.

        Raises:
            ValueError: If a category is unknown.
        """
        return {name: self._axes[name].inward(value) for name, value in params.items() if name in self._axes}

    def outward(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values of Optuna that gpbo's stand for."""
        return {name: self._axes[name].outward(value) for name, value in params.items()}

    def codes(self, space: Space, values: Mapping[str, Any]) -> Codes | None:
        """The point with these values of gpbo's; None if they are incomplete, or outside the present ranges."""
        try:
            return space.codes({name: values[name] for name in self._axes})
        except (KeyError, SpaceError):
            return None

    def codes_outside(self, space: Space, params: Mapping[str, Any]) -> Codes | None:
        """As :meth:`codes`, with values of Optuna's."""
        try:
            return self.codes(space, self.inward(params))
        except (TypeError, ValueError):
            return None


def _parameter(distribution: BaseDistribution) -> Parameter | None:
    try:
        if isinstance(distribution, FloatDistribution):
            return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        if isinstance(distribution, IntDistribution):
            if distribution.step > 1:
                return Int(0, (distribution.high - distribution.low) // distribution.step)
            return Int(distribution.low, distribution.high, log=distribution.log)
        if isinstance(distribution, CategoricalDistribution):
            return Categorical(range(len(distribution.choices)))
    except SpaceError:
        return None
    return None


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution for a parameter; of a step on a log scale, which Optuna lacks, only the scale is kept."""
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Float):
        if parameter.step is None or parameter.log:
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        assert parameter.count is not None
        return FloatDistribution(parameter.low, parameter.natives([parameter.count - 1])[0], step=parameter.step)
    return CategoricalDistribution([choice(parameter, each) for each in parameter.choices])


def choice(parameter: Categorical, value: Any) -> Any:
    """A choice as Optuna can store and tell it apart: itself, or its ``repr``."""
    twin = sum(1 for other in parameter.choices if other == value) > 1  # as 1 and True are
    infinite = isinstance(value, float) and math.isinf(value)
    return repr(value) if isinstance(value, tuple) or twin or infinite else value
