"""A stored study goes on exactly where it stopped, and holds what a study in memory holds."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpbo


def test_stopping_halfway_changes_no_bit_of_the_suggestions(path, space, drive):
    straight = drive(gpbo.Optimizer(space, seed=3), 50)
    opt = gpbo.Optimizer(space, seed=3, storage=path)
    first = drive(opt, 25)
    opt.close()
    opt = gpbo.Optimizer.open(path)
    assert first + drive(opt, 25) == straight


def test_stopping_after_every_ask_changes_no_bit_of_the_suggestions(path, space, objective, drive):
    straight = drive(gpbo.Optimizer(space, seed=4), 30)
    points = []
    for _ in range(30):
        asked = gpbo.Optimizer(space, storage=path, seed=4).ask()
        points += asked.params
        gpbo.Optimizer.open(path).tell(asked.ids, [objective(p) for p in asked.params])
    assert points == straight


def test_batches_noise_failures_and_looks_in_between_change_nothing(path, space, objective):
    def run(reopen):
        opt = gpbo.Optimizer(space, seed=5, storage=path if reopen else None)
        points = []
        for turn in range(9):
            batch = opt.ask(3)
            points += batch.params
            opt.tell(batch[:2], [objective(p) for p in batch.params[:2]], noise=0.1)
            if turn % 3 == 0:
                opt.fail(batch[2], "broken")
            if turn % 3 == 1:
                opt.forget(batch[2])
            if reopen:
                opt = gpbo.Optimizer.open(path)
            else:
                opt.predict(points[0])
        return points

    assert run(reopen=False) == run(reopen=True)


def test_more_observations_than_are_refitted_every_time(path):
    def prepared(**where):
        opt = gpbo.Optimizer(gpbo.Space.from_bounds([0] * 3, [1] * 3), seed=1, **where)
        x = np.random.default_rng(0).random((301, 3))
        opt.add(x, ((x - 0.4) ** 2).sum(1))
        return opt

    def go(opt, n):
        points = []
        for _ in range(n):
            batch = opt.ask()
            points += batch.params
            opt.tell(batch, [sum((v - 0.4) ** 2 for v in p.values()) for p in batch.params])
        return points

    straight = go(prepared(), 8)
    assert go(prepared(storage=path), 3) + go(gpbo.Optimizer.open(path), 5) == straight


def test_everything_is_restored(path, space, objective, record):
    opt = gpbo.Optimizer(space, "maximize", seed=7, n_initial=4, kernel="rbf", storage=path, study="one")
    batch = opt.ask(6)
    opt.tell(batch[:3], [1e-300, math.pi, 1e300], noise=[0.1, 0.2, 0.3])
    with pytest.warns(gpbo.FailedTrialWarning):
        opt.tell(batch[3], math.nan)
    opt.forget(batch[4])
    opt.add([{**batch.params[0], "angle": 0.1 + 0.2}], [-0.0])
    other = gpbo.Optimizer.open(path, "one")
    assert record(other) == record(opt)
    assert (other.space, other.direction, other.seed) == (space, "maximize", 7)
    assert repr(other) == repr(opt)
    assert [type(v) for v in other.history[0].params.values()] == [type(v) for v in opt.history[0].params.values()]


def test_a_space_of_bounds_still_goes_with_vectors(path):
    gpbo.Optimizer(gpbo.Space.from_bounds([0], [1]), storage=path)
    assert gpbo.Optimizer.open(path).space.unnamed
    result = gpbo.minimize(lambda x: (x[0] - 0.5) ** 2, n=4, optimizer=gpbo.Optimizer.open(path))
    assert len(gpbo.Optimizer.open(path).history) == result.nfev == 4


def test_the_seed_is_kept_when_it_was_drawn(path, space):
    seed = gpbo.Optimizer(space, storage=path).seed
    assert gpbo.Optimizer(space, storage=path).seed == gpbo.Optimizer.open(path).seed == seed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "maximize"}, "direction is 'minimize' there and 'maximize' here"),
        ({"seed": 2}, "seed is 1 there and 2 here"),
        ({"n_initial": 9}, "n_initial is None there and 9 here"),
        ({"kernel": "rbf"}, "kernel is 'auto' there and 'rbf' here"),
        (
            {"space": {"x": gpbo.Float(0, 2), "y": gpbo.Int(0, 3)}},
            "parameter 'x' is Float(0.0, 1.0) there and Float(0.0, 2.0)",
        ),
        ({"space": {"x": gpbo.Float(0, 1)}}, "parameter 'y' is Int(0, 3) there and missing here"),
        (
            {"space": {"x": gpbo.Float(0, 1), "y": gpbo.Int(0, 3), "z": gpbo.Int(0, 1)}},
            "parameter 'z' is missing there",
        ),
        ({"space": {"y": gpbo.Int(0, 3), "x": gpbo.Float(0, 1)}}, "order is 'x', 'y' there and 'y', 'x' here"),
    ],
)
def test_another_study_of_the_same_name_is_refused(path, change, message):
    given = {"space": {"x": gpbo.Float(0, 1), "y": gpbo.Int(0, 3)}, "seed": 1}
    gpbo.Optimizer(**given, storage=path)
    with pytest.raises(gpbo.StudyMismatchError) as caught:
        gpbo.Optimizer(**{**given, **change}, storage=path)
    assert message in str(caught.value)
    gpbo.Optimizer(**given, storage=path)


def test_studies_in_one_file_do_not_touch_each_other(path, space, drive, record):
    one = gpbo.Optimizer(space, seed=1, storage=path, study="one")
    two = gpbo.Optimizer(space, seed=1, storage=path, study="two")
    assert drive(one, 4) == drive(two, 4)
    drive(two, 3)
    assert record(gpbo.Optimizer.open(path, "one")) == record(one)


def test_ten_thousand_trials_open_in_two_seconds(path):
    space = gpbo.Space.from_bounds([0] * 6, [1] * 6)
    opt = gpbo.Optimizer(space, seed=0, storage=path, n_initial=20_000)
    with opt._journal._study.writing() as transaction:  # one event per ask and tell, without 20,000 waits for the disk
        rng = np.random.default_rng(0)
        for i in range(10_000):
            transaction.append({"kind": "ask", "codes": [tuple(rng.random(6).tolist())]})
            transaction.append({"kind": "tell", "ids": [i], "values": [1.0], "noise": [None], "reasons": [""]})
    opt.close()
    start = time.perf_counter()
    assert len(gpbo.Optimizer.open(path).history) == 10_000
    assert time.perf_counter() - start < 2.0


def test_ten_thousand_rows_are_added_in_one_transaction(path):
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0] * 5, [1] * 5), storage=path)
    opt.add(np.random.default_rng(0).random((10_000, 5)), np.arange(10_000.0))
    assert opt._journal._study._seq == 1
    assert len(gpbo.Optimizer.open(path).history) == 10_000


def test_importing_gpbo_does_not_import_the_database():
    code = "import sys, gpbo; gpbo.Optimizer; gpbo.minimize; sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


finite = st.floats(allow_nan=False, allow_infinity=False)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3)),
        st.tuples(st.just("tell"), st.tuples(finite, st.none() | st.floats(0, 1e9))),
        st.tuples(st.just("fail"), st.text(max_size=9)),
        st.tuples(st.just("forget"), st.none()),
        st.tuples(st.just("add"), st.tuples(st.floats(-1, 1), finite)),
        st.tuples(st.just("open"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_a_stored_study_equals_one_in_memory(steps, tmp_path_factory, space, record):
    path = tmp_path_factory.mktemp("study") / "study.db"
    plain = gpbo.Optimizer(space, seed=9, n_initial=100)
    stored = gpbo.Optimizer(space, seed=9, n_initial=100, storage=path)
    for call, argument in steps:
        pending = plain.pending.ids
        for opt in (plain, stored):
            if call == "ask":
                opt.ask(argument)
            elif call == "tell" and pending:
                opt.tell(pending[-1], *argument)
            elif call == "fail" and pending:
                opt.fail(pending[0], argument)
            elif call == "forget" and pending:
                opt.forget(pending[0])
            elif call == "add":
                point = {"rate": 0.5, "depth": 3, "kind": None, "angle": argument[0], "level": 0.3}
                opt.add(point, argument[1])
        if call == "open":
            stored = gpbo.Optimizer.open(path)
        assert record(stored) == record(plain)
    assert record(gpbo.Optimizer.open(path)) == record(plain)


def test_the_examples_of_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = Path(__file__).parents[2] / "docs" / "storage.md"
    done = doctest.testfile(str(guide), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 8
    assert done.failed == 0
