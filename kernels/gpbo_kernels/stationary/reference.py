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
from typing import Any

import torch
from torch import Tensor

KINDS = ("rbf", "matern52", "matern32", "matern12")
_SQRT3, _SQRT5 = math.sqrt(3.0), math.sqrt(5.0)


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
    if kind == "matern12":
        k = torch.exp(-distance)
        positive = distance > 0.0
        return k, torch.where(positive, k / torch.where(positive, distance, 1.0), 0.0)
    raise ValueError(f"unknown kernel kind {kind!r}; use one of {', '.join(KINDS)}")


def _distance(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Euclidean distances, (..., n1, n2), from differences: the expanded square is inexact for close points."""
    return torch.cdist(Z1, Z2, compute_mode="donot_use_mm_for_euclid_dist")


def _weighted_differences(kind: str, W: Tensor, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j W_ij (Z2_j - Z1_i) and sum_i W_ij (Z1_i - Z2_j), shapes of Z1 and Z2.

    As products, except for matern12: its weights grow like 1/r, and close points would cancel to nothing.
    """
    if kind != "matern12":
        rows, columns = W.sum(-1, keepdim=True), W.sum(-2).unsqueeze(-1)
        return W @ Z2 - rows * Z1, W.mT @ Z1 - columns * Z2
    parts = [W * (Z2[..., None, :, k] - Z1[..., :, None, k]) for k in range(Z1.shape[-1])]
    return torch.stack([part.sum(-1) for part in parts], -1), -torch.stack([part.sum(-2) for part in parts], -1)


class _Covariance(torch.autograd.Function):
    """k(X1, X2) with gradients in both inputs and the lengthscales; n1 x n2 memory, never n1 x n2 x d."""

    @staticmethod
    def forward(ctx: Any, kind: str, X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
        k, _ = profile(kind, _distance(X1 / lengthscale, X2 / lengthscale))
        ctx.kind = kind
        ctx.save_for_backward(X1, X2, lengthscale)
        return k

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[None, Tensor | None, Tensor | None, Tensor | None]:
        (upstream,) = outputs
        X1, X2, lengthscale = ctx.saved_tensors
        Z1, Z2 = X1 / lengthscale, X2 / lengthscale
        if torch.is_grad_enabled():  # a second derivative is wanted: let autograd see the distances
            squared = (Z1.unsqueeze(-2) - Z2.unsqueeze(-3)).square().sum(-1)
            distance = torch.where(squared > 0.0, squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt(), 0.0)
        else:
            distance = _distance(Z1, Z2)
        W = upstream * profile(ctx.kind, distance)[1]
        along1, along2 = _weighted_differences(ctx.kind, W, Z1, Z2)
        g1 = (along1 / lengthscale).sum_to_size(X1.shape) if ctx.needs_input_grad[1] else None
        g2 = (along2 / lengthscale).sum_to_size(X2.shape) if ctx.needs_input_grad[2] else None
        gl = None
        if ctx.needs_input_grad[3]:  # dk/dl = -(Z1 dk/dZ1 + Z2 dk/dZ2) / l, with the origin moved to the points
            origin = Z1.mean(-2, keepdim=True)
            each = -((Z1 - origin) * along1).sum(-2, keepdim=True) - ((Z2 - origin) * along2).sum(-2, keepdim=True)
            gl = (each / lengthscale).sum_to_size(lengthscale.shape)
        return None, g1, g2, gl


def covariance(kind: str, X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
    """Unit-variance covariance between two sets of points.

    Args:
        kind: One of ``KINDS``.
        X1: Points, shape (..., n1, d).
        X2: Points, shape (..., n2, d), batch shape broadcastable with that of X1.
        lengthscale: Lengthscales, shape (..., 1, d), in the units of the inputs.

    Returns:
        Covariance, shape (..., n1, n2); differentiable in the points and the lengthscales.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kernel kind {kind!r}; use one of {', '.join(KINDS)}")
    result: Tensor = _Covariance.apply(kind, X1, X2, lengthscale)  # type: ignore[no-untyped-call]
    return result


def rbf(X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
    """Squared-exponential covariance; shapes as in ``covariance``."""
    return covariance("rbf", X1, X2, lengthscale)


def matern52(X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
    """Matern-5/2 covariance; shapes as in ``covariance``."""
    return covariance("matern52", X1, X2, lengthscale)


def matern32(X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
    """Matern-3/2 covariance; shapes as in ``covariance``."""
    return covariance("matern32", X1, X2, lengthscale)


def matern12(X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
    """Matern-1/2 (exponential) covariance; shapes as in ``covariance``."""
    return covariance("matern12", X1, X2, lengthscale)
