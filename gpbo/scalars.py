"""Reads single values as users hand them in: numbers of any make, and choices."""

from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from gpbo.errors import SpaceError, SpaceTypeError


def shown(value: object) -> str:
    """A value and its type, short enough for a message."""
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def plain(value: Any) -> Any:
    """NumPy scalars, and arrays and tensors that hold a single number without axes, as the plain Python value."""
    if type(value) in (float, int, str, bool):
        return value
    if isinstance(value, np.generic) or (getattr(value, "shape", None) == () and hasattr(value, "item")):
        return value.item()
    return value


def real(value: Any) -> float:
    """A real number as a float.

    Raises:
        SpaceTypeError: If it is none; True and "1" are not. The message is the predicate of a sentence.
        SpaceError: If it is too large.
    """
    value = plain(value)
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceTypeError(f"is {shown(value)}; it must be a real number")
    try:
        return float(value)
    except OverflowError:
        raise SpaceError("is too large for a float64; it must be finite") from None


def decimal(number: float) -> Fraction:
    """The decimal number that ``repr`` shows, exactly: 0.1 is one tenth."""
    return Fraction(repr(number))


def identity(choice: Any) -> Any:
    """A key that tells 1, True and 1.0 apart.

    Raises:
        SpaceTypeError: If a choice of this type would not survive being stored and read back.
        SpaceError: If it is NaN.
    """
    if isinstance(choice, tuple):
        return tuple, tuple(identity(part) for part in choice)
    if type(choice) not in (str, int, float, bool, type(None)):
        cure = "use str, int, float, bool, None or a tuple of these, and look the object up by it"
        raise SpaceTypeError(f"choice {shown(choice)} is not allowed; {cure}")
    if choice != choice:
        raise SpaceError("a choice is NaN, which equals nothing; use None or a string for it")
    return type(choice), choice
