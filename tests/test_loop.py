"""``minimize``: here and on executors, to the end or stopped early."""

import math
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import pytest

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(-1, 1), "k": gpbo.Int(1, 9)})
FAST = {"seed": 0, "n_initial": 100_000}  # stays in the space-filling phase


def bowl(params):
    return (params["x"] - 0.3) ** 2 + params["k"]


def fails_below_zero(params):
    if params["x"] < 0:
        raise ValueError(f"x is {params['x']:.3f}")
    return params["x"]


def kills_its_worker(params):
    os._exit(1)


class Inline:
    """An executor that evaluates when submitted; futures as PEP 3148 has them."""

    def __init__(self):
        self.submitted = 0

    def submit(self, f, *arguments):
        self.submitted += 1
        future = Future()
        try:
            future.set_result(f(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


def test_result_is_scipys_and_complete():
    res = gpbo.minimize(bowl, SPACE, n=12, **FAST)
    assert (res.nfev, res.success, len(res.trials)) == (12, True, 12)
    assert res.fun == bowl(res.params) == min(t.value for t in res.trials)
    np.testing.assert_array_equal(res.x, SPACE.to_x([res.params])[0])
    assert res.seconds_objective >= 0
    assert res.seconds_suggest > 0
    assert "12 evaluations" in res.message
    assert res.optimizer.pending.ids == []
    assert "success: True" in repr(res)


def test_it_finds_the_minimum():
    res = gpbo.minimize(lambda x: (x[0] - 0.3) ** 2 + (x[1] + 0.2) ** 2, [(-1, 1), (-1, 1)], n=20, seed=0)
    np.testing.assert_allclose(res.x, [0.3, -0.2], atol=0.02)


def test_the_same_seed_gives_the_same_result():
    first, second = (gpbo.minimize(bowl, SPACE, n=9, batch=2, seed=5) for _ in range(2))
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


def test_direction_maximize():
    res = gpbo.minimize(bowl, SPACE, n=12, direction="maximize", **FAST)
    assert res.fun == max(t.value for t in res.trials)


@pytest.mark.parametrize("space", [SPACE, dict(SPACE.items())], ids=["space", "dict"])
def test_named_spaces_hand_a_dict_to_the_objective(space):
    seen = []
    gpbo.minimize(lambda params: seen.append(params) or 1.0, space, n=2, **FAST)
    assert [set(params) for params in seen] == [{"x", "k"}] * 2


@pytest.mark.parametrize(
    "space",
    [[(0, 1), (0, 2)], ((0, 1), (0, 2)), np.array([[0, 1], [0, 2]]), gpbo.Space.from_bounds([0, 0], [1, 2])],
    ids=["list", "tuple", "array", "from_bounds"],
)
def test_unnamed_spaces_hand_a_vector_to_the_objective(space):
    seen = []
    gpbo.minimize(lambda x: seen.append(x) or float(x @ x), space, n=2, **FAST)
    assert [(type(x), x.shape, x.dtype) for x in seen] == [(np.ndarray, (2,), np.float64)] * 2


def test_scipy_bounds_are_a_space():
    from scipy.optimize import Bounds

    assert gpbo.minimize(lambda x: float(x[0]), Bounds([0, 1], [1, 2]), n=2, **FAST).x.shape == (2,)


def test_an_objective_may_change_what_it_is_given():
    def spoil(x):
        value = float(x[0])
        x[:] = 7
        return value

    res = gpbo.minimize(spoil, [(0, 1)], n=5, **FAST)
    assert res.fun == res.x[0]


@pytest.mark.parametrize("value", [1, np.float32(1), np.array([[1.0]]), (1.0,) * 1 + (0.25,), (1, np.array(0.25))])
def test_an_objective_may_return_numbers_of_any_make_and_noise(value):
    res = gpbo.minimize(lambda p: value, SPACE, n=1, **FAST)
    (trial,) = res.trials
    assert trial.value == 1.0
    assert trial.noise == (0.25 if isinstance(value, tuple) else None)


def test_an_objective_may_return_none_for_noise_it_does_not_know():
    res = gpbo.minimize(lambda p: (1.0, None), SPACE, n=2, **FAST)
    assert [(t.state, t.value, t.noise) for t in res.trials] == [("complete", 1.0, None)] * 2


def test_exceptions_are_failed_trials_with_their_traceback():
    res = gpbo.minimize(fails_below_zero, SPACE, n=20, **FAST)
    failed = [t for t in res.trials if t.state == "failed"]
    assert 0 < len(failed) < 20
    assert res.success
    assert res.nfev == 20
    assert "in fails_below_zero" in failed[0].reason
    assert failed[0].reason.endswith(f"ValueError: x is {failed[0]['x']:.3f}")
    assert "evaluation.py" not in failed[0].reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "value is nan"),
        (math.inf, "value is inf"),
        (None, "returned None"),
        ("0.5", "returned '0.5'"),
        (True, "returned True"),
        ((1.0, -1.0), "noise -1.0"),
        ((1.0, math.nan), "noise nan"),
        ((1.0, 2.0, 3.0), "pair of value and noise"),
        (np.zeros(2), "must return a real number"),
        (np.ma.masked, "value is nan"),
        ((None, None), "returned None"),
        (10**400, "too large"),
    ],
)
def test_values_that_are_no_finite_number_are_failed_trials(value, reason):
    res = gpbo.minimize(lambda p: value, SPACE, n=2, **FAST)
    assert [t.state for t in res.trials] == ["failed"] * 2
    assert reason in res.trials[0].reason


