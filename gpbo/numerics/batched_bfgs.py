"""Projected BFGS on many independent box-constrained problems at once, in plain torch on any device.

Nothing in a round depends on a value that the host has to read: step control, curvature and convergence are masks on
the device. The host looks at the number of unfinished problems once every ``check_every`` rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


def _direction(g: Tensor, B: Tensor, free: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """Newton direction on the free coordinates; steepest descent where the curvature is missing or unusable.

    The Hessian is kept and not its inverse, because its block on the free coordinates is simply a block of it.
    """
    projected = torch.where(free, g, 0.0)
    block = torch.where(free[:, :, None] & free[:, None, :], B, torch.diag_embed((~free).to(B.dtype)))
    L, info = torch.linalg.cholesky_ex(block)
    step = -torch.cholesky_solve(projected[..., None], L)[..., 0]
    fresh = fresh | (info > 0) | ~((step * projected).sum(-1) < 0.0)
    return torch.where(fresh[:, None], -projected, step), fresh


def _updated(B: Tensor, s: Tensor, change: Tensor, accepted: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """BFGS update of the Hessians where the curvature condition holds."""
    sy, yy = (s * change).sum(-1), (change * change).sum(-1)
    usable = accepted & (sy > 0.0) & (sy > 1e-12 * yy)
    safe = torch.where(usable, sy, 1.0)
    eye = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    first = (torch.where(usable, yy, 1.0) / safe)[:, None, None] * eye
    base = torch.where((usable & fresh)[:, None, None], first, B)
    Bs = torch.einsum("bij,bj->bi", base, s)
    along = torch.where(usable, (s * Bs).sum(-1), 1.0)
    new = base - Bs[:, :, None] * Bs[:, None, :] / along[:, None, None]
    new = new + change[:, :, None] * change[:, None, :] / safe[:, None, None]
    return torch.where(usable[:, None, None], new, B), fresh & ~usable


@torch.no_grad()
def minimise(
    objective: Objective,
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    curvature: Tensor | None = None,
    iterations: int = 200,
    tolerance: float = 1e-8,
    gradient_tolerance: float = 1e-7,
    first_step: float = 1.0,
    longest_step: float = 2.0,
    check_every: int = 8,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Minimises b problems in boxes.

    Args:
        objective: From points (b, p) to values (b,) and gradients (b, p); a value may be inf where it is undefined.
        start: First points, shape (b, p).
        lower, upper: Bounds, broadcastable to (b, p); equal bounds freeze a coordinate.
        curvature: Inverse Hessians of an earlier solve, shape (b, p, p).
        iterations: Most evaluations of the batch.
        tolerance: A problem has converged after two accepted steps in a row that gain less than this.
        gradient_tolerance: Or when no free gradient entry exceeds this.
        first_step: Largest entry of the first step, taken along the gradient.
        longest_step: Largest entry of any step.
        check_every: Rounds between looks at whether all problems have converged.

    Returns:
        Points (b, p), values (b,), inverse Hessians (b, p, p), evaluations of the batch.
    """
    b, p = start.shape
    lower, upper = lower.expand(b, p), upper.expand(b, p)
    x = torch.minimum(torch.maximum(start, lower), upper)
    f, g = objective(x)
    movable = lower < upper
    eye = torch.eye(p, dtype=x.dtype, device=x.device).expand(b, p, p)
    B = eye.clone() if curvature is None else torch.linalg.inv_ex(curvature)[0]
    fresh = torch.full((b,), curvature is None, device=x.device)
    turn = torch.ones_like(fresh)  # a new direction is due
    done = torch.zeros_like(fresh)
    small, retries = torch.zeros_like(f), torch.zeros_like(f)
    t, step = torch.ones_like(f), torch.zeros_like(x)
    evaluations = 1
    for round_ in range(iterations):
        free = movable & ~(((x <= lower) & (g > 0.0)) | ((x >= upper) & (g < 0.0)))
        done = done | (turn & (torch.where(free, g, 0.0).abs().amax(-1) < gradient_tolerance))
        if round_ % check_every == 0 and bool(done.all()):
            break
        direction, now_fresh = _direction(g, B, free, fresh)
        fresh = torch.where(turn, now_fresh, fresh)
        step = torch.where(turn[:, None], direction, step)
        limit = torch.where(fresh, torch.full_like(f, first_step), longest_step)  # in the dtype of f
        reach = limit / step.abs().amax(-1).clamp_min(1e-300)
        t = torch.where(turn, reach.clamp_max(1.0), t)
        x_try = torch.minimum(torch.maximum(x + t[:, None] * step, lower), upper)
        f_try, g_try = objective(torch.where(done[:, None], x, x_try))
        evaluations += 1
        s = x_try - x
        expected = (g * s).sum(-1)
        accepted = (f_try <= f + 1e-4 * expected) & ~done
        B, fresh = _updated(B, s, g_try - g, accepted, fresh)
        gain = f - f_try
        shrink = -0.5 * expected / (f_try - f - expected).clamp_min(1e-300)
        t = torch.where(accepted, t, t * shrink.nan_to_num(0.1).clamp(0.1, 0.5))
        small = torch.where(accepted, torch.where(gain < tolerance, small + 1, torch.zeros_like(small)), small)
        retries = torch.where(accepted, torch.zeros_like(retries), retries + 1)
        x = torch.where(accepted[:, None], x_try, x)
        f = torch.where(accepted, f_try, f)
        g = torch.where(accepted[:, None], g_try, g)
        stuck = retries >= 14
        done = done | (small >= 2) | (stuck & fresh)
        restart = stuck & ~fresh  # stale curvature: once more along the gradient before giving up
        fresh = fresh | restart
        turn = accepted | restart
        retries = torch.where(restart, torch.zeros_like(retries), retries)
    H = torch.linalg.inv_ex(B)[0]
    unusable = fresh | ~torch.isfinite(H).all(-1).all(-1)
    return x, f, torch.where(unusable[:, None, None], eye, H), evaluations
