"""Compiled pieces of the host posterior: covariance rows through the triangular solve, and bordered updates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpbo.models.compiled_objective import solve_factor
from gpbo.numerics.rows import covariance_row
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
        inverse: Inverse lengthscales, shape (d,).
        Z: Scaled inputs of observations and conditioned points, shape (d, capacity).
        L: Lower factor, shape (capacity, capacity).
        m: Rows of L in use.
        V, W: Receive the results, shapes (R, capacity); W of another shape when slopes are not wanted.
    """
    R, d = U.shape
    squared = np.empty(m)
    scratch = np.empty(m)
    keep = W.shape[0] == R and W.shape[1] == V.shape[1]
    for r in range(R):
        for i in range(m):
            squared[i] = 0.0
        for k in range(d):
            z = U[r, k] * inverse[k]
            row = Z[k]
            for i in range(m):
                squared[i] += (z - row[i]) * (z - row[i])
        covariance_row(kind, scale, squared, V[r], W[r] if keep else scratch, m)
    solve_factor(L, L.shape[0], m, V, R, False)


@jit()
def append_row(kind: int, scale: float, u: Array, inverse: Array, Z: Array, L: Array, m: int, noise: float) -> None:
    """Borders the factor by one point: L[m] = [l', sqrt(k(u, u) + noise - l'l)] with l = L^-1 k(u). O(m^2).

    The conditional variance is at least the noise; where rounding says otherwise it is raised to that. Without noise it
    is raised to 1e-10 of the outputscale: the point says nothing new, and the row must not divide by rounding error.
    """
    d = u.shape[0]
    row = np.empty((1, d))
    for k in range(d):
        row[0, k] = u[k]
    v = np.empty((1, L.shape[0]))
    whitened_rows(kind, scale, row, inverse, Z, L, m, v, np.empty((0, 0)))
    rest = scale + noise
    for i in range(m):
        L[m, i] = v[0, i]
        rest -= v[0, i] * v[0, i]
    L[m, m] = math.sqrt(max(rest, noise if noise > 0.0 else 1e-10 * scale))
    for k in range(d):
        Z[k, m] = u[k] * inverse[k]


@jit(fast={"reassoc", "contract", "nsz"})
def extend_rows(kind: int, scale: float, U: Array, inverse: Array, Z: Array, L: Array, m: int, V: Array) -> None:
    """Entry m of every whitened row after the factor got row m: O(m) a point instead of a new solve."""
    R, d = U.shape
    squared, k_row, scratch = np.empty(R), np.empty(R), np.empty(R)
    for r in range(R):
        s = 0.0
        for k in range(d):
            t = U[r, k] * inverse[k] - Z[k, m]
            s += t * t
        squared[r] = s
    covariance_row(kind, scale, squared, k_row, scratch, R)
    for r in range(R):
        s = k_row[r]
        for i in range(m):
            s -= V[r, i] * L[m, i]
        V[r, m] = s / L[m, m]
