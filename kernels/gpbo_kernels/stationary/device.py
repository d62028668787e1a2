"""What Triton kernels of several operations share: the covariance function at a squared distance, and its tiles."""

import math

import triton
import triton.language as tl

# As constexpr they enter arithmetic in the precision of the tensor beside them; a local variable would be float32.
_SQRT3 = tl.constexpr(math.sqrt(3.0))
_SQRT5 = tl.constexpr(math.sqrt(5.0))
_FIVE_THIRDS = tl.constexpr(5.0 / 3.0)
_THIRD = tl.constexpr(1.0 / 3.0)
_SMALLEST32 = tl.constexpr(2.0**-126)
_SMALLEST64 = tl.constexpr(2.0**-1022)


@triton.jit
def profile(squared, KIND: tl.constexpr):
    """Covariance and slope -2 dk/d(r^2) at squared scaled distances, as ``reference.profile`` at distances."""
    if KIND == "rbf":
        k = tl.exp(-0.5 * squared)
        slope = k
    elif KIND == "matern52":
        r = _SQRT5 * tl.sqrt(squared)
        e = tl.exp(-r)
        linear = (1.0 + r) * e
        k = linear + r * r * e * _THIRD
        slope = linear * _FIVE_THIRDS
    elif KIND == "matern32":
        r = _SQRT3 * tl.sqrt(squared)
        e = tl.exp(-r)
        k = (1.0 + r) * e
        slope = 3.0 * e
    else:
        tl.static_assert(KIND == "matern12")
        r = tl.sqrt(squared)
        k = tl.exp(-r)
        if squared.dtype == tl.float32:  # below, the reciprocal root of a flushed number would be infinite
            apart = squared >= _SMALLEST32
        else:
            apart = squared >= _SMALLEST64
        slope = tl.where(apart, k * tl.rsqrt(tl.where(apart, squared, 1.0)), 0.0)
    return k, slope


@triton.jit
def squared_distance(
    Z1, Z2, rows, columns, in_rows, in_columns, d, step1, step2, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Squared distances of one tile, ROWS x COLUMNS, by differences: the expanded square is inexact for close points.

    Z1, Z2: points with one coordinate after another (d x n, the points of a coordinate contiguous), so that a warp
    reads neighbouring addresses; step1, step2: elements between coordinates. rows, columns: int64 indices of points,
    of which only those in in_rows, in_columns are read; elsewhere the result means nothing.
    """
    p1, p2 = Z1 + rows, Z2 + columns
    squared = tl.zeros((ROWS, COLUMNS), dtype=Z1.dtype.element_ty)
    for _ in range(d):
        apart = tl.load(p1, mask=in_rows, other=0.0)[:, None] - tl.load(p2, mask=in_columns, other=0.0)[None, :]
        squared += apart * apart
        p1 += step1  # pointers move, as k * step could leave int32
        p2 += step2
    return squared


@triton.jit
def triangle_tile(t, tiles):
    """Row and column, column <= row, of tile t of the tiles (tiles + 1) / 2 of a lower triangle, in integers.

    Rows are taken in pairs of equal sum, the shortest with the longest, so that every pair is as wide.
    """
    odd = tiles % 2  # then the longest row stands alone
    width = tiles + 1 - odd
    pair = t // width
    place = t % width
    short = pair + 1 - odd  # tiles of the shorter row of the pair
    in_short = place < short
    return tl.where(in_short, short - 1, tiles - 1 - pair), tl.where(in_short, place, place - short)
