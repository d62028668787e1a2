"""The inverse of a triangular matrix by matrix products, which is what a GPU is fast at."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 64  # order of the blocks on the diagonal that are solved for
_SQUARED = 512  # order up to which a product is as fast as two halves


def invert_lower(L: Tensor, out: Tensor | None = None) -> Tensor:
    """Inverse of lower triangular matrices, by halves from the diagonal out.

    The inverse of [[A, 0], [B, C]] is [[A', 0], [-C' B A', C']] with A' and C' the inverses of A and C. All blocks of
    one level are products of one batch. 2/3 n^3 operations at the speed of a matrix product; solving on the identity
    takes n^3 at that of a triangular solve, because the library does not know that half the right-hand side is zero.

    Args:
        L: Shape (..., n, n); what is above the diagonal is not read.
        out: Where to write; may be L itself. What is above the diagonal becomes zero.

    Returns:
        Shape (..., n, n). Besides it, memory for n^2 / 2 numbers is taken while it is computed.
    """
    n = L.shape[-1]
    if out is None:
        out = torch.empty_like(L)
    if out is not L:
        out.copy_(L)
    out.tril_()
    rest = n % _BASE
    whole = n - rest
    for start, count, order in ((0, whole // _BASE, _BASE), (whole, 1, rest)):
        if count and order:
            blocks = _diagonal_blocks(out, start, count, order)
            eye = torch.eye(order, dtype=L.dtype, device=L.device).expand(blocks.shape)
            blocks.copy_(torch.linalg.solve_triangular(blocks, eye, upper=False))
    half = _BASE
    while half < n:
        pairs = n // (2 * half)
        if pairs:
            _join(_diagonal_blocks(out, 0, pairs, 2 * half), half)
        left = n - pairs * 2 * half
        if left > half:  # the last pair, whose second block is shorter
            _join(out[..., None, n - left :, n - left :], half)
        half *= 2
    return out


def lower_square(L: Tensor) -> Tensor:
    """Lower triangle of L'L for lower triangular L, by halves: 2/3 n^3 operations instead of 2 n^3.

    Args:
        L: Shape (..., n, n), zero above the diagonal.

    Returns:
        Shape (..., n, n); what is above the diagonal means nothing.
    """
    out = torch.zeros_like(L)
    _square(L, out)
    return out


def _square(L: Tensor, out: Tensor) -> None:
    n = L.shape[-1]
    if n <= _SQUARED:
        out.copy_(L.mT @ L)
        return
    half = n // 2
    corner, second = L[..., half:, :half], L[..., half:, half:]
    _square(L[..., :half, :half], out[..., :half, :half])
    out[..., :half, :half] += corner.mT @ corner
    out[..., half:, :half] = second.mT @ corner
    _square(second, out[..., half:, half:])


def _diagonal_blocks(A: Tensor, start: int, count: int, order: int) -> Tensor:
    """View of blocks on the diagonal, shape (..., count, order, order)."""
    rows, columns = A.stride()[-2:]
    offset = A.storage_offset() + start * (rows + columns)
    shape, strides = (*A.shape[:-2], count, order, order), (*A.stride()[:-2], order * (rows + columns), rows, columns)
    return A.as_strided(shape, strides, offset)


def _join(blocks: Tensor, half: int) -> None:
    """From the inverses of both halves of triangular blocks to the inverse of each block."""
    first, second = blocks[..., :half, :half], blocks[..., half:, half:]
    corner = blocks[..., half:, :half]
    corner.copy_((second @ corner) @ first).neg_()
