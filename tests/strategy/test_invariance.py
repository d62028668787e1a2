"""What a run must not depend on: names, order, direction, place and unit of the parameters, unit of the outcome.

Random candidates and Sobol points belong to coordinates, so that a permuted or reflected run is another draw of the
same procedure: there the model has to be the same function, the search has to reach the same value on it, and whole
runs have to end alike. Where only units change, the run is the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gpbo
from gpbo import Categorical, Float, Int, Space
from gpbo.strategy.policy import Strategy
from gpbo.strategy.settings import Settings

D = 4
ORDER = np.array([2, 0, 3, 1])
AXES = {
    "permuted": lambda U: U[:, ORDER],
    "reflected": lambda U: 1.0 - U,
    "one reflected": lambda U: np.where(np.arange(D) == 1, 1.0 - U, U),
    "permuted and reflected": lambda U: 1.0 - U[:, ORDER],
}
BACK = {
    "permuted": lambda U: U[:, np.argsort(ORDER)],
    "reflected": lambda U: 1.0 - U,
    "one reflected": lambda U: np.where(np.arange(D) == 1, 1.0 - U, U),
    "permuted and reflected": lambda U: (1.0 - U)[:, np.argsort(ORDER)],
}


def bowl(U):
    """No two axes alike, the minimum off the centre, several basins."""
    stretch = np.array([9.0, 4.0, 2.0, 1.0])
    return ((U - [0.3, 0.6, 0.45, 0.8]) ** 2 * stretch).sum(-1) + 0.1 * (1 - np.cos(9 * (U[..., 0] - U[..., 1] + 0.3)))


def suggested(space, data, seed=0):
    strategy = Strategy(space, Settings(), seed)
    (u,) = strategy.suggest(data, 1, len(data.y))[0]
    return strategy, u


@pytest.mark.parametrize("change", AXES)
@pytest.mark.parametrize("n", [12, 30])
def test_the_model_and_what_the_search_reaches_follow_the_axes(snapshot, change, n):
    space = Space.from_bounds([0.0] * D, [1.0] * D)
    U = np.random.default_rng(n).random((n, D))
    data = snapshot(space, X=U, y=-bowl(U))
    turned = replace(data, X=AXES[change](U), taken=set(space.keys(AXES[change](U))))
    (one, u), (other, v) = suggested(space, data), suggested(space, turned)
    probe = np.random.default_rng(1).random((50, D))
    mean, std = one.predict(data, probe)
    mean_turned, std_turned = other.predict(turned, AXES[change](probe))
    np.testing.assert_allclose(mean_turned, mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(std_turned, std, rtol=1e-2, atol=1e-4)
    value = one.acquisition(data, 1)
    back = np.array([u, *BACK[change](v[None])])

    reached = value(torch.as_tensor(back)[:, None]).detach().numpy()
    assert abs(reached[0] - reached[1]) < 2e-2  # of a log improvement: two searches of one function


@pytest.mark.parametrize("change", AXES)
def test_runs_end_alike_on_turned_axes(change):
    space = Space.from_bounds([0.0] * D, [1.0] * D)

    def regret(seed, turn, back):
        opt = gpbo.Optimizer(space, seed=seed)
        start = np.random.default_rng(seed).random((5, D))
        opt.add(turn(start), bowl(start))
        for _ in range(25):
            batch = opt.ask()
            opt.tell(batch, bowl(back(batch.x)))
        return np.log10(opt.best().value + 1e-9)

    same = np.array([regret(seed, lambda U: U, lambda U: U) for seed in range(4)])
    turned = np.array([regret(seed, AXES[change], BACK[change]) for seed in range(4)])
    assert abs(np.median(turned) - np.median(same)) < 1.5
    assert turned.max() < -1.5  # a random search of 30 points reaches -0.5


@pytest.mark.parametrize(
    ("low", "high"),
    [(-8.0, 8.0), (1024.0, 1280.0), (0.0, 2.0**-30), (-(2.0**40), 2.0**40)],
)
def test_where_and_how_wide_the_box_is_changes_nothing(low, high):
    def run(low, high):
        opt = gpbo.Optimizer(Space.from_bounds([low] * D, [high] * D), seed=3)
        visited = []
        for _ in range(16):
            batch = opt.ask()
            visited.append((batch.x[0] - low) / (high - low))
            opt.tell(batch, bowl(visited[-1]))
        return np.array(visited)

    np.testing.assert_allclose(run(low, high), run(0.0, 1.0), atol=1e-6)


@pytest.mark.parametrize("outcome", [lambda y: 4.0 * y, lambda y: 2.0**-60 * y, lambda y: 2.0**80 * y])
@pytest.mark.parametrize("q", [1, 4])
def test_units_of_the_outcome_change_no_bit_of_a_run(outcome, q):
    space = Space({"x": Float(0, 1), "n": Int(1, 9), "c": Categorical(["a", "b", "c"]), "z": Float(1e-3, 1, log=True)})

    def objective(params):
        return (params["x"] - 0.4) ** 2 + 0.1 * params["n"] + "abc".index(params["c"]) + abs(np.log(params["z"]) + 2)

    def run(outcome):
        opt = gpbo.Optimizer(space, seed=5)
        for _ in range(16 // q):
            batch = opt.ask(q)
            opt.tell(batch, [outcome(objective(params)) for params in batch.params])
        return [trial.params for trial in opt.history]

    assert run(outcome) == run(lambda y: y)


def test_names_of_parameters_change_nothing():
    def run(names):
        space = Space({name: Float(0, 1) for name in names})
        opt = gpbo.Optimizer(space, seed=7)
        for _ in range(14):
            batch = opt.ask()
            opt.tell(batch, bowl(batch.x))
        return np.array([list(trial.params.values()) for trial in opt.history])

    np.testing.assert_array_equal(run("abcd"), run(["zebra", "x0", "lr", "branin"]))


def test_the_engine_knows_no_benchmark_by_name():
    names = {
        "ackley",
        "bbob",
        "branin",
        "cigar",
        "ellipsoid",
        "griewank",
        "hartmann",
        "himmelblau",
        "levy",
        "michalewicz",
    }
    names |= {"rastrigin", "regulator", "rosenbrock", "rover", "schwefel", "styblinski", "pendulum"}
    engine = Path(gpbo.__file__).parent
    for layer in (
        "strategy",
        "search",
        "acquisition",
        "models",
        "numerics",
        "space.py",
        "encoding.py",
        "transforms.py",
    ):
        paths = [engine / layer] if layer.endswith(".py") else (engine / layer).rglob("*.py")
        for path in paths:
            found = names & set(re.findall(r"[a-z]+", path.read_text().lower()))
            assert not found, f"{path.name} mentions {found}"
