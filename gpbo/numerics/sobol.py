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
    if skip:
        engine.fast_forward(skip)  # type: ignore[no-untyped-call]
    first: NDArray[np.float64] = engine.draw(points, dtype=torch.float64).numpy()
    if dimensions <= _MOST:
        return first
    rest = np.random.default_rng(seed).random((skip + points, dimensions - _MOST))[skip:]
    return np.hstack([first, rest])
