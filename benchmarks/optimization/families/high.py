"""A hundred and more parameters, all of which count, or ten of them along the axes."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator

FAMILY = "high-dimensional"
SHAPES: dict[str, tuple[shapes.Shape, float]] = {
    "ackley": (shapes.ackley, 15.0),
    "levy": (shapes.levy, 20.0),
    "ellipsoid": (shapes.ellipsoid, 10.0),
    "rosenbrock": (shapes.rosenbrock, 4.0),
}
DIMENSIONS = (100, 300)
ACTIVE = 10


def _full(key: str, shape: shapes.Shape, dimension: int, width: float, index: int) -> Member:
    placed = shapes.place(shape, dimension, width, index, generator(key, index))
    return box_member(f"{key}#{index}", FAMILY, placed, placed.centre)


def _sparse(key: str, shape: shapes.Shape, dimension: int, width: float, index: int) -> Member:
    rng = generator(key, index)
    axes = rng.permutation(dimension)[:ACTIVE]
    placed = shapes.place(shape, ACTIVE, width, index, rng)
    centre = np.full(dimension, 0.5)
    centre[axes] = placed.centre

    def function(u: Array) -> Array:
        return placed(u[:, axes])

    return box_member(f"{key}#{index}", FAMILY, function, centre)


RECIPES = [
    Recipe(f"{prefix}{name}{d}", FAMILY, d, partial(make, f"{prefix}{name}{d}", shape, d, width))
    for d in DIMENSIONS
    for prefix, make in (("", _full), ("sparse_", _sparse))
    for name, (shape, width) in SHAPES.items()
]
