"""Between the domains of Ray Tune and gpbo's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search.sample import Categorical as RayCategorical
from ray.tune.search.sample import Domain, LogUniform, Quantized, Uniform
from ray.tune.search.sample import Float as RayFloat
from ray.tune.search.sample import Integer as RayInteger
from ray.tune.search.variant_generator import parse_spec_vars
from ray.tune.utils.util import flatten_dict, unflatten_dict  # type: ignore[attr-defined]

from gpbo.errors import ArgumentError, SpaceError
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.space import Codes, Params, Space


@dataclass(frozen=True)
class Axis:
    """One parameter.

    Attributes:
        parameter: What is searched: for choices their index, for integers with a step the number of steps.
        choices: What the indices stand for; None for numbers.
        low: The smallest integer, where there is a step.
        step: The step of integers.
    """

    parameter: Parameter
    choices: list[Any] | None = None
    low: int = 0
    step: int = 1

    def outward(self, value: Any) -> Any:
        """A value of gpbo's as one of Ray's."""
        if self.choices is not None:
            return self.choices[value]
        return self.low + self.step * value if self.step > 1 else value

    def inward(self, value: Any) -> Any:
        """A value of Ray's as one of gpbo's.

        Raises:
            ValueError: If it is not one of the choices.
        """
        if self.choices is not None:
            return self.choices.index(value)
        return (value - self.low) / self.step if self.step > 1 else value


class Axes:
    """A search space of Ray's: nested dicts of domains, whose names are joined by "/"; constants stay with Ray.

    Args:
        axes: By name.
    """

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self.axes = dict(axes)
        self.space = Space({name: axis.parameter for name, axis in self.axes.items()})

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Axes:
        """From what the user wrote: domains of Ray, parameters of gpbo, constants, nested or not.

        Raises:
            ArgumentError: If a domain has no counterpart, or nothing is to be searched.
        """
        if isinstance(config, Space):
            config = dict(config.items())
        flat = flatten_dict(dict(config), prevent_delimiter=True)
        if parse_spec_vars(dict(config))[2]:
            raise ArgumentError("GPBOSearch: grid_search is not searched; use tune.choice, or no search algorithm.")
        axes = {}
        for name, entry in flat.items():
            if isinstance(entry, (Float, Int, Categorical)):
                axes[name] = Axis(entry)
            elif isinstance(entry, Domain):
                axes[name] = _axis(name, entry)
        if not axes:
            raise ArgumentError("GPBOSearch: the search space holds nothing to search; use tune.uniform, ...")
        return cls(axes)

    def outward(self, params: Params) -> dict[str, Any]:
        """A point as Ray's configuration."""
        nested: dict[str, Any] = unflatten_dict({name: self.axes[name].outward(each) for name, each in params.items()})
        return nested

    def codes(self, config: Mapping[str, Any]) -> Codes:
        """The point of a configuration; what is not searched is ignored.

        Raises:
            SpaceError: If a parameter is missing, or its value lies outside the space.
        """
        flat = flatten_dict(dict(config))
        try:
            return self.space.codes({name: axis.inward(flat[name]) for name, axis in self.axes.items() if name in flat})
        except SpaceError:
            raise
        except (TypeError, ValueError) as error:
            raise SpaceError(f"{config!r} does not lie in the search space: {error}.") from None


def _axis(name: str, domain: Any) -> Axis:
    sampler: Any = domain.get_sampler()
    q = None
    if isinstance(sampler, Quantized):
        q, sampler = sampler.q, sampler.get_sampler()  # type: ignore[no-untyped-call]
    log = isinstance(sampler, LogUniform)
    try:
        if isinstance(domain, RayCategorical) and isinstance(sampler, Uniform):
            return Axis(Categorical(range(len(domain.categories))), list(domain.categories))
        if isinstance(domain, RayFloat) and (log or isinstance(sampler, Uniform)):
            return Axis(Float(domain.lower, domain.upper, log=log, step=q))
        if isinstance(domain, RayInteger) and (log or isinstance(sampler, Uniform)):
            if q in (None, 1):  # the upper bound is excluded, with a step included
                return Axis(Int(domain.lower, domain.upper - (q is None), log=log))
            if not log:
                return Axis(Int(0, (domain.upper - domain.lower) // q), low=domain.lower, step=int(q))
    except SpaceError as error:
        raise ArgumentError(f"GPBOSearch: parameter {name!r}: {error}") from None
    kind = f"{type(domain).__name__} with {type(sampler).__name__.lstrip('_')} sampling{' and a step' if q else ''}"
    raise ArgumentError(
        f"GPBOSearch: parameter {name!r} is a {kind}, which is not searched; use tune.uniform, tune.loguniform, "
        "tune.quniform, tune.randint, tune.lograndint, tune.qrandint or tune.choice."
    )
