"""Eight processes on one study, killed at random and started again: nothing is lost or doubled.

Eight seconds by default; ``GPBO_SOAK_SECONDS=600 pytest tests/storage/test_soak.py -s`` for a long one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import gpbo

PROCESSES = 8
SPACE = {"x": gpbo.Float(0, 1), "y": gpbo.Float(0, 1)}
WORKER = """
import os, random, signal, sys, time, gpbo
path, log, name = sys.argv[1:]
def work(seed):
    rng = random.Random(seed)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    opt = gpbo.Optimizer.open(path, worker=name, lease=5)
    while True:
        q = rng.choice([1, 1, 1, 2, 5])
        for trial in opt.ask(q):
            os.write(out, b"ask %d\\n" % trial.id)
            time.sleep(rng.uniform(0, 0.02))
            try:
                if rng.random() < 0.05:
                    opt.fail(trial, "by chance")
                    os.write(out, b"fail %d\\n" % trial.id)
                else:
                    opt.tell(trial, trial["x"] + trial["y"])
                    os.write(out, b"tell %d\\n" % trial.id)
            except gpbo.TrialStateError:
                os.write(out, b"late %d\\n" % trial.id)
gpbo.Optimizer.open(path)  # imports once; the children of this process are killed and made anew
rng = random.Random(name)
end = time.monotonic() + float(os.environ["GPBO_SOAK_SECONDS"])
kills = 0
while time.monotonic() < end:
    child = os.fork()
    if not child:
        work(rng.random())
    time.sleep(min(rng.expovariate(0.5), max(0.0, end - time.monotonic())))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills += 1
print(kills)
"""


@pytest.mark.slow
@pytest.mark.integration
def test_eight_processes_with_random_kills(path):
    seconds = os.environ.get("GPBO_SOAK_SECONDS", "8")
    gpbo.Optimizer(SPACE, seed=0, n_initial=10**6, storage=path).close()
    logs = [path.with_name(f"log{i}") for i in range(PROCESSES)]
    environment = {**os.environ, "GPBO_SOAK_SECONDS": seconds}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, path, log, f"w{i}"], env=environment, stdout=subprocess.PIPE, text=True
        )
        for i, log in enumerate(logs)
    ]
    kills = sum(int(worker.communicate()[0]) for worker in workers)
    assert [worker.returncode for worker in workers] == [0] * PROCESSES

    start = time.perf_counter()
    opt = gpbo.Optimizer.open(path)
    assert time.perf_counter() - start < 2.0 + 1e-4 * len(opt._ledger.codes)
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    acknowledged = [int(number) for what, number in lines if what in ("tell", "fail")]
    told = opt.history.ids
    assert len(acknowledged) == len(set(acknowledged)), "a tell counted twice"
    assert len(told) == len(set(told))
    assert set(acknowledged) <= set(told), "an acknowledged tell was lost"
    assert len(told) - len(acknowledged) <= kills, "more was recorded than was in flight"
    assert set(told) | set(opt.pending.ids) == set(range(len(opt._ledger.codes)))
    assert len({tuple(trial.params.values()) for trial in opt.history}) == len(told)
    assert all(trial.value == trial["x"] + trial["y"] for trial in opt.history if trial.state == "complete")
    time.sleep(6)
    left = len(opt.pending)
    heir = gpbo.Optimizer.open(path, worker="heir")
    if left:
        assert sorted(heir.ask(left).ids) == sorted(opt.pending.ids), "what the dead left is not handed out again"
    assert len(acknowledged) > 10 * float(seconds)
    print(f"{len(told)} trials told, {kills} kills, {left} left by the dead, in {seconds} s")
