"""Places by problem, from tiny lines."""

from __future__ import annotations

import pytest

from benchmarks.optimization import places, report, score


def line(provider, seed, value, case="ackley20#1", **more):
    return {
        "case": case,
        "provider": provider,
        "seed": seed,
        "budget": 1000,
        "n_initial": 100,
        "batch": 100,
        "evaluations": [100, 1000],
        "best": [20.0, value],
        "seconds": {"p50": 0.1},
        "versions": {},
        "commit": "abc",
        **more,
    }


def lines(provider, *values, **more):
    return [line(provider, seed, value, **more) for seed, value in enumerate(values)]


def problem(*runs):
    (found,) = places.problems(score.collect([each for some in runs for each in some]))
    return found


def test_members_of_a_problem_are_taken_together():
    found = problem(lines("gpbo", 1.0, 2.0, 4.0), lines("gpbo", 8.0, 8.0, 9.0, case="ackley20#3"))
    assert (found.name, found.budget, found.batch, found.runs) == ("ackley20", 1000, 100, 6)
    assert found.results["gpbo"].value == pytest.approx((2.0 * 8.0) ** 0.5)


def test_values_stand_in_where_the_minimum_is_not_known():
    found = problem(lines("gpbo", 3.0, 4.0, 9.0, case="rover60#1"), lines("sobol", 5.0, 6.0, 7.0, case="rover60#1"))
    assert not found.exact
    assert {name: each.value for name, each in found.results.items()} == {"gpbo": 4.0, "sobol": 6.0}


def test_places_are_by_result_and_ties_share_them():
    found = problem(lines("gpbo", 2.0, 2.0), lines("turbo", 1.0, 1.0), lines("ts", 1.0, 1.0), lines("sobol", 9.0, 9.0))
    assert [found.at_place(place) for place in (1, 2, 3, 4)] == [["ts", "turbo"], ["gpbo"], ["sobol"], []]
    mean, low, high = found.results["turbo"].difference
    assert low == mean == high == pytest.approx(-0.30103, abs=1e-5)
    assert found.results["gpbo"].difference is None


def test_who_misses_many_runs_has_no_place_and_does_not_count_for_others():
    few = lines("ts", 0.1)
    found = problem(lines("gpbo", 2.0, 3.0, 4.0, 5.0), lines("turbo", 1.0, 8.0, 8.0), lines("sobol", *[9.0] * 9), few)
    assert found.runs == 3
    assert found.results["gpbo"].value == pytest.approx(3.0)
    assert found.results["ts"].missing == 2
    assert [found.at_place(place) for place in (1, 2)] == [["gpbo"], ["turbo"]]


def test_summary_counts_problems_that_are_contested():
    made = [*lines("gpbo", 2.0), *lines("sobol", 9.0)]
    made += [*lines("gpbo", 2.0, case="levy20#1"), *lines("sobol", 9.0, case="levy20#1")]
    made += [*lines("turbo", 1.0, case="levy20#1"), *lines("gpbo", 2.0, case="rastrigin10#1")]
    found = places.problems(score.collect(made))
    assert places.summary(found) == "`gpbo` is first on 1, and at least second on 2, of 2 problems."


def test_report_of_a_suite_of_batches_has_the_table():
    made = [*lines("gpbo", 2.0, 2.0), *lines("sobol", 9.0, 9.0), *lines("turbo", 4.0, finished=False)]
    text = report.markdown(report.by_suite(made), made)
    assert "| ackley20 | 1000 | 100 | 1 | `gpbo` | `turbo` | 2 | 4† +0.30 [+0.30, +0.30] | 9 +0.65" in text
    assert "`gpbo` is first on 1, and at least second on 1, of 1 problems." in text
