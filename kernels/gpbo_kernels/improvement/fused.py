"""Log expected improvement for all points in one pass over the training data, in Triton.

Five launches take the place of about forty, and nothing of size R x m x d is stored:

1. cross covariances, R x m, from distances that are summed up in registers;
2. the product with L^-T;
3. moments, improvement under every fantasy, their mixture and the right-hand side, one program a point;
4. the product with L^-1;
5. slopes, from distances computed anew, and with them the gradient: only R x d numbers leave it.

Both products are the library's. Each reads L^-1 once, 8 m^2 bytes in float64 (one that skips the zeros would read half
of them), for 2 R m^2 FLOP: with R <= 64 at most 16 FLOP a byte, about what a data-centre GPU's float64 tensor cores do
for every byte from its memory. A product written in Triton could not count on these cores in float64, and would save
two launches. All else moves some 10 R m numbers, less than a quarter of that for R <= 64 and m >= 2000.

No atomics: partial sums are added up in a fixed order, and a result does not change from run to run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.improvement.device import log_improvement
from gpbo_kernels.improvement.reference import MIN_VARIANCE
from gpbo_kernels.stationary.device import profile, squared_distance

LAUNCH = {"num_stages": 1, "enable_fp_fusion": True}
_PROGRAMS = 264  # about two for every multiprocessor of a large GPU
_TILE = 2048  # most numbers in a tile of points by dimensions, or of rows by fantasies


@triton.jit
def _cross_covariance_kernel(
    z, Z, scale, out, R, m, d, row_Z, column_Z, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """One tile of scale k(z, Z), ROWS x COLUMNS."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    in_rows, in_columns = rows < R, columns < m
    squared = squared_distance(
        z, Z, rows * d, columns * row_Z, in_rows, in_columns, d, 1, column_Z, ROWS=ROWS, COLUMNS=COLUMNS
    )
    k, _slope = profile(squared, KIND)
    place = out + rows[:, None] * m + columns[None, :]
    tl.store(place, k * tl.load(scale), mask=in_rows[:, None] & in_columns[None, :])


