"""Measurements with noise: constant, growing, with outliers, proportional; true values are what is scored."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.families.smooth import wells
from benchmarks.optimization.member import Array, Member, Recipe, Rng, box_member, generator, typical_regret

FAMILY = "noisy"
KINDS = ("gaussian", "growing", "outliers", "proportional", "sided")
DIMENSIONS = (2, 6, 10)


def _make(kind: str, dimension: int, index: int) -> Member:
    key = f"{kind}_noise{dimension}"
    rng = generator(key, index)
    base: shapes.Shape
    if index % 4 < 2:
        base, minimiser = wells(dimension, 200 + index)
    else:
        placed = shapes.place(shapes.levy, dimension, 20.0, index, rng)
        base, minimiser = placed, placed.centre
    typical = typical_regret(base, dimension, 0.0)
    sd = typical * float(10 ** rng.uniform(-1.7, -0.3))  # from 2 % to half of what there is to gain
    quiet = rng.uniform(0.2, 0.8)

    def observe(u: Array, value: float, draws: Rng) -> float:
        normal = float(draws.standard_normal())
        if kind == "growing":  # with the distance from the minimum
            return value + sd * float(0.1 + 2 * np.abs(u - minimiser).mean()) * normal
        if kind == "outliers":
            return value + sd * 0.5 * float(np.clip(draws.standard_t(2), -30, 30))
        if kind == "proportional":
            return value + (sd * 0.1 + value * sd / typical) * normal
        if kind == "sided":  # along one parameter
            return value + sd * (2.0 if u[0] > quiet else 0.1) * normal
        return value + sd * normal

    floor = 1e-4 * typical
    return box_member(f"{key}#{index}", FAMILY, base, minimiser, floor=floor, observe=observe)


RECIPES = [Recipe(f"{kind}_noise{d}", FAMILY, d, partial(_make, kind, d)) for kind in KINDS for d in DIMENSIONS]
