"""Projected BFGS on many independent box-constrained problems at once, in plain torch on any device.

Nothing in a round depends on a value that the host has to read: step control, curvature and convergence are masks on
the device. The host looks at the number of unfinished problems once every ``check_every`` rounds; on a GPU the rounds
in between are one captured graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from gpbo.numerics import line_search
from gpbo.numerics.graphs import GRAPHS, Tensors

Objective = Callable[..., tuple[Tensor, Tensor]]

_RETRIES = 14


def _direction(g: Tensor, B: Tensor, free: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """Newton direction on the free coordinates; steepest descent where the curvature is missing or unusable.

    The Hessian is kept and not its inverse, because its block on the free coordinates is simply a block of it.
    """
    projected = torch.where(free, g, 0.0)
    block = torch.where(free[:, :, None] & free[:, None, :], B, torch.diag_embed((~free).to(B.dtype)))
    L, info = torch.linalg.cholesky_ex(block)
    # Two triangular solves: torch.cholesky_solve of a batch may go to MAGMA, which no CUDA graph can hold.
    half = torch.linalg.solve_triangular(L, projected[..., None], upper=False)
    step = -torch.linalg.solve_triangular(L.mT, half, upper=True)[..., 0]
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


def _round(objective: Objective, s: Tensors, inputs: Tensors) -> None:
    """One evaluation of every problem that is not done."""
    free = line_search.free_coordinates(s)
    flat = torch.where(free, s["g"], 0.0).abs().amax(-1) < s["gradient_tolerance"]
    s["done"].logical_or_((s["turn"] & flat) | (s["evaluations"] > s["iterations"]))
    direction, fresh = _direction(s["g"], s["B"], free, s["fresh"])
    s["fresh"].copy_(torch.where(s["turn"], fresh, s["fresh"]))
    s["step"].copy_(torch.where(s["turn"][:, None], direction, s["step"]))
    limit = torch.where(s["fresh"], s["first_step"], s["longest_step"])
    reach = limit / s["step"].abs().amax(-1).clamp_min(1e-300)
    s["t"].copy_(torch.where(s["turn"], reach.clamp_max(1.0), s["t"]))
    x = line_search.trial(s)
    f, g = objective(x, **inputs)
    s["evaluations"].add_((~s["done"]).any())
    accepted = line_search.judge(s, x, f, g)
    B, fresh = _updated(s["B"], x - s["x"], g - s["g"], accepted, s["fresh"])
    s["B"].copy_(B)
    restart = line_search.move(s, x, f, g, accepted, curved=~fresh, retries=_RETRIES, tolerance=s["tolerance"])
    s["fresh"].copy_(fresh | restart)


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
    inputs: Tensors | None = None,
    kind: Hashable = None,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Minimises b problems in boxes.

    Args:
        objective: From points (b, p), and the inputs by name, to values (b,) and gradients (b, p); a value may be inf
            where it is undefined.
        start: First points, shape (b, p).
        lower, upper: Bounds, broadcastable to (b, p); equal bounds freeze a coordinate.
        curvature: Inverse Hessians of an earlier solve, shape (b, p, p).
        iterations: Most evaluations of the batch.
        tolerance: A problem has converged after two accepted steps in a row that gain less than this.
        gradient_tolerance: Or when no free gradient entry exceeds this.
        first_step: Largest entry of the first step, taken along the gradient.
        longest_step: Largest entry of any step.
        check_every: Rounds between looks at whether all problems have converged.
        inputs: Tensors that the objective takes.
        kind: What the objective is, besides its inputs; with it, its rounds are captured where there are CUDA graphs.

    Returns:
        Points (b, p), values (b,), inverse Hessians (b, p, p), evaluations of the batch.
    """
    b, p = start.shape
    given = inputs or {}
    x = start.clamp(lower.to(start), upper.to(start))
    f, g = objective(x, **given)
    eye = torch.eye(p, dtype=x.dtype, device=x.device).expand(b, p, p)
    limits = {
        "tolerance": tolerance,
        "gradient_tolerance": gradient_tolerance,
        "first_step": first_step,
        "longest_step": longest_step,
        "iterations": float(iterations),
        "evaluations": 1.0,
    }
    s = {
        **line_search.state(x, f.clone(), g.clone(), lower, upper),
        "B": eye.clone() if curvature is None else torch.linalg.inv_ex(curvature)[0],
        "fresh": torch.full((b,), curvature is None, device=x.device),
        **{name: torch.tensor(value, dtype=x.dtype, device=x.device) for name, value in limits.items()},
    }
    GRAPHS.iterate(functools.partial(_round, objective), s, given, rounds=iterations, every=check_every, kind=kind)
    H = torch.linalg.inv_ex(s["B"])[0]
    unusable = s["fresh"] | ~torch.isfinite(H).all(-1).all(-1)
    return s["x"], s["f"], torch.where(unusable[:, None, None], eye, H), int(s["evaluations"].item())
