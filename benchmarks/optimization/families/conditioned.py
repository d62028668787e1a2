"""One basin, narrow in some directions: condition numbers from a hundred to a million."""

from __future__ import annotations

from functools import partial

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Member, Recipe, box_member, generator

FAMILY = "ill-conditioned"
DIMENSIONS = (2, 5, 10, 20)


def _make(kind: str, dimension: int, index: int) -> Member:
    key = f"{kind}{dimension}"
    rng = generator(key, index)
    condition = float(10 ** rng.uniform(2, 6))
    kinds: dict[str, tuple[shapes.Shape, float]] = {
        "ellipsoid": (partial(shapes.ellipsoid, condition=condition), 10.0),
        "bent_cigar": (partial(shapes.bent_cigar, condition=condition), 10.0),
        "rosenbrock": (shapes.rosenbrock, 5.0),
    }
    shape, width = kinds[kind]
    placed = shapes.place(shape, dimension, width, index, rng)
    return box_member(f"{key}#{index}", FAMILY, placed, placed.centre)


RECIPES = [
    Recipe(f"{kind}{d}", FAMILY, d, partial(_make, kind, d))
    for kind in ("ellipsoid", "bent_cigar", "rosenbrock")
    for d in DIMENSIONS
]
