"""The log posterior of the hyperparameters and its maximiser, compiled for the host.

The same mathematics as ``objective.py`` (which is the definition and the oracle), with LAPACK called from compiled code
and the element-wise work fused into one pass over the lower triangle. theta = [mean, log noise, log outputscale,
log lengthscales (d)], followed with sums by [log outputscale, log lengthscales (d)] of the sum; coordinates with equal
bounds stay where they are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpbo.numerics.rows import SUMS, add_sums, covariance_row
from gpbo.numerics.runtime import dpotrf, dpotri, dtrsm, jit

Array = NDArray[np.float64]

_LOG_2PI = math.log(2.0 * math.pi)
_FAILED = 1e250  # value where the covariance is not positive definite; finite, so that the line search can step back


@jit()
def factorise(kind: int, Z: Array, scale: float, share: float, noise: Array, A: Array, G: Array) -> bool:
    """Lower Cholesky factor of the covariance of the rows of Z, in the lower triangle of A.

    Args:
        kind: Kernel number (``gpbo.numerics.rows.KINDS``; with ``SUMS`` for sums).
        Z: Scaled inputs, one coordinate a row, shape (d, n); with sums those of the sum follow, shape (2d, n).
        scale: Outputscale, of everything.
        share: Share of the sum in it; 0 without.
        noise: Noise variance of each point, shape (n,).
        A: Receives the factor in its leading n x n block, C order; the upper triangle is not touched.
        G: Receives the slopes below the diagonal, shape (n, n), or has shape (0, 0) when they are not wanted; those of
            the kernel of all coordinates.

    Returns:
        False where the matrix is not positive definite to working precision.
    """
    d, n = Z.shape
    if kind >= SUMS:
        d //= 2
    squared = np.empty(n)
    scratch = np.empty(n)
    keep = G.shape[0] == n
    for i in range(n):
        for j in range(i):
            squared[j] = 0.0
        for k in range(d):
            z = Z[k, i]
            row = Z[k]
            for j in range(i):
                squared[j] += (z - row[j]) * (z - row[j])
        covariance_row(kind % SUMS, scale * (1.0 - share), squared, A[i], G[i] if keep else scratch, i)
        if kind >= SUMS:
            add_sums(kind - SUMS, scale * share / d, Z[d:, i], Z[d:], 0, A[i], i)
        A[i, i] = scale + noise[i]
    size = np.array([n, A.shape[1]], dtype=np.int32)
    info = np.zeros(1, dtype=np.int32)
    upper = np.array([85], dtype=np.int8)  # 'U': the lower triangle in C order is the upper one to LAPACK
    dpotrf(upper.ctypes, size[0:].ctypes, A.ctypes, size[1:].ctypes, info.ctypes)
    return bool(info[0] == 0)


@jit()
def solve_factor(A: Array, stride: int, n: int, B: Array, columns: int, transpose: bool) -> None:
    """Solves L X = B (or L' X = B) in place; right-hand sides are rows of B, shape (columns, >= n).

    Args:
        A: Lower factor in C order with row length ``stride``; the leading n x n block is used.
        stride: Row length of A and of B.
        n: Order of the system.
        B: Right-hand sides, one a row, of row length ``stride``.
        columns: Number of right-hand sides.
        transpose: Solve with the transposed factor.
    """
    side = np.array([76, 85, 78 if transpose else 84, 78], dtype=np.int8)  # 'L', 'U', 'N' | 'T', 'N'
    sizes = np.array([n, columns, stride], dtype=np.int32)
    one = np.ones(1)
    dtrsm(
        side[0:].ctypes,
        side[1:].ctypes,
        side[2:].ctypes,
        side[3:].ctypes,
        sizes[0:].ctypes,
        sizes[1:].ctypes,
        one.ctypes,
        A.ctypes,
        sizes[2:].ctypes,
        B.ctypes,
        sizes[2:].ctypes,
    )


@jit()
def log_prior(prior: Array, t: float) -> tuple[float, float]:
    """Log density of exp(t) and its derivative in t; prior = [family, a, b] with 0 none, 1 log-normal, 2 gamma."""
    if prior[0] == 1.0:
        u = (t - prior[1]) / prior[2]
        return -t - math.log(prior[2]) - 0.5 * _LOG_2PI - 0.5 * u * u, -1.0 - u / prior[2]
    if prior[0] == 2.0:
        a, b = prior[1], prior[2]
        x = math.exp(t)
        return a * math.log(b) - math.lgamma(a) + (a - 1.0) * t - b * x, (a - 1.0) - b * x
    return 0.0, 0.0


@jit(fast={"reassoc", "contract", "nsz"})
def weighted_squares(A: Array, G: Array, alpha: Array, Z: Array, out: Array) -> None:
    """out[k] = sum over i > j of (alpha_i alpha_j - A_ij) G_ij (Z_ki - Z_kj)^2: all lengthscale gradients at once."""
    d, n = Z.shape
    w = np.empty(n)
    for k in range(d):
        out[k] = 0.0
    for i in range(n):
        a = alpha[i]
        inverse, slopes = A[i], G[i]
        for j in range(i):
            w[j] = (a * alpha[j] - inverse[j]) * slopes[j]
        for k in range(d):
            row = Z[k]
            z = row[i]
            s = 0.0
            for j in range(i):
                s += w[j] * (z - row[j]) * (z - row[j])
            out[k] += s


@jit(fast={"reassoc", "contract", "nsz"})
def weighted_sums(kind: int, scale: float, A: Array, alpha: Array, Z: Array, out: Array) -> float:
    """As ``weighted_squares`` for the sum over coordinates; returns the sum over i > j of weights times its covariance.

    Args:
        kind, scale: Kernel number on each coordinate, and the sum's outputscale.
        A, alpha: The inverse covariance and its product with the residuals.
        Z: Inputs in the sum's scale, shape (d, n).
        out: Receives the gradients in its log lengthscales, shape (d,).
    """
    d, n = Z.shape
    w, squared, k, slopes, kept = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    total = 0.0
    for c in range(d):
        out[c] = 0.0
    for i in range(n):
        for j in range(i):
            w[j] = alpha[i] * alpha[j] - A[i, j]
        for c in range(d):
            row = Z[c]
            z = row[i]
            for j in range(i):
                squared[j] = (z - row[j]) * (z - row[j])
                kept[j] = squared[j]
            covariance_row(kind, scale / d, squared, k, slopes, i)
            s = 0.0
            for j in range(i):
                s += w[j] * slopes[j] * kept[j]
                total += w[j] * k[j]
            out[c] += s
    return total


@jit()
def negative_log_posterior(
    theta: Array,
    gradient: Array,
    X: Array,
    y: Array,
    known: Array,
    infer: bool,
    kind: int,
    priors: Array,
    A: Array,
    G: Array,
    Z: Array,
) -> float:
    """Negative log posterior per observation and its gradient in theta.

    Args:
        theta: [mean, log noise, log outputscale, log lengthscales], shape (d + 3,), or with sums (2 d + 4,).
        gradient: Receives the gradient, same shape.
        X: Inputs, one coordinate a row, shape (d, n).
        y: Outcomes, shape (n,).
        known: Noise variance of each point, shape (n,); NaN where it is the inferred one.
        infer: Whether any is.
        kind: Kernel number.
        priors: Rows [family, a, b] for noise, outputscale, lengthscale; with sums, those of its outputscale and
            lengthscales.
        A, G, Z: Scratch of shapes (n, n), (n, n), (d, n) or with sums (2 d, n).

    Returns:
        The value, or a huge finite number where the covariance is not positive definite.
    """
    d, n = X.shape
    scale, share = math.exp(theta[2]), 0.0
    if kind >= SUMS:
        scale += math.exp(theta[3 + d])
        share = math.exp(theta[3 + d]) / scale
    noise = np.empty(n)
    for i in range(n):
        noise[i] = math.exp(theta[1]) if math.isnan(known[i]) else known[i]
    for k in range(d):
        inverse = math.exp(-theta[3 + k])
        for i in range(n):
            Z[k, i] = X[k, i] * inverse
    if kind >= SUMS:
        for k in range(d):
            inverse = math.exp(-theta[4 + d + k])
            for i in range(n):
                Z[d + k, i] = X[k, i] * inverse
    gradient[:] = 0.0
    if not factorise(kind, Z, scale, share, noise, A, G):
        return _FAILED
    half = np.empty((1, n))
    log_determinant = 0.0
    for i in range(n):
        half[0, i] = y[i] - theta[0]
        log_determinant += math.log(A[i, i])
    solve_factor(A, n, n, half, 1, False)
    quadratic = 0.0
    for i in range(n):
        quadratic += half[0, i] * half[0, i]
    value = -0.5 * quadratic - log_determinant - 0.5 * n * _LOG_2PI
    solve_factor(A, n, n, half, 1, True)
    alpha = half[0]
    size = np.array([n], dtype=np.int32)
    info = np.zeros(1, dtype=np.int32)
    upper = np.array([85], dtype=np.int8)
    dpotri(upper.ctypes, size.ctypes, A.ctypes, size.ctypes, info.ctypes)
    trace = 0.0
    for i in range(n):
        gradient[0] += alpha[i]
        part = (alpha[i] * alpha[i] - A[i, i]) * noise[i]
        trace += part
        if math.isnan(known[i]):
            gradient[1] += 0.5 * part
    gradient[2] = 0.5 * (quadratic - n - trace)  # tr(M K) = alpha'(K + D)alpha - n - tr(M D): K itself is not needed
    weighted_squares(A, G, alpha, Z[:d], gradient[3 : 3 + d])
    if kind >= SUMS:
        part = weighted_sums(kind - SUMS, scale * share, A, alpha, Z[d:], gradient[4 + d :])
        for i in range(n):
            part += 0.5 * (alpha[i] * alpha[i] - A[i, i]) * scale * share
        gradient[3 + d] = part
        gradient[2] -= part
        density, slope = log_prior(priors[3], theta[3 + d])
        value += density
        gradient[3 + d] += slope
        for k in range(d):
            density, slope = log_prior(priors[4], theta[4 + d + k])
            value += density
            gradient[4 + d + k] += slope
    if infer:
        density, slope = log_prior(priors[0], theta[1])
        value += density
        gradient[1] += slope
    density, slope = log_prior(priors[1], theta[2])
    value += density
    gradient[2] += slope
    for k in range(d):
        density, slope = log_prior(priors[2], theta[3 + k])
        value += density
        gradient[3 + k] += slope
    for k in range(theta.shape[0]):
        gradient[k] = -gradient[k] / n
    if not math.isfinite(value):
        gradient[:] = 0.0
        return _FAILED
    return float(-value / n)
