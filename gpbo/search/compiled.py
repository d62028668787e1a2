"""Projected BFGS from many starts in lockstep, compiled for the host.

All starts that are still moving are evaluated together, so that one pair of triangular solves serves them all; each
keeps its own step length and inverse Hessian. A start leaves the round when it has converged, or when it gains too
slowly to catch up with the best one; where the starts are picks of one batch, each is its own race and only convergence
ends it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpbo.acquisition.compiled import evaluate
from gpbo.numerics.quasi_newton import quasi_newton_step, update_curvature
from gpbo.numerics.runtime import jit

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_REVIEW = 6  # rounds between reviews, in which hopeless starts are dropped
_PATIENCE = 8.0  # a start goes on while so many times its gain since the last review would take it to the lead


@jit()
def maximise(
    starts: Array,
    lower: Array,
    upper: Array,
    iterations: int,
    tolerance: float,
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
) -> tuple[Array, Array, int]:
    """Maximises the acquisition from every start inside its own box.

    Args:
        starts: Shape (R, d).
        lower, upper: Bounds of each start, shape (R, d); equal bounds freeze a coordinate.
        iterations: Most rounds; one round evaluates every start that is still moving once.
        tolerance: A start has converged when two accepted steps in a row gain less than this.
        The rest as in ``gpbo.acquisition.compiled.evaluate``.

    Returns:
        Points (R, d), values (R,), number of point evaluations.
    """
    R, d = starts.shape
    x = np.empty((R, d))
    for r in range(R):
        for k in range(d):
            x[r, k] = min(max(starts[r, k], lower[r, k]), upper[r, k])
    g, g_try = np.empty((R, d)), np.empty((R, d))
    V, W = np.empty((R, L.shape[0])), np.empty((R, L.shape[0]))
    f = -evaluate(x, g, mode, kind, scale, constant, inverse, Z, L, beta, first, ends, normals, best, V, W)
    for r in range(R):
        for k in range(d):
            g[r, k] = -g[r, k]
    H = np.empty((R, d, d))
    fresh = np.ones(R, dtype=np.bool_)
    blocked = np.zeros((R, d), dtype=np.bool_)
    length = np.ones(R)
    retries = np.zeros(R, dtype=np.int64)
    small = np.zeros(R, dtype=np.int64)
    step = np.zeros((R, d))
    x_try = np.empty((R, d))
    own = best.shape[0] > 1
    ends_try, best_try = ends.copy(), best.copy()
    active = np.arange(R)
    count = R
    evaluations = R
    for r in range(R):
        retries[r] = -1  # needs a new direction
    earlier = f.copy()
    for round_ in range(iterations):
        if round_ > 0 and round_ % _REVIEW == 0 and not own:
            lead = np.min(f)
            moving = 0
            for a in range(count):
                r = active[a]
                if f[r] - _PATIENCE * (earlier[r] - f[r]) <= lead + tolerance:
                    active[moving] = r
                    moving += 1
                earlier[r] = f[r]
            count = moving
        moving = 0
        for a in range(count):
            r = active[a]
            if retries[r] < 0:
                largest = quasi_newton_step(x[r], g[r], H[r], fresh[r], lower[r], upper[r], blocked[r], step[r])
                if largest < 0.0:
                    fresh[r] = True
                    largest = -largest
                if largest < 1e-7:
                    continue
                reach = 0.0
                for k in range(d):
                    reach = max(reach, abs(step[r, k]))
                length[r] = min(1.0, 0.05 / reach) if fresh[r] else min(1.0, 0.3 / reach)
                retries[r] = 0
            active[moving] = r
            moving += 1
        count = moving
        if count == 0:
            break
        for a in range(count):
            r = active[a]
            ends_try[a] = ends[r]
            if own:
                best_try[a] = best[r]
            for k in range(d):
                x_try[a, k] = min(max(x[r, k] + length[r] * step[r, k], lower[r, k]), upper[r, k])
        values = evaluate(
            x_try[:count],
            g_try[:count],
            mode,
            kind,
            scale,
            constant,
            inverse,
            Z,
            L,
            beta,
            first,
            ends_try[:count],
            normals,
            best_try[:count] if own else best,
            V[:count],
            W[:count],
        )
        evaluations += count
        moving = 0
        for a in range(count):
            r = active[a]
            expected = 0.0
            for k in range(d):
                expected += g[r, k] * (x_try[a, k] - x[r, k])
            rise = -values[a] - f[r]
            if rise <= 1e-4 * expected:
                change, s = np.empty(d), np.empty(d)
                for k in range(d):
                    s[k] = x_try[a, k] - x[r, k]
                    change[k] = -g_try[a, k] - g[r, k]
                    x[r, k] = x_try[a, k]
                    g[r, k] = -g_try[a, k]
                f[r] = -values[a]
                fresh[r] = update_curvature(H[r], s, change, blocked[r], fresh[r])
                retries[r] = -1
                small[r] = small[r] + 1 if -rise < tolerance else 0
                keep = small[r] < 2
            else:
                shrink = -0.5 * expected / max(rise - expected, 1e-300)
                length[r] *= min(max(shrink, 0.1), 0.5)
                retries[r] += 1
                keep = retries[r] < 14
                if not keep and not fresh[r]:
                    fresh[r] = True  # stale curvature: once more along the gradient before giving up
                    retries[r] = -1
                    keep = True
            if keep:
                active[moving] = r
                moving += 1
        count = moving
        if count == 0:
            break
    return x, -f, evaluations
