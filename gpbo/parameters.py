"""The three kinds of parameters: what a user may declare, and which values each admits.

A parameter maps its native values to *codes*, plain numbers that identify a value exactly: the value itself for a
continuous ``Float``, and the index of the level, counted from 0, for everything else.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from gpbo import scalars
from gpbo.errors import SpaceError, SpaceTypeError

Code: TypeAlias = int | float

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_MAX_LEVELS = 2**63
_FEW_FLOATS = 2**20  # a narrower range is no continuum: searching it would meet the same floats again and again


@dataclass(frozen=True)
class Float:
    """A real number from ``low`` to ``high``, both included.

    Args:
        low: Smallest value.
        high: Largest value; equal to ``low`` for a constant.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Only the values ``low + k * step``, computed in decimal arithmetic and rounded once: 0.1 and 0.2 are
            followed by 0.3. Any float is allowed when it is None.

    Raises:
        SpaceError: If the bounds are reversed, not finite, not positive on a log scale or closer than a million
            float64, or the step is not positive.
        SpaceTypeError: If one of them is not a real number.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    _grid: tuple[int, int, int] = field(init=False, repr=False, compare=False, default=(0, 0, 1))
    _count: int | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        low, high = _bound(self, "low", self.low), _bound(self, "high", self.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        _check_bounds(self)
        if self.step is not None:
            step = _bound(self, "step", self.step)
            object.__setattr__(self, "step", step)
            if step <= 0:
                raise SpaceError(f"{self}: step must be positive, got {step!r}.")
            count = (scalars.decimal(high) - scalars.decimal(low)) // scalars.decimal(step) + 1
            if count > _MAX_LEVELS:
                raise SpaceError(f"{self}: the step makes more than 2**63 levels; leave it out for a continuous range.")
            object.__setattr__(self, "_grid", _decimal_grid(low, step))
            object.__setattr__(self, "_count", count)
        elif low == high:
            object.__setattr__(self, "_grid", _decimal_grid(low, 0.0))
            object.__setattr__(self, "_count", 1)
        elif _floats_between(low, high) < _FEW_FLOATS:
            cure = "widen it, or list its values in a Categorical"
            raise SpaceError(f"{self}: fewer than {_FEW_FLOATS} distinct float64 lie in this range; {cure}.")

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step={self.step!r}"
        return f"Float({self.low!r}, {self.high!r}{', log=True' if self.log else ''}{step})"

    @property
    def count(self) -> int | None:
        """Number of distinct values, None for a continuous range."""
        return self._count

    def read(self, value: Any, slack: float = 0.0) -> Code:
        """The code of a native value; ``slack`` times the largest bound is forgiven outside the range.

        Raises:
            SpaceError: If the value is not finite, lies outside the range or between two steps.
            SpaceTypeError: If it is not a real number.
        """
        number = scalars.real(value)
        if not math.isfinite(number):
            raise SpaceError(f"is {value!r}; it must be finite and lie in [{self.low!r}, {self.high!r}]")
        if not self.low <= number <= self.high:
            margin = slack * max(abs(self.low), abs(self.high))
            if not self.low - margin <= number <= self.high + margin:
                raise SpaceError(f"is {value!r}, outside [{self.low!r}, {self.high!r}]")
            number = min(max(number, self.low), self.high)
        if self._count is None:
            return number + 0.0
        if self.step is None:
            return 0
        index = min(
            max(round((scalars.decimal(number) - scalars.decimal(self.low)) / scalars.decimal(self.step)), 0),
            self._count - 1,
        )
        level = self.natives([index])[0]
        if abs(number - level) > max(1e-6 * self.step, slack * abs(level)):
            raise SpaceError(f"is {value!r}, between two steps of {self!r}; the nearest value is {level!r}")
        return index

    def natives(self, codes: Sequence[Code]) -> list[Any]:
        """The native value of each code."""
        if self._count is None:
            return [float(code) for code in codes]
        first, pace, unit = self._grid
        return [(first + pace * int(code)) / unit for code in codes]

    def numbers(self, codes: Sequence[Code]) -> list[float]:
        """Each code's value as a float."""
        return self.natives(codes)

    def read_number(self, number: Code, slack: float = 0.0) -> Code:
        """The code of a number as :meth:`numbers` gives it."""
        return self.read(number, slack)


@dataclass(frozen=True)
class Int:
    """A whole number from ``low`` to ``high``, both included, within the range of int64.

    Args:
        low: Smallest value.
        high: Largest value; equal to ``low`` for a constant.
        log: Search on a logarithmic scale; needs ``low > 0``.

    Raises:
        SpaceError: If the bounds are reversed, beyond int64, or not positive on a log scale.
        SpaceTypeError: If one of them is not an integer.
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
                raise SpaceTypeError(f"{self}: {name} must be an integer, got {scalars.shown(value)}.")
            if not _INT_MIN <= int(value) <= _INT_MAX:
                raise SpaceError(f"{self}: {name} is beyond int64; it must lie in [-2**63, 2**63 - 1].")
            object.__setattr__(self, name, int(value))
        _check_bounds(self)

    def __repr__(self) -> str:
        return f"Int({self.low!r}, {self.high!r}{', log=True' if self.log else ''})"

    @property
    def count(self) -> int:
        """Number of distinct values."""
        return self.high - self.low + 1

    def read(self, value: Any, slack: float = 0.0) -> Code:
        """The code of a native value; a whole float such as 3.0 counts as the integer.

        Raises:
            SpaceError: If the value lies outside the range or between two integers.
            SpaceTypeError: If it is not a number.
        """
        value = scalars.plain(value)
        if type(value) is int:
            number = value
        else:
            real = scalars.real(value)
            if not real.is_integer():
                raise SpaceError(f"is {value!r}; it must be a whole number in [{self.low}, {self.high}]")
            number = int(real)
        if not self.low <= number <= self.high:
            raise SpaceError(f"is {value!r}, outside [{self.low}, {self.high}]")
        return number - self.low

    def natives(self, codes: Sequence[Code]) -> list[Any]:
        """The native value of each code."""
        return [self.low + int(code) for code in codes]

    def numbers(self, codes: Sequence[Code]) -> list[float]:
        """Each code's value as a float."""
        return [float(self.low + int(code)) for code in codes]

    def read_number(self, number: Code, slack: float = 0.0) -> Code:
        """The code of a number as :meth:`numbers` gives it."""
        if isinstance(number, float) and number.is_integer() and float(self.low) <= number <= float(self.high):
            return min(max(int(number), self.low), self.high) - self.low  # beyond 2**53 a bound's float may lie outside
        return self.read(number, slack)


@dataclass(frozen=True, eq=False, init=False)
class Categorical:
    """One of a list of choices, which come back exactly as they were given.

    Args:
        choices: Strings, ints, floats, bools, None, or tuples of these; two choices are the same if type and value are.
            NumPy scalars become the plain Python value.
        ordered: The choices have an order, as "small", "medium", "large" do; neighbours are then taken to be similar.

    Raises:
        SpaceError: If there is no choice, or one is repeated or NaN.
        SpaceTypeError: If the choices are not a sequence, or one is of another type.
    """

    choices: tuple[Any, ...]
    _: KW_ONLY
    ordered: bool = False
    _codes: dict[Any, int] = field(repr=False)

    def __init__(self, choices: Iterable[Any], *, ordered: bool = False) -> None:
        if isinstance(choices, (str, bytes, dict, set, frozenset)) or not isinstance(choices, Iterable):
            got = scalars.shown(choices)
            raise SpaceTypeError(f"Categorical: choices must be a list or a tuple, in a fixed order; got {got}.")
        plain = tuple(scalars.plain(choice) for choice in choices)
        if not plain:
            raise SpaceError("Categorical: there must be at least one choice; got none.")
        codes: dict[Any, int] = {}
        for index, choice in enumerate(plain):
            try:
                identity = scalars.identity(choice)
            except SpaceError as error:
                raise type(error)(f"Categorical: {error}.") from None
            if identity in codes:
                raise SpaceError(f"Categorical: choice {choice!r} is there twice, at {codes[identity]} and {index}.")
            codes[identity] = index
        object.__setattr__(self, "choices", plain)
        object.__setattr__(self, "ordered", _flag("Categorical", "ordered", ordered))
        object.__setattr__(self, "_codes", codes)

    def __repr__(self) -> str:
        return f"Categorical({list(self.choices)!r}{', ordered=True' if self.ordered else ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Categorical):
            return NotImplemented
        return self.ordered == other.ordered and list(self._codes) == list(other._codes)

    def __hash__(self) -> int:
        return hash((self.ordered, tuple(self._codes)))

    @property
    def count(self) -> int:
        """Number of choices."""
        return len(self.choices)

    def read(self, value: Any, slack: float = 0.0) -> Code:
        """The code of a choice: same type and value, or an equal number where only one choice is equal.

        Raises:
            SpaceError: If the value is not one of the choices.
        """
        value = scalars.plain(value)
        try:
            found = self._codes.get(scalars.identity(value))
        except SpaceError:
            found = None
        if found is None and type(value) in (int, float):
            equal = [i for i, choice in enumerate(self.choices) if type(choice) in (int, float) and choice == value]
            found = equal[0] if len(equal) == 1 else None
        if found is None:
            raise SpaceError(f"is {value!r}, not one of the choices {_shortened(self.choices)}")
        return found

    def natives(self, codes: Sequence[Code]) -> list[Any]:
        """The choice of each code."""
        return [self.choices[int(code)] for code in codes]

    def numbers(self, codes: Sequence[Code]) -> list[float]:
        """Each choice's index as a float."""
        return [float(code) for code in codes]

    def read_number(self, number: Code, slack: float = 0.0) -> Code:
        """The code of a choice's index."""
        if not (math.isfinite(number) and float(number).is_integer() and 0 <= number < self.count):
            raise SpaceError(f"is {number!r}; in an array it must be the index of a choice, 0 to {self.count - 1}")
        return int(number)


Parameter: TypeAlias = Float | Int | Categorical


def _bound(parameter: Float, name: str, value: Any) -> float:
    try:
        number = scalars.real(value)
    except SpaceError as error:
        raise type(error)(f"{parameter}: {name} {error}.") from None
    if not math.isfinite(number):
        raise SpaceError(f"{parameter}: {name} must be finite, got {value!r}.")
    return number + 0.0  # -0.0 becomes 0.0


def _flag(owner: object, name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise SpaceTypeError(f"{owner}: {name} must be True or False, got {value!r}.")
    return bool(value)


def _check_bounds(parameter: Float | Int) -> None:
    object.__setattr__(parameter, "log", _flag(parameter, "log", parameter.log))
    if parameter.low > parameter.high:
        raise SpaceError(f"{parameter}: low {parameter.low!r} is above high {parameter.high!r}; swap them.")
    if parameter.log and parameter.low <= 0:
        raise SpaceError(f"{parameter}: a log scale needs low > 0, got {parameter.low!r}; raise low or use log=False.")


def _floats_between(low: float, high: float) -> int:
    """Number of steps from ``low`` to ``high`` over neighbouring float64."""
    ranks = [int(np.float64(abs(x)).view(np.int64)) * (1 if x >= 0 else -1) for x in (low, high)]
    return ranks[1] - ranks[0]


def _decimal_grid(low: float, step: float) -> tuple[int, int, int]:
    """Integers (first, pace, unit) such that level k is (first + pace * k) / unit, rounded once."""
    first, pace = scalars.decimal(low), scalars.decimal(step)
    unit = math.lcm(first.denominator, pace.denominator)
    return int(first * unit), int(pace * unit), unit


def _shortened(choices: tuple[Any, ...]) -> str:
    shown = ", ".join(repr(choice) for choice in choices[:10])
    return f"[{shown}{', ...' if len(choices) > 10 else ''}]"
