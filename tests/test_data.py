"""The snapshots that an optimizer hands to its strategy."""

import time

import numpy as np
import pytest

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(0, 1), "k": gpbo.Int(1, 5)})


@pytest.fixture
def opt():
    return gpbo.Optimizer(SPACE, "minimize", seed=0, n_initial=100_000)


def snapshot(opt):
    return opt._ledger.data()


def test_empty_study(opt):
    data = snapshot(opt)
    assert (data.X.shape, data.y.shape, data.pending.shape, data.failed.shape) == ((0, 2), (0,), (0, 2), (0, 2))
    assert (data.noise, data.asked, len(data.taken)) == (None, 0, 0)


def test_rows_follow_the_order_of_telling(opt):
    batch = opt.ask(3)
    opt.tell(batch[2], 30.0)
    opt.tell(batch[:1], [10.0])
    data = snapshot(opt)
    np.testing.assert_array_equal(data.X, batch.u.numpy()[[2, 0]])
    np.testing.assert_array_equal(data.pending, batch.u.numpy()[[1]])


@pytest.mark.parametrize(("direction", "sign"), [("minimize", -1.0), ("maximize", 1.0)])
def test_outcomes_are_maximised(direction, sign):
    opt = gpbo.Optimizer(SPACE, direction, seed=0, n_initial=100)
    opt.tell(opt.ask(2), [1.5, -2.0])
    np.testing.assert_array_equal(snapshot(opt).y, sign * np.array([1.5, -2.0]))


def test_failed_points_are_kept_apart(opt):
    batch = opt.ask(2)
    opt.fail(batch[0])
    data = snapshot(opt)
    np.testing.assert_array_equal(data.failed, batch.u.numpy()[:1])
    assert len(data.y) == 0


def test_noise_is_none_until_given_then_nan_where_it_was_not(opt):
    opt.tell(opt.ask(), 1.0)
    assert snapshot(opt).noise is None
    opt.tell(opt.ask(2), [2.0, 3.0], noise=[0.1, 0.0])
    np.testing.assert_array_equal(snapshot(opt).noise, [np.nan, 0.1, 0.0])


def test_taken_holds_told_pending_and_failed_points_but_not_forgotten_ones(opt):
    batch = opt.ask(4)
    opt.tell(batch[0], 1.0)
    opt.fail(batch[1])
    opt.forget(batch[2])
    keys = [SPACE.key(params) for params in batch.params]
    assert [key in snapshot(opt).taken for key in keys] == [True, True, False, True]
    assert snapshot(opt).asked == 4


def test_a_point_that_is_there_twice_stays_taken_when_one_of_them_is_forgotten(opt):
    batch = opt.ask()
    opt.add(batch.params, [1.0])
    opt.forget(batch)
    assert SPACE.key(batch.params[0]) in snapshot(opt).taken


def test_the_point_that_a_told_row_decodes_to_is_taken(opt):
    x = np.column_stack([np.random.default_rng(0).random(200), np.full(200, 3)])
    opt.add(x, np.zeros(200))
    data = snapshot(opt)
    assert all(key in data.taken for key in SPACE.keys(data.X))
    assert all(SPACE.key(params) in data.taken for params in SPACE.from_x(x))


def test_snapshots_do_not_change_and_cannot_be_changed(opt):
    opt.tell(opt.ask(2), [1.0, 2.0])
    before = snapshot(opt)
    X = before.X.copy()
    opt.tell(opt.ask(50), np.arange(50.0))
    np.testing.assert_array_equal(before.X, X)
    with pytest.raises(ValueError, match="read-only"):
        before.X[0] = 0


def test_version_changes_with_every_change_and_only_then(opt):
    versions = [snapshot(opt).version]
    batch = opt.ask(4)
    versions.append(snapshot(opt).version)
    for change in (
        lambda: opt.tell(batch[0], 1.0),
        lambda: opt.fail(batch[1]),
        lambda: opt.forget(batch[2]),
        lambda: opt.add({"x": 0.5, "k": 1}, 2.0),
    ):
        change()
        versions.append(snapshot(opt).version)
    assert len(set(versions)) == len(versions)
    assert snapshot(opt) is snapshot(opt)


def test_telling_stays_cheap_as_a_study_grows(opt):
    opt.add(np.column_stack([np.linspace(0, 1, 20_000), np.full(20_000, 2)]), np.zeros(20_000))
    batch = opt.ask(200)
    start = time.perf_counter()
    for trial in batch:
        opt.tell(trial, 1.0)
    assert time.perf_counter() - start < 1
