"""Gradient search: optimum, bounds, frozen coordinates, both twins; reached values against BoTorch's search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.optim import optimize_acqf

from gpbo import Space, problems
from gpbo.acquisition.compiled import LOG_EI, MEAN
from gpbo.acquisition.improvement import HostImprovement
from gpbo.models.exact import Problem, build_model
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.numerics import available
from gpbo.search.candidates import Candidates
from gpbo.search.compiled import maximise
from gpbo.search.gradient import Effort, climb
from gpbo.search.greedy import Chosen, greedy

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
THOROUGH = Effort(starts=8, iterations=200, tolerance=1e-10)


def bowl(d, centre, n=60):
    """A nearly noiseless model of a quadratic with its maximum at ``centre``."""
    rng = np.random.default_rng(0)
    X = rng.random((n, d))
    y = -((X - centre) ** 2) @ np.arange(1.0, d + 1.0)
    theta = np.zeros(d + 3)
    theta[1], theta[2], theta[3:] = np.log(1e-8), 2.0, 1.0
    return Problem(default_spec("rbf", d), X, y), theta


def search(problem, theta, mode, starts, lower, upper, tolerance=1e-12):
    acquisition = HostImprovement(HostPosterior(problem, theta), 0.0, np.zeros((0, 1)))
    arguments = list(acquisition.arguments(len(starts)))
    assert arguments[0] == LOG_EI
    arguments[0] = mode
    return maximise(starts, lower, upper, 300, tolerance, *arguments)


@needs_numba
@pytest.mark.parametrize("centre", [0.4, 1.3], ids=["inside", "outside"])
@pytest.mark.parametrize("d", [1, 4])
def test_posterior_mean_of_a_quadratic(d, centre):
    problem, theta = bowl(d, centre)
    starts = np.random.default_rng(1).random((6, d))
    points, values, evaluations = search(problem, theta, MEAN, starts, np.zeros((6, d)), np.ones((6, d)))
    best = points[values.argmax()]
    np.testing.assert_allclose(best, min(centre, 1.0), atol=2e-2)
    assert evaluations > 6
    assert (points >= 0.0).all()
    assert (points <= 1.0).all()


@needs_numba
def test_each_start_keeps_to_its_box():
    problem, theta = bowl(3, 0.9)
    rng = np.random.default_rng(2)
    centre = rng.uniform(0.2, 0.6, (8, 3))
    lower, upper = centre - 0.1, centre + 0.1
    lower[:, 1] = upper[:, 1] = centre[:, 1]
    points, values, _ = search(problem, theta, MEAN, rng.random((8, 3)), lower, upper)
    assert (points >= lower).all()
    assert (points <= upper).all()
    np.testing.assert_array_equal(points[:, 1], centre[:, 1])
    best = values.argmax()
    np.testing.assert_allclose(points[best, [0, 2]], upper[best, [0, 2]], atol=1e-9)


@needs_numba
def test_undefined_outcomes_end_and_stay_in_the_box():
    problem, theta = bowl(2, 0.5)
    problem.y[0] = np.nan
    starts = np.random.default_rng(3).random((4, 2))
    for mode in (MEAN, LOG_EI):
        points, values, _ = search(problem, theta, mode, starts, np.zeros((4, 2)), np.ones((4, 2)))
        assert np.isnan(values).all()
        np.testing.assert_array_equal(points, starts)


@pytest.mark.parametrize(
    "compiled", [pytest.param(True, marks=needs_numba, id="host"), pytest.param(False, id="torch")]
)
@pytest.mark.parametrize("j", [0, 3])
def test_no_start_gets_worse_and_the_best_is_stationary(compiled, j, early, fitted, improvement):
    problem, theta = fitted(*early(problems.hartmann6(), 40, 0))
    acquisition = improvement(problem, theta, j=j, samples=32, compiled=compiled)
    rng = np.random.default_rng(4)
    acquisition.fantasise(rng.random((j, 6)))
    starts = rng.random((12, 6))
    before = acquisition.values(starts)
    points, values = climb(acquisition, starts, np.zeros((12, 6)), np.ones((12, 6)), THOROUGH)
    np.testing.assert_allclose(values, acquisition.values(points), rtol=1e-9, atol=1e-9)
    assert (values >= before - 1e-12).all()
    best = values.argmax()
    u, g = points[best], acquisition.values_and_gradients(points[best : best + 1])[1][0]
    free = np.where(u <= 0.0, np.maximum(g, 0.0), np.where(u >= 1.0, np.minimum(g, 0.0), g))
    assert np.abs(free).max() < 1e-2  # of a logarithm that changes by tens over the cube


@needs_numba
@pytest.mark.parametrize("seed", range(3))
def test_twins_reach_the_same_best_value(seed, early, fitted, improvement):
    problem, theta = fitted(*early(problems.hartmann6(), 40, seed))
    starts = np.random.default_rng(seed).random((16, 6))
    box = np.zeros((16, 6)), np.ones((16, 6))
    reached = [
        climb(improvement(problem, theta, compiled=compiled), starts, *box, THOROUGH)[1].max()
        for compiled in (True, False)
    ]
    assert reached[0] == pytest.approx(reached[1], abs=1e-3)


# Against BoTorch's search of the same model ----------------------------------------------------------------------


def ours(problem, theta, space, seed, improvement):
    rng = np.random.default_rng(seed)
    order = np.argsort(-problem.y, kind="stable")
    pool = Candidates(space).draw(problem.X[order[:5]], rng)
    chosen = Chosen(space, frozenset(), problem.X)
    greedy(improvement(problem, theta), chosen, pool, space, 1, rng)
    return np.array(chosen.points)


def stock(function, d, seed):
    torch.manual_seed(seed)
    box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, d)
    options = {"sample_around_best": True}
    return optimize_acqf(function, box, q=1, num_restarts=10, raw_samples=512, options=options)[0]


def shortfalls(problem, theta, seeds, improvement):
    """By how much BoTorch's search reached more, for every seed, both judged by BoTorch's own LogEI."""
    d = problem.spec.d
    space = Space.from_bounds([0.0] * d, [1.0] * d)
    function = LogExpectedImprovement(build_model(problem, theta), best_f=problem.y.max())
    with torch.random.fork_rng(), torch.no_grad():
        found = torch.as_tensor(np.array([ours(problem, theta, space, seed, improvement) for seed in seeds]))
        mine = function(found)
    with torch.random.fork_rng():
        theirs = torch.cat([function(stock(function, d, seed)).detach() for seed in seeds])
    return (theirs - mine).numpy()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # BoTorch's search may not converge
@pytest.mark.parametrize("age", ["early", "late"])
def test_reaches_what_botorch_reaches(age, early, late, fitted, improvement):
    make = {"early": early, "late": late}[age]
    found = [
        shortfalls(*fitted(*make(case, n, seed)), range(3), improvement)
        for case, n, seed in ((problems.branin(), 20, 0), (problems.hartmann6(), 45, 1), (problems.levy(4), 45, 2))
    ]
    assert (np.concatenate(found) <= 1e-3).mean() >= 8 / 9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("age", ["early", "late"])
@pytest.mark.parametrize(
    ("case", "n"),
    [
        (problems.branin(), 25),
        (problems.hartmann6(), 30),
        (problems.hartmann6(), 70),
        (problems.levy(4), 50),
        (problems.ackley(10), 60),
        (problems.ackley(20), 70),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_reaches_what_botorch_reaches_in_95_of_100_seeds(case, n, age, early, late, fitted, improvement):
    make = {"early": early, "late": late}[age]
    found = [shortfalls(*fitted(*make(case, n, seed)), range(20), improvement) for seed in range(2)]
    assert (np.concatenate(found) <= 1e-3).mean() >= 0.95
