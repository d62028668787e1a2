"""Matern-1/2, -3/2, -5/2 and RBF covariance with their closed-form gradients.

With r^2 = sum_k ((x_k - x'_k) / l_k)^2:

    rbf       exp(-r^2 / 2)
    matern52  (1 + sqrt5 r + 5/3 r^2) exp(-sqrt5 r)
    matern32  (1 + sqrt3 r) exp(-sqrt3 r)
    matern12  exp(-r)

Everything a gradient needs is the *slope* s = -2 dk/d(r^2): dk/dx_k = -s (x_k - x'_k) / l_k^2 and
dk/dl_k = s (x_k - x'_k)^2 / l_k^3. It is finite at r = 0 except for matern12, where it is taken as 0.

Source: Rasmussen and Williams 2006, eqs. 4.9, 4.14, 4.17.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpbo_kernels.stationary.layout import batch_shape

KINDS = ("rbf", "matern52", "matern32", "matern12")
_SQRT3, _SQRT5 = math.sqrt(3.0), math.sqrt(5.0)


def check_kind(kind: str) -> None:
    """Raises ``ValueError`` if the kind is unknown."""
    if kind not in KINDS:
        raise ValueError(f"unknown kernel kind {kind!r}; use one of {', '.join(KINDS)}")


def profile(kind: str, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance and slope at scaled distances.

    Args:
        kind: One of ``KINDS``.
        distance: r, any shape, non-negative.

    Returns:
        k(r) and -2 dk/d(r^2), same shape.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind == "rbf":
        k = torch.exp(-0.5 * distance * distance)
        return k, k
    if kind == "matern52":
        r = _SQRT5 * distance
        e = torch.exp(-r)
        linear = (1.0 + r) * e
        return linear + r * r * e / 3.0, linear * (5.0 / 3.0)
    if kind == "matern32":
        r = _SQRT3 * distance
        e = torch.exp(-r)
        return (1.0 + r) * e, 3.0 * e
    check_kind(kind)
    k = torch.exp(-distance)  # matern12
    positive = distance > 0.0
    return k, torch.where(positive, k / torch.where(positive, distance, 1.0), 0.0)


def distance(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Euclidean distances, (..., n1, n2), from differences: the expanded square is inexact for close points."""
    return torch.cdist(Z1, Z2, compute_mode="donot_use_mm_for_euclid_dist")


def covariance_and_slope(
    kind: str,
    Z1: Tensor,
    Z2: Tensor | None,
    scale: float | Tensor,
    diagonal: float | Tensor | None,
    k: Tensor | None,
    slope: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Covariance and slope matrices; arguments as of the operation, k and slope the buffers to fill or None."""
    K, S = profile(kind, distance(Z1, Z1 if Z2 is None else Z2))
    if isinstance(scale, Tensor) or scale != 1.0:
        factor = scale[..., None, None] if isinstance(scale, Tensor) else scale
        K, S = K * factor, S * factor
    if diagonal is not None:
        added = diagonal if isinstance(diagonal, Tensor) else K.new_full((K.shape[-1],), diagonal)
        batch = batch_shape(K.shape[:-2], added.shape[:-1])
        K = K.expand(*batch, *K.shape[-2:]).clone()  # also because K and S of the RBF kernel may be one tensor
        K.diagonal(dim1=-2, dim2=-1).add_(added)
    return K if k is None else k.copy_(K), S if slope is None else slope.copy_(S)
