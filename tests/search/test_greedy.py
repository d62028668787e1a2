"""Batches: joint q-EI against BoTorch's greedy, distinct and untaken points, enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.acquisition.monte_carlo import qExpectedImprovement
from botorch.optim import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from scipy.special import ndtri

from gpbo import Categorical, Float, Int, Space, problems
from gpbo.acquisition.improvement import HostImprovement, base_normals
from gpbo.models.exact import build_model
from gpbo.models.host_posterior import HostPosterior
from gpbo.numerics import available
from gpbo.numerics.sobol import sobol
from gpbo.search import greedy as greedy_module
from gpbo.search.box import Box
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


# Blocks ----------------------------------------------------------------------------------------------------------


def joint_improvement(problem, theta, batch):
    """q-EI of a batch, by 8,192 quasi-random samples of the joint posterior."""
    posterior = HostPosterior(problem, theta)
    n = posterior.n
    posterior.condition(batch)
    rows = np.tril(posterior.L[: posterior.m, : posterior.m])[n:]
    z = ndtri(np.clip(sobol(len(batch), 8192, seed=99), 1e-12, 1.0 - 1e-12))
    samples = posterior.constant + rows[:, :n] @ posterior.beta[:n] + z @ rows[:, n:].T
    return np.maximum(samples.max(1) - problem.y.max(), 0.0).mean()


def in_blocks_and_sequentially(case, n, q, seeds, early, fitted, improvement, monkeypatch):
    """Joint q-EI of our batches as a share of what strictly sequential picks reach, for every seed."""
    shares = []
    for seed in seeds:
        problem, theta = fitted(*early(case, n, seed))
        blocks = our_batch(problem, theta, q, seed, improvement)
        with monkeypatch.context() as patch:
            patch.setattr(greedy_module, "block_size", lambda _: 1)
            one_by_one = our_batch(problem, theta, q, seed, improvement)
        shares.append(joint_improvement(problem, theta, blocks) / joint_improvement(problem, theta, one_by_one))
    return shares


LANDSCAPES = [(problems.hartmann6(), 30), (problems.levy(4), 30), (problems.ackley(10), 40)]
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


@needs_numba
def test_blocks_lose_little_joint_q_ei(early, fitted, improvement, monkeypatch):
    arguments = (early, fitted, improvement, monkeypatch)
    shares = [in_blocks_and_sequentially(case, n, 64, [0], *arguments) for case, n in LANDSCAPES]
    assert np.mean(shares) >= 0.97


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize(("q", "least"), [(16, 0.98), (32, 0.98), (64, 0.98), (128, 0.98)])
def test_blocks_lose_at_most_a_fiftieth_of_joint_q_ei(q, least, early, fitted, improvement, monkeypatch):
    arguments = (early, fitted, improvement, monkeypatch)
    shares = [in_blocks_and_sequentially(case, n, q, range(4), *arguments) for case, n in LANDSCAPES]
    assert np.mean(shares) >= least


def test_small_batches_are_picked_one_by_one_and_blocks_stay_small():
    sizes = [greedy_module.block_size(q) for q in range(1, 5000)]
    assert set(sizes[:8]) == {1}
    assert sizes == sorted(sizes)
    assert max(sizes) <= 64


SPACES = {
    "continuous": Space.from_bounds([0.0] * 3, [1.0] * 3),
    "mixed": Space({"x": Float(0, 1), "n": Int(0, 300), "c": Categorical(list("abc"))}),
    "grids": Space({"m": Int(0, 40), "n": Int(0, 40)}),
    "small": Space({"a": Int(0, 9), "b": Categorical(["x", "y", "z"]), "c": Categorical([True, False])}),
}


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_numba), False], ids=["host", "torch"])
@pytest.mark.parametrize("q", [17])
@pytest.mark.parametrize("name", SPACES)
def test_blocks_are_distinct_feasible_untaken_and_reproducible(name, q, compiled, fitted, improvement):
    space = SPACES[name]
    X = np.unique(space.sample(np.random.default_rng(0).random((20, space.n_params))), axis=0)
    problem, theta = fitted(X, np.sin(5 * X[:, 0]) + X @ np.linspace(-1, 1, X.shape[1]))
    taken = set(space.keys(X))

    def ours(*arguments, **options):
        return improvement(*arguments, compiled=compiled, **options)

    one, other = (our_batch(problem, theta, q, 3, ours, space, taken) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    keys = set(space.keys(one))
    assert len(keys) == q
    assert not taken & keys
    np.testing.assert_array_equal(space.snap(one), one)


@pytest.mark.parametrize("q", [4, 40])
@pytest.mark.parametrize("name", ["continuous", "mixed"])
def test_a_box_is_not_left(name, q, fitted, improvement):
    space = SPACES[name]
    rng = np.random.default_rng(0)
    X = space.sample(rng.random((20, space.n_params)))
    problem, theta = fitted(X, np.sin(5 * X[:, 0]) + X @ np.linspace(-1, 1, X.shape[1]))
    lower, upper = np.zeros(space.dim), np.ones(space.dim)
    lower[:2], upper[:2] = (0.25, 0.2), (0.5, 0.6)
    box = Box(lower, upper)
    pool = Candidates(space).draw(problem.X[:5], rng, 512, box)
    chosen = Chosen(space, set(space.keys(X)), problem.X)
    greedy(improvement(problem, theta, j=q - 1), chosen, pool, space, q, rng)
    assert box.contains(pool.U).all()
    assert box.contains(np.array(chosen.points)).all()
    assert len(set(space.keys(np.array(chosen.points)))) == q


@needs_numba
def test_a_block_leaves_the_acquisition_conditioned_on_its_picks_alone(early, fitted):
    problem, theta = fitted(*early(problems.hartmann6(), 30, 0))
    space = Space.from_bounds([0.0] * 6, [1.0] * 6)
    rng = np.random.default_rng(0)
    acquisition = HostImprovement(HostPosterior(problem, theta), float(problem.y.max()), base_normals(39, 128, 0))
    chosen = Chosen(space, frozenset(), problem.X)
    greedy(acquisition, chosen, Candidates(space).draw(problem.X[:5], rng), space, 40, rng)
    fresh = HostImprovement(HostPosterior(problem, theta), float(problem.y.max()), base_normals(39, 128, 0))
    fresh.fantasise(np.array(chosen.points[: acquisition.posterior.m - 30]))
    U = rng.random((20, 6))
    np.testing.assert_allclose(acquisition.values(U), fresh.values(U), rtol=1e-8, atol=1e-8)
