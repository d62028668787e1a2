"""The part of the unit cube, or of other coordinates, in which a search stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpbo.models.spec import Array
from gpbo.search.domain import Domain

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Box:
    """Part of the unit cube in which a search stays.

    Attributes:
        lower, upper: Corners, shape (D,).
    """

    lower: Array
    upper: Array

    @classmethod
    def whole(cls, dim: int) -> Box:
        """The unit cube."""
        return cls(np.zeros(dim), np.ones(dim))

    def of_points(self, space: Domain) -> Box:
        """The box with the nearest grid points of its corners and all categories: where its points are once snapped."""
        low, high = space.snap(np.stack([self.lower, self.upper]))
        grid, category = space.levels > 0, space.levels == -1
        lower = np.where(category, 0.0, np.where(grid, np.minimum(self.lower, low), self.lower))
        return Box(lower, np.where(category, 1.0, np.where(grid, np.maximum(self.upper, high), self.upper)))

    def contains(self, U: Array) -> NDArray[np.bool_]:
        """Which rows lie inside, a grid's rounding aside, shape (R,)."""
        outside = (np.maximum(self.lower - U, U - self.upper) > _ROUNDING).any(-1)
        return np.logical_not(outside)
