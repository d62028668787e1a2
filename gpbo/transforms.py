"""Outcomes of any finite scale to zero mean and unit standard deviation, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standardizer:
    """y -> (y * 2**-exponent - shift) / scale.

    The power of two comes first and is exact, so that outcomes near the ends of float64 neither overflow nor vanish in
    the mean and the variance, and y and 2**k y give bit for bit the same result.

    Attributes:
        exponent: Power of two that brings the largest magnitude to [0.5, 1).
        shift: Mean after that.
        scale: Standard deviation after that; 1 where all outcomes are equal to rounding.
    """

    exponent: int
    shift: float
    scale: float

    @classmethod
    def of(cls, y: Floats) -> Standardizer:
        """Fits to finite outcomes, shape (n,), n >= 1."""
        exponent = math.frexp(float(np.abs(y).max()))[1]
        small = np.ldexp(y, -exponent)
        shift = float(small.mean())
        spread = float((small - shift).std(ddof=1)) if len(y) > 1 else 0.0
        resolution = 1e-14 * float(np.abs(small).max())
        return cls(exponent, shift, spread if spread > resolution else max(abs(shift), 1.0))

    def forward(self, y: Floats) -> Floats:
        """Standardized outcomes, same shape."""
        return (np.ldexp(y, -self.exponent) - self.shift) / self.scale

    def variance(self, std: Floats) -> Floats:
        """Standardized variances of standard deviations in the user's scale."""
        return np.square(np.ldexp(std, -self.exponent) / self.scale)

    def backward(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation in the user's scale."""
        return (
            np.ldexp(mean * self.scale + self.shift, self.exponent),
            np.ldexp(np.sqrt(variance) * self.scale, self.exponent),
        )
