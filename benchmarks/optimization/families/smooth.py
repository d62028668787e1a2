"""Smooth functions with several basins."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator

FAMILY = "smooth multimodal"
SHAPES: dict[str, tuple[shapes.Shape, float, tuple[int, ...]]] = {
    "levy": (shapes.levy, 20.0, (2, 5, 10, 20)),
    "griewank": (shapes.griewank, 40.0, (2, 5, 10)),
    "styblinski": (shapes.styblinski_tang, 10.0, (2, 5, 10)),
    "branin_like": (shapes.branin, 15.0, (2,)),
    "hartmann_like": (shapes.hartmann6, 1.0, (6,)),
}
WELLS = (2, 4, 6, 10)


def _make(key: str, shape: shapes.Shape, dimension: int, width: float, index: int) -> Member:
    placed = shapes.place(shape, dimension, width, index, generator(key, index))
    return box_member(f"{key}#{index}", FAMILY, placed, placed.centre)


def wells(dimension: int, index: int) -> tuple[shapes.Shape, Array]:
    """A sum of negative Gaussian bumps of random depth, width and tilt, as Hartmann's, less its minimum; its minimiser.

    The minimum is searched from all centres and polished; it lies inside the unit cube.
    """
    from scipy.optimize import minimize

    rng = generator(f"wells{dimension}", index)
    n = int(rng.integers(4, 9))
    centres = rng.uniform(0.1, 0.9, (n, dimension))
    depths = rng.uniform(0.5, 1.0, n)
    depths[0] = 1.15
    spreads = np.exp(rng.uniform(np.log(0.12), np.log(0.5), (n, dimension))) * np.sqrt(dimension / 2)
    turns = np.stack([shapes.rotation(dimension, rng) if shapes.rotated(index) else np.eye(dimension)] * n)
    factors = turns / spreads[:, None, :]  # n x d x d

    def raw(u: Array) -> Array:
        z = np.einsum("mki,kij->mkj", u[:, None, :] - centres, factors)
        return np.asarray(-(depths * np.exp(-0.5 * (z**2).sum(-1))).sum(-1))

    def single(u: Array) -> float:
        return float(raw(u[None, :])[0])

    bounds = [(0.0, 1.0)] * dimension
    starts = np.concatenate([centres, rng.random((8, dimension))])
    found = [minimize(single, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15}) for start in starts]
    best = min(found, key=lambda each: float(each.fun))
    lowest = float(best.fun)
    return lambda u: raw(u) - lowest, np.asarray(best.x)


def _wells(dimension: int, index: int) -> Member:
    function, minimiser = wells(dimension, index)
    return box_member(f"wells{dimension}#{index}", FAMILY, function, minimiser)


RECIPES = [
    Recipe(f"{name}{d}", FAMILY, d, partial(_make, f"{name}{d}", shape, d, width))
    for name, (shape, width, dimensions) in SHAPES.items()
    for d in dimensions
] + [Recipe(f"wells{d}", FAMILY, d, partial(_wells, d)) for d in WELLS]
