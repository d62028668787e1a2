"""Projected L-BFGS on many independent box-constrained problems at once, in plain torch on any device.

For thousands of problems, or hundreds of dimensions, where the dense matrices of ``batched_bfgs`` would not fit. Their
evaluations are long enough that launches cost nothing beside them; what pays is to leave out problems that have
converged, which is done once every few rounds, when the host looks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from gpbo.numerics import line_search
from gpbo.numerics.graphs import GRAPHS, Tensors

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_PAIRS = 6  # steps remembered
_REVIEW = 4  # rounds between looks at which problems have converged
_RETRIES = 8
_FLAT = 1e-12  # largest gradient entry of a stationary point


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


def _round(objective: Objective, s: Tensors, limits: Tensors) -> None:
    """One evaluation of every problem that is held."""
    free = line_search.free_coordinates(s)
    s["done"].logical_or_(s["turn"] & (torch.where(free, s["g"], 0.0).abs().amax(-1) < _FLAT))
    direction = _direction(s["g"], s["S"], s["Y"], s["usable"], free)
    ascent = ~((direction * s["g"]).sum(-1) < 0.0)
    direction = torch.where(ascent[:, None], -torch.where(free, s["g"], 0.0), direction)
    s["step"].copy_(torch.where(s["turn"][:, None], direction, s["step"]))
    curved = s["usable"].any(-1)
    limit = torch.where(curved & ~ascent, limits["longest_step"], limits["first_step"])
    reach = limit / s["step"].abs().amax(-1).clamp_min(1e-300)
    s["t"].copy_(torch.where(s["turn"], torch.where(curved, reach.clamp_max(1.0), reach), s["t"]))
    x = line_search.trial(s)
    f, g = objective(x, s["rows"])
    accepted = line_search.judge(s, x, f, g)
    step, change = x - s["x"], g - s["g"]
    newest = ((step * change).sum(-1) > 0.0)[:, None]
    for name, new in (("S", step[:, None]), ("Y", change[:, None]), ("usable", newest)):
        old = s[name]
        s[name].copy_(torch.where(accepted.view(-1, *[1] * (old.ndim - 1)), torch.cat([old[:, 1:], new], 1), old))
    restart = line_search.move(
        s, x, f, g, accepted, curved=s["usable"].any(-1), retries=_RETRIES, tolerance=limits["tolerance"]
    )
    s["usable"].logical_and_(~restart[:, None])


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
    best_x = start.clamp(lower.to(start), upper.to(start))
    rows = torch.arange(b, device=start.device)
    best_f, g = objective(best_x, rows)
    pairs = start.new_zeros(2, b, _PAIRS, p)
    each = {
        **line_search.state(best_x.clone(), best_f.clone(), g.clone(), lower, upper),
        "rows": rows,
        "S": pairs[0],
        "Y": pairs[1],
        "usable": torch.zeros(b, _PAIRS, dtype=torch.bool, device=start.device),
    }
    lengths = {"tolerance": tolerance, "first_step": first_step, "longest_step": longest_step}
    limits = {name: start.new_tensor(value) for name, value in lengths.items()}
    for done in range(1, iterations, _REVIEW):
        rounds = min(_REVIEW, iterations - done)
        GRAPHS.iterate(functools.partial(_round, objective), each, limits, rounds=rounds, every=_REVIEW)
        best_x[each["rows"]], best_f[each["rows"]] = each["x"], each["f"]
        keep = (~each["done"]).nonzero()[:, 0]
        if not len(keep):
            break
        if len(keep) < len(each["rows"]):
            each = {name: tensor[keep] for name, tensor in each.items()}
    return best_x, best_f
