"""``minimize`` on real engines: process pools, Dask, Ray, submitit; workers die, evaluations hang."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(-1, 1), "k": gpbo.Int(1, 9)})
FAST = {"seed": 0, "n_initial": 100_000}

pytestmark = [pytest.mark.slow, pytest.mark.integration]


def bowl(params):
    time.sleep(0.05)
    return (params["x"] - 0.3) ** 2 + params["k"]


def sometimes_raises(params):
    if params["k"] > 7:
        raise ValueError(f"k is {params['k']}")
    return bowl(params)


def hangs(params):
    if params["x"] > 0.5:
        time.sleep(1000)
    return params["x"]


def spins(params):
    """Hangs in a loop that catches every Exception."""
    while params["x"] > 0.5:
        try:
            time.sleep(0.01)
        except Exception:
            continue
    return params["x"]


def complete(res, n):
    assert (res.nfev, res.success) == (n, True), res.message
    assert res.optimizer.pending.ids == []
    assert len({tuple(t.params.values()) for t in res.trials}) == n
    assert all(t.value == (t["x"] - 0.3) ** 2 + t["k"] for t in res.trials if t.state == "complete")


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def test_a_process_pool_evaluates_and_records(processes, tmp_path):
    opt = gpbo.Optimizer(SPACE, **FAST, storage=tmp_path / "study.db")
    res = gpbo.minimize(sometimes_raises, n=30, batch=3, executor=processes, optimizer=opt)
    complete(res, 30)
    failed = [t for t in gpbo.Optimizer.open(tmp_path / "study.db").history if t.state == "failed"]
    assert failed
    assert all("Traceback" in t.reason and "ValueError: k is" in t.reason for t in failed)


@pytest.mark.parametrize("objective", [hangs, spins])
def test_an_evaluation_that_takes_too_long_is_ended_and_its_worker_freed(processes, objective):
    start = time.monotonic()
    res = gpbo.minimize(objective, SPACE, n=16, batch=2, executor=processes, evaluation_timeout=0.3, **FAST)
    assert (res.nfev, res.success) == (16, True)
    late = [t for t in res.trials if t["x"] > 0.5]
    assert late
    assert {t.reason for t in late} == {"no result after 0.3 s"}
    assert all(t.state == "complete" for t in res.trials if t["x"] <= 0.5)
    assert time.monotonic() - start < 30
    assert processes.submit(os.getpid).result(10)


@pytest.mark.parametrize("pool", [None, "threads"])
def test_an_evaluation_that_takes_too_long_here_or_in_a_thread(pool):
    executor = ThreadPoolExecutor(2) if pool else None
    before = signal.getsignal(signal.SIGALRM)

    def f(params):
        time.sleep(2.0 if params["x"] > 0.5 else 0.0)
        return params["x"]

    res = gpbo.minimize(f, SPACE, n=10, batch=2, executor=executor, evaluation_timeout=0.2, **FAST)
    assert {t.reason for t in res.trials if t["x"] > 0.5} == {"no result after 0.2 s"}
    assert signal.getsignal(signal.SIGALRM) is before
    if executor is not None:
        executor.shutdown()


def kills_its_worker_once(params):
    """Each process that starts on a new ``k`` for the first time dies."""
    flag = f"{os.environ['GPBO_TEST_FLAGS']}/{params['k']}"
    if not os.path.exists(flag):  # noqa: PTH110
        os.close(os.open(flag, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGKILL)
    return (params["x"] - 0.3) ** 2 + params["k"]


def test_a_stored_study_goes_on_after_a_killed_process_broke_the_pool(tmp_path, monkeypatch):
    """A broken pool ends the run, as it ends the pool; nothing is lost, and a new pool goes on."""
    monkeypatch.setenv("GPBO_TEST_FLAGS", str(tmp_path))
    path = tmp_path / "study.db"
    gpbo.Optimizer({"x": gpbo.Float(-1, 1), "k": gpbo.Int(1, 2)}, **FAST, storage=path).close()
    told, runs = 0, 0
    while told < 12:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            opt = gpbo.Optimizer.open(path)
            res = gpbo.minimize(kills_its_worker_once, n=12 - told, executor=pool, optimizer=opt)
        told, runs = len(opt.history), runs + 1
        assert res.success or "BrokenProcessPool" in res.message
        assert runs <= 4
        opt.close()
    states = [t.state for t in gpbo.Optimizer.open(path).history]
    assert states.count("failed") == runs - 1
    assert 1 <= runs - 1 <= 2


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_with_a_worker_killed_in_the_middle():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        killed = []

        def kill(optimizer, trials):
            if len(optimizer.history) == 8:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

        res = gpbo.minimize(bowl, SPACE, n=40, batch=4, executor=client, callbacks=kill, **FAST)
    assert killed
    complete(res, 40)
    assert {t.state for t in res.trials} == {"complete"}


@pytest.mark.filterwarnings("ignore")
def test_a_local_ray(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray")
    from gpbo.integrations.executors import RayExecutor

    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    try:
        executor = RayExecutor(num_cpus=1)
        complete(gpbo.minimize(sometimes_raises, SPACE, n=16, batch=3, executor=executor, **FAST), 16)
        fatal = RayExecutor(num_cpus=1, max_retries=0)
        flag = tmp_path / "killed"
        res = gpbo.minimize(dies_the_first_time(str(flag)), SPACE, n=6, executor=fatal, **FAST)
        assert flag.exists()
        complete(res, 6)
        assert {t.state for t in res.trials} == {"complete"}
    finally:
        ray.shutdown()


def dies_the_first_time(flag):
    """The first process that evaluates it is killed; the evaluation is lost with it, and done again elsewhere."""

    def f(params):
        if not os.path.exists(flag):  # noqa: PTH110
            os.close(os.open(flag, os.O_CREAT))
            os.kill(os.getpid(), signal.SIGKILL)
        return (params["x"] - 0.3) ** 2 + params["k"]

    return f


@pytest.mark.filterwarnings("ignore")
def test_submitit_whose_jobs_do_not_call_back(tmp_path):
    submitit = pytest.importorskip("submitit")
    executor = submitit.LocalExecutor(folder=tmp_path)
    executor.update_parameters(timeout_min=2)
    complete(gpbo.minimize(bowl, SPACE, n=4, batch=2, executor=executor, **FAST), 4)
