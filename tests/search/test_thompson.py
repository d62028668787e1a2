"""Thompson sampling: each point is the optimum of its own path, and no two are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo import Categorical, Float, Int, Space
from gpbo.acquisition.paths import Paths
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates
from gpbo.search.greedy import Chosen
from gpbo.search.thompson import sample_optima

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
TWINS = [
    pytest.param(HostPosterior, id="host", marks=needs_numba),
    pytest.param(lambda problem, theta: TorchPosterior(problem, theta, CPU), id="torch"),
]
SPACES = {
    "continuous": Space.from_bounds([0.0] * 3, [1.0] * 3),
    "mixed": Space({"x": Float(0, 1), "n": Int(0, 300), "c": Categorical(list("abc"))}),
    "integers": Space({"m": Int(0, 60), "n": Int(0, 60)}),
    "categories": Space({"a": Categorical(list(range(12))), "b": Categorical(list(range(12)))}),
}


def model(space, fitted, n=25):
    X = np.unique(space.sample(np.random.default_rng(0).random((n, space.n_params))), axis=0)
    return fitted(X, np.sin(5 * X[:, 0]) + X @ np.linspace(-1, 1, X.shape[1]))


def sampled(space, posterior, q, deviation=0.5, taken=frozenset(), near=None, box=None, size=512, seed=0):
    rng = np.random.default_rng(seed)
    pool = Candidates(space).draw(np.empty((0, space.dim)), rng, size, box)
    paths = Paths(posterior, np.full(q, deviation), rng)
    chosen = Chosen(space, taken, np.empty((0, space.dim)) if near is None else near)
    sample_optima(paths, chosen, pool, space, rng)
    return np.array(chosen.points), paths


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("q", [1, 40])
@pytest.mark.parametrize("name", SPACES)
def test_points_are_distinct_feasible_untaken_and_reproducible(name, q, twin, fitted):
    space = SPACES[name]
    problem, theta = model(space, fitted)
    taken = set(space.keys(problem.X))
    one, other = (sampled(space, twin(problem, theta), q, taken=taken)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    keys = set(space.keys(one))
    assert one.shape == (q, space.dim)
    assert len(keys) == q
    assert not keys & taken
    np.testing.assert_array_equal(space.snap(one), one)


@pytest.mark.parametrize("twin", TWINS)
def test_every_point_is_close_to_the_best_of_its_path(twin, fitted):
    space = SPACES["continuous"]
    problem, theta = model(space, fitted)
    found, paths = sampled(space, twin(problem, theta), 40, deviation=1.0)
    reached = paths.assigned(np.arange(40)).values(found)
    everywhere = paths.table(np.random.default_rng(5).random((20_000, 3)), slice(None))
    spread = everywhere.std(0)
    assert (reached >= everywhere.max(0) - 0.05 * spread).mean() >= 0.95


@needs_numba
def test_identical_paths_still_give_points_that_are_apart(fitted):
    space = SPACES["continuous"]
    problem, theta = model(space, fitted)
    found, _ = sampled(space, HostPosterior(problem, theta), 8, deviation=0.0)  # 8 candidates stand in
    gaps = np.abs(found[:, None] - found[None]).max(-1)[~np.eye(8, dtype=bool)]
    assert gaps.min() > 1e-6


@needs_numba
def test_points_next_to_known_ones_are_avoided(fitted):
    space = SPACES["continuous"]
    problem, theta = model(space, fitted)
    best = sampled(space, HostPosterior(problem, theta), 1, deviation=0.0)[0]
    other = sampled(space, HostPosterior(problem, theta), 1, deviation=0.0, near=best)[0]
    assert np.abs(other - best).max() > 2.0**-18


@needs_numba
@pytest.mark.parametrize("name", ["integers", "categories"])
def test_a_finite_space_is_used_up(name, fitted):
    space = SPACES[name]
    problem, theta = model(space, fitted)
    _, keys = space.enumerated()
    taken = set(keys[:-90])
    found, _ = sampled(space, HostPosterior(problem, theta), 90, taken=taken)
    assert set(space.keys(found)) == set(keys[-90:])


@needs_numba
def test_a_pool_smaller_than_the_number_of_stand_ins(fitted):
    space = SPACES["continuous"]
    problem, theta = model(space, fitted)
    for size in (2, 3):
        assert len(sampled(space, HostPosterior(problem, theta), 20, size=size)[0]) == 20


@needs_numba
def test_a_box_is_not_left(fitted):
    space = SPACES["continuous"]
    problem, theta = model(space, fitted)
    box = Box(np.array([0.2, 0.0, 0.5]), np.array([0.4, 1.0, 0.5]))
    found, _ = sampled(space, HostPosterior(problem, theta), 30, box=box)
    assert box.contains(found).all()


@needs_numba
@pytest.mark.parametrize("name", ["continuous", "mixed"])
def test_pieces_change_rounding_only(name, fitted):
    space = SPACES[name]
    problem, theta = model(space, fitted)
    whole, paths = sampled(space, HostPosterior(problem, theta), 30)
    with memory.budget(None, CPU) as plan:
        plan.piece = 300_000
        cut, _ = sampled(space, HostPosterior(problem, theta), 30)
    path = paths.assigned(np.arange(30))
    np.testing.assert_allclose(path.values(cut), path.values(whole), rtol=0, atol=1e-3)
    assert (np.abs(cut - whole).max(1) < 1e-2).mean() > 0.9
