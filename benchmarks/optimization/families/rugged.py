"""Many local minima, with and without a trend towards the best."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator

FAMILY = "rugged"
SHAPES: dict[str, tuple[shapes.Shape, float]] = {"ackley": (shapes.ackley, 15.0), "rastrigin": (shapes.rastrigin, 8.0)}
DIMENSIONS = (2, 5, 10, 20)


def _make(key: str, shape: shapes.Shape, dimension: int, width: float, index: int) -> Member:
    placed = shapes.place(shape, dimension, width, index, generator(key, index))
    return box_member(f"{key}#{index}", FAMILY, placed, placed.centre)


def _schwefel(dimension: int, index: int) -> Member:
    # the formula holds in a cube along the axes only: members mirror axes and cut the ends off
    key = f"schwefel{dimension}"
    rng = generator(key, index)
    mirrored = rng.random(dimension) < 0.5
    low, high = -500 + rng.uniform(0, 200, dimension), np.full(dimension, 500.0)
    minimiser = (420.968746 - low) / (high - low)

    def function(u: Array) -> Array:
        u = np.where(mirrored, 1 - u, u)
        return shapes.schwefel(low + (high - low) * u - 420.968746)

    return box_member(f"{key}#{index}", FAMILY, function, np.where(mirrored, 1 - minimiser, minimiser))


RECIPES = [
    Recipe(f"{name}{d}", FAMILY, d, partial(_make, f"{name}{d}", shape, d, width))
    for name, (shape, width) in SHAPES.items()
    for d in DIMENSIONS
] + [Recipe(f"schwefel{d}", FAMILY, d, partial(_schwefel, d)) for d in (2, 5, 10)]
