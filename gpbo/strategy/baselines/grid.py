"""Grid search without a budget: a coarse grid, then grids of twice the fineness between its points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.parameters import Categorical, Parameter
from gpbo.space import Codes, Space
from gpbo.strategy.baselines.base import Baseline

_BLOCK = 64
_GOLDEN = 0.6180339887498949


class Grid(Baseline):
    """Three values of every parameter, then 5, 9, 17, ... on its own scale; all choices of a category.

    Within a grid the points come in an order that spreads them: an unfinished grid then covers the whole range of every
    parameter, as nested loops would not.
    """

    name: ClassVar[str] = "grid"

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        first = data.asked
        for fineness in itertools.count(1):
            axes = [_values(name, parameter, 2**fineness + 1) for name, parameter in self._space.items()]
            size = math.prod(len(axis) for axis in axes)
            complete = size == self._space.cardinality
            if first < size or complete:
                walk = ((first + step) % size for step in range(size if complete else size - first))
                while block := list(itertools.islice(walk, _BLOCK)):
                    yield self._space.encode_codes([_point(axes, self._scattered(each, size)) for each in block])
            if complete:
                return
            first = max(first - size, 0)

    def _scattered(self, index: int, size: int) -> int:
        """A permutation: steps of about the golden section of the grid, from a start that the seed decides."""
        stride = max(int(size * _GOLDEN), 1)
        while math.gcd(stride, size) != 1:
            stride += 1
        return (self._seed + index * stride) % size


def _values(name: str, parameter: Parameter, most: int) -> list[float]:
    """At most ``most`` codes of a parameter, evenly spaced on its scale with both ends; all choices of a category."""
    if isinstance(parameter, Categorical) or (parameter.count is not None and parameter.count <= most):
        assert parameter.count is not None
        return list(range(parameter.count))
    codes = Space({name: parameter}).decode_codes(np.linspace(0.0, 1.0, most)[:, None])
    return sorted({code for (code,) in codes})


def _point(axes: list[list[float]], index: int) -> Codes:
    """The ``index``-th point of the product."""
    codes = []
    for axis in axes:
        index, place = divmod(index, len(axis))
        codes.append(axis[place])
    return tuple(codes)