@triton.jit
def _mixture_kernel(
    V, beta, normals, best, ends, scale, constant, least, value, right, m, first, S, row_V, row_best,
    ENDS: tl.constexpr, COLUMNS: tl.constexpr, FANTASISED: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """Value and right-hand side of one point."""
    r = tl.program_id(0).to(tl.int64)
    end = m
    if ENDS:
        end = tl.load(ends + r).to(tl.int32)
    v_row, right_row = V + r * row_V, right + r * m
    products = tl.zeros((COLUMNS,), dtype=V.dtype.element_ty)
    squares = tl.zeros((COLUMNS,), dtype=V.dtype.element_ty)
    for start in range(0, m, COLUMNS):
        i = start + tl.arange(0, COLUMNS)
        v = tl.load(v_row + i, mask=i < end, other=0.0)
        products += v * tl.load(beta + i, mask=i < end, other=0.0)
        squares += v * v
    s = tl.arange(0, SAMPLES)
    real = s < S
    shift = tl.zeros((SAMPLES,), dtype=V.dtype.element_ty)
    for start in range(first, m, FANTASISED):
        i = start + tl.arange(0, FANTASISED)
        v = tl.load(v_row + i, mask=i < end, other=0.0)
        place = normals + (i - first).to(tl.int64)[:, None] * S + s[None, :]
        base = tl.load(place, mask=(i < end)[:, None] & real[None, :], other=0.0)
        shift += tl.sum(v[:, None] * base, axis=0)
    smallest = tl.load(least)
    variance = tl.load(scale) - tl.sum(squares, axis=0)
    free = variance > smallest
    sd = tl.sqrt(tl.where(variance < smallest, smallest, variance))  # unlike a maximum, keeps NaN
    incumbent = tl.load(best + r * row_best + s, mask=real, other=0.0)
    logs, up, density = log_improvement((tl.load(constant) + tl.sum(products, axis=0) + shift - incumbent) / sd)
    logs = tl.where(real, logs, float("-inf"))
    largest = tl.max(tl.where(logs == logs, logs, float("-inf")), axis=0)  # NaN shows in the sum
    origin = tl.where(largest == float("-inf"), 0.0, largest)  # where all are -inf: not to be taken from itself
    parts = tl.exp(logs - origin)
    total = tl.sum(parts, axis=0)
    weight = parts / total
    up = weight * up / sd
    spread = tl.sum(weight * density, axis=0) / (sd * sd)
    spread = tl.where(free, spread, 0.0)
    along = tl.sum(up, axis=0)
    tl.store(value + r, tl.log(sd) + origin + tl.log(total / S))
    for start in range(0, first, COLUMNS):
        i = start + tl.arange(0, COLUMNS)
        v = tl.load(v_row + i, mask=(i < first) & (i < end), other=0.0)
        b = tl.load(beta + i, mask=(i < first) & (i < end), other=0.0)
        tl.store(right_row + i, along * b - spread * v, mask=i < first)
    for start in range(first, m, FANTASISED):
        i = start + tl.arange(0, FANTASISED)
        v = tl.load(v_row + i, mask=i < end, other=0.0)
        b = tl.load(beta + i, mask=i < end, other=0.0)
        place = normals + (i - first).to(tl.int64)[:, None] * S + s[None, :]
        base = tl.load(place, mask=(i < end)[:, None] & real[None, :], other=0.0)
        tl.store(right_row + i, along * b - spread * v + tl.sum(base * up[None, :], axis=1), mask=i < m)


@triton.jit
def _input_gradient_kernel(
    z, Z, W, scale, out, m, d, share, row_Z, column_Z,
    KIND: tl.constexpr, POINTS: tl.constexpr, DIMENSIONS: tl.constexpr,
):  # fmt: skip
    """sum_i W_ri slope(z_r, Z_i) (Z_i - z_r) of one point over its program's share of the rows i."""
    r, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.arange(0, DIMENSIONS)
    here = tl.load(z + r * d + c, mask=c < d, other=0.0)
    start = part * share
    stop = tl.minimum(start + share, m)
    total = tl.zeros((POINTS, DIMENSIONS), dtype=z.dtype.element_ty)
    for first in range(start, stop, POINTS):
        i = first + tl.arange(0, POINTS)
        inside = (i < stop)[:, None] & (c < d)[None, :]
        place = Z + i.to(tl.int64)[:, None] * row_Z + c[None, :] * column_Z
        apart = tl.load(place, mask=inside, other=0.0) - here[None, :]
        _k, slope = profile(tl.sum(apart * apart, axis=1), KIND)
        total += (tl.load(W + r * m + i, mask=i < stop, other=0.0) * slope)[:, None] * apart
    place = out + (r * tl.num_programs(1) + part) * d + c
    tl.store(place, tl.sum(total, axis=0) * tl.load(scale), mask=c < d)


def scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """A number as a tensor that a kernel can load: numbers handed to a kernel would be rounded to float32."""
    if isinstance(value, Tensor):
        return value.to(like)
    return torch.full((), value, dtype=like.dtype, device=like.device)


def mixture(
    V: Tensor,
    beta: Tensor,
    normals: Tensor,
    best: Tensor,
    *,
    scale: float | Tensor,
    constant: float | Tensor,
    first: int,
    ends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``reference.mixture``, in one launch."""
    R, m = V.shape
    best = best if m > first else best[..., :1]
    S = best.shape[-1]
    best, row_best = best.contiguous(), S if best.ndim == 2 and len(best) > 1 else 0
    value, right = torch.empty_like(V[:, 0]), torch.empty_like(V, memory_format=torch.contiguous_format)
    if not R:
        return value, right
    V = V if V.stride(1) == 1 else V.contiguous()
    SAMPLES = triton.next_power_of_2(S)
    with backend.device_of(V):
        _mixture_kernel[(R,)](
            V, beta.contiguous(), normals[: m - first, :].contiguous(), best, value if ends is None else ends,
            scalar(scale, V), scalar(constant, V), scalar(MIN_VARIANCE, V), value, right, m, first, S, V.stride(0),
            row_best, ENDS=ends is not None, COLUMNS=min(_TILE // 2, triton.next_power_of_2(m)),
            FANTASISED=max(1, _TILE // SAMPLES), SAMPLES=SAMPLES,
            num_warps=8, **LAUNCH,
        )  # fmt: skip
    return value, right


def log_expected_improvement(
    kind: str,
    z: Tensor,
    Z: Tensor,
    Li: Tensor,
    beta: Tensor,
    normals: Tensor,
    best: Tensor,
    *,
    scale: float | Tensor,
    constant: float | Tensor,
    first: int,
    ends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``reference.log_expected_improvement``."""
    (R, d), m = z.shape, len(Z)
    z, scale = z.contiguous(), scalar(scale, z)
    if not R:
        return z.new_empty(0), torch.empty_like(z)
    k = z.new_empty(R, m)
    ROWS, COLUMNS = 4, 128
    with backend.device_of(z):
        _cross_covariance_kernel[(triton.cdiv(R, ROWS), triton.cdiv(m, COLUMNS))](
            z, Z, scale, k, R, m, d, Z.stride(0), Z.stride(1), KIND=kind, ROWS=ROWS, COLUMNS=COLUMNS,
            num_warps=4, **LAUNCH,
        )  # fmt: skip
    V = k @ Li.mT
    value, right = mixture(V, beta, normals, best, scale=scale, constant=constant, first=first, ends=ends)
    W = torch.matmul(right, Li, out=k)
    return value, input_gradient(kind, z, Z, W, scale)


def input_gradient(kind: str, z: Tensor, Z: Tensor, W: Tensor, scale: Tensor) -> Tensor:
    """sum_i W_ri d(scale k(z_r, Z_i))/dz_r, shape (R, d), for contiguous z (R, d) and W (R, m)."""
    (R, d), m = z.shape, len(Z)
    DIMENSIONS = triton.next_power_of_2(d)
    POINTS = max(1, _TILE // DIMENSIONS)
    parts = max(1, min(triton.cdiv(m, 4 * POINTS), triton.cdiv(_PROGRAMS, R)))
    out = z.new_empty(R, parts, d)
    with backend.device_of(z):
        _input_gradient_kernel[(R, parts)](
            z, Z, W, scale, out, m, d, triton.cdiv(m, parts), Z.stride(0), Z.stride(1),
            KIND=kind, POINTS=POINTS, DIMENSIONS=DIMENSIONS, num_warps=4, **LAUNCH,
        )  # fmt: skip
    return out[:, 0] if parts == 1 else out.sum(1)
