"""Greedy picks from a set of candidates: which implementation makes them."""

from __future__ import annotations

from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.greedy import reference
from gpbo_kernels.greedy.reference import Picks


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
    """Picks q candidates one after the other, each the best given those before it; see ``reference.pick``."""
    if backend.fused(Z, V, mean, variance, shifts, normals, best):
        from gpbo_kernels.greedy import fused

        op = fused.pick
    else:
        op = reference.pick
    return op(kind, Z, V, m, mean, variance, shifts, normals, best, q, scale=scale, nugget=nugget)