def test_when_everything_fails_the_result_says_so():
    res = gpbo.minimize(lambda p: 1 / 0, SPACE, n=3, **FAST)
    assert (res.success, res.x, res.params, res.nfev) == (False, None, None, 3)
    assert math.isnan(res.fun)
    assert "none succeeded, the first because: ZeroDivisionError" in res.message


def test_exceptions_outside_catch_end_the_run_and_are_raised():
    opt = gpbo.Optimizer(SPACE, **FAST)
    with pytest.raises(ZeroDivisionError):
        gpbo.minimize(lambda p: 1 / 0, n=5, batch=3, optimizer=opt, catch=(ValueError,))
    assert [t.state for t in opt.history] == ["failed"]
    assert opt.pending.ids == []


def test_exceptions_outside_catch_come_back_from_workers():
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        gpbo.minimize(lambda p: 1 / 0, SPACE, n=5, batch=2, executor=pool, catch=ValueError, **FAST)


def test_target_stops_the_run():
    res = gpbo.minimize(lambda p: p["x"], SPACE, n=1000, target=-0.8, **FAST)
    assert res.success
    assert res.fun <= -0.8 < min(t.value for t in res.trials[:-1])
    assert res.message.startswith("target reached")


def test_target_follows_the_direction():
    res = gpbo.minimize(lambda p: p["x"], SPACE, n=1000, target=0.5, direction="maximize", **FAST)
    assert res.fun >= 0.5
    assert max([t.value for t in res.trials[:-1]], default=-1) < 0.5


def test_the_rest_of_a_batch_is_released_when_the_target_is_reached():
    res = gpbo.minimize(lambda p: 0.0, SPACE, n=8, batch=8, target=1.0, **FAST)
    assert res.nfev == 1
    assert res.optimizer.pending.ids == []


def test_time_limit_stops_the_run():
    start = time.monotonic()
    res = gpbo.minimize(lambda p: time.sleep(0.05) or 1.0, SPACE, n=10_000, timeout=0.3, **FAST)
    assert time.monotonic() - start < 3
    assert res.success
    assert "time limit of 0.3 s" in res.message
    assert 1 <= res.nfev < 10


def test_time_limit_waits_for_what_runs_and_cancels_the_rest():
    with ThreadPoolExecutor(1) as pool:
        res = gpbo.minimize(lambda p: time.sleep(0.6) or 1.0, SPACE, n=50, batch=8, executor=pool, timeout=0.2, **FAST)
    assert res.nfev in (1, 2)
    assert [t.state for t in res.trials] == ["complete"] * res.nfev
    assert res.optimizer.pending.ids == []


def test_exhausted_space_ends_the_run_well():
    res = gpbo.minimize(lambda p: float(p["k"]), {"k": gpbo.Int(1, 7)}, n=50, batch=3, **FAST)
    assert (res.nfev, res.success, res.fun) == (7, True, 1.0)
    assert "exhausted" in res.message


def test_exhausted_space_ends_the_run_well_on_an_executor():
    with ThreadPoolExecutor(3) as pool:
        res = gpbo.minimize(lambda p: float(p["k"]), {"k": gpbo.Int(1, 7)}, n=50, batch=3, executor=pool, **FAST)
    assert (res.nfev, res.success, res.fun) == (7, True, 1.0)


