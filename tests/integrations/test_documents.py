"""The pages on other tools tell the truth: their examples run."""

from __future__ import annotations

import doctest
import logging
import re
from pathlib import Path

import pytest

import gpbo

DOCS = Path(__file__).parent.parent.parent / "docs"
# What other packages warn of, in an example that users would run with warnings shown once.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script", "ignore:.*experimental", "ignore::DeprecationWarning"
)


SLOW = pytest.param("pytorch", marks=pytest.mark.slow)


@pytest.mark.parametrize("page", ["optuna", "sklearn", "ray", "hyperopt", SLOW, "baselines"])
def test_examples_give_the_output_shown(page):
    done = doctest.testfile(str(DOCS / f"{page}.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 4
    assert done.failed == 0


def blocks(page):
    """Code that the page shows without running it."""
    found = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    return [each for each in found if not each.startswith(">>>")]


def prompts(page):
    """All code that the page runs."""
    parser = doctest.DocTestParser()
    return "".join(example.source for example in parser.get_examples((DOCS / f"{page}.md").read_text()))


def test_mlflow_gets_every_trial(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    (code,) = [each for each in blocks("pytorch") if "mlflow" in each]
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    names: dict = {}
    exec(code, names)
    try:
        res = gpbo.minimize(
            lambda p: 1 / 0 if p["n"] == 3 else p["x"] ** 2,
            {"x": gpbo.Float(-1, 1), "n": gpbo.Int(1, 3)},
            n=8,
            seed=0,
            callbacks=names["log_to_mlflow"],
        )
        runs = mlflow.search_runs(output_format="list")
        assert len(runs) == res.nfev == 8
        logged = {run.info.run_name: run.data for run in runs}
        for trial in res.trials:
            data = logged[f"trial {trial.id}"]
            assert float(data.params["x"]) == trial["x"]
            assert data.tags["state"] == trial.state
            assert data.metrics.get("value") == trial.value
    finally:
        mlflow.set_tracking_uri(None)


def test_tensorboard_gets_every_trial(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    (code,) = [each for each in blocks("pytorch") if "SummaryWriter" in each]
    names: dict = {}
    exec(code, names)
    gpbo.minimize(lambda p: p["x"], {"x": gpbo.Float(0, 1)}, n=3, seed=0, callbacks=names["log_to_tensorboard"])
    names["writer"].close()
    assert len(list(tmp_path.rglob("events.*"))) >= 3


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize("page", ["pytorch", "ray"])
def test_the_same_through_ray(page, tmp_path):
    ray = pytest.importorskip("ray")
    (code,) = [each for each in blocks(page) if "tune.Tuner" in each]
    code = re.sub(r"num_samples=\d+", "num_samples=3", code)
    code = code.replace(
        "trainable,\n", f"trainable, run_config=tune.RunConfig(storage_path={str(tmp_path)!r}, verbose=0),\n"
    )
    names: dict = {}
    if page == "pytorch":
        exec(prompts(page).partition("import optuna")[0], names)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        exec(code, names)
        assert not names["results"].errors
        assert len(names["results"]) == 3
    finally:
        ray.shutdown()
