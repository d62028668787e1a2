"""Compiled pieces of the host posterior: covariance rows through the triangular solve, and bordered updates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpbo.models.compiled_objective import solve_factor
from gpbo.numerics.rows import SUMS, add_sums, covariance_row
from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]


@jit()
def whitened_rows(
    kind: int, scale: float, U: Array, inverse: Array, Z: Array, L: Array, m: int, V: Array, W: Array
) -> None:
    """V[r] = L^-1 k(u_r) and W[r] = slopes of k(u_r), for every row of U.

    Args:
        kind, scale: Kernel number and outputscale.
        U: Points, shape (R, d).
        inverse: Inverse lengthscales, shape (d,); with sums those of the sum and its share of the outputscale follow.
        Z: Scaled inputs of observations and conditioned points, shape (d, capacity), or with sums (2 d, capacity).
        L: Lower factor, shape (capacity, capacity).
        m: Rows of L in use.
        V, W: Receive the results, shapes (R, capacity); W of another shape when slopes are not wanted.
    """
    R, d = U.shape
    squared = np.empty(m)
    scratch = np.empty(m)
    keep = W.shape[0] == R and W.shape[1] == V.shape[1]
    share = inverse[2 * d] if kind >= SUMS else 0.0
    for r in range(R):
        for i in range(m):
            squared[i] = 0.0
        for k in range(d):
            z = U[r, k] * inverse[k]
            row = Z[k]
            for i in range(m):
                squared[i] += (z - row[i]) * (z - row[i])
        covariance_row(kind % SUMS, scale * (1.0 - share), squared, V[r], W[r] if keep else scratch, m)
        if kind >= SUMS:
            add_sums(kind - SUMS, scale * share / d, U[r] * inverse[d : 2 * d], Z[d:], 0, V[r], m)
    solve_factor(L, L.shape[0], m, V, R, False)


@jit()
def covariances(kind: int, scale: float, U: Array, inverse: Array, Z: Array, start: int, out: Array) -> None:
    """out[r, i] = k(u_r, x_(start + i)); arguments as in ``whitened_rows``."""
    R, m = out.shape
    d = U.shape[1]
    squared, scratch = np.empty(m), np.empty(m)
    share = inverse[2 * d] if kind >= SUMS else 0.0
    for r in range(R):
        for i in range(m):
            squared[i] = 0.0
        for k in range(d):
            z = U[r, k] * inverse[k]
            for i in range(m):
                t = z - Z[k, start + i]
                squared[i] += t * t
        covariance_row(kind % SUMS, scale * (1.0 - share), squared, out[r], scratch, m)
        if kind >= SUMS:
            add_sums(kind - SUMS, scale * share / d, U[r] * inverse[d : 2 * d], Z[d:], start, out[r], m)


@jit(fast={"reassoc", "contract", "nsz"})
def _dot(a: Array, b: Array, m: int) -> float:
    s = 0.0
    for i in range(m):
        s += a[i] * b[i]
    return s


@jit()
def append_rows(kind: int, scale: float, U: Array, inverse: Array, Z: Array, L: Array, m: int, noise: Array) -> None:
    """Borders the factor by the points U, shape (b, d), with noise variances (b,). O(b m^2), one solve for all.

    Row m + i becomes [l', sqrt(k(u, u) + noise - l'l)] with l = L^-1 k(u). The conditional variance is at least the
    noise; where rounding says otherwise it is raised to that, or without noise to 1e-10 of the outputscale.
    """
    b, d = U.shape
    V = np.empty((b, L.shape[0]))
    whitened_rows(kind, scale, U, inverse, Z, L, m, V, np.empty((0, 0)))
    squared, k_row, scratch = np.empty(b), np.empty(b), np.empty(b)
    share = inverse[2 * d] if kind >= SUMS else 0.0
    for i in range(b):
        row = L[m + i]
        row[:m] = V[i, :m]
        for j in range(i):
            s = 0.0
            for k in range(d):
                t = (U[i, k] - U[j, k]) * inverse[k]
                s += t * t
            squared[j] = s
        covariance_row(kind % SUMS, scale * (1.0 - share), squared, k_row, scratch, i)
        if kind >= SUMS:
            for k in range(d):
                Z[d + k, m + i] = U[i, k] * inverse[d + k]
            add_sums(kind - SUMS, scale * share / d, Z[d:, m + i], Z[d:], m, k_row, i)
        for j in range(i):
            other = L[m + j]
            row[m + j] = (k_row[j] - _dot(row, other, m + j)) / other[m + j]
        rest = scale + noise[i] - _dot(row, row, m + i)
        row[m + i] = math.sqrt(max(rest, noise[i] if noise[i] > 0.0 else 1e-10 * scale))
        for k in range(d):
            Z[k, m + i] = U[i, k] * inverse[k]
