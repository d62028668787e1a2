"""How points, factors and matrices of any batch shape are handed to Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def by_coordinate(Z: Tensor, batch: torch.Size) -> tuple[Tensor, int]:
    """Points, shape (..., n, d), with one coordinate after another, and the elements between those of two matrices.

    A warp that works on neighbouring points then reads neighbouring addresses; the copy is small beside an n x n
    matrix.
    """
    columns = Z.mT.contiguous()
    if Z.shape[:-2].numel() == 1:
        return columns, 0
    return columns.expand(*batch, *columns.shape[-2:]).contiguous(), columns.shape[-2] * columns.shape[-1]


def per_matrix(value: float | Tensor, batch: torch.Size, like: Tensor) -> Tensor:
    """One number a matrix, shape (B,). As a tensor, because Triton takes Python numbers in single precision."""
    number = value if isinstance(value, Tensor) else like.new_full((), value)
    return number.expand(batch).contiguous()


def matrices(buffer: Tensor) -> Tensor | None:
    """A view of shape (B, n1, n2), or None where the strides of the batch dimensions do not allow one."""
    try:
        return buffer.view(-1, *buffer.shape[-2:])
    except RuntimeError:
        return None
