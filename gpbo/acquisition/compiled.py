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
from gpbo.numerics.rows import SUMS, covariance_row, log_improvement
from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

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
def input_gradient(
    kind: int, scale: float, coefficients: Array, slopes: Array, u: Array, inverse: Array, Z: Array, m: int, out: Array
) -> None:
    """Out = d/du of sum_i coefficients_i k(u, x_i), from the slopes of k; ``coefficients`` is used as scratch."""
    d = u.shape[0]
    if kind >= SUMS:
        squared, difference, scratch, slope = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
        for k in range(d):
            row = Z[d + k]
            zk = u[k] * inverse[d + k]
            for i in range(m):
                difference[i] = row[i] - zk
                squared[i] = difference[i] * difference[i]
            covariance_row(kind - SUMS, scale * inverse[2 * d] / d, squared, scratch, slope, m)
            s = 0.0
            for i in range(m):
                s += coefficients[i] * slope[i] * difference[i]
            out[k] = s * inverse[d + k]
    else:
        out[:] = 0.0
    for i in range(m):
        coefficients[i] *= slopes[i]
    for k in range(d):
        row = Z[k]
        zk = u[k] * inverse[k]
        s = 0.0
        for i in range(m):
            s += coefficients[i] * (row[i] - zk)
        out[k] += s * inverse[k]


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
    ends: Counts,
    normals: Array,
    best: Array,
    V: Array,
    W: Array,
) -> Array:
    """Acquisition values at the rows of U, to be maximised, and their gradients.

    Row r is conditioned on the first ``ends[r]`` points: the leading block of a bordered factor is the factor of the
    first points alone, so that one factor serves the picks of a batch, each of which is conditioned on those before it.

    Args:
        U: Points, shape (R, d).
        gradient: Receives the gradients, shape (R, d), or has shape (0, 0) when only values are wanted.
        mode: LOG_EI or MEAN.
        kind, scale, constant, inverse, Z, L, beta: The posterior; rows from ``first`` on carry fantasies.
        ends: Observations and conditioned points that count, for each row of U, shape (R,).
        normals: Fantasies of the rows from ``first`` on, shape (>= max(ends) - first, S).
        best: Incumbent of each fantasy, shape (R, S), or (1, S) for all rows of U.
        V, W: Scratch, shapes (R, capacity).

    Returns:
        Values, shape (R,).
    """
    R, d = U.shape
    want = gradient.shape[0] == R and gradient.shape[1] == d
    most = 0
    for r in range(R):
        most = max(most, ends[r])
    whitened_rows(kind, scale, U, inverse, Z, L, most, V, W)
    values = np.empty(R)
    slopes = np.empty(best.shape[1])
    for r in range(R):
        v, m = V[r], ends[r]
        incumbents = best[r] if best.shape[0] > 1 else best[0]
        mean, variance = moments(v, beta, scale, m)
        mean += constant
        if mode == MEAN:
            values[r] = mean
            up, dv = 1.0, 0.0
            slopes[:] = 0.0
        else:
            sd = math.sqrt(variance)
            values[r], up, density = mixture(mean, sd, v, first, m, normals, incumbents, slopes)
            dv = -density / sd if variance > _MIN_VARIANCE else 0.0
        if want:
            for i in range(m):
                v[i] = up * beta[i] + dv * v[i]
            if mode != MEAN:
                for p in range(first, m):
                    s = 0.0
                    for k in range(best.shape[1]):
                        s += slopes[k] * normals[p - first, k]
                    v[p] += s
            for i in range(m, most):
                v[i] = 0.0
    if want:
        solve_factor(L, L.shape[0], most, V, R, True)
        for r in range(R):
            input_gradient(kind, scale, V[r], W[r], U[r], inverse, Z, ends[r], gradient[r])
    return values


@jit(fast={"reassoc", "contract", "nsz"})
def condition_rows(
    kind: int,
    scale: float,
    U: Array,
    inverse: Array,
    Z: Array,
    L: Array,
    beta: Array,
    row: int,
    normals: Array,
    V: Array,
    mean: Array,
    variance: Array,
    shifts: Array,
) -> None:
    """Moments at a fixed set of points after the factor got row ``row``: O(row) a point instead of a new solve.

    Args:
        kind, scale, inverse, Z, L, beta: The posterior.
        U: The points, shape (R, d).
        row: The new row of the factor.
        normals: Fantasies of its point, shape (S,), or of shape (0,) if it has none.
        V: Whitened rows, shape (R, capacity); entry ``row`` of each is written.
        mean, variance: Moments, shape (R,); updated.
        shifts: Of the mean under each fantasy, shape (R, S); updated.
    """
    R, d = U.shape
    squared, k_row, scratch = np.empty(R), np.empty(R), np.empty(R)
    for r in range(R):
        s = 0.0
        for k in range(d):
            t = U[r, k] * inverse[k] - Z[k, row]
            s += t * t
        squared[r] = s
    share = inverse[2 * d] if kind >= SUMS else 0.0
    covariance_row(kind % SUMS, scale * (1.0 - share), squared, k_row, scratch, R)
    if kind >= SUMS:
        part = np.empty(R)
        for k in range(d):
            for r in range(R):
                t = U[r, k] * inverse[d + k] - Z[d + k, row]
                squared[r] = t * t
            covariance_row(kind - SUMS, scale * share / d, squared, part, scratch, R)
            for r in range(R):
                k_row[r] += part[r]
    for r in range(R):
        s = k_row[r]
        for i in range(row):
            s -= V[r, i] * L[row, i]
        s /= L[row, row]
        V[r, row] = s
        mean[r] += s * beta[row]
        variance[r] -= s * s
        for j in range(normals.shape[0]):
            shifts[r, j] += s * normals[j]


@jit()
def screen_values(mean: Array, variance: Array, shifts: Array, best: Array) -> Array:
    """LogEI from moments (R,) and the shifts of the mean under each fantasy (R, S); ``best`` has shape (S,)."""
    R, S = shifts.shape
    values, logs = np.empty(R), np.empty(S)
    for r in range(R):
        sd = math.sqrt(max(variance[r], _MIN_VARIANCE))
        largest = -np.inf
        for s in range(S):
            logs[s] = log_improvement((mean[r] + shifts[r, s] - best[s]) / sd)[0]
            largest = max(largest, logs[s])
        total = 0.0
        for s in range(S):
            total += math.exp(logs[s] - largest)
        values[r] = math.log(sd) + largest + math.log(total / S)
    return values
