"""log(phi(u) + u Phi(u)), the logarithm of a standard normal's expected improvement, stable in both tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)


def log_improvement(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log of h(u) = phi(u) + u Phi(u) and its two ratios.

    Args:
        u: (mean - best) / sd, any shape.

    Returns:
        log h(u), Phi(u) / h(u) and phi(u) / h(u), same shape; finite down to u = -1e150.

    Source: Ament et al. 2023, eq. 9.
    """
    upper = u.clamp_min(-1.0)
    density, cdf = torch.exp(-0.5 * upper * upper - _HALF_LOG_2PI), torch.special.ndtr(upper)
    high = density + upper * cdf
    # Below -1, with x = -u and Mills' ratio M = Phi(u)/phi(u): h/phi = 1 - x M. The subtraction cancels as 1/x^2, so
    # from x = 30 on both are asymptotic series, whose first neglected term is below 3e-13 there.
    x = (-u).clamp(1.0, 30.0)
    mills = _SQRT_HALF_PI * torch.special.erfcx(x / math.sqrt(2.0))
    v = (-u).clamp_min(30.0).square().reciprocal()
    ratio = torch.where(
        u > -30.0,
        1.0 - x * mills,
        v * (1.0 - v * (3.0 - v * (15.0 - v * (105.0 - v * (945.0 - v * 10395.0))))),
    )
    series = v.sqrt() * (1.0 - v * (1.0 - v * (3.0 - v * (15.0 - v * (105.0 - v * 945.0)))))
    mills = torch.where(u > -30.0, mills, series)
    tail = u < -1.0
    low = -0.5 * u * u - _HALF_LOG_2PI + ratio.log()
    return (
        torch.where(tail, low, high.log()),
        torch.where(tail, mills / ratio, cdf / high),
        torch.where(tail, ratio.reciprocal(), density / high),
    )
