"""The benchmark harness: shared starts, resumable lines, honest statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import forest, record
from benchmarks.optimization import report, run
from benchmarks.optimization.registry import BASELINE, CASES, PROVIDERS, Case
from gpbo import problems


@pytest.fixture
def case(monkeypatch):
    problem = problems.branin()
    case = Case("small", problem.space, problem, 8, problem.minimum)
    monkeypatch.setitem(CASES, "small", case)
    return case


def test_every_case_starts_each_seed_from_its_own_design():
    for case in CASES.values():
        assert case.design(0, case.n_initial) == case.design(0, case.n_initial)
        assert case.design(0, case.n_initial) != case.design(1, case.n_initial)
        assert len(case.design(3, case.n_initial)) == case.n_initial < case.budget


def test_all_cases_of_the_registry_have_both_kinds_of_minimum():
    assert {case.minimum is None for case in CASES.values()} == {True, False}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_providers_share_the_initial_design_and_spend_the_budget(case, provider):
    line = run.run("small", provider, 3)
    start = [case.objective(params) for params in case.design(3, case.n_initial)]
    assert line["values"][: case.n_initial] == start
    assert len(line["values"]) == case.budget
    assert len(line["suggestion_seconds"]) == case.budget - case.n_initial


@pytest.mark.parametrize("provider", ["gpbo", "optuna_tpe", "sobol"])
def test_same_seed_same_run(case, provider):
    assert run.run("small", provider, 1)["values"] == run.run("small", provider, 1)["values"]


def test_sobol_provider_continues_the_initial_design(case):
    values = [case.objective(params) for params in case.design(0, case.budget)]
    assert run.run("small", "sobol", 0)["values"] == pytest.approx(values)


def test_the_later_line_of_a_repeated_run_counts(tmp_path):
    lines = [{"case": "a", "provider": "p", "seed": 0, "n": n} for n in (1, 2)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run.read(tmp_path) == [lines[1]]


def test_comparison_is_paired_by_seed():
    baseline = report.Runs(np.array([0, 1, 2]), np.array([[1.0], [1.0], [1.0]]), 0.0)
    other = report.Runs(np.array([1, 2, 3]), np.array([[0.1], [1.0], [50.0]]), 0.0)
    result = report.compare(other, baseline)
    assert result is not None
    assert (result.better, result.tied, result.worse) == (1, 1, 0)
    assert result.mean == pytest.approx(-0.5)


def test_interval_covers_the_mean_and_reaches_verdicts():
    worse = report.Runs(np.arange(10), np.full((10, 1), 10.0), 0.0)
    better = report.Runs(np.arange(10), np.linspace(0.5, 1.5, 10)[:, None], 0.0)
    result = report.compare(better, worse)
    assert result is not None
    assert result.low < result.mean < result.high
    assert result.verdict == "better"
    assert report.compare(worse, better).verdict == "worse"
    assert report.compare(worse, worse).verdict == "level"


def test_report_is_made_from_lines(case, tmp_path):
    origin = {"versions": dict.fromkeys(record.PACKAGES, "1.0"), "commit": "abc"}
    lines = [run.run("small", provider, seed) | origin for provider in (BASELINE, "sobol") for seed in (0, 1)]
    table = report.collect(lines)
    text = report.markdown(table, lines, BASELINE)
    assert "## small" in text
    assert "`sobol`: scipy 1.0, commit abc" in text
    report.picture(table, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_forest_is_deterministic_and_its_cache_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(forest, "CACHE", tmp_path)
    params = {"max_depth": 3, "n_estimators": 10, "max_leaf_nodes": 8}
    first = forest.cached_error("iris", params)
    forest._read.cache_clear()
    assert forest.cached_error("iris", params) == first == 1 - forest.accuracy("iris", params)
    assert len((tmp_path / "iris.jsonl").read_text().splitlines()) == 1
