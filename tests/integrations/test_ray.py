"""The search algorithm as Ray calls it; at the end, within a real Ray on this machine."""

from __future__ import annotations

import json
import logging
import pickle

import numpy as np
import pytest
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher

import gpbo
from gpbo.integrations.ray import GPBOSearch

CONFIG = {
    "x": tune.uniform(-1.0, 1.0),
    "net": {"rate": tune.loguniform(1e-5, 1.0), "width": tune.qrandint(8, 64, 8)},
    "depth": tune.randint(1, 6),
    "log": tune.lograndint(1, 100),
    "step": tune.quniform(0.0, 1.0, 0.25),
    "kind": tune.choice(["a", ["b", 1], None]),
    "constant": 3,
}
each_bad = pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), None])


def search(**settings):
    return GPBOSearch(CONFIG, "loss", "min", **{"seed": 0, **settings})


def loss(config):
    return (config["x"] - 0.3) ** 2 + config["depth"] / 10 + (np.log10(config["net"]["rate"]) + 2) ** 2


def run(searcher, trials, first=0):
    configs = []
    for i in range(first, first + trials):
        configs.append(searcher.suggest(f"t{i}"))
        searcher.on_trial_complete(f"t{i}", {"loss": loss(configs[-1])})
    return configs


def test_configurations_lie_in_the_space_and_improve():
    configs = run(search(), 25)
    for config in configs:
        assert -1 <= config["x"] <= 1
        assert config["net"]["width"] in range(8, 65, 8)
        assert config["depth"] in range(1, 6)
        assert config["kind"] in ("a", ["b", 1], None)
        assert config["step"] in (0, 0.25, 0.5, 0.75, 1)
        assert "constant" not in config
        assert isinstance(config["net"]["width"], int)
    assert min(map(loss, configs)) < 0.2
    assert len({str(config) for config in configs}) == 25


def test_seed_decides():
    assert run(search(), 8) == run(search(), 8)
    assert run(search(), 8) != run(search(seed=1), 8)


def test_space_metric_and_mode_may_come_from_the_tuner():
    searcher = GPBOSearch(seed=0)
    with pytest.raises(gpbo.NotReadyError):
        searcher.suggest("t0")
    assert searcher.set_search_properties("loss", "min", CONFIG)
    assert run(searcher, 8) == run(search(), 8)
    assert not searcher.set_search_properties("loss", "min", {"other": tune.uniform(0, 1)})


def test_parameters_of_gpbo_will_do():
    searcher = GPBOSearch({"x": gpbo.Float(0, 1), "net": {"n": gpbo.Int(1, 3)}}, "loss", "max", seed=0)
    assert set(searcher.suggest("t0")["net"]) == {"n"}


@each_bad
def test_bad_results_count_as_failed(bad):
    searcher = search(n_initial=2)
    run(searcher, 3)
    tried = [searcher.suggest("b0"), searcher.suggest("b1"), searcher.suggest("b2")]
    searcher.on_trial_complete("b0", {"loss": bad})
    searcher.on_trial_complete("b1", {"other": 1.0})
    searcher.on_trial_complete("b2", error=True)
    later = run(searcher, 3, first=3)
    assert not [config for config in later if config in tried]
    ledger = searcher._mirror._ledger
    assert (len(ledger.complete), len(ledger.failed)) == (6, 3)


def test_results_of_unknown_trials_are_ignored(caplog):
    searcher = search()
    run(searcher, 1)
    with caplog.at_level(logging.WARNING):
        searcher.on_trial_complete("t0", {"loss": 1.0})
    assert "t0 is not running" in caplog.text


def test_results_from_elsewhere():
    searcher = search()
    config = {"x": 0.1, "net": {"rate": 0.1, "width": 16}, "depth": 2, "log": 5, "step": 0.5, "kind": ["b", 1]}
    searcher.add_evaluated_point(config, 1.0)
    searcher.add_evaluated_point({**config, "x": 0.2}, 1.0, error=True)
    searcher.add_evaluated_point({**config, "x": 0.3}, None, pruned=True, intermediate_values=[3.0, 2.0])
    searcher.add_evaluated_point({**config, "x": 0.4}, float("nan"))
    ledger = searcher._mirror._ledger
    assert [ledger.trial(i).value for i in ledger.complete] == [1.0, 2.0]
    assert len(ledger.failed) == 2
    for wrong in (
        {**config, "x": 7.0},
        {**config, "kind": "z"},
        {"x": 0.1},
        {**config, "net": {"rate": 1, "width": 9}},
    ):
        with pytest.raises(gpbo.SpaceError):
            searcher.add_evaluated_point(wrong, 1.0)
    run(searcher, 3)


