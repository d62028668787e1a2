"""Rows of the unit cube as the mixed variables of other libraries: numbers, and choices by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpbo.models.spec import Array
from gpbo.space import Space


def coordinate_groups(space: Space) -> list[list[int]]:
    """Coordinates that change together: those of one category, and every other by itself."""
    groups: list[list[int]] = []
    for column, level in enumerate(space.levels.tolist()):
        if level == -1 and groups and space.owner[groups[-1][0]] == space.owner[column]:
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def named(groups: list[list[int]], u: Array) -> dict[str, Any]:
    """A row of the unit cube as a number, or the index of a choice, per group."""
    return {
        str(i): float(u[group[0]]) if len(group) == 1 else int(np.argmax(u[group])) for i, group in enumerate(groups)
    }


def row(groups: list[list[int]], values: dict[str, Any], dim: int) -> Array:
    """The inverse of :func:`named`."""
    u = np.zeros(dim)
    for i, group in enumerate(groups):
        if len(group) == 1:
            u[group[0]] = values[str(i)]
        else:
            u[group[int(values[str(i)])]] = 1.0
    return u
