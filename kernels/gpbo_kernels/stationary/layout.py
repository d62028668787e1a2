"""How points, factors and matrices of any batch shape are handed to Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def batch_shape(*shapes: torch.Size | tuple[int, ...]) -> torch.Size:
    """What the shapes broadcast to.

    ``torch.broadcast_shapes`` would import SymPy, which takes a quarter of a second and installs a warning filter.

    Raises:
        ValueError: If they do not go together.
    """
    rank = max(map(len, shapes))
    found = []
    for sizes in zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True):
        wider = {size for size in sizes if size != 1}
        if len(wider) > 1:
            raise ValueError(f"batch shapes {', '.join(str(tuple(shape)) for shape in shapes)} do not go together")
        found.append(wider.pop() if wider else 1)
    return torch.Size(found)


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
