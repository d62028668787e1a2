"""The benchmark harness: shared starts, resumable lines, honest statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import forest, record
from benchmarks.optimization import compare, report, run, score
from benchmarks.optimization.families import member
from benchmarks.optimization.member import Case
from benchmarks.optimization.registry import CASES, PROVIDERS
from benchmarks.optimization.run import Variant
from benchmarks.optimization.suites import SUITES, select, suite

SMALL = Case("levy2#1", 8, 5)
BATCHED = Case("wells4#0", 12, 4, 4)
NOISY = Case("gaussian_noise2#1", 12, 5)
ORIGIN = {"versions": dict.fromkeys(record.PACKAGES, "1.0"), "commit": "abc"}


def line(provider="sobol", seed=0, values=(3.0, 2.0, 2.5, 1.0), case="levy2#1", **more):
    return {
        "case": case,
        "provider": provider,
        "seed": seed,
        "budget": len(values),
        "n_initial": 2,
        "batch": 1,
        "values": list(values),
        "seconds": {"p50": 0.1},
        **ORIGIN,
        **more,
    }


def go(case, provider, seed=0, **settings):
    return run.run(case, Variant(provider, provider, settings), seed)


@pytest.mark.parametrize("case", [*CASES, SMALL], ids=lambda case: case.problem)
def test_every_seed_has_a_design_of_its_own(case):
    problem = member(case.problem)
    assert problem.design(0, case.n_initial) == problem.design(0, case.n_initial)
    assert problem.design(0, case.n_initial) != problem.design(1, case.n_initial)
    assert len(problem.design(3, case.n_initial)) == case.n_initial < case.budget


def test_classic_cases_have_both_kinds_of_minimum():
    assert {member(case.problem).minimum is None for case in CASES} == {True, False}


def test_classic_names_are_not_those_of_drawn_members():
    assert member("levy10").objective({f"x{i}": 1.0 for i in range(10)}) == pytest.approx(0, abs=1e-12)
    assert member("levy10").name == "levy10"
    with pytest.raises(KeyError, match="levy11"):
        member("levy11#0")


@pytest.mark.parametrize("name", SUITES)
def test_suites_hold_distinct_cases_that_can_be_run(name):
    cases = suite(name)
    assert len(set(cases)) == len(cases) > 0
    for case in cases:
        assert 0 < case.n_initial < case.budget
        assert case.batch == 1 or case.budget % case.batch == 0


def test_halves_split_by_member_and_classics_are_for_reporting():
    assert {case.problem for case in select("sequential", "tune", "^levy5#")} == {"levy5#0", "levy5#2"}
    assert {case.problem for case in select("sequential", "report", "^levy5#")} == {"levy5#1", "levy5#3"}
    assert select("classic", "tune") == []
    assert len(select("bbob", "tune")) == len(select("bbob", "report"))


@pytest.mark.parametrize(
    "provider",
    ["gpbo", *(pytest.param(each, marks=pytest.mark.slow) for each in ("botorch", "optuna_gp")), "optuna_tpe", "sobol"],
)
def test_providers_share_the_initial_design_and_spend_the_budget(provider):
    result = go(SMALL, provider, 3)
    problem = member(SMALL.problem)
    start = [problem.objective(params) for params in problem.design(3, SMALL.n_initial)]
    assert result["values"][: SMALL.n_initial] == pytest.approx(start, rel=1e-8)
    assert len(result["values"]) == SMALL.budget
    assert result["seconds"]["asks"] == SMALL.budget - SMALL.n_initial
    assert result["finished"]


@pytest.mark.parametrize("provider", ["gpbo", "optuna_tpe", "sobol"])
def test_same_seed_same_run(provider):
    assert go(SMALL, provider, 1)["values"] == go(SMALL, provider, 1)["values"]


@pytest.mark.parametrize("provider", ["gpbo", "sobol"])
def test_batches_keep_the_best_after_each_round(provider):
    result = go(BATCHED, provider)
    assert result["evaluations"] == [4, 8, 12]
    assert result["best"] == sorted(result["best"], reverse=True)
    assert result["seconds"]["asks"] == 2
    assert "values" not in result


def test_sobol_continues_the_initial_design():
    problem = member(SMALL.problem)
    values = [problem.objective(params) for params in problem.design(0, SMALL.budget)]
    assert go(SMALL, "sobol")["values"] == pytest.approx(values)


def test_noisy_runs_keep_measurements_and_true_values():
    result = go(NOISY, "gpbo")
    assert len(result["values"]) == len(result["true"]) == 12
    assert result["values"] != result["true"]
    assert set(result["recommended"]) == {"6", "12"}
    assert score.value_at(result) == result["recommended"]["12"]
    assert score.value_at(result, 0.5) == result["recommended"]["6"]
    first = go(NOISY, "sobol")
    assert first["values"] == go(NOISY, "sobol")["values"]
    assert score.value_at(first) == first["true"][int(np.argmin(first["values"]))]


def test_a_failing_optimizer_leaves_a_line_with_what_it_did(monkeypatch):
    class Broken:
        def __init__(self, *_):
            pass

        def ask(self, q):
            raise RuntimeError("no idea")

    monkeypatch.setitem(PROVIDERS, "broken", Broken)
    result = go(SMALL, "broken")
    assert not result["finished"]
    assert result["error"] == "RuntimeError: no idea"
    assert len(result["values"]) == SMALL.n_initial


def test_a_run_ends_at_its_limit(monkeypatch):
    class Slow:
        def __init__(self, *_):
            pass

        def ask(self, q):
            while True:
                pass

    monkeypatch.setitem(PROVIDERS, "slow", Slow)
    result = run.run(SMALL, Variant("slow", "slow"), 0, limit_seconds=0.05)
    assert not result["finished"]
    assert "limit" in result["error"]


def test_variants_are_parsed():
    variant = run.parse_variant("smooth=kernel:rbf,n_initial:4")
    assert variant == Variant("smooth", "gpbo", {"kernel": "rbf", "n_initial": 4})
    assert run.parse_variant("other=sobol/") == Variant("other", "sobol", {})
    assert go(SMALL, "gpbo", kernel="rbf")["settings"] == {"kernel": "rbf"}


def test_the_later_line_of_a_repeated_run_counts(tmp_path):
    (tmp_path / "bbob").mkdir()
    lines = [line(n=n) for n in (1, 2)]
    (tmp_path / "bbob" / "p.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert run.read(tmp_path) == [lines[1]]


def test_lines_of_former_runs_without_batch_are_read():
    former = line()
    del former["batch"], former["seconds"]
    former["suggestion_seconds"] = [0.5, 0.7]
    assert run.key(former) == run.key(line())
    assert score.collect([former])[0].seconds("sobol") == pytest.approx(0.6)


def test_score_is_zero_at_the_median_of_sobol_and_one_at_the_best():
    lines = [line(seed=seed, values=(20.0, 10.0 + seed)) for seed in range(3)]
    lines += [line("good", 0, (20.0, 0.11)), line("bad", 0, (2e9, 1e9)), line("middle", 0, (5.0, 1.1))]
    (cell,) = score.collect(lines)
    assert cell.exact
    assert cell.scores("sobol")[1] == 0
    assert cell.scores("good") == {0: 1.0}
    assert cell.scores("bad") == {0: -1.0}
    assert cell.scores("middle")[0] == pytest.approx(0.5)


def test_score_is_linear_in_the_value_where_the_minimum_is_not_known():
    lines = [line(values=(9.0, 4.0), case="rover60#1"), line("good", values=(9.0, 2.0), case="rover60#1")]
    lines += [line("middle", values=(9.0, 3.0), case="rover60#1")]
    (cell,) = score.collect(lines)
    assert not cell.exact
    assert cell.scores("middle") == {0: pytest.approx(0.5)}


def test_an_unfinished_run_keeps_what_it_had():
    cut = line("cut") | {"values": [3.0, 0.5], "budget": 4, "finished": False}
    assert score.value_at(cut) == 0.5
    assert score.collect([line(), cut])[0].scores("cut")[0] == 1


def test_comparison_is_paired_by_problem_and_seed_and_clipped():
    a = [line(seed=seed, values=(2.0, 1.0)) for seed in (0, 1, 2)]
    b = [line("b", seed, (2.0, value)) for seed, value in ((1, 1e-3), (2, 1.0), (3, 50.0))]
    (pairs,) = compare.pair(a, b)
    assert pairs.differences[1.0] == pytest.approx([-3.0, 0.0])
    assert pairs.clipped(1.0) == pytest.approx([-1.0, 0.0])
    text = compare.row("all", [pairs], 1.0)
    assert "| -0.500 |" in text
    assert "| 1/0/0 | 1/1/0 |" in text
    assert "better" not in text  # two runs are not enough


def test_comparison_reaches_verdicts():
    a = [line(seed=seed, case=f"levy2#{i}", values=(2.0, 1.0)) for i in range(3) for seed in range(5)]
    b = [each | {"values": [2.0, 0.5 + 0.1 * each["seed"]]} for each in a]
    assert "B better" in compare.row("all", compare.pair(a, b), 1.0)
    assert "B worse" in compare.row("all", compare.pair(b, a), 1.0)
    assert "B better" not in compare.row("all", compare.pair(a, a), 1.0)


def test_compare_and_report_run_on_small_folders(tmp_path, capsys):
    case = next(case for case in suite("sequential") if case.problem == "levy2#1")
    for name in ("sobol", "gpbo"):
        for seed in (0, 1):
            values = (np.random.default_rng(seed).random(case.budget) * (1 if name == "gpbo" else 9)).tolist()
            made = line(name, seed, values) | {"n_initial": case.n_initial}
            record.append(tmp_path / "sequential" / f"{name}.jsonl", made)
    compare.main([str(tmp_path), str(tmp_path), "--a", "sobol", "--b", "gpbo", "--suite", "sequential"])
    assert "| **all** | 1 | 2 | -" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="choose with"):
        compare.main([str(tmp_path), str(tmp_path), "--a", "other"])
    report.main(["--results", str(tmp_path)])
    text = (tmp_path / "REPORT.md").read_text()
    assert "## sequential" in text
    assert "`sobol`: scipy 1.0, commit abc" in text
    assert "1/0/0" in text
    assert (tmp_path / "sequential.png").stat().st_size > 1000


def test_lines_of_an_experiment_are_not_those_of_the_suites(tmp_path):
    record.append(tmp_path / "bbob" / "gpbo.jsonl", line("gpbo"))
    record.append(tmp_path / "portfolio" / "bbob" / "gpbo.jsonl", line("gpbo", values=(2.0, 1.0, 0.0, 0.0)))
    record.append(tmp_path / "portfolio" / "bbob" / "other.jsonl", line("other"))
    assert run.read(tmp_path) == [line("gpbo")]
    assert len(run.read(tmp_path / "portfolio")) == 2


def test_versions_of_a_variant_and_a_peer_are_found_by_package():
    versions = {"gpbo": "1", "ax-platform": "2", "HEBO": "3", "cma": "4", "scikit-optimize": "5", "torch": "6"}
    names = ("ax", "cmaes", "gpbo", "hebo", "skopt", "turbo_m", "variant")
    text = report.markdown({}, [line(name) | {"versions": versions} for name in names])
    for name, package in (("ax", "ax-platform 2"), ("cmaes", "cma 4"), ("hebo", "HEBO 3"), ("turbo_m", "torch 6")):
        assert f"- `{name}`: {package}, commit abc" in text
    assert "- `variant`: commit abc" in text


def test_the_command_appends_lines_once(tmp_path, monkeypatch):
    def here(tasks, jobs):
        return ((name, run.run(*task)) for name, task in tasks)

    monkeypatch.setattr(run, "run_all", here)
    call = [
        "--suite",
        "batch10",
        "--members",
        "^levy5#1",
        "--providers",
        "sobol",
        "--seeds",
        "2",
        "--out",
        str(tmp_path),
    ]
    run.main(call)
    run.main(call)
    lines = run.read(tmp_path)
    assert [each["seed"] for each in lines] == [0, 1]
    assert len((tmp_path / "batch10" / "sobol.jsonl").read_text().splitlines()) == 2


def test_interval_covers_the_mean():
    low, high = report.bootstrap(np.linspace(0.5, 1.5, 10))
    assert low < 1 < high
    low, high = score.interval([np.linspace(0, 1, 5), np.linspace(1, 2, 7)])
    assert low < 1 < high


def test_forest_is_deterministic_and_its_cache_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(forest, "CACHE", tmp_path)
    params = {"max_depth": 3, "n_estimators": 10, "max_leaf_nodes": 8}
    first = forest.cached_error("iris", params)
    forest._read.cache_clear()
    assert forest.cached_error("iris", params) == first == 1 - forest.accuracy("iris", params)
    assert len((tmp_path / "iris.jsonl").read_text().splitlines()) == 1
