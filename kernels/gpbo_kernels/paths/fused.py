"""Sample paths and their gradients without any matrix of points by features or by observations, in Triton.

A program holds a few points. It runs over its share of the features and of the observations, sums up angles and squared
distances one input dimension after the other, applies cosine, sine or covariance in registers, and adds up the value
and, for the gradient, one sum an input dimension. Shares are added up by a second, small pass, in a fixed order.

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

_PROGRAMS = 264  # about two for every multiprocessor of a large GPU
_ROWS, _COLUMNS = 8, 64


@triton.jit
def _path_kernel(
    z, W, phase, Z, weights, update, owner, scale, amplitude, constant, out,
    R, F, n, d, share_F, share_n, row_W, column_W, row_Z, column_Z,
    KIND: tl.constexpr, GRADIENT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIMENSIONS: tl.constexpr,
):  # fmt: skip
    """Value, and with GRADIENT the gradient, at ROWS points over one share of features and observations."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    in_rows = rows < R
    own = tl.load(owner + rows, mask=in_rows, other=0).to(tl.int64)
    outputscale, factor = tl.load(scale), tl.load(amplitude)
    c = tl.arange(0, DIMENSIONS)
    value = tl.zeros((ROWS, COLUMNS), dtype=z.dtype.element_ty)
    along = tl.zeros((ROWS, DIMENSIONS), dtype=z.dtype.element_ty)

    stop = tl.minimum(part * share_F + share_F, F)
    for start in range(part * share_F, stop, COLUMNS):
        f = start + tl.arange(0, COLUMNS)
        inside = f < stop
        at_z, at_W = z + rows * d, W + f.to(tl.int64) * row_W
        angle = tl.zeros((ROWS, COLUMNS), dtype=z.dtype.element_ty)
        for _ in range(d):
            angle += tl.load(at_z, mask=in_rows, other=0.0)[:, None] * tl.load(at_W, mask=inside, other=0.0)[None, :]
            at_z += 1
            at_W += column_W
        angle += tl.load(phase + f, mask=inside, other=0.0)[None, :]
        place = weights + own[:, None] * F + f[None, :]
        w = tl.load(place, mask=in_rows[:, None] & inside[None, :], other=0.0) * factor
        value += tl.cos(angle) * w
        if GRADIENT:
            pull = -tl.sin(angle) * w
            at_W = W + f.to(tl.int64) * row_W
            for k in range(d):
                one = tl.sum(pull * tl.load(at_W, mask=inside, other=0.0)[None, :], axis=1)
                along += tl.where(c[None, :] == k, one[:, None], 0.0)
                at_W += column_W

    stop = tl.minimum(part * share_n + share_n, n)
    for start in range(part * share_n, stop, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        inside = j < stop
        j_row = j.to(tl.int64) * row_Z
        squared = squared_distance(z, Z, rows * d, j_row, in_rows, inside, d, 1, column_Z, ROWS=ROWS, COLUMNS=COLUMNS)
        covariance, slope = profile(squared, KIND)
        place = update + own[:, None] * n + j[None, :]
        u = tl.load(place, mask=in_rows[:, None] & inside[None, :], other=0.0) * outputscale
        value += covariance * u
        if GRADIENT:
            pull = slope * u
            at_z, at_Z = z + rows * d, Z + j_row
            for k in range(d):
                apart = tl.load(at_Z, mask=inside, other=0.0)[None, :] - tl.load(at_z, mask=in_rows, other=0.0)[:, None]
                one = tl.sum(pull * apart, axis=1)
                along += tl.where(c[None, :] == k, one[:, None], 0.0)
                at_z += 1
                at_Z += column_Z

    total = tl.sum(value, axis=1) + tl.where(part == 0, tl.load(constant), 0.0)
    width = 1
    if GRADIENT:
        width = d + 1
    place = out + (rows * tl.num_programs(1) + part) * width
    tl.store(place, total, mask=in_rows)
    if GRADIENT:
        tl.store(place[:, None] + 1 + c[None, :], along, mask=in_rows[:, None] & (c < d)[None, :])


def path_values(paths: PathSet, z: Tensor, owner: Tensor) -> Tensor:
    """As ``reference.path_values``."""
    return _evaluate(paths, z, owner, gradient=False)[:, 0]


def path_gradients(paths: PathSet, z: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """As ``reference.path_gradients``."""
    out = _evaluate(paths, z, owner, gradient=True)
    return out[:, 0], out[:, 1:]


def _evaluate(paths: PathSet, z: Tensor, owner: Tensor, gradient: bool) -> Tensor:
    (R, d), F, n = z.shape, len(paths.W), len(paths.Z)
    z, W, Z = z.contiguous(), paths.W, paths.Z
    blocks = triton.cdiv(R, _ROWS)
    parts = max(1, min(triton.cdiv(_PROGRAMS, max(1, blocks)), triton.cdiv(F + n, 4 * _COLUMNS)))
    share_F, share_n = (triton.cdiv(triton.cdiv(count, parts), _COLUMNS) * _COLUMNS for count in (F, n))
    out = z.new_empty(R, parts, d + 1 if gradient else 1)
    numbers = [scalar(each, z) for each in (paths.scale, paths.amplitude, paths.constant)]
    if R:
        with backend.device_of(z):
            _path_kernel[(blocks, parts)](
                z, W, paths.phase, Z, paths.weights, paths.update, owner.contiguous(), *numbers, out, R, F, n, d,
                share_F, share_n, W.stride(0), W.stride(1), Z.stride(0), Z.stride(1), KIND=paths.kind,
                GRADIENT=gradient, ROWS=_ROWS, COLUMNS=_COLUMNS, DIMENSIONS=triton.next_power_of_2(d),
                num_warps=4, **LAUNCH,
            )  # fmt: skip
    return out[:, 0] if parts == 1 else out.sum(1)