def test_callbacks_see_every_outcome():
    seen = []

    def note(optimizer, trials):
        seen.extend((trial.id, trial.state, len(optimizer.history)) for trial in trials)

    gpbo.minimize(fails_below_zero, SPACE, n=4, callbacks=[note, note], **FAST)
    assert [one[0] for one in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [one[2] for one in seen] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert {one[1] for one in seen} == {"complete", "failed"}


def test_a_single_callback_needs_no_list():
    seen = []
    gpbo.minimize(bowl, SPACE, n=2, callbacks=lambda optimizer, trials: seen.append(trials), **FAST)
    assert len(seen) == 2


def test_a_callback_stops_the_run():
    def enough(optimizer, trials):
        if len(optimizer.history) == 3:
            raise StopIteration("enough")

    res = gpbo.minimize(bowl, SPACE, n=50, batch=2, callbacks=[enough], **FAST)
    assert (res.nfev, res.success, res.message) == (3, True, "stopped by a callback: enough")
    assert res.optimizer.pending.ids == []


def test_an_error_in_a_callback_is_raised_and_nothing_is_left_pending():
    opt = gpbo.Optimizer(SPACE, **FAST)

    def broken(optimizer, trials):
        raise RuntimeError("callback")

    with pytest.raises(RuntimeError, match="callback"):
        gpbo.minimize(bowl, n=5, batch=3, optimizer=opt, callbacks=broken)
    assert (len(opt.history), opt.pending.ids) == (1, [])


def test_a_run_goes_on_with_an_optimizer():
    first = gpbo.minimize(bowl, SPACE, n=5, **FAST)
    second = gpbo.minimize(bowl, SPACE, n=5, direction="minimize", optimizer=first.optimizer)
    assert (second.nfev, len(second.trials)) == (5, 10)
    assert second.fun <= first.fun


def test_pending_trials_of_others_stay_pending():
    opt = gpbo.Optimizer(SPACE, **FAST)
    mine = opt.ask(2)
    gpbo.minimize(bowl, n=3, optimizer=opt)
    assert opt.pending.ids == mine.ids


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_an_executor_evaluates_exactly_n_points(batch):
    with ThreadPoolExecutor(3) as pool:
        res = gpbo.minimize(bowl, SPACE, n=10, batch=batch, executor=pool, **FAST)
    assert (res.nfev, res.success, len(res.trials)) == (10, True, 10)
    assert len({SPACE.key(t.params) for t in res.trials}) == 10


def test_an_executor_that_evaluates_at_once_serves():
    pool = Inline()
    assert gpbo.minimize(bowl, SPACE, n=6, batch=2, executor=pool, **FAST).nfev == 6
    assert pool.submitted == 6


def test_a_slow_evaluation_does_not_hold_up_the_others():
    first, release = threading.Event(), threading.Event()
    seen = []

    def uneven(params):
        if not first.is_set():
            first.set()
            assert release.wait(20)
            return 100.0
        return 1.0

    def note(optimizer, trials):
        seen.append(trials[0].value)
        if len(seen) == 7:
            release.set()

    with ThreadPoolExecutor(2) as pool:
        res = gpbo.minimize(uneven, SPACE, n=8, batch=2, executor=pool, callbacks=note, **FAST)
    assert res.nfev == 8
    assert seen == [1.0] * 7 + [100.0]


def test_suggestions_are_conditioned_on_what_is_running():
    pending = []
    opt = gpbo.Optimizer(SPACE, **FAST)
    suggest = opt._strategy.suggest

    def noting(data, q, event, hurry=False):
        pending.append(len(data.pending) + q)
        return suggest(data, q, event)

    opt._strategy.suggest = noting
    with ThreadPoolExecutor(3) as pool:
        gpbo.minimize(lambda p: time.sleep(0.01) or 1.0, n=12, batch=3, executor=pool, optimizer=opt)
    assert max(pending) == 3
    assert pending[:2] == [3, 3]


@pytest.mark.slow
@pytest.mark.integration
def test_process_pools_serve_and_bring_tracebacks_home():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        res = gpbo.minimize(fails_below_zero, SPACE, n=8, batch=2, executor=pool, **FAST)
    assert res.nfev == 8
    assert all("ValueError" in t.reason for t in res.trials if t.state == "failed")


@pytest.mark.slow
@pytest.mark.integration
def test_a_broken_process_pool_ends_the_run_and_keeps_the_record():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        res = gpbo.minimize(kills_its_worker, SPACE, n=8, batch=2, executor=pool, **FAST)
    assert not res.success
    assert "the executor" in res.message
    assert "BrokenProcessPool" in res.trials[0].reason
    assert res.optimizer.pending.ids == []


@pytest.mark.slow
@pytest.mark.integration
def test_an_objective_that_cannot_be_pickled_is_told_soon():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        res = gpbo.minimize(lambda p: 1.0, SPACE, n=100, batch=2, executor=pool, **FAST)
    assert not res.success
    assert res.nfev < 10
    assert "pickle" in res.message.lower()


class Cancelling(Inline):
    """Like a cluster client that drops every other evaluation."""

    def submit(self, f, *arguments):
        future = super().submit(f, *arguments)
        if self.submitted % 2:
            future = Future()
            future.set_exception(CancelledError("lost"))
        return future


def test_cancelled_evaluations_are_released_and_the_run_goes_on():
    res = gpbo.minimize(bowl, SPACE, n=10, batch=2, executor=Cancelling(), **FAST)
    assert (res.nfev, res.success) == (5, True)
    assert {t.state for t in res.trials} == {"complete"}
    assert res.optimizer.pending.ids == []


class Raising(Inline):
    """Fails to deliver from evaluation ``start`` on."""

    def __init__(self, start, error):
        super().__init__()
        self.start, self.error = start, error

    def submit(self, f, *arguments):
        future = super().submit(f, *arguments)
        if self.submitted > self.start:
            future = Future()
            future.set_exception(self.error)
        return future


def test_an_executor_that_loses_a_result_after_others_worked_is_a_failed_trial():
    res = gpbo.minimize(bowl, SPACE, n=6, batch=2, executor=Raising(4, OSError("worker lost")), **FAST)
    assert (res.nfev, res.success) == (6, True)
    assert [t.reason for t in res.trials[4:]] == ["the executor failed: OSError: worker lost"] * 2


def test_an_executor_that_never_delivers_ends_the_run():
    res = gpbo.minimize(bowl, SPACE, n=100, batch=1, executor=Raising(0, OSError("no route")), retries=0, **FAST)
    assert (res.nfev, res.success) == (3, False)
    assert res.message.startswith("the executor failed: OSError: no route")


def test_a_broken_executor_ends_the_run_at_once():
    res = gpbo.minimize(bowl, SPACE, n=100, executor=Raising(5, BrokenProcessPool("dead")), **FAST)
    assert (res.nfev, res.success, len(res.trials)) == (6, False, 6)
    assert res.message.startswith("the executor failed: BrokenProcessPool: dead")


def test_an_executor_that_takes_no_work_ends_the_run():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    res = gpbo.minimize(bowl, SPACE, n=5, batch=2, executor=pool, **FAST)
    assert (res.nfev, res.success) == (0, False)
    assert "takes no work" in res.message
    assert res.optimizer.pending.ids == []


class SlowCancel(Inline):
    """Futures without ``running`` whose ``cancel`` gives None, as Dask's are."""

    class Future:
        def __init__(self, value):
            self.value, self.cancelled = value, False

        def add_done_callback(self, f):
            self.thread = threading.Thread(target=lambda: (time.sleep(0.05), f(self)))
            self.thread.start()

        def result(self):
            return self.value

        def cancel(self):
            self.cancelled = True

    def submit(self, f, *arguments):
        self.submitted += 1
        return SlowCancel.Future(f(*arguments))


def test_futures_in_the_manner_of_dask_serve():
    res = gpbo.minimize(lambda p: 0.0, SPACE, n=9, batch=3, executor=SlowCancel(), target=1.0, **FAST)
    assert res.success
    assert [t.state for t in res.trials] == ["complete"] * 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("seconds", [0.02, 60.0])
def test_the_users_alarm_outlasts_an_evaluation_with_a_limit(seconds):
    rung = []

    def f(params):
        time.sleep(0.1)
        return 1.0

    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 60.0)
        res = gpbo.minimize(f, SPACE, n=1, evaluation_timeout=30.0, **FAST)
        time.sleep(0.02)
        left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert res.fun == 1.0
    assert interval == 60.0
    assert rung == ([signal.SIGALRM] if seconds < 1 else [])
    assert 0 < left <= 60.0 - (0.1 if seconds > 1 else 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_an_alarm_that_was_not_set_in_python_does_not_stop_an_evaluation(monkeypatch):
    set_handler = signal.signal

    def foreign(number, handler):
        before = set_handler(number, handler)
        return None if number == signal.SIGALRM else before

    monkeypatch.setattr(signal, "signal", foreign)
    res = gpbo.minimize(bowl, SPACE, n=2, evaluation_timeout=30.0, **FAST)
    assert [t.state for t in res.trials] == ["complete"] * 2
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_ctrl_c_in_the_objective_keeps_what_is_there():
    count = []

    def interrupted(params):
        count.append(1)
        if len(count) == 4:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    res = gpbo.minimize(interrupted, SPACE, n=50, batch=3, **FAST)
    assert (res.nfev, res.success, len(res.trials)) == (3, False, 3)
    assert res.message == "interrupted after 3 evaluations"
    assert res.optimizer.pending.ids == []


def test_ctrl_c_while_suggesting_releases_the_suggestion(monkeypatch):
    opt = gpbo.Optimizer(SPACE, **FAST)
    suggest = opt._strategy.suggest

    def interrupted(data, q, event, hurry=False):
        rows = suggest(data, q, event)
        if event == 3:
            signal.raise_signal(signal.SIGINT)
        return rows

    monkeypatch.setattr(opt._strategy, "suggest", interrupted)
    res = gpbo.minimize(bowl, n=50, optimizer=opt)
    assert (res.nfev, res.success) == (3, False)
    assert opt.pending.ids == []


def test_ctrl_c_while_waiting_keeps_what_ended_and_cancels_the_rest():
    hold = threading.Event()
    ran = []

    def work(params):
        ran.append(1)
        if len(ran) > 3:
            hold.wait(20)
        return 1.0

    def interrupt():
        while len(ran) < 5:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with ThreadPoolExecutor(2) as pool:
        res = gpbo.minimize(work, SPACE, n=50, batch=6, executor=pool, **FAST)
        hold.set()
    thread.join()
    assert (res.nfev, res.success) == (3, False)
    assert res.message.startswith("interrupted")
    assert len(ran) == 5
    assert res.optimizer.pending.ids == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_a_long_suggestion_at_once(monkeypatch):
    opt = gpbo.Optimizer(SPACE, **FAST)

    def twice(data, q, event, hurry=False):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    monkeypatch.setattr(opt._strategy, "suggest", twice)
    res = gpbo.minimize(bowl, n=5, optimizer=opt)
    assert (res.nfev, res.success) == (0, False)


def test_progress_always_shows_evaluations_best_and_running(capsys):
    gpbo.minimize(bowl, SPACE, n=4, progress="always", **FAST)
    shown = capsys.readouterr().err
    for part in ("4/4", "best", "running 0", "objective", "suggestions"):
        assert part in shown


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_quiet_where_nobody_watches(capsys, progress):
    gpbo.minimize(bowl, SPACE, n=3, progress=progress, **FAST)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_shows_runs_in_which_nothing_succeeded(capsys):
    gpbo.minimize(lambda p: 1 / 0, SPACE, n=2, progress="always", **FAST)
    assert "best none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"f": 3}, "f must be callable"),
        ({"n": 0}, "n must lie in"),
        ({"n": 2.0}, "n must be an integer"),
        ({"n": True}, "n must be an integer"),
        ({"batch": 0}, "batch must lie in"),
        ({"batch": None}, "batch must be an integer"),
        ({"direction": "down"}, "direction must be"),
        ({"executor": 4}, "executor must have a submit method"),
        ({"callbacks": 3}, "callbacks must be a list"),
        ({"callbacks": [3]}, "callback must be callable"),
        ({"progress": "no"}, "progress must be"),
        ({"timeout": 0}, "timeout must be a positive"),
        ({"timeout": math.nan}, "timeout must be a positive"),
        ({"timeout": "1"}, "timeout must be a real number"),
        ({"target": math.nan}, "target must be a number"),
        ({"target": "0"}, "target must be a real number"),
        ({"seed": -1}, "seed must lie in"),
        ({"catch": KeyboardInterrupt}, "catch must be an exception class"),
        ({"catch": "all"}, "catch must be an exception class"),
        ({"space": None}, "space is None"),
        ({"space": 3}, "space is 3"),
        ({"space": []}, r"list of \(low, high\)"),
        ({"space": [(0, 1, 2)]}, r"list of \(low, high\)"),
        ({"space": [(1, 0)]}, "swap"),
        ({"space": {}}, "at least one parameter"),
        ({"optimizer": 3}, "optimizer must be a gpbo.Optimizer"),
        ({"optimizer": gpbo.Optimizer(SPACE, "maximize"), "direction": "minimize"}, "direction is"),
        ({"optimizer": gpbo.Optimizer({"z": gpbo.Float(0, 1)})}, "space is not the space of"),
        ({"optimizer": gpbo.Optimizer(SPACE), "seed": 1}, "leave them out"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_evaluated(arguments, message):
    def never(params):
        raise AssertionError("evaluated")

    with pytest.raises(gpbo.GpboError, match=message):
        gpbo.minimize(**{"f": never, "space": SPACE, "n": 1, **arguments})
