from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import gpbo
from gpbo.integrations.optuna import GPBOSampler

SPACE = {
    "x": FloatDistribution(-1.0, 1.0),
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.25),
    "depth": IntDistribution(1, 30),
    "even": IntDistribution(2, 64, step=2),
    "kind": CategoricalDistribution(["a", None, 3]),
}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def bowl(params):
    return (params["x"] - 0.3) ** 2 + (np.log10(params["rate"]) + 3) ** 2 / 9 + (params["even"] - 20) ** 2 / 1000


def objective(trial):
    return bowl({name: trial._suggest(name, distribution) for name, distribution in SPACE.items()})


def study_of(n, storage=None, **settings):
    study = optuna.create_study(sampler=GPBOSampler(**{"seed": 0, **settings}), storage=storage)
    study.optimize(objective, n_trials=n)
    return study


def points(study):
    return [tuple(trial.params.values()) for trial in study.trials]


def test_all_kinds_of_parameters_are_searched_together():
    study = study_of(25)
    assert study.best_value < 0.05
    assert len(set(points(study))) == 25
    assert set(study.trials[-1].system_attrs) == {"gpbo:params:0"}


def test_seed_decides():
    assert points(study_of(12)) == points(study_of(12))
    assert points(study_of(12)) != points(study_of(12, seed=1))


def test_maximising_is_minimising_the_negative():
    up = optuna.create_study(sampler=GPBOSampler(seed=0), direction="maximize")
    up.optimize(lambda trial: -objective(trial), n_trials=12)
    assert points(up) == points(study_of(12))


def test_a_batch_is_planned_at_once_and_handed_out_one_by_one():
    study = study_of(10, batch_size=4)
    asked = [study.ask(SPACE) for _ in range(4)]
    (follower,) = study.sampler._followers
    assert len(follower._planned) in (0, 1, 2, 3)
    events = follower._mirror._ledger.asks
    planned = [codes for _, codes in follower._planned]
    for trial in asked:
        study.tell(trial, bowl(trial.params))
    later = [study.ask(SPACE) for _ in planned]
    found = [follower._axes.codes_outside(follower._space, trial.params) for trial in later]
    assert found == planned
    assert follower._mirror._ledger.asks == events
    assert len(set(points(study))) == len(study.trials)


def test_running_trials_are_pending():
    study = study_of(10)
    asked = [study.ask(SPACE) for _ in range(6)]
    data = study.sampler._followers[0]._mirror._ledger.data()
    assert len(data.pending) == 6
    assert len({tuple(trial.params.values()) for trial in asked}) == 6
    study.tell(asked[0], 1.0)
    study.tell(asked[1], state=TrialState.FAIL)
    study.ask(SPACE)
    data = study.sampler._followers[0]._mirror._ledger.data()
    assert (len(data.y), len(data.failed), len(data.pending)) == (11, 1, 5)


