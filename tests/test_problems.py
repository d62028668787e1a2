"""The test functions: their optima are where the literature puts them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from gpbo import problems

ALL = [
    problems.branin(),
    problems.six_hump_camel(),
    problems.hartmann3(),
    problems.hartmann6(),
    problems.ackley(3),
    problems.levy(3),
    problems.rastrigin(3),
    problems.griewank(3),
    problems.rosenbrock(3),
    problems.styblinski_tang(3),
]
each = pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)


@each
def test_minimum_is_reached_at_every_minimiser(problem):
    assert np.allclose(problem.values(problem.minimisers), problem.minimum, rtol=1e-6, atol=1e-12)


@each
def test_no_point_of_the_box_is_below_the_minimum(problem):
    lower, upper = np.array(problem.lower), np.array(problem.upper)
    x = lower + (upper - lower) * np.random.default_rng(0).random((20_000, problem.dim))
    best = x[problem.values(x).argmin()]
    polished = minimize(problem.function, best, bounds=list(zip(lower, upper, strict=True)))
    assert polished.fun >= problem.minimum - 1e-9


@each
def test_minimisers_lie_in_the_box_and_off_its_centre(problem):
    points = np.array(problem.minimisers)
    assert (points >= problem.lower).all()
    assert (points <= problem.upper).all()
    centre = (np.array(problem.lower) + problem.upper) / 2
    assert not np.isclose(points, centre).all(axis=1).any()


@each
def test_values_are_vectorised_over_leading_axes(problem):
    x = np.random.default_rng(1).uniform(problem.lower, problem.upper, size=(2, 5, problem.dim))
    values = problem.values(x)
    assert values.shape == (2, 5)
    assert values[1, 3] == pytest.approx(float(problem.values(x[1, 3])), rel=1e-12)


@each
def test_a_problem_is_callable_with_the_parameters_of_its_space(problem):
    x = np.array(problem.minimisers[:1])
    (params,) = problem.space.from_x(x)
    assert problem(params) == pytest.approx(problem.minimum, rel=1e-6, abs=1e-12)


def test_known_values():
    assert problems.branin().values([0.0, 0.0]) == pytest.approx(55.602112642270262, rel=1e-12)
    assert problems.rosenbrock(2).values([0.0, 0.0]) == 1.0
    assert problems.levy(1).values([0.0]) == pytest.approx(np.sin(0.75 * np.pi) ** 2 + 0.0625 * 2, rel=1e-12)
    assert problems.ackley(2).values([1.0, 1.0]) == pytest.approx(3.6253849384403627, rel=1e-12)
