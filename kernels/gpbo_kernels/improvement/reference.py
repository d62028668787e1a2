"""Log expected improvement over fantasies and its gradient, from a whitened Gaussian process.

With L the Cholesky factor of the covariance of m points, of which those from row ``first`` on were conditioned on
without an outcome, and v = L^-1 k(z):

    mean of fantasy s   c + v'beta + sum_j v_{first + j} normals_{js}
    variance            scale - v'v
    value               log of the mean over s of EI(z | fantasy s)

The gradient needs one product with L^-T more: with a_s and b the derivatives of the value in the mean of fantasy s and
in the deviation, d value / d k = L^-T (beta sum_s a_s + normals a - (b / sd) v).

Sources: Ament et al. 2023 (LogEI); Wilson, Hutter and Deisenroth 2018, section 3 (fantasies with fixed base samples).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpbo_kernels.improvement.tails import log_improvement
from gpbo_kernels.stationary.reference import profile

MIN_VARIANCE = 1e-12  # BoTorch's clamp in its analytic acquisition functions


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
    """Values (R,) from whitened rows, and the right-hand sides (R, m) that give the gradient in the covariances.

    Args:
        V: Whitened rows L^-1 k(z), shape (R, m).
        beta, normals, best, scale, constant, first, ends: As in ``log_expected_improvement``.
    """
    m = V.shape[1]
    j = m - first
    normals = normals[:j]
    best = best if best.ndim == 2 else best[None]
    best = best if j else best[:, :1]  # all fantasies are alike until something is conditioned on
    seen = None if ends is None else torch.arange(m, device=V.device) < ends[:, None]
    if seen is not None:
        V = torch.where(seen, V, 0.0)
    mean = constant + V @ beta
    variance = (scale - V.square().sum(-1)).clamp_min(MIN_VARIANCE)
    sd = variance.sqrt()[:, None]
    means = mean[:, None] + (V[:, first:] @ normals if j else 0.0)
    logs, up, density = log_improvement((means - best) / sd)
    total = torch.logsumexp(logs, -1, keepdim=True)
    weight = (logs - total).exp()
    value = (sd.log() + total)[:, 0] - math.log(best.shape[1])
    up = weight * up / sd
    spread = torch.where(variance[:, None] > MIN_VARIANCE, (weight * density).sum(-1, keepdim=True) / sd, 0.0)
    right = up.sum(-1, keepdim=True) * beta - spread / sd * V
    if j:
        right[:, first:] += up @ normals.mT
    return value, right if seen is None else torch.where(seen, right, 0.0)


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
    """Log expected improvement, to be maximised, and its gradient.

    Args:
        kind: One of ``KINDS``.
        z: Scaled points, shape (R, d).
        Z: Scaled points of the factor, shape (m, d).
        Li: Inverse of the lower factor, shape (m, m), lower triangular; rows may be longer in memory.
        beta: L^-1 (y - c), shape (m,), zero for fantasies.
        normals: Base samples of the rows from ``first`` on, shape (at least m - first, S).
        best: Incumbents, shape (S,) or (R, S); where nothing has fantasies, the first one counts.
        scale, constant: Outputscale and mean.
        first: First row with fantasies, at most m.
        ends: Rows of the factor that count for each point, shape (R,), integers; None for all.

    Returns:
        Values (R,) and gradients in z, (R, d).
    """
    k, slopes = profile(kind, torch.cdist(z, Z, compute_mode="donot_use_mm_for_euclid_dist"))
    V = (k * scale) @ Li.mT
    value, right = mixture(V, beta, normals, best, scale=scale, constant=constant, first=first, ends=ends)
    W = (right @ Li) * slopes * scale
    if kind == "matern12":  # its slopes grow like 1/r: products would cancel to nothing next to a point
        columns = [(W * (Z[:, c] - z[:, c, None])).sum(-1) for c in range(z.shape[1])]
        return value, torch.stack(columns, -1)
    return value, W @ Z - z * W.sum(-1, keepdim=True)