@pytest.mark.slow
@pytest.mark.integration
def test_trials_of_another_process_are_pending_before_they_have_parameters(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = study_of(6, storage=storage)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        theirs = pool.apply(_relative_params, (storage, study.study_name))
    mine = study.ask(SPACE)
    assert len(study.sampler._followers[0]._mirror._ledger.data().pending) == 2
    assert mine.params != theirs


def _relative_params(storage, name):
    """Of a trial whose objective has asked for nothing so far."""
    study = optuna.load_study(study_name=name, storage=storage, sampler=GPBOSampler(seed=0))
    return study.ask().relative_params


def test_suggestions_longer_than_an_attribute_are_read_back(tmp_path):
    space = {f"a parameter with a long name {i}": FloatDistribution(0.0, 1.0) for i in range(60)}
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(sampler=GPBOSampler(seed=0), storage=storage)
    study.tell(study.ask(space), 1.0)
    theirs = study.ask().relative_params
    other = optuna.load_study(study_name=study.study_name, storage=storage, sampler=GPBOSampler(seed=0))
    assert len([name for name in other.trials[1].system_attrs if name.startswith("gpbo")]) > 1
    other.ask(space)
    follower = other.sampler._followers[0]
    (pending,) = [follower._mirror._ledger.codes[i] for i in [follower._mirror._open[1]]]
    assert follower._space.params([pending])[0] == theirs


def test_reseeding_changes_what_follows():
    followers = [study_of(11, warn_independent_sampling=False) for _ in range(4)]  # the twelfth trial is the model's
    for study in followers[1:]:
        study.sampler.reseed_rng()
    assert len({tuple(study.ask(SPACE).params.values()) for study in followers}) > 1  # one maximum, found by other ways


def test_enqueued_points_are_recorded_as_evaluated():
    study = study_of(8)
    study.enqueue_trial({"x": 0.25, "kind": 3})
    study.optimize(objective, n_trials=2)
    assert study.trials[8].params["x"] == 0.25
    follower = study.sampler._followers[0]
    study.ask(SPACE)
    codes = [follower._axes.codes_outside(follower._space, trial.params) for trial in study.trials[:10]]
    assert all(follower._mirror.tried(each) for each in codes)


def test_failed_trials_are_not_repeated():
    study = optuna.create_study(sampler=GPBOSampler(seed=0))
    search = {"a": IntDistribution(0, 3), "b": IntDistribution(0, 3)}
    for _ in range(16):
        trial = study.ask(search)
        bad = trial.params["a"] == 1
        study.tell(trial, None if bad else float(trial.params["b"]), state=TrialState.FAIL if bad else None)
    assert len(set(points(study))) == 16


def test_an_exhausted_space_is_searched_again():
    study = optuna.create_study(sampler=GPBOSampler(seed=0, batch_size=3))
    search = {"a": IntDistribution(0, 1), "b": IntDistribution(0, 1)}
    for _ in range(10):
        study.tell(study.ask(search), 1.0)
    assert len(set(points(study))) == 4


def test_pruned_trials_count_with_their_last_report_but_never_as_good():
    study = optuna.create_study(sampler=GPBOSampler(seed=0))
    reports = [None, None, None, -5.0, 9.0, None]
    for number, report in enumerate(reports):
        trial = study.ask({"x": SPACE["x"]})
        if report is not None:
            trial.report(report, 0)
        study.tell(trial, *([float(number)] if number < 3 else []), state=TrialState.PRUNED if number >= 3 else None)
    study.ask({"x": SPACE["x"]})
    data = study.sampler._followers[0]._mirror._ledger.data()
    assert (-data.y).tolist() == [0.0, 1.0, 2.0, 1.0, 9.0]
    assert len(data.failed) == 1


def test_infinite_values_count_as_failed():
    study = optuna.create_study(sampler=GPBOSampler(seed=0))
    for value in (1.0, float("inf"), 2.0, float("-inf"), 3.0):
        study.tell(study.ask({"x": SPACE["x"]}), value)
    study.ask({"x": SPACE["x"]})
    data = study.sampler._followers[0]._mirror._ledger.data()
    assert (len(data.y), len(data.failed)) == (3, 2)


def test_the_model_grows_by_appending():
    study = study_of(20)
    follower = study.sampler._followers[0]
    study.optimize(objective, n_trials=3)
    assert study.sampler._followers == [follower]
    assert follower._mirror._strategy._surrogate.carry.n == 22


def test_one_sampler_serves_several_studies():
    sampler = GPBOSampler(seed=0)
    first, second = (optuna.create_study(sampler=sampler) for _ in range(2))
    for _ in range(4):
        first.optimize(objective, n_trials=1)
        second.optimize(lambda trial: trial.suggest_int("n", 0, 9), n_trials=1)
    assert len(sampler._followers) == 2
    assert points(first) == points(study_of(4))


def test_hyperband_brackets_are_studies_of_their_own():
    pruner = optuna.pruners.HyperbandPruner(max_resource=9)
    study = optuna.create_study(sampler=GPBOSampler(seed=0, warn_independent_sampling=False), pruner=pruner)
    study.optimize(_reporting, n_trials=15)
    assert all(trial.state.is_finished() for trial in study.trials)


def _reporting(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(9):
        trial.report(x + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x


def test_a_pickled_sampler_goes_on():
    study = study_of(8)
    expected = study_of(10)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study.optimize(objective, n_trials=2)
    assert len(points(study)) == 10
    assert points(study)[:8] == points(expected)[:8]


def test_threads_never_get_the_same_point():
    study = optuna.create_study(sampler=GPBOSampler(seed=0, n_startup_trials=4))
    study.optimize(objective, n_trials=4)
    study.optimize(objective, n_trials=12, n_jobs=4)
    assert len(set(points(study))) == 16


@pytest.mark.parametrize(
    "distribution",
    [IntDistribution(0, 2**70), FloatDistribution(1.0, 1.0 + 1e-12), FloatDistribution(0.0, 1e12, step=1e-9)],
)
def test_what_the_engine_cannot_search_is_sampled_independently(distribution):
    study = optuna.create_study(sampler=GPBOSampler(seed=0, warn_independent_sampling=False))
    for _ in range(3):
        study.tell(study.ask({"x": SPACE["x"], "odd": distribution}), 1.0)
    assert len(study.sampler._followers[0]._space) == 1


def test_several_objectives_and_constraints_are_refused():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=GPBOSampler())
    with pytest.raises(gpbo.ArgumentError, match="one objective, and this one has 2"):
        study.ask(SPACE)
    study = optuna.create_study(sampler=GPBOSampler())
    trial = study.ask({"x": SPACE["x"]})
    study._storage.set_trial_system_attr(trial._trial_id, "constraints", [1.0])
    study.tell(trial, 1.0)
    with pytest.raises(gpbo.ArgumentError, match="does not support constraints"):
        study.ask({"x": SPACE["x"]})


@pytest.mark.parametrize("bad", [{"seed": -1}, {"batch_size": 0}, {"n_startup_trials": 1.5}, {"kernel": "no"}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(gpbo.ArgumentError):
        GPBOSampler(**bad)


def test_falling_back_is_logged(caplog):
    study = optuna.create_study(sampler=GPBOSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert not caplog.records
    study.optimize(lambda trial: trial.suggest_float("y", 0, 1), n_trials=1)
    assert "'y' of trial 2 is sampled by RandomSampler" in caplog.text


MIXED = {
    "lr": gpbo.Float(1e-5, 1e-1, log=True),
    "drop": gpbo.Float(0.0, 0.95, step=0.1),
    "depth": gpbo.Int(1, 8, log=True),
    "act": gpbo.Categorical(["relu", "gelu", None]),
    "odd": gpbo.Categorical([(1, 2), True, 1]),
}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_study_goes_to_optuna_and_its_plots(tmp_path, direction):
    opt = gpbo.Optimizer(MIXED, direction=direction, seed=0)
    batch = opt.ask(8)
    opt.tell(batch[:5], [3.0, 1.0, 2.0, 5.0, 4.0], noise=0.1)
    opt.fail(batch[5], reason="burst")
    opt.forget(batch[6])
    study = gpbo.to_optuna(opt, f"sqlite:///{tmp_path / 'study.db'}", "mine")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 5 + ["FAIL", "RUNNING"]
    assert study.best_value == opt.best().value
    assert study.best_params["lr"] == opt.best()["lr"]
    assert study.trials[5].user_attrs["reason"] == "burst"
    assert study.trials[0].user_attrs["noise"] == 0.1
    plots = optuna.visualization.matplotlib
    for plot in (plots.plot_optimization_history, plots.plot_slice, plots.plot_parallel_coordinate):
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            assert np.size(plot(study)) > 0


def test_a_study_comes_from_optuna():
    study = study_of(9)
    study.add_trial(
        optuna.create_trial(state=TrialState.FAIL, params={**study.best_params, "x": 0.9}, distributions=SPACE)
    )
    with pytest.warns(gpbo.FailedTrialWarning):
        opt = gpbo.from_optuna(study, seed=0)
    assert opt.best().value == study.best_value
    assert opt.best().params == study.best_params
    assert [trial.state for trial in opt.history].count("failed") == 1
    assert opt.direction == "minimize"
    opt.tell(opt.ask(), 1.0)


def test_there_and_back():
    opt = gpbo.Optimizer({name: p for name, p in MIXED.items() if name != "odd"}, direction="maximize", seed=0)
    opt.tell(opt.ask(6), range(6))
    back = gpbo.from_optuna(gpbo.to_optuna(opt), seed=0)
    assert back.direction == "maximize"
    assert [(t.params, t.value) for t in back.history] == [(t.params, t.value) for t in opt.history]


def test_a_study_without_a_space_is_refused():
    with pytest.raises(gpbo.ArgumentError, match="no completed trial"):
        gpbo.from_optuna(optuna.create_study())
    with pytest.raises(gpbo.ArgumentError, match="one objective"):
        gpbo.from_optuna(optuna.create_study(directions=["minimize", "maximize"]))
