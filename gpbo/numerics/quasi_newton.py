"""The two halves of a projected dense BFGS step, shared by the hyperparameter fit and the acquisition search.

A coordinate that rests on a bound is *blocked* and must leave the curvature, not only the gradient: the inverse of the
Hessian on the free coordinates is a Schur complement of the inverse Hessian, and its plain sub-block gives steps that
are too long wherever free and blocked coordinates are correlated (Bertsekas 1982). So blocking a coordinate eliminates
it from the matrix, once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@jit()
def quasi_newton_step(
    x: Array, g: Array, H: Array, fresh: bool, lower: Array, upper: Array, blocked: Flags, step: Array
) -> float:
    """Descent direction on the free coordinates.

    Args:
        x, g: Point and gradient, shape (p,).
        H: Inverse Hessian, shape (p, p); blocked coordinates are eliminated in place.
        fresh: Whether H holds no curvature yet: then the step is the negative gradient.
        lower, upper: Bounds, shape (p,); equal bounds block a coordinate for good.
        blocked: Which coordinates were blocked at the last step; updated.
        step: Receives the direction.

    Returns:
        The largest free gradient entry, 0 at a stationary point; its negative where the curvature was unusable and the
        step is the negative gradient.
    """
    p = x.shape[0]
    largest = 0.0
    for i in range(p):
        now = (x[i] <= lower[i] and g[i] > 0.0) or (x[i] >= upper[i] and g[i] < 0.0) or lower[i] == upper[i]
        if now and not blocked[i] and not fresh:
            eliminate(H, i)
        blocked[i] = now
        step[i] = 0.0 if now else -g[i]
        largest = max(largest, abs(step[i]))
    if fresh:
        return largest
    descent = 0.0
    for i in range(p):
        if blocked[i]:
            continue
        s = 0.0
        for j in range(p):
            if not blocked[j]:
                s -= H[i, j] * g[j]
        step[i] = s
        descent -= s * g[i]
    if not descent > 0.0:
        for i in range(p):
            step[i] = 0.0 if blocked[i] else -g[i]
        return -largest
    return largest


@jit()
def eliminate(H: Array, i: int) -> None:
    """Takes coordinate i out of an inverse Hessian: Schur complement on the others, its own scale on the diagonal."""
    p = H.shape[0]
    pivot = H[i, i]
    if not pivot > 0.0:
        return
    for j in range(p):
        if j != i:
            t = H[j, i] / pivot
            for k in range(p):
                if k != i:
                    H[j, k] -= t * H[i, k]
    for j in range(p):
        if j != i:
            H[i, j] = 0.0
            H[j, i] = 0.0


@jit()
def update_curvature(H: Array, s: Array, change: Array, blocked: Flags, fresh: bool) -> bool:
    """BFGS update of the inverse Hessian on the free coordinates; returns whether H still holds no curvature.

    Args:
        H: Inverse Hessian, shape (p, p).
        s: Step taken, shape (p,); zero on blocked coordinates.
        change: Change of the gradient; set to zero on blocked coordinates.
        blocked: Coordinates that did not take part.
        fresh: Whether H holds no curvature yet.
    """
    p = s.shape[0]
    sy, yy = 0.0, 0.0
    for i in range(p):
        if blocked[i]:
            change[i] = 0.0
        sy += s[i] * change[i]
        yy += change[i] * change[i]
    if not (sy > 0.0 and sy > 1e-12 * yy):
        return fresh
    if fresh:
        for i in range(p):
            for j in range(p):
                H[i, j] = sy / yy if i == j else 0.0
    Hy = np.empty(p)
    yHy = 0.0
    for i in range(p):
        t = 0.0
        for j in range(p):
            t += H[i, j] * change[j]
        Hy[i] = t
        yHy += t * change[i]
    c = (1.0 + yHy / sy) / sy
    for i in range(p):
        for j in range(p):
            H[i, j] += c * s[i] * s[j] - (Hy[i] * s[j] + s[i] * Hy[j]) / sy
    return False
