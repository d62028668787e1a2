"""Gradients of the log marginal likelihood: which implementation computes them."""

from __future__ import annotations

from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.likelihood import reference
from gpbo_kernels.stationary.layout import batch_shape
from gpbo_kernels.stationary.reference import check_kind


def lengthscale_gradients(
    kind: str, Z: Tensor, a: Tensor, inverse: Tensor, *, scale: float | Tensor = 1.0, lower: bool = False
) -> Tensor:
    """Gradient of the log marginal likelihood in every log lengthscale.

    1/2 sum_ij M_ij s_ij (z_ik - z_jk)^2 for every k, with M = aa' - K^-1 and s the slopes of the covariance. Besides
    its arguments it needs memory for the points only in the fused kernel, for some rows of K in the reference.

    Args:
        kind: One of ``KINDS``.
        Z: Points divided by the lengthscales, shape (..., n, d).
        a: K^-1 (y - c), the weights of the posterior mean, shape (..., n).
        inverse: K^-1 of the noisy covariance, symmetric, shape (..., n, n).
        scale: Factor of the covariance, the signal variance; a number, or shape (...).
        lower: Whether only the lower triangle of the inverse is filled in.

    Returns:
        Gradients in nats, shape (..., d). The same arguments give the same bits.

    Raises:
        ValueError: If the kind is unknown or the shapes do not belong together.
    """
    check_kind(kind)
    n, d = Z.shape[-2:]
    if a.shape[-1:] != (n,) or inverse.shape[-2:] != (n, n):
        raise ValueError(f"{n} points, but a has shape {tuple(a.shape)} and the inverse {tuple(inverse.shape)}")
    batch = batch_shape(Z.shape[:-2], a.shape[:-1], inverse.shape[:-2])
    Z, a, inverse = Z.expand(*batch, n, d), a.expand(*batch, n), inverse.expand(*batch, n, n)
    factor = scale[..., None] if isinstance(scale, Tensor) else scale
    if not backend.fused(Z, a, inverse, *([scale] if isinstance(scale, Tensor) else [])):
        return reference.lengthscale_gradients(kind, Z, a, inverse, lower) * factor
    from gpbo_kernels.likelihood import fused

    return fused.lengthscale_gradients(kind, Z, a, inverse) * factor
