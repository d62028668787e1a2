"""Small budgets together, from tiny lines."""

from __future__ import annotations

import pytest

from benchmarks.optimization import overall, score


def line(provider, seed, value, case="levy2#1", batch=1):
    return {
        "case": case,
        "provider": provider,
        "seed": seed,
        "budget": 30,
        "n_initial": 5,
        "batch": batch,
        "values": [9.0] * 29 + [value],
        "seconds": {"p50": 0.1},
        "versions": {},
        "commit": "abc",
    }


def cells(**values):
    return score.collect([line(name, seed, v) for name, each in values.items() for seed, v in enumerate(each)])


def test_a_median_worse_than_sobols_is_found_with_its_chance():
    (one,) = overall.behind(overall.against(cells(gpbo=[2.0] * 5, sobol=[1.0] * 5)))
    assert (one.case.problem, one.runs) == ("levy2#1", 5)
    assert one.decades == pytest.approx(0.30103, abs=1e-3)
    assert one.chance < 0.01
    assert str(one) == "**0.30**"
    better = overall.against(cells(gpbo=[1.0] * 5, sobol=[2.0] * 5))
    assert (len(better), overall.behind(better)) == (1, [])
    assert overall.against(cells(gpbo=[1.0] * 5)) == []


def test_few_runs_decide_nothing():
    (one,) = overall.behind(overall.against(cells(gpbo=[2.0, 0.5], sobol=[1.0, 0.9])))
    assert one.chance > overall.UNLIKELY


def test_further_runs_stand_beside_the_first():
    few, many = cells(gpbo=[2.0] * 2, sobol=[1.0] * 2), cells(gpbo=[1.0] * 9, sobol=[2.0] * 9)
    text = list(overall.table({"sequential": few}, ["gpbo", "sobol"], many))
    assert text[-1] == "| sequential | 1 | 1 | 0 | levy2#1 0.30 (9 more: -0.30) |"


def test_further_runs_in_other_batches_do_not():
    few = cells(gpbo=[2.0] * 2, sobol=[1.0] * 2)
    many = [line(name, seed, value, batch=5) for name, value in (("gpbo", 1.0), ("sobol", 2.0)) for seed in range(9)]
    text = list(overall.table({"sequential": few}, ["gpbo", "sobol"], score.collect(many)))
    assert text[-1] == "| sequential | 1 | 1 | 0 | levy2#1 0.30 |"


def test_a_case_of_two_suites_counts_once():
    both = cells(gpbo=[0.1, 0.2], sobol=[2.0, 2.0])
    text = list(overall.table({"batch10": both, "bbob_batch10": both}, ["gpbo", "sobol"]))
    (sobol,) = (row for row in text if row.startswith("| `sobol`"))
    assert sobol.split(" | ")[1:3] == ["1", "2"]


def test_an_optimizer_is_compared_on_the_problems_that_it_has_lines_on():
    both = cells(gpbo=[0.1, 0.2], turbo=[1.0, 1.0], sobol=[2.0, 2.0])
    more = [line("gpbo", 0, 3.0, "levy5#1"), line("sobol", 0, 4.0, "levy5#1")]
    text = list(overall.table({"sequential": [*both, *score.collect(more)]}, ["gpbo", "turbo", "skopt", "sobol"]))
    turbo, sobol = (next(row for row in text if row.startswith(f"| `{name}`")) for name in ("turbo", "sobol"))
    assert turbo.split(" | ")[1:3] == ["1", "2"]
    assert sobol.split(" | ")[1:3] == ["2", "3"]
    assert not any("skopt" in row or row.startswith("| `gpbo`") for row in text)
    assert text[-1] == "| sequential | 2 | 0 | 0 |  |"


def test_without_the_baseline_there_is_no_table():
    assert list(overall.table({"sequential": cells(sobol=[1.0])}, ["sobol"])) == []
