"""Integers and categories: answers are feasible and locally optimal among their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from gpbo import Categorical, Float, Int, Space
from gpbo.search.gradient import Effort
from gpbo.search.mixed import maximise

EFFORT = Effort(starts=8, iterations=100, tolerance=1e-8)
SPACES = {
    "continuous": Space({"x": Float(-1, 1), "y": Float(1e-3, 1, log=True)}),
    "integers": Space({"a": Int(0, 9), "b": Int(1, 10**6, log=True), "c": Int(0, 2**40)}),
    "categories": Space(
        {"a": Categorical(list("pqrs")), "b": Categorical([1, 2, 3], ordered=True), "c": Categorical([0, 1])}
    ),
    "mixed": Space(
        {
            "x": Float(0, 1),
            "n": Int(1, 64),
            "act": Categorical(["relu", "gelu", "tanh"]),
            "grid": Float(0, 1, step=0.05),
        }
    ),
}


@pytest.fixture(params=[*SPACES])
def situation(request, fitted):
    space = SPACES[request.param]
    rng = np.random.default_rng(0)
    X = space.sample(rng.random((30, space.n_params)))
    y = np.sin(3 * X @ np.linspace(1, 2, space.dim)) + X[:, 0]
    return space, *fitted(X, y), space.sample(rng.random((8, space.n_params)))


def test_points_are_feasible_and_no_worse_than_their_starts(situation, improvement):
    space, problem, theta, starts = situation
    acquisition = improvement(problem, theta)
    points, values = maximise(acquisition, space, starts.copy(), EFFORT)
    np.testing.assert_array_equal(space.snap(points), points)
    np.testing.assert_allclose(values, acquisition.values(points), rtol=1e-9, atol=1e-9)
    assert (values >= acquisition.values(starts) - 1e-9).all()


def test_the_best_point_has_no_better_neighbour(situation, improvement):
    space, problem, theta, starts = situation
    acquisition = improvement(problem, theta)
    points, values = maximise(acquisition, space, starts, EFFORT)
    best = values.argmax()
    near = space.neighbours(points[best])
    if len(near):
        assert acquisition.values(near).max() <= values[best] + 1e-3  # grids of 2**40 levels end a few steps early


def test_starts_are_not_changed(situation, improvement):
    space, problem, theta, starts = situation
    before = starts.copy()
    maximise(improvement(problem, theta), space, starts, EFFORT)
    np.testing.assert_array_equal(starts, before)


def test_the_optimum_of_a_category_is_found(fitted, improvement):
    """The objective depends on a category alone; from any start the search must end at the best choice."""
    space = Space({"c": Categorical(list("abcdef")), "x": Float(0, 1)})
    rng = np.random.default_rng(1)
    X = space.sample(rng.random((40, 2)))
    y = X[:, :6] @ np.array([0.0, 1.0, 5.0, 2.0, 3.0, 1.5]) + 0.1 * X[:, 6]
    problem, theta = fitted(X, y)
    points, values = maximise(improvement(problem, theta), space, space.sample(rng.random((6, 2))), EFFORT)
    assert points[values.argmax()][:6].argmax() == 2
