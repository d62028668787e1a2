"""The two halves of a projected dense BFGS step, shared by the hyperparameter fit and the acquisition search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]


@jit()
def quasi_newton_step(x: Array, g: Array, H: Array, fresh: bool, lower: Array, upper: Array, step: Array) -> float:
    """Step = descent direction on the free coordinates; returns the largest free gradient entry (0: stationary)."""
    d = x.shape[0]
    largest = 0.0
    for i in range(d):
        blocked = (x[i] <= lower[i] and g[i] > 0.0) or (x[i] >= upper[i] and g[i] < 0.0) or lower[i] == upper[i]
        step[i] = 0.0 if blocked else g[i]
        largest = max(largest, abs(step[i]))
    if fresh:
        for i in range(d):
            step[i] = -step[i]
        return largest
    projected = step.copy()
    descent = 0.0
    for i in range(d):
        if projected[i] == 0.0:
            step[i] = 0.0
            continue
        s = 0.0
        for j in range(d):
            s += H[i, j] * projected[j]
        step[i] = -s
        descent -= s * g[i]
    if not descent < 0.0:
        for i in range(d):
            step[i] = -projected[i]
        return -largest  # sign tells the caller that the curvature is unusable
    return largest


@jit()
def update_curvature(H: Array, s: Array, change: Array, fresh: bool) -> bool:
    """BFGS update of the inverse Hessian; returns whether H still holds no curvature."""
    d = s.shape[0]
    sy, yy = 0.0, 0.0
    for i in range(d):
        sy += s[i] * change[i]
        yy += change[i] * change[i]
    if not (sy > 0.0 and sy > 1e-12 * yy):
        return fresh
    if fresh:
        for i in range(d):
            for j in range(d):
                H[i, j] = sy / yy if i == j else 0.0
    Hy = np.empty(d)
    yHy = 0.0
    for i in range(d):
        t = 0.0
        for j in range(d):
            t += H[i, j] * change[j]
        Hy[i] = t
        yHy += t * change[i]
    c = (1.0 + yHy / sy) / sy
    for i in range(d):
        for j in range(d):
            H[i, j] += c * s[i] * s[j] - (Hy[i] * s[j] + s[i] * Hy[j]) / sy
    return False
