"""Covariance matrices of sets of points: which implementation computes them, and their derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.stationary import reference
from gpbo_kernels.stationary.layout import batch_shape
from gpbo_kernels.stationary.reference import check_kind, distance, profile


def covariance_and_slope(
    kind: str,
    Z1: Tensor,
    Z2: Tensor | None = None,
    *,
    scale: float | Tensor = 1.0,
    diagonal: float | Tensor | None = None,
    out: tuple[Tensor | None, Tensor | None] | None = None,
    want: tuple[bool, bool] = (True, True),
) -> tuple[Tensor | None, Tensor | None]:
    """Covariance of scaled points, and its slope -2 dk/d(r^2), from which gradients in points and lengthscales follow.

    Args:
        kind: One of ``KINDS``.
        Z1: Points divided by the lengthscales, shape (..., n1, d).
        Z2: Points of the columns, shape (..., n2, d); None for those of the rows, which costs half.
        scale: Factor of both matrices, the signal variance; a number, or shape (...).
        diagonal: Added to the diagonal of the covariance of points with themselves, the noise variance; a number, or
            shape (..., n1).
        out: Buffers for covariance and slope, shape (..., n1, n2) with the batch shapes of all arguments broadcast, of
            any strides; None for the one that is not wanted.
        want: Whether covariance and slope are wanted, where no buffers are given.

    Returns:
        The two matrices, shape (..., n1, n2); None for the one not wanted. What is not wanted takes no memory in the
        fused kernel.

    Raises:
        ValueError: If the kind is unknown, a diagonal is to be added to the covariance of two sets of points, or a
            buffer has another shape.
    """
    check_kind(kind)
    if diagonal is not None and Z2 is not None:
        raise ValueError("a diagonal belongs to the covariance of points with themselves; leave Z2 out")
    other = Z1 if Z2 is None else Z2
    tensors = [tensor for tensor in (Z2, scale, diagonal, *(out or ())) if isinstance(tensor, Tensor)]
    batch = batch_shape(
        Z1.shape[:-2],
        other.shape[:-2],
        scale.shape if isinstance(scale, Tensor) else (),
        diagonal.shape[:-1] if isinstance(diagonal, Tensor) else (),
    )
    shape = torch.Size((*batch, Z1.shape[-2], other.shape[-2]))
    for buffer in out or ():
        if buffer is not None and buffer.shape != shape:
            raise ValueError(f"a buffer has shape {tuple(buffer.shape)}; the matrix has {tuple(shape)}")
    if out is not None:
        want = (out[0] is not None, out[1] is not None)
    if not backend.fused(Z1, *tensors):
        K, S = reference.covariance_and_slope(kind, Z1, Z2, scale, diagonal, *(out or (None, None)))
        if K is S and all(want):
            S = S.clone()  # what callers do to one must not show in the other
        if out is None:
            K, S = K.expand(shape).contiguous(), S.expand(shape).contiguous()
        return K if want[0] else None, S if want[1] else None
    from gpbo_kernels.stationary import fused

    k, slope = out or (Z1.new_empty(shape) if wanted else None for wanted in want)
    fused.covariance_and_slope(kind, Z1, Z2, scale, diagonal, k, slope)
    return k, slope


def _weighted_differences(kind: str, W: Tensor, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j W_ij (Z2_j - Z1_i) and sum_i W_ij (Z1_i - Z2_j), shapes of Z1 and Z2.

    As products, except for matern12: its weights grow like 1/r, and close points would cancel to nothing.
    """
    if kind != "matern12":
        rows, columns = W.sum(-1, keepdim=True), W.sum(-2).unsqueeze(-1)
        return W @ Z2 - rows * Z1, W.mT @ Z1 - columns * Z2
    parts = [W * (Z2[..., None, :, k] - Z1[..., :, None, k]) for k in range(Z1.shape[-1])]
    return torch.stack([part.sum(-1) for part in parts], -1), -torch.stack([part.sum(-2) for part in parts], -1)


def _one(kind: str, Z1: Tensor, Z2: Tensor | None, index: int) -> Tensor:
    """The covariance (index 0) or the slope (1) alone."""
    other = Z1 if Z2 is None else Z2
    if not backend.fused(Z1, other):
        return profile(kind, distance(Z1, other))[index]
    matrix = covariance_and_slope(kind, Z1, Z2, want=(index == 0, index == 1))[index]
    assert matrix is not None
    return matrix


class _Covariance(torch.autograd.Function):
    """k(X1, X2) with gradients in both inputs and the lengthscales; n1 x n2 memory, never n1 x n2 x d."""

    @staticmethod
    def forward(ctx: Any, kind: str, X1: Tensor, X2: Tensor, lengthscale: Tensor) -> Tensor:
        ctx.kind, ctx.choice = kind, backend.chosen()
        ctx.same = X1 is X2
        ctx.save_for_backward(X1, X2, lengthscale)
        Z1 = X1 / lengthscale
        return _one(kind, Z1, None if ctx.same else X2 / lengthscale, 0)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[None, Tensor | None, Tensor | None, Tensor | None]:
        (upstream,) = outputs
        X1, X2, lengthscale = ctx.saved_tensors
        Z1, Z2 = X1 / lengthscale, X2 / lengthscale
        if torch.is_grad_enabled():  # a second derivative is wanted: let autograd see the distances
            squared = (Z1.unsqueeze(-2) - Z2.unsqueeze(-3)).square().sum(-1)
            r = torch.where(squared > 0.0, squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt(), 0.0)
            slope = profile(ctx.kind, r)[1]
        else:
            with backend.use(ctx.choice):
                slope = _one(ctx.kind, Z1, None if ctx.same else Z2, 1)
        W = upstream * slope
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
    check_kind(kind)
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
