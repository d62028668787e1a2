"""What a sample path needs to know of a posterior: its prior and where it was observed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Stationary(NamedTuple):
    """A stationary prior and scaled observed points, on one device.

    Attributes:
        kind: Name of the kernel.
        scale, constant: Outputscale and mean.
        inverse: Inverse lengthscales, shape (d,).
        Z: Observed points times ``inverse``, shape (n, d).
    """

    kind: str
    scale: float
    constant: float
    inverse: Tensor
    Z: Tensor
