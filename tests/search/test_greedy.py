"""Batches: joint q-EI against BoTorch's greedy, distinct and untaken points, enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.acquisition.monte_carlo import qExpectedImprovement
from botorch.optim import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler

from gpbo import Categorical, Int, Space, problems
from gpbo.models.exact import build_model
from gpbo.search.candidates import Candidates
from gpbo.search.greedy import Chosen, enumerate_best, greedy


def our_batch(problem, theta, q, seed, improvement, space=None, taken=frozenset()):
    d = problem.spec.d
    space = Space.from_bounds([0.0] * d, [1.0] * d) if space is None else space
    rng = np.random.default_rng(seed)
    order = np.argsort(-problem.y, kind="stable")
    pool = Candidates(space).draw(problem.X[order[:5]], rng)
    chosen = Chosen(space, taken, problem.X)
    greedy(improvement(problem, theta, j=q - 1), chosen, pool, space, q, rng)
    return np.array(chosen.points)


def stock_batch(model, best, q, d, seed):
    torch.manual_seed(seed)
    box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, d)
    sampler = SobolQMCNormalSampler(torch.Size([128]), seed=seed)
    function = qLogExpectedImprovement(model, best_f=best, sampler=sampler)
    options = {"sample_around_best": True}
    return optimize_acqf(function, box, q=q, num_restarts=5, raw_samples=256, sequential=True, options=options)[0]


def compare(case, n, q, seeds, make, fitted, improvement):
    """Mean joint q-EI of our batches and of BoTorch's, judged by 8192 samples."""
    scores = []
    for seed in seeds:
        problem, theta = fitted(*make(case, n, seed))
        model, best = build_model(problem, theta), float(problem.y.max())
        judge = qExpectedImprovement(model, best_f=best, sampler=SobolQMCNormalSampler(torch.Size([8192]), seed=99))
        with torch.random.fork_rng():
            theirs = stock_batch(model, best, q, problem.spec.d, seed)
        mine = torch.as_tensor(our_batch(problem, theta, q, seed, improvement))
        with torch.no_grad():
            scores.append([judge(mine[None]).item(), judge(theirs[None]).item()])
    return np.mean(scores, 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:qExpectedImprovement has known")
def test_joint_q_ei_is_not_below_botorchs_greedy(early, fitted, improvement):
    mine, theirs = compare(problems.branin(), 15, 4, range(2), early, fitted, improvement)
    assert mine >= 0.99 * theirs


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:qExpectedImprovement has known")
@pytest.mark.parametrize("age", ["early", "late"])
@pytest.mark.parametrize("q", [4, 8])
@pytest.mark.parametrize(
    ("case", "n"),
    [(problems.branin(), 20), (problems.hartmann6(), 40)],
    ids=lambda value: getattr(value, "name", value),
)
def test_joint_q_ei_is_not_below_botorchs_greedy_at_any_age(case, n, q, age, early, late, fitted, improvement):
    make = {"early": early, "late": late}[age]
    mine, theirs = compare(case, n, q, range(4), make, fitted, improvement)
    assert mine >= 0.99 * theirs


def test_batch_is_distinct_feasible_and_reproducible(early, fitted, improvement):
    case = problems.hartmann6()
    problem, theta = fitted(*early(case, 30, 0))
    one, other = (our_batch(problem, theta, 12, 3, improvement) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (12, 6)
    assert len(np.unique(one, axis=0)) == 12
    assert (one >= 0.0).all()
    assert (one <= 1.0).all()


def mixed_space():
    return Space({"a": Int(0, 9), "b": Categorical(["x", "y", "z"]), "c": Categorical([True, False])})


@pytest.fixture
def discrete(fitted):
    """A model on a space of 60 points, of which 20 have been seen."""
    space = mixed_space()
    everything = np.array([space.point(i) for i in range(60)])
    y = np.sin(5 * everything[:, 0]) + everything @ np.linspace(-1, 1, everything.shape[1])
    seen = np.random.default_rng(0).permutation(60)[:20]
    return space, everything, seen, *fitted(everything[seen], y[seen])


def test_greedy_never_returns_taken_points(discrete, improvement):
    space, everything, seen, problem, theta = discrete
    taken = set(space.keys(everything[seen]))
    found = our_batch(problem, theta, 40, 0, improvement, space, taken)  # all that is left
    keys = space.keys(found)
    assert len(set(keys)) == 40
    assert not taken & set(keys)
    np.testing.assert_array_equal(space.snap(found), found)


def test_enumeration_takes_the_best_untaken_point_every_time(discrete, improvement):
    space, everything, seen, problem, theta = discrete
    taken = set(space.keys(everything[seen]))
    best = enumerate_best(improvement(problem, theta), space, taken, 1)
    left = everything[[key not in taken for key in space.keys(everything)]]
    values = improvement(problem, theta).values(left)
    np.testing.assert_array_equal(best[0], left[values.argmax()])
    batch = enumerate_best(improvement(problem, theta, j=39), space, taken, 40)
    assert set(space.keys(batch)) == set(space.keys(left))


def test_enumeration_with_hopeless_values_still_returns_distinct_points(discrete, improvement):
    space, everything, seen, problem, theta = discrete
    acquisition = improvement(problem, theta, best=1e30)
    found = enumerate_best(acquisition, space, set(space.keys(everything[seen])), 5)
    assert len(set(space.keys(found))) == 5


def test_search_of_a_small_space_finds_the_enumerated_optimum(discrete, improvement):
    space, everything, seen, problem, theta = discrete
    taken = set(space.keys(everything[seen]))
    found = our_batch(problem, theta, 1, 1, improvement, space, taken)
    best = enumerate_best(improvement(problem, theta), space, taken, 1)
    np.testing.assert_array_equal(found, best)
