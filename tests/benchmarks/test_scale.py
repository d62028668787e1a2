"""The benchmark of large studies: what it measures, and what becomes of a case that takes too long or fails."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale import limits, measure, report, run
from benchmarks.scale.cases import CASES, GROUPS, Case, Objective, Step, observations

TINY = Case("batch", 24, 3, (Step(5, seconds=60, refitted=True), Step(2, told=1)), pending=4, gigabytes=8)
ORIGIN = {"commit": "abc", "processor": "some", "threads": 2}


def test_cases_have_names_of_their_own_and_a_group():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.group for case in CASES} == set(GROUPS)


@pytest.mark.parametrize(("n", "d"), [(0, 3), (1, 2), (101, 5)])
def test_data_are_the_same_each_time_and_close_in_on_the_best(n, d):
    objective = Objective(d)
    X, y = observations(n, d, objective)
    again, _ = observations(n, d, Objective(d))
    assert X.shape == (n, d)
    assert np.array_equal(X, again)
    assert np.array_equal(y, objective(X))
    assert ((X >= 0) & (X <= 1)).all()
    assert n < 100 or y[-20:].mean() < y[:50].min()


def test_objective_has_its_minimum_where_it_says():
    objective = Objective(6)
    at = objective._optimum[None]
    assert objective(at) == pytest.approx(0.0, abs=1e-9)
    assert objective(np.random.default_rng(0).random((500, 6))).min() > 1.0


@pytest.fixture(scope="module")
def lines():
    ready, *found = measure.measurements(TINY)
    assert ready == {"ready": True}
    return found


def test_a_case_gives_a_line_per_ask_with_time_memory_and_what_was_done(lines):
    first, second = lines
    assert (first["ask"]["n"], first["ask"]["q"], first["ask"]["pending"]) == (24, 5, 4)
    assert (second["ask"]["n"], second["ask"]["q"], second["ask"]["pending"]) == (25, 2, 8)
    for line in lines:
        assert line["distinct"] is True
        assert line["seconds"] > 0
        assert line["peak_bytes"] == line["baseline_bytes"] + line["added_bytes"] > 5e7


def test_limits_are_held_to_what_was_measured(lines):
    step = TINY.steps[0]
    assert limits.holds(TINY, step, lines[0]) == dict.fromkeys(("distinct", "seconds", "gigabytes", "refitted"), True)
    hard = replace(TINY, gigabytes=0.01)
    found = limits.holds(hard, replace(step, seconds=1e-9, refitted=False), {**lines[0], "distinct": False})
    assert not any(found.values())
    assert limits.holds(TINY, step, {"outcome": "timeout"}) == {"done": False}


def test_points_that_are_known_or_the_same_are_not_distinct():
    batch, known = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.5, 0.5]])
    assert measure.distinct(batch, known, 2)
    assert not measure.distinct(batch, known, 3)
    assert not measure.distinct(batch[[0, 0]], known, 2)
    assert not measure.distinct(batch, np.array([[-0.0, 1.0]]), 2)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('print(\'{"outcome": "done"}\')', ["done"]),
        ('print(\'{"outcome": "done"}\', flush=True); time.sleep(60)', ["done", "timeout", "not reached"]),
        ("raise SystemExit('no memory')", ["failed", "not reached"]),
    ],
    ids=["done", "late", "failed"],
)
def test_a_process_that_is_late_or_fails_leaves_a_line(code, expected):
    command = [sys.executable, "-c", f"import time; print('{{\"ready\": true}}', flush=True); {code}"]
    found = list(run.watched(command, len(expected), 0.3, dict(os.environ)))
    assert [line["outcome"] for line in found] == expected
    assert expected[0] != "failed" or "no memory" in found[0]["message"]


def _line(case, seconds, **more):
    sizes = {"n": case.n, "d": case.d, "q": case.steps[0].q, "pending": case.pending}
    done = {"outcome": "done", "seconds": seconds, "cpu_seconds": seconds, "peak_bytes": 3e9, "added_bytes": 2e9}
    line = {"case": case.name, "step": 0, "provider": "gpbo", "sizes": sizes, "distinct": True}
    line |= {**done, "ask": {"refitted": True}, **ORIGIN, **more}
    step = case.steps[0]
    return line | {"limits": limits.limits(case, step), "holds": limits.holds(case, step, line)}


def test_report_keeps_what_was_missed():
    batch, large = (case for case in CASES if case.group == "batch")
    grown = [case for case in CASES if case.group == "growth"]
    lines = {(batch.name, 0): _line(batch, 4.0), (large.name, 0): _line(large, 600.0, outcome="timeout")}
    lines[batch.name, 1] = {**_line(batch, 2.0), "provider": "botorch", "step": 1}
    lines |= {(case.name, 0): _line(case, seconds) for case, seconds in zip(grown, (1, 2, 20, 60, 100), strict=True)}
    text = report.markdown(lines)
    assert "**3.00 (2.00)** | 2 |" in text
    assert "**more than 600** | 60 |" in text
    assert "must take longer than our 1000: **0.5 times**." in text
    assert "0.67, **3.00**, 1.00, 0.50." in text
