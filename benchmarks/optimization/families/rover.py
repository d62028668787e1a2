"""The rover trajectory of Wang et al. 2018 (Batched large-scale Bayesian optimization), written from the text.

Thirty points in the plane, sixty parameters, define a cubic spline; the cost is the length of the trajectory that lies
in obstacles, at 20 a unit, and elsewhere, at 0.05, and ten times the distances from the wanted start and goal.
The paper's offset of 5 is left out. Members differ in their obstacles; the minimum is not known.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.optimization.member import Array, Member, Recipe, box_member, generator

FAMILY = "rover"
POINTS, SAMPLES, OBSTACLES = 30, 500, 15
START, GOAL = np.array([0.05, 0.05]), np.array([0.95, 0.95])


def _spline() -> Array:
    """Matrix from the points of the spline to samples of it, shape (SAMPLES, POINTS)."""
    from scipy.interpolate import make_interp_spline

    at = np.linspace(0, 1, POINTS)
    return np.asarray(make_interp_spline(at, np.eye(POINTS), k=3)(np.linspace(0, 1, SAMPLES)))


def _rover(key: str, index: int) -> Member:
    rng = generator(key, index)
    middles = rng.uniform(0.1, 0.9, (4 * OBSTACLES, 2))
    free = (np.abs(middles - START).max(1) > 0.15) & (np.abs(middles - GOAL).max(1) > 0.15)
    middles = middles[free][:OBSTACLES]
    halves = rng.uniform(0.03, 0.09, middles.shape)
    spline = _spline()

    def single(u: Array) -> float:
        points = u.reshape(POINTS, 2)
        path = spline @ points  # samples x 2
        hit = (np.abs(path[:, None, :] - middles) <= halves).all(-1).any(-1)
        costs = np.where(hit, 20.05, 0.05)
        lengths = np.sqrt((np.diff(path, axis=0) ** 2).sum(-1))
        ends = np.abs(points[0] - START).sum() + np.abs(points[-1] - GOAL).sum()
        return float((0.5 * (costs[1:] + costs[:-1]) * lengths).sum() + 10 * ends)

    def function(u: Array) -> Array:
        return np.array([single(each) for each in u])

    return box_member(f"{key}#{index}", FAMILY, function, minimum=None, floor=0.01)


RECIPES = [Recipe("rover60", FAMILY, 60, partial(_rover, "rover60"))]
