"""Good functions in bad units: exponentials, cubes, logarithms, millions with an offset, billionths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.families.smooth import wells
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator, typical_regret

FAMILY = "badly scaled"
# of values that are 0 at the minimum and 1 at a median random point
UNITS: dict[str, Callable[[Array], Array]] = {
    "exponential": lambda f: np.expm1(8 * np.minimum(f, 20)),
    "cubed": lambda f: f**3,
    "logarithm": lambda f: np.log(f + 1e-4),
    "million": lambda f: 1e6 * f + 1e9,
    "billionth": lambda f: 1e-9 * f - 3e-6,
}


def _make(unit: str, dimension: int, index: int) -> Member:
    key = f"{unit}{dimension}"
    base: shapes.Shape
    if index % 4 < 2:
        base, minimiser = wells(dimension, 100 + index)
    else:
        placed = shapes.place(shapes.levy, dimension, 20.0, index, generator(key, index))
        base, minimiser = placed, placed.centre
    typical = typical_regret(base, dimension, 0.0)
    change = UNITS[unit]

    def function(u: Array) -> Array:
        return change(base(u) / typical)

    zero, small = change(np.array([0.0, 1e-6])).tolist()
    return box_member(
        f"{key}#{index}", FAMILY, function, minimiser, minimum=float(zero), floor=max(float(small - zero), 1e-18)
    )


RECIPES = [Recipe(f"{unit}{d}", FAMILY, d, partial(_make, unit, d)) for unit in UNITS for d in (4, 6)]
