"""Several workers on one study: nothing is handed out twice, nothing is lost, the dead are replaced."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(0, 1), "y": gpbo.Float(0, 1)})


def opened(path, **options):
    return gpbo.Optimizer(SPACE, seed=0, n_initial=1000, storage=path, **options)


def test_an_ask_sees_the_pending_points_of_others(path):
    one, two = opened(path), opened(path)
    points = [opt.ask()[0].params for opt in (one, two, one, two)]
    assert points == gpbo.Optimizer(SPACE, seed=0, n_initial=1000).ask(4).params
    assert two.pending.ids == [0, 1, 2, 3]


def test_the_model_sees_what_others_told(path):
    one, two = (gpbo.Optimizer(SPACE, seed=0, n_initial=5, storage=path) for _ in range(2))
    batch = one.ask(6)
    two.tell(batch.ids, range(6))
    assert two.ask(2).params != one.ask(2).params
    assert one.last_ask.n == 6
    assert one.last_ask.pending == 2


def test_anyone_may_tell_but_once(path):
    one, two = opened(path), opened(path)
    (trial,) = one.ask()
    two.tell(trial.id, 1.0)
    with pytest.raises(gpbo.TrialStateError, match="is complete"):
        one.tell(trial, 2.0)
    assert one.trial(trial.id).value == 1.0


def test_a_refused_tell_leaves_everything_as_it_was(path):
    one, two = opened(path), opened(path)
    batch = one.ask(3)
    two.tell(batch.ids[0], 1.0)
    with pytest.raises(gpbo.TrialStateError):
        one.tell(batch, [1.0, 2.0, 3.0])
    two.refresh()
    assert one.pending.ids == two.pending.ids == batch.ids[1:]


def test_a_worker_that_comes_back_gets_its_own_trials_first(path):
    first = opened(path, worker="w1")
    other = opened(path, worker="w2")
    mine = first.ask(3)
    theirs = other.ask()
    again = gpbo.Optimizer.open(path, worker="w1").ask(4)
    assert again.ids[:3] == mine.ids
    assert again.params[:3] == mine.params
    assert again.ids[3] not in theirs.ids
    assert gpbo.Optimizer.open(path).ask().ids == [5]


def test_a_worker_does_not_get_its_trials_twice_while_it_lives(path):
    opt = opened(path, worker="w1")
    assert opt.ask(2).ids + opt.ask(2).ids == [0, 1, 2, 3]
    back = gpbo.Optimizer.open(path, worker="w1")
    assert back.ask(2).ids + back.ask(3).ids == [0, 1, 2, 3, 4]


def test_a_worker_whose_name_was_taken_is_told_so(path):
    old = opened(path, worker="w1")
    batch = old.ask()
    gpbo.Optimizer.open(path, worker="w1")
    with pytest.raises(gpbo.WorkerReplacedError, match="another process now works as 'w1'"):
        old.ask()
    old.tell(batch, [1.0])


def test_trials_of_a_worker_whose_lease_ran_out_are_handed_out_again(path):
    dead = opened(path, worker="dead", lease=1000)
    batch = dead.ask(2)
    other = opened(path, worker="heir")
    assert other.ask().ids == [2]
    dead.close()  # gives the lease up, as time would
    again = other.ask(3)
    assert again.ids == [*batch.ids, 3]
    assert again.params[:2] == batch.params
    assert sorted(gpbo.Optimizer.open(path, worker="heir").ask(4).ids) == [0, 1, 2, 3]


def test_a_trial_handed_out_again_counts_once_whoever_tells_it(path):
    dead = opened(path, lease=1000)
    (trial,) = dead.ask()
    dead.close()
    heir = opened(path)
    assert heir.ask().ids == [trial.id]
    dead.tell(trial, 1.0)
    with pytest.raises(gpbo.TrialStateError):
        heir.tell(trial.id, 2.0)


def test_the_heartbeat_keeps_a_lease_and_its_end_loses_it(path):
    opt = opened(path, lease=0.6)
    (trial,) = opt.ask()
    other = opened(path)
    time.sleep(1.5)
    assert other.ask().ids == [1]
    opt._journal._study.worker._stopped.set()
    time.sleep(1.0)
    assert other.ask().ids == [trial.id]


def test_the_heartbeat_ends_with_its_optimizer(path):
    before = set(threading.enumerate())
    opt = opened(path, lease=1000)
    (beating,) = set(threading.enumerate()) - before
    assert beating.name == "gpbo-lease"
    del opt
    gc.collect()
    beating.join(5)
    assert not beating.is_alive()


def test_a_closed_optimizer_begins_anew_when_it_is_used(path):
    opt = opened(path, worker="w", lease=0.6)
    batch = opt.ask(2)
    opt.close()
    opt.tell(batch[0], 1.0)
    time.sleep(1.0)
    assert opened(path).ask().ids == [2]  # the lease holds again
    opt.close()
    assert opened(path).ask().ids == [1]


def test_a_heartbeat_under_way_does_not_outlive_the_close(path):
    before = set(threading.enumerate())
    opt = opened(path, worker="w", lease=0.6)
    (trial,) = opt.ask()
    (beating,) = set(threading.enumerate()) - before
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(0.5)  # a beat waits for the database
    closing = threading.Thread(target=opt.close)
    closing.start()
    time.sleep(0.2)
    holder.execute("COMMIT")
    closing.join(10)
    beating.join(10)
    assert set(threading.enumerate()) <= before
    assert opened(path).ask().ids == [trial.id]


def test_no_lease_means_for_ever(path):
    opened(path, worker="slow").ask()
    assert opened(path).ask().ids == [1]


def test_an_exhausted_space_still_hands_out_what_the_dead_left(path):
    def join():
        return gpbo.Optimizer({"k": gpbo.Int(0, 2)}, seed=0, storage=path, lease=1000)

    dead, heir = join(), join()
    dead.ask(2)
    heir.ask()
    dead.close()
    with pytest.raises(gpbo.SpaceExhausted) as caught:
        heir.ask(3)
    assert caught.value.left == 2
    assert heir.ask(2).ids == [0, 1]


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_senseless_lease(path, lease):
    with pytest.raises(gpbo.ArgumentError, match="lease must be a positive number of seconds"):
        opened(path, lease=lease)


@pytest.mark.parametrize("options", [{"worker": "w"}, {"lease": 3}, {"study": "s"}])
def test_options_of_stored_studies_need_one(options):
    with pytest.raises(gpbo.ArgumentError, match="pass storage="):
        gpbo.Optimizer(SPACE, **options)


NAMES = [
    "'; DROP TABLE gpbo_studies; --",
    'x" OR "1"="1',
    "../../../etc/passwd",
    "%s %(name)s :study {0} $1 ?",
    "naïve 研究 🚀",
    "study.db",
    "a" * 255,
    "NULL",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_names_are_just_names(path, name):
    space = {name: gpbo.Float(0, 1), "kind": gpbo.Categorical([name, "\ud800\0"])}
    opt = gpbo.Optimizer(space, seed=0, storage=path, study=name, worker=name, lease=100)
    opt.fail(opt.ask(), reason=name + "\0\ud800")
    opt.tell(opt.ask(), [1.0])
    back = gpbo.Optimizer.open(path, name)
    assert [dict(t.params) for t in back.history] == [dict(t.params) for t in opt.history]
    assert back.history[0].reason == name + "\0\ud800"
    assert {file.name for file in path.parent.iterdir()} == {"study.db", "study.db-wal", "study.db-shm"}


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\ud800", "a" * 256, None, 3, b"x"])
def test_names_that_cannot_be_shown_are_refused(path, name):
    with pytest.raises(gpbo.ArgumentError, match="study"):
        opened(path, study=name)
    assert not path.exists()


@pytest.mark.parametrize("storage", ["", ":memory:", 3, b"study.db", "mysql://host/db", "a\0b", "sqlite://", ["x"]])
def test_storage_that_means_nothing(storage):
    with pytest.raises(gpbo.ArgumentError, match="storage"):
        gpbo.Optimizer(SPACE, storage=storage)


def test_a_url_of_a_file_and_odd_file_names(tmp_path, monkeypatch):
    opened(f"sqlite:///{tmp_path}/one.db")
    assert (tmp_path / "one.db").exists()
    for name in ["a?mode=memory&cache=shared", "b#c", "50%25 off.db", "ü .db"]:
        opened(tmp_path / name).ask()
        assert (tmp_path / name).exists()
    monkeypatch.chdir(tmp_path)
    opt = opened("relative.db")
    monkeypatch.chdir("/")
    opt.ask()
    assert opened(tmp_path / "relative.db").pending.ids == [0]


def test_threads_share_a_stored_optimizer(path):
    opt = opened(path)
    threads = [threading.Thread(target=lambda: [opt.tell(opt.ask(), [1.0]) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(opt.history.ids) == list(range(20))


def test_an_optimizer_is_not_pickled(path):
    with pytest.raises(TypeError):
        pickle.dumps(opened(path))


def work(path, count, results):
    opt = opened(path)
    for _ in range(count):
        batch = opt.ask(2)
        opt.tell(batch, [t["x"] + t["y"] for t in batch])
        results.put(batch.ids)


@pytest.mark.integration
def test_four_processes_never_get_the_same_trial(path):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=work, args=(path, 15, results)) for _ in range(4)]
    for process in processes:
        process.start()
    ids = [trial_id for _ in range(60) for trial_id in results.get()]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(ids) == list(range(120))
    opt = gpbo.Optimizer.open(path)
    assert sorted(opt.history.ids) == list(range(120))
    assert len({tuple(t.params.values()) for t in opt.history}) == 120
    assert all(t.value == t["x"] + t["y"] for t in opt.history)


def crowd(path, ready, start):
    ready.release()
    start.wait()
    opened(path).ask(3)


@pytest.mark.integration
def test_many_processes_create_one_study_at_once(path):
    context = multiprocessing.get_context("fork")
    opened(Path(f"{path}.warm"))
    ready, start = context.Semaphore(0), context.Event()
    processes = [context.Process(target=crowd, args=(path, ready, start)) for _ in range(6)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert gpbo.Optimizer.open(path).pending.ids == list(range(18))


DIES = """
import os, signal, sys, time, gpbo
opt = gpbo.Optimizer.open(sys.argv[1], worker="w1", lease=float(sys.argv[2]))
print(*opt.ask(3).ids, flush=True)
time.sleep(100)
"""


@pytest.mark.integration
def test_a_killed_worker_loses_its_lease_or_comes_back(path):
    heir = opened(path, worker="heir")
    process = subprocess.Popen([sys.executable, "-c", DIES, path, "1.5"], stdout=subprocess.PIPE, text=True)
    ids = [int(i) for i in process.stdout.readline().split()]
    assert heir.ask().ids == [3]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert heir.ask().ids == [4]  # the lease still runs
    back = gpbo.Optimizer.open(path, worker="w1", lease=1000)
    assert back.ask().ids == ids[:1]  # it need not have run out for the worker itself
    back.close()
    assert heir.ask(3).ids == ids
