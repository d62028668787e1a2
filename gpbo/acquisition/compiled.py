"""Log expected improvement with gradients for many points at once, compiled for the host.

The posterior is a bordered lower Cholesky factor L of the covariance of n observations and j conditioned points, and
beta = L^-1 (y - c). With v = L^-1 k(x) the mean is c + v'beta and the variance k(x, x) - v'v: two triangular solves
give value and gradient, and no inverse is formed, so nearly duplicate points stay accurate.

A conditioned point adds one row to L. Its fantasy is mean + sd * z, whose entry in beta is exactly z, so S fantasies of
j points are a (j, S) table of normals and share one factor and one beta.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpbo.models.compiled_objective import solve_factor
from gpbo.models.compiled_posterior import whitened_rows
from gpbo.numerics.rows import log_improvement
from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]

LOG_EI, MEAN = 0, 1
_MIN_VARIANCE = 1e-12  # BoTorch's clamp in its analytic acquisition functions


@jit(fast={"reassoc", "contract", "nsz"})
def moments(v: Array, beta: Array, scale: float, m: int) -> tuple[float, float]:
    """V'beta and the clamped variance scale - v'v over the first m entries."""
    mean, square = 0.0, 0.0
    for i in range(m):
        mean += v[i] * beta[i]
        square += v[i] * v[i]
    return mean, max(scale - square, _MIN_VARIANCE)


@jit(fast={"reassoc", "contract", "nsz"})
def input_gradient(coefficients: Array, slopes: Array, z: Array, inverse: Array, Z: Array, m: int, out: Array) -> None:
    """Out = d/du of sum_i coefficients_i k(u, x_i), from the slopes of k."""
    for i in range(m):
        coefficients[i] *= slopes[i]
    for k in range(z.shape[0]):
        row = Z[k]
        zk = z[k]
        s = 0.0
        for i in range(m):
            s += coefficients[i] * (row[i] - zk)
        out[k] = s * inverse[k]


@jit()
def mixture(
    mean: float, sd: float, v: Array, first: int, m: int, normals: Array, best: Array, slopes: Array
) -> tuple[float, float, float]:
    """Log of the mean improvement over all fantasies; slopes receives d/d mean of each fantasy, shape (S,).

    Returns:
        Value, sum of slopes, derivative in sd.
    """
    S = best.shape[0]
    if S == 1 and m == first:
        value, up, density = log_improvement((mean - best[0]) / sd)
        slopes[0] = up / sd
        return math.log(sd) + value, slopes[0], density / sd
    logs = np.empty(S)
    densities = np.empty(S)
    largest = -np.inf
    for s in range(S):
        slopes[s] = mean - best[s]
    for p in range(first, m):
        vp = v[p]
        for s in range(S):
            slopes[s] += vp * normals[p - first, s]
    for s in range(S):
        logs[s], slopes[s], densities[s] = log_improvement(slopes[s] / sd)
        largest = max(largest, logs[s])
    total = 0.0
    for s in range(S):
        logs[s] = math.exp(logs[s] - largest)
        total += logs[s]
    up, density = 0.0, 0.0
    for s in range(S):
        weight = logs[s] / total
        slopes[s] *= weight / sd
        up += slopes[s]
        density += weight * densities[s]
    return math.log(sd) + largest + math.log(total / S), up, density / sd


@jit()
def evaluate(
    U: Array,
    gradient: Array,
    mode: int,
    kind: int,
    scale: float,
    constant: float,
    inverse: Array,
    Z: Array,
    L: Array,
    beta: Array,
    first: int,
    m: int,
    normals: Array,
    best: Array,
    V: Array,
    W: Array,
) -> Array:
    """Acquisition values at the rows of U, to be maximised, and their gradients.

    Args:
        U: Points, shape (R, d).
        gradient: Receives the gradients, shape (R, d), or has shape (0, 0) when only values are wanted.
        mode: LOG_EI or MEAN.
        kind, scale, constant, inverse, Z, L, beta: The posterior; rows from ``first`` to ``m`` carry fantasies.
        normals: Fantasies of the rows from ``first`` on, shape (>= m - first, S).
        best: Incumbent of each fantasy, shape (S,).
        V, W: Scratch, shapes (R, capacity).

    Returns:
        Values, shape (R,).
    """
    R, d = U.shape
    want = gradient.shape[0] == R and gradient.shape[1] == d
    whitened_rows(kind, scale, U, inverse, Z, L, m, V, W)
    values = np.empty(R)
    slopes = np.empty(best.shape[0])
    for r in range(R):
        v = V[r]
        mean, variance = moments(v, beta, scale, m)
        mean += constant
        if mode == MEAN:
            values[r] = mean
            up, dv = 1.0, 0.0
            slopes[:] = 0.0
        else:
            sd = math.sqrt(variance)
            values[r], up, density = mixture(mean, sd, v, first, m, normals, best, slopes)
            dv = -density / sd if variance > _MIN_VARIANCE else 0.0
        if want:
            for i in range(m):
                v[i] = up * beta[i] + dv * v[i]
            if mode != MEAN:
                for p in range(first, m):
                    s = 0.0
                    for k in range(best.shape[0]):
                        s += slopes[k] * normals[p - first, k]
                    v[p] += s
    if want:
        solve_factor(L, L.shape[0], m, V, R, True)
        for r in range(R):
            input_gradient(V[r], W[r], U[r] * inverse, inverse, Z, m, gradient[r])
    return values


@jit()
def screen_values(
    V: Array, scale: float, constant: float, beta: Array, first: int, m: int, normals: Array, best: Array
) -> Array:
    """LogEI for points whose whitened rows V (R, capacity) are known; the other arguments as in ``evaluate``."""
    values = np.empty(V.shape[0])
    slopes = np.empty(best.shape[0])
    for r in range(V.shape[0]):
        mean, variance = moments(V[r], beta, scale, m)
        values[r] = mixture(mean + constant, math.sqrt(variance), V[r], first, m, normals, best, slopes)[0]
    return values
