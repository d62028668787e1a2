"""Lengthscale gradients with one read of the inverse: weights and slopes live in registers, one tile at a time.

One program computes one tile of the lower triangle: distances over all dimensions, slopes, weights, then for every
dimension the sum of its tile, which it writes. A second, ordered reduction adds the tiles, so the same input gives the
same bits; with atomic additions it would not.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.stationary.device import profile, squared_distance, triangle_tile
from gpbo_kernels.stationary.layout import by_coordinate, matrices

# A tile belongs to one warp: its sums then need neither shared memory nor barriers, of which there would be one a
# dimension. Fixed rather than searched for at first use, so that the last bits do not depend on a timing.
_SIDE, _WARPS = 32, 1
_PARTIAL_SUMS = 2**23  # numbers that tiles write before they are added: 64 MB in float64

_SIZES = ("n", "d", "tiles", "first", "tile_rows", "z_batch", "inverse_batch")
_STRIDES = ("inverse_row", "inverse_column")


@triton.jit(do_not_specialize=_SIZES, do_not_specialize_on_alignment=_STRIDES)
def gradient_kernel(
    Z, a, inverse, partial,
    n, d, tiles, first, tile_rows, z_batch, inverse_batch, inverse_row, inverse_column,
    KIND: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    """Sums over one tile, for every dimension; tiles is their number in this launch, from tile first on."""
    program = tl.program_id(0).to(tl.int64)
    matrix = program // tiles
    tile_row, tile_column = triangle_tile(first + tl.program_id(0) % tiles, tile_rows)
    rows = tile_row.to(tl.int64) * SIDE + tl.arange(0, SIDE)  # int64: offsets of a large matrix leave int32
    columns = tile_column.to(tl.int64) * SIDE + tl.arange(0, SIDE)
    in_rows = rows < n
    in_columns = columns < n
    below = in_rows[:, None] & (columns[None, :] < rows[:, None])  # twice a half; the diagonal has no distance
    base = Z + matrix * z_batch
    squared = squared_distance(base, base, rows, columns, in_rows, in_columns, d, n, n, SIDE, SIDE)
    _, slope = profile(squared, KIND)
    a_rows = tl.load(a + matrix * n + rows, mask=in_rows, other=0.0)
    a_columns = tl.load(a + matrix * n + columns, mask=in_columns, other=0.0)
    places = matrix * inverse_batch + rows[:, None] * inverse_row + columns[None, :] * inverse_column
    weight = a_rows[:, None] * a_columns[None, :] - tl.load(inverse + places, mask=below, other=0.0)
    weight = tl.where(below, weight * slope, 0.0)
    p_rows = base + rows
    p_columns = base + columns
    out = partial + program * d
    for _ in range(d):
        z_rows = tl.load(p_rows, mask=in_rows, other=0.0)
        z_columns = tl.load(p_columns, mask=in_columns, other=0.0)
        apart = z_rows[:, None] - z_columns[None, :]
        tl.store(out, tl.sum(tl.sum(weight * apart * apart, axis=0), axis=0))
        p_rows += n  # pointers move, as k * n could leave int32
        p_columns += n
        out += 1


def lengthscale_gradients(kind: str, Z: Tensor, a: Tensor, inverse: Tensor) -> Tensor:
    """Gradients for unit scale, shape (..., d); arguments as of ``reference.lengthscale_gradients``."""
    batch, n, d = inverse.shape[:-2], Z.shape[-2], Z.shape[-1]
    count = batch.numel()
    gradient = Z.new_zeros(count, d)
    if count == 0 or n < 2 or d == 0:
        return gradient.view(*batch, d)
    points, z_batch = by_coordinate(Z, batch)
    weights = a.contiguous()
    view = matrices(inverse)
    read = inverse.contiguous().view(-1, n, n) if view is None else view
    tile_rows = triton.cdiv(n, _SIDE)
    all_tiles = tile_rows * (tile_rows + 1) // 2
    slab = min(all_tiles, max(1, _PARTIAL_SUMS // (count * d)))
    partial = Z.new_empty(count, slab, d)
    with backend.device_of(Z):
        for first in range(0, all_tiles, slab):
            tiles = min(slab, all_tiles - first)
            sums = partial.view(-1)[: count * tiles * d].view(count, tiles, d)
            gradient_kernel[(count * tiles,)](
                points, weights, read, sums,
                n, d, tiles, first, tile_rows, z_batch, read.stride(0), *read.stride()[1:],
                KIND=kind, SIDE=_SIDE, num_warps=_WARPS, num_stages=1, enable_fp_fusion=True,
            )  # fmt: skip
            gradient += sums.sum(1)
    return gradient.view(*batch, d)
