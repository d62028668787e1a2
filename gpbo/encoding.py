"""How one parameter lies in the unit cube: codes in, coordinates out, and back; nameless and vectorised.

Codes are described in :mod:`gpbo.parameters`. ``U`` stands for a parameter's own coordinates, shape (m, width).
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpbo.parameters import Categorical, Code, Float, Int, Parameter

Floats = NDArray[np.float64]

_EXACT_LEVELS = 2**53  # up to here float64 holds every level's index
_MAX_LEVELS = 2**62  # what `Coding.levels` shows at most
_ALL_LEVELS = 16  # grids of at most this many levels list all of them as neighbours
_LINEAR_LOG = 1e-6  # a log scale over a narrower relative range is straight to this accuracy, and loses digits


class Coding(Protocol):
    """One parameter's place in the unit cube.

    Attributes:
        levels: Per coordinate: 0 continuous, m the number of levels of a grid, -1 a member of a one-hot group.
        count: Number of distinct values; None when continuous.
    """

    levels: tuple[int, ...]
    count: int | None

    def decode(self, U: Floats) -> list[Code]:
        """Codes of the nearest feasible values, length m."""

    def encode(self, codes: Sequence[Code]) -> Floats:
        """Coordinates of the codes, shape (m, width)."""

    def snap(self, U: Floats) -> Floats:
        """The nearest feasible coordinates, shape (m, width)."""

    def sample(self, v: Floats) -> Floats:
        """Feasible coordinates for uniform numbers ``v`` in [0, 1), shape (m,) -> (m, width)."""

    def neighbours(self, u: Floats) -> Floats:
        """Feasible coordinates near ``u``, shape (width,) -> (k, width); none when continuous."""


class _Constant:
    """A parameter with one value: no coordinate at all."""

    levels: tuple[int, ...] = ()
    count: int | None = 1

    def decode(self, U: Floats) -> list[Code]:
        return [0] * len(U)

    def encode(self, codes: Sequence[Code]) -> Floats:
        return np.empty((len(codes), 0))

    def snap(self, U: Floats) -> Floats:
        return U

    def sample(self, v: Floats) -> Floats:
        return np.empty((len(v), 0))

    def neighbours(self, u: Floats) -> Floats:
        return np.empty((0, 0))


class _Continuous:
    """A range of floats on one coordinate, linear or logarithmic; 0 and 1 are the bounds exactly."""

    levels: tuple[int, ...] = (0,)
    count: int | None = None

    def __init__(self, low: float, high: float, log: bool) -> None:
        self._low, self._high = low, high
        self._log = log and math.log(high) - math.log(low) > _LINEAR_LOG

    def decode(self, U: Floats) -> list[Code]:
        u = np.clip(U[:, 0], 0.0, 1.0)
        if self._log:
            values = np.exp(_between(math.log(self._low), math.log(self._high), u))
            values[u == 0.0], values[u == 1.0] = self._low, self._high  # exp(log(x)) may miss x by a rounding
        else:
            values = _between(self._low, self._high, u)
        codes: list[Code] = np.clip(values, self._low, self._high).tolist()
        return codes

    def encode(self, codes: Sequence[Code]) -> Floats:
        values = np.asarray(codes, dtype=np.float64)
        low, high = self._low, self._high
        if self._log:
            values, low, high = np.log(values), math.log(low), math.log(high)
        if math.isinf(high - low):
            values, low, high = values / 2, low / 2, high / 2
        return np.clip((values - low) / (high - low), 0.0, 1.0)[:, None]

    def snap(self, U: Floats) -> Floats:
        return np.clip(U, 0.0, 1.0)

    def sample(self, v: Floats) -> Floats:
        return np.array(v, dtype=np.float64)[:, None]

    def neighbours(self, u: Floats) -> Floats:
        return np.empty((0, 1))


class _Grid:
    """Evenly spaced levels on one coordinate, or, on a log scale, the levels r, r + 1, r + 2, ... at their logarithms.

    Levels survive the way to the cube and back as long as float64 tells their coordinates apart: any level of a linear
    grid of 2**53, and of a log grid of about 2**44.

    Args:
        count: Number of levels m, at least 2.
        first: r, the lowest value in units of the distance between levels; None for a linear scale.
    """

    def __init__(self, count: int, first: float | None = None) -> None:
        self.count: int | None = count
        self.levels: tuple[int, ...] = (min(count, _MAX_LEVELS),)
        self._last = count - 1
        self._exact = count <= _EXACT_LEVELS
        # The log positions are log1p(k / r): no digits are lost when r is large beside m.
        self._first = max(first, 1e-280) if first is not None and (count - 1) / first > _LINEAR_LOG else None
        self._log_span = 1.0 if self._first is None else float(np.log1p(float(count - 1) / self._first))

    def _index(self, u: Floats) -> NDArray[Any]:
        """Index of the nearest level: int64, or python ints where int64 or float64 would lose digits."""
        if self._first is None:
            k = np.rint(u * float(self._last))
        else:
            k = self._first * np.expm1(np.clip(u, 0.0, 1.0) * self._log_span)
            below, here = np.floor(k), self._first + k
            k = below + (here * here > (self._first + below) * (self._first + below + 1))
            k = np.where(u >= 1.0, float(self._last), k)  # expm1(log1p(x)) may miss x by a rounding
        k = np.clip(k, 0.0, float(self._last))
        if self._exact:
            return k.astype(np.int64)
        return np.array([min(int(value), self._last) for value in k], dtype=object)

    def _position(self, k: NDArray[Any]) -> Floats:
        if self._first is None:
            return np.asarray(k / self._last, dtype=np.float64)
        return np.log1p(k.astype(np.float64) / self._first) / self._log_span

    def decode(self, U: Floats) -> list[Code]:
        codes: list[Code] = self._index(U[:, 0]).tolist()
        return codes

    def encode(self, codes: Sequence[Code]) -> Floats:
        return self._position(np.array(codes, dtype=np.int64 if self._exact else object))[:, None]

    def snap(self, U: Floats) -> Floats:
        return self._position(self._index(U[:, 0]))[:, None]

    def sample(self, v: Floats) -> Floats:
        if self._first is None:
            k = np.minimum(np.floor(v * float(self._last + 1)), float(self._last))
        else:  # log-uniform over bins that reach half a level beyond the ends
            low, high = math.log(max(self._first - 0.5, self._first / 2)), math.log(self._first + self._last + 0.5)
            k = np.clip(np.rint(np.exp(low + v * (high - low)) - self._first), 0.0, float(self._last))
        if self._exact:
            return self._position(k.astype(np.int64))[:, None]
        return self._position(np.array([min(int(value), self._last) for value in k], dtype=object))[:, None]

    def neighbours(self, u: Floats) -> Floats:
        here = int(self._index(u)[0])
        if self._last < _ALL_LEVELS:
            near = [k for k in range(self._last + 1) if k != here]
        else:
            steps = [1 << j for j in range(self._last.bit_length())]
            near = [k for step in steps for k in (here - step, here + step) if 0 <= k <= self._last]
        return self.encode(near)


class _OneHot:
    """A category without order: one coordinate each, 1 for the chosen one and 0 for the others."""

    def __init__(self, count: int) -> None:
        self.count: int | None = count
        self.levels: tuple[int, ...] = (-1,) * count

    def _rows(self, k: NDArray[np.int64]) -> Floats:
        rows = np.zeros((len(k), len(self.levels)))
        rows[np.arange(len(k)), k] = 1.0
        return rows

    def decode(self, U: Floats) -> list[Code]:
        codes: list[Code] = U.argmax(axis=1).tolist()
        return codes

    def encode(self, codes: Sequence[Code]) -> Floats:
        return self._rows(np.array(codes, dtype=np.int64))

    def snap(self, U: Floats) -> Floats:
        return self._rows(U.argmax(axis=1))

    def sample(self, v: Floats) -> Floats:
        count = len(self.levels)
        return self._rows(np.minimum((v * count).astype(np.int64), count - 1))

    def neighbours(self, u: Floats) -> Floats:
        return self._rows(np.delete(np.arange(len(u)), u.argmax()))


def coding(parameter: Parameter) -> Coding:
    """The coding that suits a parameter."""
    count = parameter.count
    if count == 1:
        return _Constant()
    if isinstance(parameter, Categorical):
        return _Grid(parameter.count) if parameter.ordered or parameter.count == 2 else _OneHot(parameter.count)
    if isinstance(parameter, Int):
        return _Grid(parameter.count, float(parameter.low) if parameter.log else None)
    return _float_coding(parameter)


def _float_coding(parameter: Float) -> Coding:
    if parameter.count is None or parameter.step is None:
        return _Continuous(parameter.low, parameter.high, parameter.log)
    return _Grid(parameter.count, parameter.low / parameter.step if parameter.log else None)


def _between(low: float, high: float, u: Floats) -> Floats:
    """``low + u * (high - low)``, exact at both ends, without overflow where ``high - low`` overflows."""
    span, scale = high - low, 1.0
    if math.isinf(span):
        span, scale = high / 2 - low / 2, 2.0
    near_low, near_high = scale * np.minimum(u, 0.5), scale * np.minimum(1.0 - u, 0.5)
    return np.where(u <= 0.5, low + near_low * span, high - near_high * span)
