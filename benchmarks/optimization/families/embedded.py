"""Few directions matter: Hartmann's and Branin's functions inside many parameters, along axes or along none."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator

FAMILY = "low effective dimension"
SHAPES: dict[str, tuple[shapes.Shape, int, float]] = {
    "hartmann6": (shapes.hartmann6, 6, 1.0),
    "branin": (shapes.branin, 2, 15.0),
}


def embed(key: str, shape: shapes.Shape, effective: int, width: float, dimension: int, index: int) -> Member:
    """A shape of few directions: random ones for members that are turned, else random axes, mixed among themselves."""
    rng = generator(key, index)
    centre = rng.uniform(0.2, 0.8, dimension)
    if shapes.rotated(index):
        directions = np.linalg.qr(rng.standard_normal((dimension, effective)))[0]  # D x d
    else:
        directions = np.zeros((dimension, effective))
        directions[rng.permutation(dimension)[:effective]] = shapes.rotation(effective, rng)

    def function(u: Array) -> Array:
        return shape(width * (u - centre) @ directions)

    return box_member(f"{key}#{index}", FAMILY, function, centre)


RECIPES = [
    Recipe(f"{name}_in{d}", FAMILY, d, partial(embed, f"{name}_in{d}", shape, effective, width, d))
    for name, (shape, effective, width) in SHAPES.items()
    for d in (25, 50, 100)
]
