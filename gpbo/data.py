"""What the optimizer knows at one moment, without names: the input of everything that models or searches."""

from collections.abc import Hashable, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Data:
    """An immutable snapshot of a study. The arrays are read-only.

    Attributes:
        X: Told points in the unit cube, shape (n, D), in order of telling.
        y: Their outcomes, shape (n,), to be maximised, in the user's scale, all finite.
        noise: Standard deviations of ``y``, shape (n,), same scale, NaN where none was given; None if never given.
        pending: Points handed out and not told yet, shape (p, D).
        failed: Points whose evaluation failed, shape (f, D).
        asked: Number of points handed out so far, forgotten ones included.
        taken: Keys (``Space.keys``) of told, pending and failed points. A live set that is not to be changed.
        version: Changes whenever any of the above does.
    """

    X: Floats
    y: Floats
    noise: Floats | None
    pending: Floats
    failed: Floats
    asked: int
    taken: Set[Hashable]
    version: int
