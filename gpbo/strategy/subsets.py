"""Which observations a model is made of, where not of all."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpbo.models.spec import Array

Rows: TypeAlias = NDArray[np.int64]


def thinned(n: int, most: int) -> Rows:
    """Rows of at most so many observations, spread evenly over the order of telling."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def leading(y: Array, most: int) -> Rows:
    """Rows of at most so many observations, ascending: the better half by outcome, the rest spread over the others."""
    n = len(y)
    if n <= most:
        return np.arange(n)
    order = np.argsort(-y, kind="stable")
    others = np.sort(order[most // 2 :])
    return np.sort(np.concatenate([order[: most // 2], others[thinned(len(others), most - most // 2)]]))


def modelled(y: Array, n: int, held: int) -> Rows:
    """Rows that the factor holds: all, or in a large study the leading ones at the last refit and all that came after.

    Args:
        y: All outcomes.
        n: Observations at the last refit.
        held: Most of those that the factor holds.
    """
    return np.concatenate([leading(y[:n], held), np.arange(n, len(y))])
