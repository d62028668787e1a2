"""Covariance and slope matrices in one pass over the output: distances never leave the registers.

One program computes one tile. Of a symmetric matrix only the tiles of the lower triangle are computed, and each is
written twice. The cost is that of writing the matrices, plus 2 d floating-point operations a pair.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.stationary.device import profile, squared_distance, triangle_tile
from gpbo_kernels.stationary.layout import by_coordinate, matrices, per_matrix

# Side of a tile and warps that share it: eight numbers to a thread, so that float64 stays in registers and several
# tiles share a multiprocessor; in many dimensions the larger tile, which reads half as many coordinates a pair. A table
# rather than a search at first use: that would time kernels in the middle of a suggestion.
_NARROW, _WIDE, _MANY_DIMENSIONS = (32, 4), (64, 16), 128

# Sizes and strides are no reason to compile again, except an inner stride of 1, by which accesses coalesce.
_SIZES = (
    "n1",
    "n2",
    "d",
    "tiles",
    "columns_of_tiles",
    "z1_batch",
    "z2_batch",
    "k_batch",
    "slope_batch",
    "diagonal_batch",
)
_STRIDES = ("k_row", "k_column", "slope_row", "slope_column")


@triton.jit
def _store(matrix, row, column, rows, columns, inside, value, SYMMETRIC: tl.constexpr):
    tl.store(matrix + rows[:, None] * row + columns[None, :] * column, value, mask=inside)
    if SYMMETRIC:  # tiles on the diagonal write the same bits again: of (a - b)^2 and (b - a)^2
        tl.store(matrix + rows[:, None] * column + columns[None, :] * row, value, mask=inside)


@triton.jit(do_not_specialize=_SIZES, do_not_specialize_on_alignment=_STRIDES)
def covariance_kernel(
    Z1, Z2, k, slope, scale, diagonal,  # k, slope, scale and diagonal may be None
    n1, n2, d, tiles, columns_of_tiles, z1_batch, z2_batch, k_batch, slope_batch, diagonal_batch,
    k_row, k_column, slope_row, slope_column,
    KIND: tl.constexpr, SYMMETRIC: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    """One tile of k and slope; tiles is their number in a matrix."""
    matrix = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    if SYMMETRIC:
        tile_row, tile_column = triangle_tile(tile, columns_of_tiles)
    else:
        tile_row = tile // columns_of_tiles
        tile_column = tile % columns_of_tiles
    rows = tile_row.to(tl.int64) * SIDE + tl.arange(0, SIDE)  # int64: offsets of a large matrix leave int32
    columns = tile_column.to(tl.int64) * SIDE + tl.arange(0, SIDE)
    in_rows = rows < n1
    in_columns = columns < n2
    inside = in_rows[:, None] & in_columns[None, :]
    squared = squared_distance(
        Z1 + matrix * z1_batch, Z2 + matrix * z2_batch, rows, columns, in_rows, in_columns, d, n1, n2, SIDE, SIDE
    )
    value, weight = profile(squared, KIND)
    if scale is not None:
        factor = tl.load(scale + matrix)
        value *= factor
        weight *= factor
    if k is not None:
        if diagonal is not None:
            added = tl.load(diagonal + matrix * diagonal_batch + rows, mask=in_rows, other=0.0)
            value += tl.where(rows[:, None] == columns[None, :], added[:, None], 0.0)
        _store(k + matrix * k_batch, k_row, k_column, rows, columns, inside, value, SYMMETRIC)
    if slope is not None:
        _store(slope + matrix * slope_batch, slope_row, slope_column, rows, columns, inside, weight, SYMMETRIC)


def covariance_and_slope(
    kind: str,
    Z1: Tensor,
    Z2: Tensor | None,
    scale: float | Tensor,
    diagonal: float | Tensor | None,
    k: Tensor | None,
    slope: Tensor | None,
) -> None:
    """Fills the buffers that are not None; arguments as of ``reference.covariance_and_slope``."""
    given = k if k is not None else slope
    if given is None or given.numel() == 0:
        return
    batch, (n1, n2) = given.shape[:-2], given.shape[-2:]
    K, S = (buffer if buffer is None else _writable(buffer) for buffer in (k, slope))
    columns1, z1_batch = by_coordinate(Z1, batch)
    columns2, z2_batch = (columns1, z1_batch) if Z2 is None else by_coordinate(Z2, batch)
    factor = None if not isinstance(scale, Tensor) and scale == 1.0 else per_matrix(scale, batch, Z1)
    added = None
    if diagonal is not None:
        added = diagonal if isinstance(diagonal, Tensor) else Z1.new_full((1,), diagonal)
        added = added.expand(*(batch if added.shape[:-1].numel() > 1 else ()), n1).contiguous()
    side, warps = _NARROW if Z1.shape[-1] < _MANY_DIMENSIONS else _WIDE
    across = triton.cdiv(n2, side)
    tiles = across * (across + 1) // 2 if Z2 is None else triton.cdiv(n1, side) * across
    with backend.device_of(Z1):
        covariance_kernel[(batch.numel() * tiles,)](
            columns1, columns2, K, S, factor, added,
            n1, n2, Z1.shape[-1], tiles, across, z1_batch, z2_batch,
            0 if K is None else K.stride(0), 0 if S is None else S.stride(0),
            0 if added is None or added.ndim == 1 else n1,
            *((0, 0) if K is None else K.stride()[1:]), *((0, 0) if S is None else S.stride()[1:]),
            KIND=kind, SYMMETRIC=Z2 is None, SIDE=side, num_warps=warps, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    for buffer, written in ((k, K), (slope, S)):
        if buffer is not None and written is not None and written.data_ptr() != buffer.data_ptr():
            buffer.copy_(written.view(buffer.shape))


def _writable(buffer: Tensor) -> Tensor:
    """The buffer with one batch dimension, or a new one where its strides allow no such view."""
    view = matrices(buffer)
    return (
        torch.empty_like(buffer, memory_format=torch.contiguous_format).view(-1, *buffer.shape[-2:])
        if view is None
        else view
    )
