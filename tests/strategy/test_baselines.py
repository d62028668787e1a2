from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch

import gpbo
from gpbo import problems
from gpbo.strategy.baselines import NAMES

MIXED = {
    "rate": gpbo.Float(1e-5, 1.0, log=True),
    "share": gpbo.Float(0.0, 1.0, step=0.1),
    "depth": gpbo.Int(1, 500, log=True),
    "huge": gpbo.Int(-(2**63), 2**63 - 1),
    "kind": gpbo.Categorical(["a", "b", "c"]),
    "flag": gpbo.Categorical([True, False]),
    "fixed": gpbo.Float(2.0, 2.0),
}
SMALL = {"n": gpbo.Int(0, 3), "kind": gpbo.Categorical(["a", "b", "c"]), "flag": gpbo.Categorical([True, False])}
each = pytest.mark.parametrize("name", NAMES)
# What libraries warn of when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")


def value(params):
    return (np.log10(params["rate"]) + 2) ** 2 + params["share"] + 0.001 * params["depth"] + (params["kind"] != "b")


def run(name, rounds, q=3, seed=0, space=MIXED, f=value, **settings):
    opt = gpbo.Optimizer(space, strategy=name, seed=seed, **settings)
    for _ in range(rounds):
        batch = opt.ask(q)
        opt.tell(batch, [f(params) for params in batch.params])
    return opt


@each
def test_points_are_distinct_and_never_repeated(name):
    opt = gpbo.Optimizer(MIXED, strategy=name, seed=0)
    for q in (1, 7, 40):
        batch = opt.ask(q)
        assert len(batch) == q
        opt.tell(batch[: q // 2], [value(params) for params in batch[: q // 2].params])
        opt.fail(batch[q // 2], reason="burst")
    trials = [opt.trial(i).params for i in range(48)]
    assert len({tuple(params.values()) for params in trials}) == 48
    assert all(opt.space.contains(params) for params in trials)
    assert opt.last_ask.strategy == name


@each
def test_a_finite_space_is_tried_out_to_the_last_point(name):
    opt = gpbo.Optimizer(SMALL, strategy=name, seed=0)
    for q in (1, 5, 10, 7):
        opt.tell(opt.ask(q), range(q))
    opt.forget(opt.ask(1))
    assert len({tuple(trial.params.values()) for trial in opt.history}) == 23
    opt.tell(opt.ask(1), 0.0)
    with pytest.raises(gpbo.SpaceExhausted):
        opt.ask()


@each
def test_seed_and_history_decide(name):
    first, second, third = run(name, 10), run(name, 10), run(name, 10, seed=1)
    points = [[trial.params for trial in opt.history] for opt in (first, second, third)]
    assert points[0] == points[1]
    assert points[0] != points[2]


@each
def test_a_stored_study_goes_on_as_it_would_have(name, tmp_path):
    whole = run(name, 12)
    run(name, 9, storage=tmp_path / "study.db").close()
    opt = gpbo.Optimizer.open(tmp_path / "study.db")
    for _ in range(3):
        batch = opt.ask(3)
        opt.tell(batch, [value(params) for params in batch.params])
    assert [trial.params for trial in opt.history] == [trial.params for trial in whole.history]
    with pytest.raises(gpbo.StudyMismatchError, match=f"strategy is '{name}' there and 'auto' here"):
        gpbo.Optimizer(MIXED, storage=tmp_path / "study.db")


@each
def test_maximising_is_minimising_the_negative(name):
    down = run(name, 10)
    up = gpbo.Optimizer(MIXED, "maximize", strategy=name, seed=0)
    for _ in range(10):
        batch = up.ask(3)
        up.tell(batch, [-value(params) for params in batch.params])
    assert [trial.params for trial in down.history] == [trial.params for trial in up.history]


@each
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_any_scale_of_values_will_do(name, scale):
    plain, scaled = run(name, 10), run(name, 10, f=lambda params: scale * value(params))
    assert [trial.params for trial in plain.history] == [trial.params for trial in scaled.history]


@each
def test_results_from_elsewhere_are_welcome(name):
    opt = gpbo.Optimizer(problems.branin().space, strategy=name, seed=0)
    points = np.random.default_rng(0).uniform([-5, 0], [10, 15], (30, 2))
    opt.add(points, problems.branin().values(points))
    opt.tell(opt.ask(4), np.ones(4))
    mean, std = opt.predict(points[:2])
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    assert opt.recommend().value < 10


@each
@pytest.mark.parametrize("space", [{"x": gpbo.Float(0, 1)}, {"k": gpbo.Categorical(list("abcde"))}])
def test_one_parameter_is_enough(name, space):
    opt = gpbo.Optimizer(space, strategy=name, seed=0)
    for _ in range(5):
        opt.tell(opt.ask(), 1.0)
    assert len({tuple(trial.params.values()) for trial in opt.history}) == 5


@each
def test_nothing_global_is_touched(name):
    torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    run(name, 9)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert before[2] == random.getstate()


@pytest.mark.parametrize("name", ["cmaes", "genetic", "tpe"])
def test_those_that_learn_beat_random(name):
    problem = problems.hartmann6()

    def best(strategy):
        runs = [run(strategy, 100, 1, seed, problem.space, problem) for seed in range(3)]
        return np.mean([opt.best().value for opt in runs])

    assert best(name) < best("random") - 0.15


def test_a_grid_is_coarse_at_first():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1), "k": gpbo.Categorical(["a", "b", "c"])}, strategy="grid", seed=0)
    coarse = opt.ask(9)
    assert {(params["x"], params["k"]) for params in coarse.params} == {(x, k) for x in (0.0, 0.5, 1.0) for k in "abc"}
    assert {params["x"] for params in opt.ask(6).params} == {0.25, 0.75}


def test_random_points_are_even_on_the_scale_of_the_parameter():
    params = gpbo.Optimizer(MIXED, strategy="random", seed=0).ask(4000).params
    assert np.mean(np.log10([point["rate"] for point in params])) == pytest.approx(-2.5, abs=0.1)
    assert np.mean([point["kind"] == "a" for point in params]) == pytest.approx(1 / 3, abs=0.03)


def test_unknown_names_are_refused():
    with pytest.raises(gpbo.ArgumentError, match="strategy='best' is unknown; use one of 'auto', 'grid'"):
        gpbo.Optimizer(MIXED, strategy="best")


@pytest.mark.parametrize(("name", "package", "extra"), [("cmaes", "cmaes", "cmaes"), ("tpe", "optuna", "optuna")])
def test_a_missing_package_is_named(name, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(gpbo.ArgumentError, match=rf"pip install 'gpbo\[{extra}\]'"):
        gpbo.Optimizer(MIXED, strategy=name)
