"""A problem, how long it is searched, and how problems are drawn."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from gpbo import Space

Array = NDArray[np.float64]
Params = dict[str, Any]
Rng = np.random.Generator


@dataclass(frozen=True)
class Member:
    """One problem of a family; every objective is minimised.

    Attributes:
        name: Name in result lines and reports, such as ``"levy10#3"``: the draw 3 of ``levy10``.
        family: Name of the family.
        space: Search space.
        objective: True value at named parameters.
        minimum: Smallest value, or None where the best value of all results stands in for it.
        floor: Regrets below this count as this, in logarithms.
        minimiser: A point where the minimum is reached, where one is known.
        observe: One noisy measurement; None where measurements are exact.
    """

    name: str
    family: str
    space: Space
    objective: Callable[[Params], float] = field(repr=False)
    minimum: float | None = None
    floor: float = 1e-8
    minimiser: Params | None = field(default=None, repr=False)
    observe: Callable[[Params, Rng], float] | None = field(default=None, repr=False)

    @property
    def dimension(self) -> int:
        """Number of parameters."""
        return self.space.n_params

    def seed(self, seed: int) -> int:
        """Seed of a run's random numbers, different for every problem."""
        return zlib.crc32(f"{self.name}|{seed}".encode())

    def design(self, seed: int, n: int) -> list[Params]:
        """The first n points of the run's scrambled Sobol sequence."""
        sobol = qmc.Sobol(self.dimension, seed=self.seed(seed))
        return self.space.decode(self.space.sample(sobol.random_base2((n - 1).bit_length())[:n]))


@dataclass(frozen=True)
class Recipe:
    """How the members of one key are made.

    Attributes:
        key: What stands before the ``#`` of a member's name; with the dimension.
        family: Name of the family.
        dimension: Number of parameters.
        make: The member of an index; same index, same problem.
    """

    key: str
    family: str
    dimension: int
    make: Callable[[int], Member] = field(repr=False)


@dataclass(frozen=True)
class Case:
    """A problem by name and how it is searched.

    Attributes:
        problem: Name of the member.
        budget: Number of evaluations, the initial design included.
        n_initial: Size of the initial design that all optimizers share.
        batch: Points asked together.
    """

    problem: str
    budget: int
    n_initial: int
    batch: int = 1

    @property
    def half(self) -> str:
        """Members of even index are for tuning, those of odd index and those without one for reporting."""
        _, _, index = self.problem.partition("#")
        return "tune" if index and int(index) % 2 == 0 else "report"


def generator(key: str, index: int) -> Rng:
    """Random numbers of a member."""
    return np.random.default_rng([zlib.crc32(key.encode()), index])


def box_member(
    name: str,
    family: str,
    function: Callable[[Array], Array],
    minimiser: Array | None = None,
    *,
    minimum: float | None = 0.0,
    width: float = 1.0,
    floor: float | None = None,
    observe: Callable[[Array, float, Rng], float] | None = None,
) -> Member:
    """A member over floats x0, x1, ... in [0, width].

    Args:
        name: Name of the member.
        family: Name of its family.
        function: From points of the unit cube, shape (n, d), to values, shape (n,).
        minimiser: Point of the unit cube where the minimum is reached, shape (d,); None if it is not known.
        minimum: Smallest value.
        width: Upper bound of all parameters.
        floor: Smallest regret that counts; by default a millionth of the regret of a median random point.
        observe: A measurement from a point of the unit cube and its true value.
    """
    dimension = _dimension(name) if minimiser is None else len(minimiser)
    names = [f"x{i}" for i in range(dimension)]

    def point(params: Params) -> Array:
        return np.array([params[each] for each in names], dtype=np.float64) / width

    def objective(params: Params) -> float:
        return float(function(point(params)[None, :])[0])

    def measurement(params: Params, rng: Rng) -> float:
        assert observe is not None
        u = point(params)
        return observe(u, float(function(u[None, :])[0]), rng)

    if floor is None:
        floor = typical_regret(function, dimension, minimum) * (1e-6 if minimum is not None else 1e-3)
    return Member(
        name=name,
        family=family,
        space=Space.from_bounds([0.0] * dimension, [width] * dimension),
        objective=objective,
        minimum=minimum,
        floor=floor,
        minimiser=None if minimiser is None else dict(zip(names, (minimiser * width).tolist(), strict=True)),
        observe=None if observe is None else measurement,
    )


def typical_regret(function: Callable[[Array], Array], dimension: int, minimum: float | None) -> float:
    """Median less minimum of the values at random points; without a known minimum, less the best of them."""
    values = function(np.random.default_rng(0).random((256, dimension)))
    return float(np.median(values) - (values.min() if minimum is None else minimum))


def _dimension(name: str) -> int:
    digits = name.partition("#")[0]
    return int(digits[len(digits.rstrip("0123456789")) :])
