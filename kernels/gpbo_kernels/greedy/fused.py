"""The greedy loop over candidates without the host, in Triton: one launch a pick.

A launch finishes the pick that the one before prepared and prepares the next. Every program holds some candidates. It
finds the picked one from the best values of all programs of the launch before, appends the new entry to the whitened
rows of its candidates, brings their moments up to date, evaluates them, and leaves its best value behind. What another
program may still read (moments of the picked candidate, best values) lies in two copies, of which one launch reads one
and writes the other; nothing is synchronised within a launch, and no atomics are used.

A pick reads the whitened rows once, 8 N m bytes in float64 and 2 N m FLOP, and the moments under every fantasy once or
twice, 16 N S bytes: it is bound by memory, or by its launch where N m is below a million numbers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.greedy.reference import Picks
from gpbo_kernels.improvement.device import log_improvement
from gpbo_kernels.improvement.fused import LAUNCH, scalar
from gpbo_kernels.improvement.reference import MIN_VARIANCE
from gpbo_kernels.stationary.device import profile

_PROGRAMS = 264  # about two for every multiprocessor of a large GPU
_TILE = 2048  # most numbers in a tile of candidates by columns, dimensions or fantasies


@triton.jit(do_not_specialize=["N", "p", "width", "row_V", "programs"])
def _pick_kernel(
    Z, V, mean, variance_in, variance_out, shifts_in, shifts_out, normals, scale, noise, least, lowest,
    taken, best, keys_in, keys_out, tops_in, tops_out, rows_in, rows_out, picked, values,
    N, d, S, p, width, row_V, programs,
    KIND: tl.constexpr, APPEND: tl.constexpr, EVALUATE: tl.constexpr, CANDIDATES: tl.constexpr, COLUMNS: tl.constexpr,
    DIMENSIONS: tl.constexpr, SAMPLES: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Takes pick p - 1 (with APPEND) and evaluates the candidates for pick p (with EVALUATE)."""
    program = tl.program_id(0)
    c = program * CANDIDATES + tl.arange(0, CANDIDATES)
    real = c < N
    c_row = c.to(tl.int64)
    s = tl.arange(0, SAMPLES)
    sampled = s < S
    both = real[:, None] & sampled[None, :]
    if APPEND:
        b = tl.arange(0, PROGRAMS)
        keys = tl.load(keys_in + b, mask=b < programs, other=float("-inf"))
        winner = b == tl.argmax(keys, axis=0)
        row = tl.sum(tl.where(winner, tl.load(rows_in + b, mask=b < programs, other=0), 0), axis=0)
        if program == 0:
            top = tl.load(tops_in + b, mask=b < programs, other=0.0)
            tl.store(picked + (p - 1), row.to(tl.int64))
            tl.store(values + (p - 1), tl.sum(tl.where(winner, top, 0.0), axis=0))
    if EVALUATE:
        smallest = tl.load(least)
        center = tl.load(mean + c, mask=real, other=0.0)
        variance = tl.load(variance_in + c, mask=real, other=0.0)
        shift = tl.load(shifts_in + c_row[:, None] * S + s[None, :], mask=both, other=0.0)
        used = tl.load(taken + c, mask=real, other=0)
        incumbent = tl.load(best + s, mask=sampled, other=0.0)
        if APPEND:
            incumbent = tl.load(best + (p - 1) * S + s, mask=sampled, other=0.0)
            pick_row = row.to(tl.int64)
            floor = tl.load(noise)
            deviation = tl.load(variance_in + pick_row) + floor
            deviation = tl.sqrt(tl.where(deviation < floor, floor, deviation))
            base = tl.load(normals + (p - 1) * S + s, mask=sampled, other=0.0)
            fantasy = tl.load(mean + pick_row) + deviation * base
            fantasy += tl.load(shifts_in + pick_row * S + s, mask=sampled, other=0.0)
            incumbent = tl.where(incumbent < fantasy, fantasy, incumbent)
            if program == 0:
                tl.store(best + p * S + s, incumbent, mask=sampled)
            squared = tl.zeros((CANDIDATES,), dtype=Z.dtype.element_ty)
            for start in range(0, d, DIMENSIONS):
                k = start + tl.arange(0, DIMENSIONS)
                inside = real[:, None] & (k < d)[None, :]
                apart = tl.load(Z + c_row[:, None] * d + k[None, :], mask=inside, other=0.0)
                apart -= tl.load(Z + pick_row * d + k, mask=k < d, other=0.0)[None, :]
                squared += tl.sum(tl.where(inside, apart * apart, 0.0), axis=1)
            products = tl.zeros((CANDIDATES, COLUMNS), dtype=Z.dtype.element_ty)
            for start in range(0, width, COLUMNS):
                i = start + tl.arange(0, COLUMNS)
                inside = real[:, None] & (i < width)[None, :]
                known = tl.load(V + c_row[:, None] * row_V + i[None, :], mask=inside, other=0.0)
                products += known * tl.load(V + pick_row * row_V + i, mask=i < width, other=0.0)[None, :]
            covariance, _slope = profile(squared, KIND)
            entry = (covariance * tl.load(scale) - tl.sum(products, axis=1)) / deviation
            tl.store(V + c_row * row_V + width, entry, mask=real)
            variance -= entry * entry
            shift += entry[:, None] * base[None, :]
            used = tl.where(c == row, 1, used)
            tl.store(variance_out + c, variance, mask=real)
            tl.store(shifts_out + c_row[:, None] * S + s[None, :], shift, mask=both)
            tl.store(taken + c, used, mask=real)
        sd = tl.sqrt(tl.where(variance < smallest, smallest, variance))
        logs, _up, _density = log_improvement((center[:, None] + shift - incumbent[None, :]) / sd[:, None])
        logs = tl.where(sampled[None, :], logs, float("-inf"))
        largest = tl.max(tl.where(logs == logs, logs, float("-inf")), axis=1)  # NaN shows in the sum
        # Where every improvement is zero the largest logarithm is -inf, and must not be taken from itself.
        origin = tl.where(largest == float("-inf"), 0.0, largest)
        parts = tl.sum(tl.exp(logs - origin[:, None]), axis=1)
        value = tl.log(sd) + origin + tl.log(parts / S)
        bottom = tl.load(lowest)
        key = tl.where(value < bottom, bottom, value)
        key = tl.where(value != value, float("inf"), key)
        key = tl.where(real & (used == 0), key, float("-inf"))
        top = tl.argmax(key, axis=0)
        chosen = tl.arange(0, CANDIDATES) == top
        tl.store(keys_out + program, tl.max(key, axis=0))
        tl.store(tops_out + program, tl.sum(tl.where(chosen, value, 0.0), axis=0))
        tl.store(rows_out + program, program * CANDIDATES + top)


