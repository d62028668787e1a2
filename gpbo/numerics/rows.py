"""Vectorised scalar functions and covariance rows for compiled code.

``math.exp`` inside a compiled loop is a scalar library call of 4-5 ns. ``exp_row`` is plain arithmetic that LLVM turns
into vector instructions: 0.8 ns a value, relative error 2e-16 (measured over [-30, 0]).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]

_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it leaves the nearest integer in the low bits of the sum
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # ln 2 in two parts (Cody and Waite)
_SQRT5, _SQRT3 = math.sqrt(5.0), math.sqrt(3.0)
_LOG_2PI = math.log(2.0 * math.pi)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)

KINDS = {"rbf": 0, "matern52": 1, "matern32": 2, "matern12": 3}
SUMS = 8  # added to a number: the kernel of all coordinates and a sum of the same kernel on each coordinate alone


@jit(fast={"contract"})
def exp_row(x: Array, out: Array, m: int) -> None:
    """out[:m] = exp(x[:m]) for x <= 0; below -700 the result stays at exp(-700)."""
    bits = out.view(np.int64)
    for i in range(m):
        out[i] = max(x[i], -700.0) * _LOG2E + _ROUND
    for i in range(m):
        k = out[i] - _ROUND
        v = max(x[i], -700.0)
        r = v - k * _LN2_HIGH - k * _LN2_LOW  # |r| <= ln(2)/2: a Taylor polynomial of degree 13 is exact to rounding
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        power = bits[i] << 52
        out[i] = p
        bits[i] = bits[i] + power  # times 2**k, in the exponent field


@jit(fast={"contract"})
def covariance_row(kind: int, scale: float, squared: Array, k: Array, slope: Array, m: int) -> None:
    """Covariance and slope for m squared scaled distances; ``squared`` is used as scratch.

    ``slope`` is -2 dk/d(r^2), so that dk/dz = -slope * (z - z') in scaled coordinates. At r = 0 the Matern-1/2 slope,
    which has no limit there, is set to 0: the diagonal does not move with the lengthscales.
    """
    if kind == 0:
        for j in range(m):
            squared[j] = -0.5 * squared[j]
        exp_row(squared, k, m)
        for j in range(m):
            k[j] *= scale
            slope[j] = k[j]
    elif kind == 1:
        for j in range(m):
            squared[j] = -_SQRT5 * math.sqrt(squared[j])
        exp_row(squared, k, m)
        for j in range(m):
            r, e = -squared[j], scale * k[j]
            k[j] = (1.0 + r + r * r * (1.0 / 3.0)) * e
            slope[j] = (1.0 + r) * e * (5.0 / 3.0)
    elif kind == 2:
        for j in range(m):
            squared[j] = -_SQRT3 * math.sqrt(squared[j])
        exp_row(squared, k, m)
        for j in range(m):
            r, e = -squared[j], scale * k[j]
            k[j] = (1.0 + r) * e
            slope[j] = 3.0 * e
    elif kind == 3:
        for j in range(m):
            squared[j] = -math.sqrt(squared[j])
        exp_row(squared, k, m)
        for j in range(m):
            k[j] *= scale
            slope[j] = k[j] / -squared[j] if squared[j] < 0.0 else 0.0
    else:
        raise ValueError("a kernel number that covariance_row does not know")


@jit()
def add_sums(kind: int, each: float, z: Array, Z: Array, start: int, k: Array, m: int) -> None:
    """Adds to k[:m] the sum over coordinates of the covariance of z and the points of Z from ``start`` on.

    Args:
        kind: Number of the kernel on each coordinate.
        each: Its outputscale.
        z: Scaled coordinates of a point, shape (d,).
        Z: Scaled coordinates of points, one coordinate a row, shape (d, >= start + m).
        start, m: Which of them.
        k: Shape (>= m,).
    """
    squared, part, scratch = np.empty(m), np.empty(m), np.empty(m)
    for c in range(z.shape[0]):
        row = Z[c]
        for i in range(m):
            t = z[c] - row[start + i]
            squared[i] = t * t
        covariance_row(kind, each, squared, part, scratch, m)
        for i in range(m):
            k[i] += part[i]


@jit()
def log_improvement(u: float) -> tuple[float, float, float]:
    """Log h(u), Phi(u)/h(u) and phi(u)/h(u) with h(u) = phi(u) + u Phi(u), stable in both tails.

    Below u = -6 the ratio 1 - |u| Phi(u)/phi(u) is evaluated as a continued fraction of Mills' ratio: the textbook form
    cancels there (Ament et al. 2023, eq. 9 and appendix A use erfcx to the same end).
    """
    if u > -6.0:
        pdf = math.exp(-0.5 * u * u) * _INV_SQRT_2PI
        cdf = 0.5 * math.erfc(-u / math.sqrt(2.0))
        h = pdf + u * cdf
        return math.log(h), cdf / h, pdf / h
    x = -u
    t = x  # Mills ratio Phi(-x)/phi(x) = 1/(x + 1/(x + 2/(x + 3/(x + ...)))), read from the inside out
    for j in range(40, 1, -1):
        t = x + j / t
    tail = 1.0 / t  # = the part below the first two terms
    mills = 1.0 / (x + tail)
    ratio = tail * mills  # h/phi = 1 - x * mills, without the subtraction
    return -0.5 * u * u - 0.5 * _LOG_2PI + math.log(ratio), mills / ratio, 1.0 / ratio
