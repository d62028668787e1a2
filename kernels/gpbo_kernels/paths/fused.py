"""Sample paths and their gradients without any matrix of points by features or by observations, in Triton.

A program is one warp and holds a few points. It runs over its share of the features and of the observations, a tile at
a time: products or differences with all input dimensions stay in registers, so that angles and distances, and after the
cosine, sine or covariance the sums of the gradient, take no exchange between threads until the end. Beyond some
dimensions, programs share the gradient by dimension, and each sums up all angles and distances. Shares of features and
observations are added up by a second, small pass, in a fixed order.

With R points, F features and n observations this reads 8 R (F + n) bytes of weights, each once, and frequencies and
observations from the cache; it takes 4 d R (F + n) FLOP, and some 60 more for each sine, cosine or exponential. The
weights are the floor on memory; the plain version moves eight such matrices or more. Frequencies and observations are
best stored one input dimension after the other (``prepared``), so that neighbouring threads read neighbouring numbers.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.improvement.fused import LAUNCH, scalar
from gpbo_kernels.paths.reference import PathSet
from gpbo_kernels.stationary.device import profile, squared_distance

_PROGRAMS = 2112  # about sixteen, of one warp each, for every multiprocessor of a large GPU
_COLUMNS = 32
_DIMENSIONS = 32  # most that a program holds; of fewer, it holds more points


@triton.jit(do_not_specialize=["R", "F", "n", "d", "share"])
def _path_kernel(
    z, W, phase, Z, weights, update, owner, scale, amplitude, constant, out,
    R, F, n, d, share, row_W, column_W, row_Z, column_Z,
    KIND: tl.constexpr, GRADIENT: tl.constexpr, WHOLE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DIMENSIONS: tl.constexpr,
):  # fmt: skip
    """Value and gradient (or value) at ROWS points, of one share of features and observations and some dimensions.

    With WHOLE, a program's dimensions are all there are.
    """
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    part, chunk = tl.program_id(1), tl.program_id(2)
    in_rows = rows < R
    own = tl.load(owner + rows, mask=in_rows, other=0).to(tl.int64)
    outputscale, factor = tl.load(scale), tl.load(amplitude)
    c = chunk * DIMENSIONS + tl.arange(0, DIMENSIONS)
    here = in_rows[:, None] & (c < d)[None, :]
    point = tl.load(z + rows[:, None] * d + c[None, :], mask=here, other=0.0)[:, :, None]
    value = tl.zeros((ROWS, COLUMNS), dtype=z.dtype.element_ty)
    along = tl.zeros((ROWS, DIMENSIONS, COLUMNS), dtype=z.dtype.element_ty)

    # Tiles of features come first, those of observations after them; each part has `share` tiles.
    tiles = (F + COLUMNS - 1) // COLUMNS
    stop = tl.minimum((part * share + share) * COLUMNS, F)
    for start in range(part * share * COLUMNS, stop, COLUMNS):
        f = start + tl.arange(0, COLUMNS)
        inside = f < stop
        f_row = f.to(tl.int64) * row_W
        there = (c < d)[:, None] & inside[None, :]
        frequency = tl.load(W + f_row[None, :] + c[:, None] * column_W, mask=there, other=0.0)[None, :, :]
        if WHOLE:
            angle = tl.sum(frequency * point, axis=1)
        else:
            at_W, at_z = W + f_row, z + rows * d
            angle = tl.zeros((ROWS, COLUMNS), dtype=z.dtype.element_ty)
            for _ in range(d):
                angle += (
                    tl.load(at_z, mask=in_rows, other=0.0)[:, None] * tl.load(at_W, mask=inside, other=0.0)[None, :]
                )
                at_W += column_W
                at_z += 1
        angle += tl.load(phase + f, mask=inside, other=0.0)[None, :]
        drawn = weights + own[:, None] * F + f[None, :]
        w = tl.load(drawn, mask=in_rows[:, None] & inside[None, :], other=0.0) * factor
        value += tl.cos(angle) * w
        if GRADIENT:
            along -= (tl.sin(angle) * w)[:, None, :] * frequency

    start_n = tl.maximum(part * share - tiles, 0) * COLUMNS
    stop = tl.minimum((part * share + share - tiles) * COLUMNS, n)
    for start in range(start_n, stop, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        inside = j < stop
        j_row = j.to(tl.int64) * row_Z
        there = (c < d)[:, None] & inside[None, :]
        apart = tl.load(Z + j_row[None, :] + c[:, None] * column_Z, mask=there, other=0.0)[None, :, :] - point
        if WHOLE:
            squared = tl.sum(apart * apart, axis=1)
        else:
            squared = squared_distance(
                z, Z, rows * d, j_row, in_rows, inside, d, 1, column_Z, ROWS=ROWS, COLUMNS=COLUMNS
            )
        covariance, slope = profile(squared, KIND)
        drawn = update + own[:, None] * n + j[None, :]
        u = tl.load(drawn, mask=in_rows[:, None] & inside[None, :], other=0.0) * outputscale
        value += covariance * u
        if GRADIENT:
            along += (slope * u)[:, None, :] * apart

    width = 1
    if GRADIENT:
        width = d + 1
    place = out + (part.to(tl.int64) * R + rows) * width
    if chunk == 0:
        total = tl.sum(value, axis=1) + tl.where(part == 0, tl.load(constant), 0.0)
        tl.store(place, total, mask=in_rows)
    if GRADIENT:
        tl.store(place[:, None] + 1 + c[None, :], tl.sum(along, axis=2), mask=here)


def path_values(paths: PathSet, z: Tensor, owner: Tensor) -> Tensor:
    """As ``reference.path_values``."""
    return _evaluate(paths, z, owner, gradient=False)[:, 0]


def path_gradients(paths: PathSet, z: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """As ``reference.path_gradients``."""
    out = _evaluate(paths, z, owner, gradient=True)
    return out[:, 0], out[:, 1:]


def _evaluate(paths: PathSet, z: Tensor, owner: Tensor, gradient: bool) -> Tensor:
    (R, d), F, n, W, Z = z.shape, len(paths.W), len(paths.Z), paths.W, paths.Z
    DIMENSIONS = min(triton.next_power_of_2(d), _DIMENSIONS)
    ROWS = min(4, _DIMENSIONS // DIMENSIONS)
    chunks = triton.cdiv(d, DIMENSIONS) if gradient else 1
    blocks, tiles = triton.cdiv(R, ROWS), triton.cdiv(F, _COLUMNS) + triton.cdiv(n, _COLUMNS)
    share = triton.cdiv(tiles, min(tiles, triton.cdiv(_PROGRAMS, max(1, blocks * chunks))))
    parts = triton.cdiv(tiles, share)
    out = z.new_empty(parts, R, d + 1 if gradient else 1)
    numbers = [scalar(each, z) for each in (paths.scale, paths.amplitude, paths.constant)]
    if R:
        with backend.device_of(z):
            _path_kernel[(blocks, parts, chunks)](
                z.contiguous(), W, paths.phase, Z, paths.weights, paths.update, owner.contiguous(), *numbers, out,
                R, F, n, d, share, W.stride(0), W.stride(1), Z.stride(0), Z.stride(1), KIND=paths.kind,
                GRADIENT=gradient, WHOLE=d <= DIMENSIONS, ROWS=ROWS, COLUMNS=_COLUMNS, DIMENSIONS=DIMENSIONS,
                num_warps=1, **LAUNCH,
            )  # fmt: skip
    return out[0] if parts == 1 else out.sum(0)
