"""Standard test functions with known optima, for examples, tests and benchmarks.

Every function is minimised, takes points as the last axis of an array, and is evaluated for all of them at once.
Where the usual box puts the optimum at its centre (a gift to any optimizer that tries the centre), the asymmetric box
of Eriksson et al. 2019 is used instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpbo.space import Space

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A test function, its box and its optimum.

    Attributes:
        name: Name with the dimension, for example ``"ackley10"``.
        function: Maps points of shape (..., d) in the units of the box to values of shape (...).
        lower: Lower bounds, d numbers.
        upper: Upper bounds, d numbers.
        minimum: The smallest value in the box.
        minimisers: All points of the box where it is reached (to the digits given), each of d numbers.
    """

    name: str
    function: Callable[[Array], Array] = field(repr=False)
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    minimum: float
    minimisers: tuple[tuple[float, ...], ...]

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return len(self.lower)

    @cached_property
    def space(self) -> Space:
        """The box as a search space with parameters x0, x1, ..."""
        return Space.from_bounds(self.lower, self.upper)

    def __call__(self, params: Mapping[str, float]) -> float:
        """Value at named parameters, as ``Trial.params`` gives them."""
        return float(self.function(np.array([params[f"x{i}"] for i in range(self.dim)], dtype=np.float64)))

    def values(self, x: ArrayLike) -> Array:
        """Values at the points ``x`` of shape (..., d); the result has shape (...)."""
        return self.function(np.asarray(x, dtype=np.float64))


def branin() -> Problem:
    """Branin in two dimensions: three equal valleys."""
    minimisers = ((-np.pi, 12.275), (np.pi, 2.275), (3 * np.pi, 2.475))
    return Problem("branin", _branin, (-5.0, 0.0), (10.0, 15.0), 10 / (8 * np.pi), minimisers)


def six_hump_camel() -> Problem:
    """Six-hump camel in two dimensions: six local minima, two of them global."""
    optimum = (0.08984201368301331, -0.7126564032704135)
    mirrored = (-optimum[0], -optimum[1])
    return Problem(
        "six_hump_camel", _six_hump_camel, (-3.0, -2.0), (3.0, 2.0), -1.0316284534898774, (optimum, mirrored)
    )


def hartmann3() -> Problem:
    """Hartmann in three dimensions: four bumps in the unit cube."""
    optimum = (0.11458880, 0.55564889, 0.85254699)
    return Problem("hartmann3", _hartmann3, (0.0,) * 3, (1.0,) * 3, -3.862779787332658, (optimum,))


def hartmann6() -> Problem:
    """Hartmann in six dimensions: four bumps in the unit cube, the second best a strong lure."""
    optimum = (0.20168952, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053)
    return Problem("hartmann6", _hartmann6, (0.0,) * 6, (1.0,) * 6, -3.322368011415515, (optimum,))


def ackley(dim: int = 10) -> Problem:
    """Ackley: a funnel under a carpet of local minima, nearly flat far out."""
    return Problem(f"ackley{dim}", _ackley, (-5.0,) * dim, (10.0,) * dim, 0.0, ((0.0,) * dim,))


def levy(dim: int = 10) -> Problem:
    """Levy: ripples on a bowl."""
    return Problem(f"levy{dim}", _levy, (-5.0,) * dim, (10.0,) * dim, 0.0, ((1.0,) * dim,))


def rastrigin(dim: int = 10) -> Problem:
    """Rastrigin: a regular grid of deep local minima on a bowl."""
    return Problem(f"rastrigin{dim}", _rastrigin, (-3.0,) * dim, (4.0,) * dim, 0.0, ((0.0,) * dim,))


def griewank(dim: int = 10) -> Problem:
    """Griewank: fine ripples on a wide bowl."""
    return Problem(f"griewank{dim}", _griewank, (-300.0,) * dim, (600.0,) * dim, 0.0, ((0.0,) * dim,))


def rosenbrock(dim: int = 8) -> Problem:
    """Rosenbrock: one curved, narrow valley (needs at least two dimensions)."""
    return Problem(f"rosenbrock{dim}", _rosenbrock, (-5.0,) * dim, (10.0,) * dim, 0.0, ((1.0,) * dim,))


def styblinski_tang(dim: int = 6) -> Problem:
    """Styblinski-Tang: two basins per dimension, one the better."""
    best = -2.903534027771177
    value = 0.5 * (best**4 - 16 * best**2 + 5 * best)
    return Problem(
        f"styblinski_tang{dim}", _styblinski_tang, (-5.0,) * dim, (5.0,) * dim, dim * value, ((best,) * dim,)
    )


def _branin(x: Array) -> Array:
    a, b = x[..., 0], x[..., 1]
    curve = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return np.asarray(curve**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10)


def _six_hump_camel(x: Array) -> Array:
    a, b = x[..., 0], x[..., 1]
    return np.asarray((4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (4 * b**2 - 4) * b**2)


_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS3 = np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]])
_CENTRES3 = 1e-4 * np.array([[3689.0, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
_WIDTHS6 = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES6 = 1e-4 * np.array(
    [
        [1312.0, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann(x: Array, widths: Array, centres: Array) -> Array:
    exponents = (widths * (x[..., None, :] - centres) ** 2).sum(-1)  # ... x 4
    return np.asarray(-(_HEIGHTS * np.exp(-exponents)).sum(-1))


def _hartmann3(x: Array) -> Array:
    return _hartmann(x, _WIDTHS3, _CENTRES3)


def _hartmann6(x: Array) -> Array:
    return _hartmann(x, _WIDTHS6, _CENTRES6)


def _ackley(x: Array) -> Array:
    funnel = -20 * np.exp(-0.2 * np.sqrt((x**2).mean(-1)))
    ripples = -np.exp(np.cos(2 * np.pi * x).mean(-1))
    return np.asarray(funnel + ripples + 20 + np.e)


def _levy(x: Array) -> Array:
    w = 1 + (x - 1) / 4
    first = np.sin(np.pi * w[..., 0]) ** 2
    inner = ((w[..., :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[..., :-1] + 1) ** 2)).sum(-1)
    last = (w[..., -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[..., -1]) ** 2)
    return np.asarray(first + inner + last)


def _rastrigin(x: Array) -> Array:
    return np.asarray((x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(-1))


def _griewank(x: Array) -> Array:
    roots = np.sqrt(np.arange(1, x.shape[-1] + 1))
    return np.asarray((x**2).sum(-1) / 4000 - np.cos(x / roots).prod(-1) + 1)


def _rosenbrock(x: Array) -> Array:
    return np.asarray((100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1))


def _styblinski_tang(x: Array) -> Array:
    return np.asarray(0.5 * (x**4 - 16 * x**2 + 5 * x).sum(-1))
