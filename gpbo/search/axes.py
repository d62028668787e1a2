"""Coordinates along other axes than the parameters' own, for parts of a continuous space.

Where outcomes change along directions that mix parameters, a kernel with one lengthscale per parameter has to be as
rough as the steepest direction in all of them. Along the principal axes of the curvature it need not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpbo.models.spec import Array
from gpbo.search.domain import Batch

_RIDGE = 1e-9  # of the largest square sum of a column
_SPARE = 1.5  # observations for each coefficient of a quadratic


@dataclass(frozen=True)
class Axes:
    """Turned coordinates of the unit cube; a ``Domain`` whose feasible points are those of the cube.

    Attributes:
        centre: Where they have their origin, shape (d,).
        directions: Orthonormal columns, shape (d, d).
    """

    centre: Array
    directions: Array

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.centre)

    @property
    def n_params(self) -> int:
        """The same: each coordinate stands for a parameter."""
        return len(self.centre)

    @property
    def levels(self) -> NDArray[np.int64]:
        """All coordinates are continuous."""
        return np.zeros(self.dim, dtype=np.int64)

    @property
    def owner(self) -> NDArray[np.int64]:
        """Each is a parameter of its own."""
        return np.arange(self.dim)

    def turned(self, U: Array) -> Array:
        """Turned coordinates of points of the cube, shape (R, d)."""
        V: Array = (U - self.centre) @ self.directions
        return V

    def back(self, V: Array) -> Array:
        """Points of the cube, those beyond its faces moved onto them, shape (R, d)."""
        return np.clip(self.centre + V @ self.directions.T, 0.0, 1.0)

    def sample(self, V: Array) -> Array:
        """Points as they are: a box says where they lie."""
        return np.array(V)

    def snap(self, U: Array) -> Array:
        """Points inside the cube as they are, others moved onto its faces."""
        inside = self.centre + U @ self.directions.T
        outside = np.logical_or(inside < 0.0, inside > 1.0).any(-1, keepdims=True)
        if not outside.any():
            return U
        return np.where(outside, self.turned(np.clip(inside, 0.0, 1.0)), U)

    def neighbours(self, u: Array) -> Array:
        """None: all is continuous."""
        return np.empty((0, self.dim))


@dataclass(frozen=True)
class TurnedBatch:
    """A batch whose points come and go in turned coordinates.

    Attributes:
        batch: In those of the cube.
        axes: The turned ones.
    """

    batch: Batch
    axes: Axes

    def take(self, offers: Iterable[Array], rng: np.random.Generator) -> Array:
        """Adds the first point of the offers that may be taken, or another one; returns it."""
        taken = self.batch.take((self.axes.back(block) for block in offers), rng)
        turned: Array = self.axes.turned(taken[None])[0]
        return turned


def enough(n: int, d: int) -> bool:
    """Whether so many observations determine a quadratic function, with some to spare."""
    return d > 1 and n >= _SPARE * ((d + 1) * (d + 2) // 2)


def principal(X: Array, y: Array, centre: Array) -> tuple[Axes, Array]:
    """Principal axes of the curvature around a point, and the curvature along each.

    Args:
        X: Points around it, shape (m, d).
        y: Outcomes, shape (m,).
        centre: The point, shape (d,).

    Returns:
        The axes, and absolute eigenvalues of the Hessian of the quadratic of least squares, shape (d,), for outcomes
        with a range of order one.
    """
    d = X.shape[1]
    for _ in range(2):  # before their mean is taken, so that sums do not overflow; and after it
        y = y / (np.abs(y).max() or 1.0)
        y = y - y.mean()
    spread = np.maximum(np.sqrt(np.square(X - centre).mean(0)), 1e-12)
    Z = (X - centre) / spread
    first, second = np.triu_indices(d)
    columns = np.hstack([np.ones((len(Z), 1)), Z, Z[:, first] * Z[:, second]])
    gram = columns.T @ columns
    gram[np.diag_indices(len(gram))] += _RIDGE * gram.diagonal().max()
    weights = np.linalg.solve(gram, columns.T @ y)[1 + d :]
    H = np.zeros((d, d))
    H[first, second] = weights
    H = (H + H.T) / np.outer(spread, spread)
    values, vectors = np.linalg.eigh(H)
    return Axes(centre, vectors), np.abs(values)
