"""Points are prepared only where they keep workers from waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import gpbo
from gpbo.supply import Pace, Supply


@pytest.mark.parametrize(
    ("evaluation", "suggestion", "wanted"),
    [(0.0, 1.0, 8), (0.01, 1.0, 8), (1.0, 0.02, 8), (1.0, 0.25, 10), (1.0, 30.0, 16), (60.0, 1.0, 8)],
)
def test_what_is_wanted_at_first(evaluation, suggestion, wanted):
    assert Supply(8, lambda trial: True).wanted(evaluation, suggestion) == wanted


def test_points_go_to_free_workers_in_order():
    taken = []
    supply = Supply(2, lambda trial: not taken.append(trial))
    supply.put("abcd")
    assert taken == ["a", "b"]
    assert supply.wanted(1.0, 1.0) == 0
    supply.put("x", first=True)
    supply.freed()
    supply.feed()
    assert taken == ["a", "b", "x"]
    supply.close()
    supply.freed()
    supply.feed()
    assert taken == ["a", "b", "x"]


def test_the_stock_is_handed_out_while_the_caller_is_busy():
    taken = []
    supply = Supply(1, lambda trial: not taken.append((trial, threading.current_thread().name)))
    supply.put("ab")
    supply.freed()
    deadline = time.monotonic() + 5
    while len(taken) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert taken == [("a", threading.current_thread().name), ("b", "gpbo-supply")]
    supply.close()


@pytest.mark.slow
def test_slow_suggestions_do_not_keep_the_workers_waiting(monkeypatch):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0, n_initial=10_000)
    ask = opt.ask
    monkeypatch.setattr(opt, "ask", lambda q=1, **options: (time.sleep(0.15), ask(q, **options))[1])
    running, most, spent = [], [], []

    def f(params):
        running.append(1)
        most.append(len(running))
        start = time.monotonic()
        time.sleep(0.3)
        spent.append(time.monotonic() - start)
        running.pop()
        return params["x"]

    with ThreadPoolExecutor(8) as pool:
        start = time.monotonic()
        res = gpbo.minimize(f, n=80, batch=4, executor=pool, optimizer=opt)
        taken = time.monotonic() - start
    assert (res.nfev, res.success) == (80, True)
    assert max(most) == 4  # and not 8, though the pool has room
    assert taken < 80 / 4 * 0.3 * 1.25 + 0.5  # 1.5 times as long when every worker waits for its suggestion
    assert not opt.pending


def test_pace_hurries_where_points_are_made_too_slowly():
    pace = Pace(100)
    assert not pace.hurry(1.0)
    assert pace.stock == 1.0
    pace.note(1, 30.0)  # one point says nothing
    assert not pace.hurry(1.0)
    assert Pace(1000).hurry(1.0)  # so many workers will not be kept busy otherwise
    pace.note(100, 2.0)
    assert pace.hurry(1.0)
    assert pace.stock > 1.0
    assert not pace.hurry(10.0)  # evaluations that take long leave the time
    assert not pace.hurry(0.0)  # nothing is known of evaluations yet
    pace.note(100, 0.5)
    assert not pace.hurry(1.0)
