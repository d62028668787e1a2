"""Projected L-BFGS on many independent box-constrained problems at once, in plain torch on any device.

For thousands of problems, or hundreds of dimensions, where the dense matrices of ``batched_bfgs`` would not fit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_PAIRS = 6  # steps remembered
_REVIEW = 4  # rounds between looks at which problems have converged


def _direction(g: Tensor, S: Tensor, Y: Tensor, usable: Tensor, free: Tensor) -> Tensor:
    """Two-loop recursion (Nocedal 1980) on the free coordinates; newest pair last, unusable pairs left out."""
    r = torch.where(free, g, 0.0)
    S, Y = torch.where(free[:, None], S, 0.0), torch.where(free[:, None], Y, 0.0)
    sy = (S * Y).sum(-1)
    yy = (Y * Y).sum(-1)
    usable = usable & (sy > 1e-10 * yy)
    rho = torch.where(usable, 1.0 / torch.where(usable, sy, 1.0), 0.0)
    weights = []
    gamma = torch.ones_like(sy[:, 0])
    for i in reversed(range(_PAIRS)):
        a = rho[:, i] * (S[:, i] * r).sum(-1)
        r = r - a[:, None] * Y[:, i]
        weights.append(a)
    for i in range(_PAIRS):
        gamma = torch.where(usable[:, i], sy[:, i] / torch.where(usable[:, i], yy[:, i], 1.0), gamma)
    r = r * gamma[:, None]
    for i, a in zip(range(_PAIRS), reversed(weights), strict=True):
        b = rho[:, i] * (Y[:, i] * r).sum(-1)
        r = r + (a - b)[:, None] * S[:, i]
    return -torch.where(free, r, 0.0)


@torch.no_grad()
def minimise(
    objective: Objective,
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    iterations: int,
    tolerance: float,
    first_step: float,
    longest_step: float,
) -> tuple[Tensor, Tensor]:
    """Minimises b problems in boxes.

    Args:
        objective: From points (a, p) and the indices of their problems (a,) to values (a,) and gradients (a, p).
        start: First points, shape (b, p).
        lower, upper: Bounds, broadcastable to (b, p); equal bounds freeze a coordinate.
        iterations: Most evaluations of a problem.
        tolerance: A problem has converged after two accepted steps in a row that gain less than this.
        first_step: Largest entry of the first step, taken along the gradient.
        longest_step: Largest entry of any step.

    Returns:
        Points (b, p) and values (b,).
    """
    b, p = start.shape
    lower, upper = lower.expand(b, p), upper.expand(b, p)
    best_x = torch.minimum(torch.maximum(start, lower), upper)
    rows = torch.arange(b, device=start.device)
    best_f, g = objective(best_x, rows)
    x, f, best_f = best_x.clone(), best_f, best_f.clone()
    S, Y = x.new_zeros(2, b, _PAIRS, p)
    usable = torch.zeros(b, _PAIRS, dtype=torch.bool, device=x.device)
    t, step = torch.ones_like(f), torch.zeros_like(x)
    small, retries = torch.zeros_like(f), torch.zeros_like(f)
    turn = torch.ones_like(f, dtype=torch.bool)
    done = torch.zeros_like(turn)
    for round_ in range(1, iterations):
        low, high = lower[rows], upper[rows]
        free = (low < high) & ~(((x <= low) & (g > 0.0)) | ((x >= high) & (g < 0.0)))
        done = done | (turn & (torch.where(free, g, 0.0).abs().amax(-1) < 1e-12))
        if round_ % _REVIEW == 0:
            keep = (~done).nonzero()[:, 0]
            if len(keep) < len(rows):
                best_x[rows], best_f[rows] = x, f
                parts = (rows, x, f, g, S, Y, usable, t, step, small, retries, turn, done)
                rows, x, f, g, S, Y, usable, t, step, small, retries, turn, done = (each[keep] for each in parts)
                low, high, free = low[keep], high[keep], free[keep]
            if not len(rows):
                break
        direction = _direction(g, S, Y, usable, free)
        ascent = ~((direction * g).sum(-1) < 0.0)
        direction = torch.where(ascent[:, None], -torch.where(free, g, 0.0), direction)
        step = torch.where(turn[:, None], direction, step)
        limit = torch.where(usable.any(-1) & ~ascent, longest_step, first_step)
        reach = limit / step.abs().amax(-1).clamp_min(1e-300)
        fresh = ~usable.any(-1)
        t = torch.where(turn, torch.where(fresh, reach, reach.clamp_max(1.0)), t)
        x_try = torch.minimum(torch.maximum(x + t[:, None] * step, low), high)
        f_try, g_try = objective(x_try, rows)
        s, change = x_try - x, g_try - g
        expected = (g * s).sum(-1)
        accepted = (f_try <= f + 1e-4 * expected) & ~done
        S = torch.where(accepted[:, None, None], torch.cat([S[:, 1:], s[:, None]], 1), S)
        Y = torch.where(accepted[:, None, None], torch.cat([Y[:, 1:], change[:, None]], 1), Y)
        curved = (s * change).sum(-1, keepdim=True) > 0.0
        usable = torch.where(accepted[:, None], torch.cat([usable[:, 1:], curved], 1), usable)
        gain = f - f_try
        small = torch.where(accepted, torch.where(gain < tolerance, small + 1, torch.zeros_like(small)), small)
        shrink = (-0.5 * expected / (f_try - f - expected).clamp_min(1e-300)).nan_to_num(0.1).clamp(0.1, 0.5)
        t = torch.where(accepted, t, t * shrink)
        retries = torch.where(accepted, torch.zeros_like(retries), retries + 1)
        x, f = torch.where(accepted[:, None], x_try, x), torch.where(accepted, f_try, f)
        g = torch.where(accepted[:, None], g_try, g)
        stuck = retries >= 8
        done = done | (small >= 2) | (stuck & ~usable.any(-1))
        restart = stuck & usable.any(-1)
        usable = usable & ~restart[:, None]
        retries = torch.where(restart, torch.zeros_like(retries), retries)
        turn = accepted | restart
    best_x[rows], best_f[rows] = x, f
    return best_x, best_f
