"""What users of scikit-learn and scikit-optimize write as search spaces, as gpbo's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from gpbo.errors import ArgumentError, ArgumentTypeError, SpaceError
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.scalars import shown
from gpbo.space import Params, Space

_TAIL = 1e-3  # of an unbounded distribution that is not searched, at either end
_SCALES = {"uniform": False, "log-uniform": True}
_CURE = (
    "use gpbo.Float, gpbo.Int, gpbo.Categorical, a list of choices, a frozen SciPy distribution, or a tuple "
    "(low, high) or (low, high, 'log-uniform')"
)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Dimension:
    """One entry of a search space.

    Attributes:
        parameter: What is searched.
        native: From a value of the parameter to the value that the estimator is given.
    """

    parameter: Parameter
    native: Callable[[Any], Any] = _same


class Dimensions:
    """A search space: what the engine searches, and what the estimator is given.

    Args:
        given: From names of the estimator's parameters to entries.

    Raises:
        ArgumentError: If an entry is none that is understood; names it.
    """

    def __init__(self, given: Any) -> None:
        if isinstance(given, Space):
            given = dict(given.items())
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"A search space must be a dict from parameter name to values, got {shown(given)}.")
        self._dimensions: dict[str, Dimension] = {}
        for name, entry in given.items():
            try:
                self._dimensions[name] = _dimension(entry)
            except (SpaceError, ArgumentError) as error:
                raise ArgumentError(f"Search space, parameter {name!r}: {error}") from None
        self.space = Space({name: each.parameter for name, each in self._dimensions.items()})

    def native(self, params: Params) -> Params:
        """What the estimator is given, from a point of the space."""
        return {name: self._dimensions[name].native(value) for name, value in params.items()}


def plans(given: Any, n_iter: int) -> list[tuple[Dimensions, int]]:
    """Each search space with its number of candidates.

    Args:
        given: One space; or several, each alone or as (space, number of candidates).
        n_iter: The number where none is given.

    Raises:
        ArgumentError: If it is none of these.
    """
    if isinstance(given, (Mapping, Space)):
        return [(Dimensions(given), n_iter)]
    if not isinstance(given, Iterable) or not given:
        raise ArgumentTypeError(f"search_spaces must be a dict, or a list of dicts, got {shown(given)}.")
    found = []
    for entry in given:
        space, count = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, n_iter)
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
            raise ArgumentError(f"search_spaces: {shown(count)} candidates are wanted of one space; ask for 1 or more.")
        found.append((Dimensions(space), int(count)))
    return found


def _dimension(entry: Any) -> Dimension:
    if isinstance(entry, (Float, Int, Categorical)):
        return Dimension(entry)
    if hasattr(entry, "dist") and hasattr(entry, "ppf"):
        return _frozen(entry)
    if isinstance(entry, tuple) and _is_range(entry):
        return Dimension(_range(entry[0], entry[1], _SCALES[entry[2]] if len(entry) == 3 else False))
    if hasattr(entry, "categories"):  # of scikit-optimize
        return _choices(entry.categories)
    if hasattr(entry, "prior") and hasattr(entry, "low"):  # of scikit-optimize
        return Dimension(_range(entry.low, entry.high, entry.prior == "log-uniform"))
    if isinstance(entry, (str, bytes, Mapping)) or not isinstance(entry, Iterable):
        raise ArgumentTypeError(f"{shown(entry)} is not understood; {_CURE}.")
    return _choices(entry)


def _is_range(entry: tuple[Any, ...]) -> bool:
    ends = len(entry) in (2, 3) and all(isinstance(end, Real) and not isinstance(end, bool) for end in entry[:2])
    return ends and (len(entry) == 2 or (isinstance(entry[2], str) and entry[2] in _SCALES))


def _range(low: Any, high: Any, log: bool) -> Parameter:
    if isinstance(low, Integral) and isinstance(high, Integral):
        return Int(int(low), int(high), log=log)
    return Float(low, high, log=log)


def _choices(given: Iterable[Any]) -> Dimension:
    """One of several objects; numbers in ascending or descending order count as ordered."""
    choices = list(given)
    numbers = len(choices) > 2 and all(
        isinstance(one, Real) and not isinstance(one, (bool, np.bool_)) for one in choices
    )
    ordered = bool(numbers and (np.all(np.diff(choices) > 0) or np.all(np.diff(choices) < 0)))
    try:
        return Dimension(Categorical(choices, ordered=ordered))
    except SpaceError:  # estimators and other objects, or repeated choices: found by their place
        return Dimension(Categorical(range(len(choices)), ordered=ordered), choices.__getitem__)


def _frozen(entry: Any) -> Dimension:
    """A distribution of SciPy's: its range, on the scale on which it is uniform."""
    kind = entry.dist.name
    low, high = (float(end) for end in entry.support())
    if kind == "uniform":
        return Dimension(Float(low, high))
    if kind in ("loguniform", "reciprocal"):
        return Dimension(Float(low, high, log=True))
    if hasattr(entry, "pmf"):
        ends = [entry.ppf(_TAIL) if np.isinf(low) else low, entry.ppf(1 - _TAIL) if np.isinf(high) else high]
        return Dimension(Int(int(ends[0]), int(ends[1])))
    tails = [_TAIL if np.isinf(low) else 0.0, 1 - _TAIL if np.isinf(high) else 1.0]
    return Dimension(Float(*tails), lambda quantile: float(entry.ppf(quantile)))
