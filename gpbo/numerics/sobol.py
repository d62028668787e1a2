"""Scrambled Sobol points in any dimension."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_MOST = 21201  # dimensions in torch's tables


def sobol(dimensions: int, points: int, *, seed: int, skip: int = 0) -> NDArray[np.float64]:
    """Points ``skip`` to ``skip + points`` of the sequence with that scrambling, shape (points, dimensions) in [0, 1).

    Dimensions beyond the tables are filled with pseudo-random numbers that depend on the seed only.
    """
    engine = torch.quasirandom.SobolEngine(min(dimensions, _MOST), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    # The engine keeps its first point in the process's default dtype; this is the same point in float64.
    origin: NDArray[np.float64] = (engine.quasi.double() / 2**engine.MAXBIT).reshape(1, -1).numpy()
    engine.fast_forward(max(skip, 1))  # type: ignore[no-untyped-call]
    later: NDArray[np.float64] = engine.draw(points - (skip == 0), dtype=torch.float64).numpy()
    first = later if skip else np.vstack([origin, later])
    if dimensions <= _MOST:
        return first
    rest = np.random.default_rng(seed).random((skip + points, dimensions - _MOST))[skip:]
    return np.hstack([first, rest])