@pytest.mark.parametrize("fresh", [lambda: GPBOSearch(), lambda: search(seed=9)])
def test_save_and_restore_with_unfinished_trials(tmp_path, fresh):
    whole, saved = search(), search()
    for searcher in (whole, saved):
        searcher.suggest("open")
        run(searcher, 9)
        searcher.suggest("running")
    saved.save(str(tmp_path / "state.json"))
    again = fresh()
    again.restore(str(tmp_path / "state.json"))
    for searcher in (whole, again):
        searcher.on_trial_complete("open", {"loss": 0.5})
        searcher.on_trial_complete("running", {"loss": 0.6})
    assert run(again, 4, first=9) == run(whole, 4, first=9)
    assert len(again._mirror._ledger.complete) == 15


def test_choices_that_are_no_plain_data_need_the_space_at_restore(tmp_path):
    def made():
        return GPBOSearch({"f": tune.choice([len, max]), "x": tune.uniform(0, 1)}, "loss", "min", seed=0)

    searcher = made()
    assert searcher.suggest("t0")["f"] in (len, max)
    searcher.save(str(tmp_path / "state.json"))
    with pytest.raises(gpbo.ArgumentError, match="pass the search space to GPBOSearch, then restore"):
        GPBOSearch().restore(str(tmp_path / "state.json"))
    again = made()
    again.restore(str(tmp_path / "state.json"))
    assert again.suggest("t1") == searcher.suggest("t1")
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps({**state, "format": 99}))
    with pytest.raises(gpbo.ArgumentError, match="has format 99"):
        made().restore(str(tmp_path / "state.json"))


def test_pickling_keeps_everything():
    whole, saved = search(), search()
    run(whole, 8)
    run(saved, 8)
    assert run(pickle.loads(pickle.dumps(saved)), 3, first=8) == run(whole, 3, first=8)


def test_concurrency_is_bounded():
    searcher = search(max_concurrent=2)
    assert searcher.suggest("a") is not None
    assert searcher.suggest("b") is not None
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", {"loss": 1.0})
    assert searcher.suggest("c") is not None
    inner = search()
    limited = ConcurrencyLimiter(inner, max_concurrent=3)
    limited.set_search_properties("loss", "min", {})
    assert [limited.suggest(str(i)) is None for i in range(4)] == [False, False, False, True]


def test_points_to_evaluate_come_first():
    config = {"x": 0.1, "net": {"rate": 0.1, "width": 16}, "depth": 2, "log": 5, "step": 0.5, "kind": None}
    searcher = search(points_to_evaluate=[config])
    assert searcher.suggest("t0") == config
    assert searcher.suggest("t1") != config


def test_an_exhausted_space_is_finished():
    searcher = GPBOSearch({"n": tune.randint(0, 3)}, "loss", "min", seed=0)
    assert sorted(searcher.suggest(str(i))["n"] for i in range(3)) == [0, 1, 2]
    assert searcher.suggest("more") == Searcher.FINISHED


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"p": tune.randn(0, 1)}, "'p' is a Float with Normal sampling"),
        ({"p": tune.sample_from(lambda spec: 1)}, "'p' is a Function"),
        ({"p": tune.grid_search([1, 2])}, "grid_search is not searched"),
        ({"p": 3}, "nothing to search"),
    ],
)
def test_what_is_not_searched_is_named(config, message):
    with pytest.raises(gpbo.ArgumentError, match=message):
        GPBOSearch(config)


def test_bad_arguments_are_refused():
    with pytest.raises(gpbo.ArgumentError, match="mode must be"):
        GPBOSearch(CONFIG, "loss", "down")


def trainable(config):
    for step in range(3):
        tune.report({"loss": float("nan") if config["depth"] == 5 and step == 2 else loss(config) + 1 / (step + 1)})


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_within_ray(tmp_path):
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        searcher = GPBOSearch(seed=0, max_concurrent=2)
        tuner = tune.Tuner(
            trainable,
            param_space=CONFIG,
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                search_alg=searcher,
                num_samples=5,
                scheduler=tune.schedulers.ASHAScheduler(),
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path), name="study", verbose=0),
        )
        results = tuner.fit()
        assert len(results) == 5
        assert not results.errors
        assert results.get_best_result().config["constant"] == 3
        assert len(searcher._mirror._ledger.complete) + len(searcher._mirror._ledger.failed) == 5
        restored = GPBOSearch()
        restored.restore_from_dir(str(tmp_path / "study"))
        assert len(restored._mirror._ledger.codes) == 5
    finally:
        ray.shutdown()
