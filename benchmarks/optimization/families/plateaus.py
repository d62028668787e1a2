"""Flat places, steps and cliffs: ties, and gradients that say nothing."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator, typical_regret

FAMILY = "plateaus and cliffs"
DIMENSIONS = (2, 5, 10)


def _rounded(dimension: int, index: int) -> Member:
    """A smooth function whose values come in steps, as accuracies do."""
    key = f"rounded{dimension}"
    rng = generator(key, index)
    placed = shapes.place(shapes.levy, dimension, 20.0, index, rng)
    step = typical_regret(placed, dimension, 0.0) / float(rng.uniform(10, 60))

    def function(u: Array) -> Array:
        return np.asarray(step * np.floor(placed(u) / step))

    return box_member(f"{key}#{index}", FAMILY, function, placed.centre, floor=step / 2)


def _terraces(dimension: int, index: int) -> Member:
    """A bowl over coordinates that are rounded: BBOB's step ellipsoid in spirit."""
    key = f"terraces{dimension}"
    rng = generator(key, index)
    weights = np.geomspace(1.0, float(10 ** rng.uniform(0, 2)), dimension)

    def shape(z: Array) -> Array:
        return np.asarray((np.round(z) ** 2) @ weights)

    placed = shapes.place(shape, dimension, 12.0, index, rng)
    return box_member(f"{key}#{index}", FAMILY, placed, placed.centre, floor=0.5)


def _cliffs(dimension: int, index: int) -> Member:
    """A bowl cut by half spaces, beyond which values jump; the minimum lies a short way before the first of them."""
    key = f"cliffs{dimension}"
    rng = generator(key, index)
    placed = shapes.place(shapes.sphere, dimension, 10.0, index, rng)
    n = int(rng.integers(2, 5))
    normals = rng.standard_normal((n, dimension))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = normals @ placed.centre + np.array([0.02, *rng.uniform(0.1, 0.3, n - 1)])
    jumps = rng.uniform(0.5, 5.0, n) * typical_regret(placed, dimension, 0.0)

    def function(u: Array) -> Array:
        return np.asarray(placed(u) + (u @ normals.T > offsets) @ jumps)

    return box_member(f"{key}#{index}", FAMILY, function, placed.centre)


RECIPES = [
    Recipe(f"{name}{d}", FAMILY, d, partial(make, d))
    for name, make in (("rounded", _rounded), ("terraces", _terraces), ("cliffs", _cliffs))
    for d in DIMENSIONS
]
