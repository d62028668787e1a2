"""Shapes from which families draw: functions of z, shape (n, d), whose minimum is 0 at z = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.optimization.member import Array, Rng

Shape = Callable[[Array], Array]
HARTMANN_MINIMISER = np.array([0.20168952, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053])
HARTMANN_MINIMUM = -3.322368011415515
BRANIN_MINIMISER = np.array([np.pi, 2.275])
BRANIN_MINIMUM = 10 / (8 * np.pi)


@dataclass(frozen=True)
class Placed:
    """A shape moved into the unit cube: ``shape(width * (u - centre) @ rotation)``.

    Attributes:
        shape: What is moved.
        centre: Where its minimum comes to lie, shape (d,).
        rotation: Orthogonal matrix, shape (d, d); None to keep the axes.
        width: Length of an edge of the unit cube in the units of the shape.
    """

    shape: Shape = field(repr=False)
    centre: Array
    rotation: Array | None
    width: float

    def __call__(self, u: Array) -> Array:
        """Values at points of the unit cube, shape (n, d) -> (n,)."""
        z = self.width * (u - self.centre)
        return self.shape(z if self.rotation is None else z @ self.rotation)


def rotated(index: int) -> bool:
    """Whether members of an index are rotated: two are, two keep the axes, and so on, so that halves have both."""
    return index // 2 % 2 == 0


def rotation(dimension: int, rng: Rng) -> Array:
    """A random orthogonal matrix, uniformly distributed."""
    q, r = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    return np.asarray(q * np.sign(np.diag(r)))


def place(shape: Shape, dimension: int, width: float, index: int, rng: Rng) -> Placed:
    """A shape with its minimum at a random place, turned or not by index, and up to a third wider or narrower."""
    centre = rng.uniform(0.15, 0.85, dimension)
    turn = rotation(dimension, rng) if rotated(index) else None
    return Placed(shape, centre, turn, width * float(np.exp(rng.uniform(-0.3, 0.3))))


def sphere(z: Array) -> Array:
    """Sum of squares."""
    return np.asarray((z**2).sum(-1))


def ellipsoid(z: Array, condition: float = 1e4) -> Array:
    """Squares weighted from 1 to the condition number."""
    return np.asarray((z**2) @ np.geomspace(1.0, condition, z.shape[-1]))


def bent_cigar(z: Array, condition: float = 1e4) -> Array:
    """One soft, bent direction between stiff ones."""
    bent = np.abs(z) ** (1 + 0.25 * np.linspace(0, 1, z.shape[-1]) * np.sqrt(np.abs(z)).clip(0, 2))
    return np.asarray(bent[..., 0] ** 2 + condition * (bent[..., 1:] ** 2).sum(-1))


def rosenbrock(z: Array) -> Array:
    """One curved, narrow valley."""
    w = z + 1
    return np.asarray((100 * (w[..., 1:] - w[..., :-1] ** 2) ** 2 + (1 - w[..., :-1]) ** 2).sum(-1))


def ackley(z: Array) -> Array:
    """A funnel under a carpet of local minima, nearly flat far out."""
    funnel = -20 * np.exp(-0.2 * np.sqrt((z**2).mean(-1)))
    return np.asarray(funnel - np.exp(np.cos(2 * np.pi * z).mean(-1)) + 20 + np.e)


def rastrigin(z: Array) -> Array:
    """A regular grid of deep local minima on a bowl."""
    return np.asarray((z**2 - 10 * np.cos(2 * np.pi * z) + 10).sum(-1))


def levy(z: Array) -> Array:
    """Ripples on a bowl."""
    w = 1 + z / 4
    inner = ((w[..., :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[..., :-1] + 1) ** 2)).sum(-1)
    last = (w[..., -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[..., -1]) ** 2)
    return np.asarray(np.sin(np.pi * w[..., 0]) ** 2 + inner + last)


def griewank(z: Array) -> Array:
    """Ripples on a wide bowl."""
    roots = np.sqrt(np.arange(1, z.shape[-1] + 1))
    return np.asarray((z**2).sum(-1) / 4000 - np.cos(z / roots).prod(-1) + 1)


def styblinski_tang(z: Array) -> Array:
    """Two basins per dimension, one the better."""
    best = -2.903534027771177
    lowest = 0.5 * (best**4 - 16 * best**2 + 5 * best)
    x = z + best
    return np.asarray((0.5 * (x**4 - 16 * x**2 + 5 * x) - lowest).sum(-1))


def schwefel(z: Array) -> Array:
    """The best basin is far from the second best; z is clipped to where the formula holds."""
    x = 420.968746 + z
    inside = np.clip(x, -500, 500)
    outside = ((x - inside) ** 2).sum(-1)
    lowest = 420.968746 * np.sin(np.sqrt(420.968746))
    return np.asarray((lowest - inside * np.sin(np.sqrt(np.abs(inside)))).sum(-1) + outside)


def branin(z: Array) -> Array:
    """Three equal valleys in two dimensions."""
    a, b = z[..., 0] + BRANIN_MINIMISER[0], z[..., 1] + BRANIN_MINIMISER[1]
    curve = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return np.asarray((curve**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10 - BRANIN_MINIMUM).clip(0))


def hartmann6(z: Array) -> Array:
    """Four bumps in six dimensions, the second best a strong lure."""
    from gpbo.problems import hartmann6 as problem

    return np.asarray((problem().function(z + HARTMANN_MINIMISER) - HARTMANN_MINIMUM).clip(0))