def pick(
    kind: str,
    Z: Tensor,
    V: Tensor,
    m: int,
    mean: Tensor,
    variance: Tensor,
    shifts: Tensor,
    normals: Tensor,
    best: Tensor,
    q: int,
    *,
    scale: float | Tensor,
    nugget: float,
) -> Picks:
    """As ``reference.pick``."""
    (N, d), S = Z.shape, len(best)
    SAMPLES = triton.next_power_of_2(S)
    CANDIDATES = min(triton.next_power_of_2(triton.cdiv(N, _PROGRAMS)), max(1, _TILE // SAMPLES))
    programs = triton.cdiv(N, CANDIDATES)
    sizes = {
        "CANDIDATES": CANDIDATES,
        "COLUMNS": min(triton.next_power_of_2(m + q), max(1, _TILE // CANDIDATES)),
        "DIMENSIONS": min(triton.next_power_of_2(d), max(1, _TILE // CANDIDATES)),
        "SAMPLES": SAMPLES,
        "PROGRAMS": triton.next_power_of_2(programs),
    }
    Z, mean, normals = Z.contiguous(), mean.contiguous(), normals[: q - 1].contiguous()
    scale = scalar(scale, Z)
    constants = scale, scale * nugget, scalar(MIN_VARIANCE, Z), scalar(torch.finfo(Z.dtype).min, Z)
    moments = (variance.contiguous(), shifts.contiguous())
    spare = [(Z.new_empty(N), Z.new_empty(N, S)) for _ in range(min(q - 1, 2))]
    taken = torch.zeros(N, dtype=torch.int8, device=Z.device)
    tops = [(*Z.new_empty(2, programs), torch.empty(programs, dtype=torch.int32, device=Z.device)) for _ in range(2)]
    rows, values, incumbents = torch.empty(q, dtype=torch.int64, device=Z.device), Z.new_empty(q), Z.new_empty(q, S)
    incumbents[0] = best
    with backend.device_of(Z):
        for p in range(q + 1):  # the last one only says what was picked
            after = spare[(p - 1) % 2] if 0 < p < q else moments
            _pick_kernel[(programs if p < q else 1,)](
                Z, V, mean, moments[0], after[0], moments[1], after[1], normals, *constants, taken, incumbents,
                tops[p % 2][0], tops[1 - p % 2][0], tops[p % 2][1], tops[1 - p % 2][1], tops[p % 2][2],
                tops[1 - p % 2][2], rows, values, N, d, S, p, m + p - 1, V.stride(0), programs, KIND=kind,
                APPEND=p > 0, EVALUATE=p < q, num_warps=8, **sizes, **LAUNCH,
            )  # fmt: skip
            moments = after
    return Picks(rows, values, incumbents)
