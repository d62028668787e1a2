"""Step control of the batched quasi-Newton methods: what becomes of a trial point, as masks on the device.

A trial point is accepted where it decreases enough (Armijo, 1e-4); otherwise the step shrinks to the minimum of the
parabola through what is known, within a factor 0.1 to 0.5. Steps that keep failing along stale curvature start once
more along the gradient before the problem is given up.
"""

from __future__ import annotations

from torch import Tensor, where, zeros_like

from gpbo.numerics.graphs import Tensors

_SLOPE = 1e-4  # of the expected decrease, that counts as enough


def state(x: Tensor, f: Tensor, g: Tensor, lower: Tensor, upper: Tensor) -> Tensors:
    """What both methods keep of b problems in p dimensions, besides their curvature."""
    none = zeros_like(f).bool()
    return {
        "x": x,
        "f": f,
        "g": g,
        "lower": lower.to(x).expand(x.shape).clone(),
        "upper": upper.to(x).expand(x.shape).clone(),
        "step": zeros_like(x),
        "t": zeros_like(f) + 1.0,
        "small": zeros_like(f),
        "retries": zeros_like(f),
        "turn": ~none,  # a new direction is due
        "done": none.clone(),
    }


def free_coordinates(s: Tensors) -> Tensor:
    """Which coordinates can move: not frozen, and not held at a bound by the gradient, shape (b, p)."""
    x, g, lower, upper = s["x"], s["g"], s["lower"], s["upper"]
    return (lower < upper) & ~(((x <= lower) & (g > 0.0)) | ((x >= upper) & (g < 0.0)))


def trial(s: Tensors) -> Tensor:
    """Where to evaluate next, shape (b, p); problems that are done stay where they are."""
    moved = (s["x"] + s["t"][:, None] * s["step"]).clamp(s["lower"], s["upper"])
    return where(s["done"][:, None], s["x"], moved)


def judge(s: Tensors, x: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Which trial points are accepted, shape (b,); NaN is not."""
    expected = (s["g"] * (x - s["x"])).sum(-1)
    return (f <= s["f"] + _SLOPE * expected) & ~s["done"]


def move(
    s: Tensors, x: Tensor, f: Tensor, g: Tensor, accepted: Tensor, *, curved: Tensor, retries: int, tolerance: Tensor
) -> Tensor:
    """Goes to the accepted points, shortens the other steps, and sees who is done.

    Args:
        s: The state; updated in place.
        x, f, g: Trial points, values and gradients.
        accepted: From :func:`judge`.
        curved: Which problems have curvature that could be to blame for a step that fails, shape (b,).
        retries: Shortened steps before a direction is given up.
        tolerance: A problem is done after two accepted steps in a row that gain less than this.

    Returns:
        Which problems must forget their curvature and start along the gradient, shape (b,).
    """
    expected = (s["g"] * (x - s["x"])).sum(-1)
    rise = f - s["f"]
    shrink = (-0.5 * expected / (rise - expected).clamp_min(1e-300)).nan_to_num(0.1).clamp(0.1, 0.5)
    s["t"].copy_(where(accepted, s["t"], s["t"] * shrink))
    s["small"].copy_(where(accepted, where(-rise < tolerance, s["small"] + 1.0, 0.0), s["small"]))
    s["retries"].copy_(where(accepted, 0.0, s["retries"] + 1.0))
    s["x"].copy_(where(accepted[:, None], x, s["x"]))
    s["f"].copy_(where(accepted, f, s["f"]))
    s["g"].copy_(where(accepted[:, None], g, s["g"]))
    stuck = s["retries"] >= retries
    restart = stuck & curved
    s["done"].logical_or_((s["small"] >= 2.0) | (stuck & ~curved))
    s["retries"].masked_fill_(restart, 0.0)
    s["turn"].copy_(accepted | restart)
    return restart
