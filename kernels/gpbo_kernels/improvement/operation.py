"""Log expected improvement over fantasies, with its gradient: which implementation computes it."""

from __future__ import annotations

from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.improvement import reference


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
    """Values (R,) and gradients (R, d); see ``reference.log_expected_improvement``."""
    if backend.fused(z, Z, Li, beta, normals, best):
        from gpbo_kernels.improvement import fused

        op = fused.log_expected_improvement
    else:
        op = reference.log_expected_improvement
    return op(kind, z, Z, Li, beta, normals, best, scale=scale, constant=constant, first=first, ends=ends)


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
    """Values (R,) and right-hand sides (R, m) from whitened rows; see ``reference.mixture``."""
    if backend.fused(V, beta, normals, best):
        from gpbo_kernels.improvement import fused

        op = fused.mixture
    else:
        op = reference.mixture
    return op(V, beta, normals, best, scale=scale, constant=constant, first=first, ends=ends)
