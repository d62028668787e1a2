"""Killed processes and full disks: what was acknowledged is there once, and nothing waits for the dead."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest

import gpbo

LOOP = """
import sys, gpbo
opt = gpbo.Optimizer({"x": gpbo.Float(0, 1), "y": gpbo.Int(0, 10**6)}, seed=1, n_initial=10**5, storage=sys.argv[1])
while True:
    for trial in opt.ask(2):
        opt.tell(trial, trial["x"] + trial["y"])
        sys.stdout.write(f"{trial.id} {(trial['x'] + trial['y']).hex()}\\n")
        sys.stdout.flush()
"""


def check(path, acknowledged):
    start = time.perf_counter()
    opt = gpbo.Optimizer.open(path)
    assert time.perf_counter() - start < 2.0
    told = opt.history.ids
    assert len(told) == len(set(told))
    for line in acknowledged:
        trial_id, value = line.split()
        assert opt.trial(int(trial_id)).value == float.fromhex(value)
    for trial in opt.history:
        assert trial.value == trial["x"] + trial["y"]
    assert set(told) | set(opt.pending.ids) == set(range(len(opt._ledger.codes)))
    assert len(told) <= len(acknowledged) + 4
    opt.tell(opt.ask(), [0.5])
    opt.close()


@pytest.mark.slow
@pytest.mark.integration
def test_killed_at_random_instants(path):
    """Each round goes on with the same file, killed during start, asks, tells and commits alike."""
    rng = random.Random(0)
    acknowledged = []
    for turn in range(4):
        process = subprocess.Popen([sys.executable, "-c", LOOP, path], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline()] if turn else []
        time.sleep(rng.uniform(0.0, 0.4) if turn else 0.5)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        acknowledged += [line for line in lines if line.endswith("\n")]
    assert len(acknowledged) > 20
    check(path, acknowledged)


FORKED = """
import os, signal, sys, time, gpbo
space = {"x": gpbo.Float(0, 1)}
def victim(path, moment):
    opt = gpbo.Optimizer(space, seed=1, n_initial=10**5, storage=path)
    end = time.perf_counter() + moment
    signal.setitimer(signal.ITIMER_REAL, moment)
    while True:
        batch = opt.ask()
        opt.tell(batch, [batch[0]["x"]])
        os.write(1, b"%d\\n" % batch.ids[0])
signal.signal(signal.SIGALRM, signal.SIG_DFL)
gpbo.Optimizer(space, seed=1, storage=sys.argv[1] + ".warm").ask()
for turn in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        victim(sys.argv[1], 0.02 + 0.013 * turn)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.integration
def test_killed_again_and_again(path):
    """Forty kills at instants that sweep over connecting, creating the file, asking, telling and committing."""
    run = subprocess.run([sys.executable, "-c", FORKED, path, "40"], capture_output=True, text=True, timeout=120)
    acknowledged = [int(line) for line in run.stdout.split()]
    assert run.returncode == 0, run.stderr
    opt = gpbo.Optimizer.open(path)
    told = opt.history.ids
    assert len(acknowledged) > 40
    assert len(told) == len(set(told))
    assert set(acknowledged) <= set(told)
    assert len(told) <= len(acknowledged) + 40
    assert all(trial.value == trial["x"] for trial in opt.history)


FULL = """
import resource, signal, sys, gpbo
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=1, n_initial=10**5, storage=sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
batch = None
try:
    while True:
        batch = opt.ask(50)
        opt.tell(batch, [x["x"] for x in batch])
except gpbo.StorageError as error:
    print("ERROR", error)
told, pending, known = len(opt.history), len(opt.pending), len(opt._ledger.codes)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if pending:
    opt.tell(batch, [x["x"] for x in batch])
    told += 50
opt.tell(opt.ask(), [1.0])
print("COUNTS", told + 1, len(opt.history))
"""


@pytest.mark.slow
@pytest.mark.integration
def test_a_disk_that_fills_up(path):
    """No byte more may be written at some point: an error, a record as before, and all is well when there is space."""
    run = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    assert "Nothing was recorded" in run.stdout, run.stderr
    expected, found = run.stdout.split("COUNTS")[1].split()
    assert expected == found
    assert len(gpbo.Optimizer.open(path).history) == int(found)


def test_a_full_database(path):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=1, n_initial=10**5, storage=path)
    batch = opt.ask(5)
    with opt._journal._study._database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 20")
    with pytest.raises(gpbo.StorageError, match=r"the disk is full\. Nothing was recorded; free some space"):
        opt.ask(5000)
    assert opt.pending.ids == batch.ids
    opt.tell(batch, range(5))
    opt.close()
    assert len(opt.ask(5000)) == 5000


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_files_are_private_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, storage=tmp_path / "study.db")
        opt.ask()
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["study.db", "study.db-wal", "study.db-shm"], 0o600)


def test_every_commit_reaches_the_disk(path):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, storage=path)
    with opt._journal._study._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_the_record_survives_a_fork(path):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0, n_initial=1000, storage=path, lease=60)
    opt.tell(opt.ask(), [1.0])
    child = os.fork()
    if not child:
        try:
            opt.tell(opt.ask(3), [1.0, 2.0, 3.0])
        finally:
            os._exit(0 if len(opt.history) == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0
    opt.tell(opt.ask(), [4.0])
    assert sorted(opt.history.ids) == [0, 1, 2, 3, 4]
