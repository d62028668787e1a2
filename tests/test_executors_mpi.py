"""``minimize`` on the pool of ``mpi4py.futures``: on ranks that are there already, and on ranks that it starts."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

STUDY = """
import json
import os
import time
from pathlib import Path

from mpi4py.futures import MPIPoolExecutor

import gpbo

SPACE = {"x": gpbo.Float(-1, 1), "k": gpbo.Int(1, 9)}


def f(params):
    if params["k"] > 7:
        raise ValueError(f"k is {params['k']}")
    if params["x"] > 0.8:
        time.sleep(1000)
    Path(os.environ["GPBO_TEST_SEEN"], str(os.getpid())).touch()
    return (params["x"] - 0.3) ** 2 + params["k"], 0.1


if __name__ == "__main__":
    with MPIPoolExecutor(2) as pool:
        res = gpbo.minimize(f, SPACE, n=24, batch=2, executor=pool, evaluation_timeout=0.5, seed=0, n_initial=1000)
    trials = [(t.state, t.params, t.value, t.noise, t.reason) for t in res.trials]
    print(json.dumps([os.getpid(), res.nfev, res.success, res.optimizer.pending.ids, trials]))
"""


@pytest.fixture(scope="module")
def mpiexec():
    """The launcher of an MPI that starts two ranks which know of each other."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed")
    beside = Path(sys.executable).parent
    found = shutil.which("mpiexec", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("no mpiexec: no MPI is installed")
    code = "from mpi4py import MPI; print(MPI.COMM_WORLD.size)"
    try:
        run = subprocess.run([found, "-n", "2", sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("MPI does not start within 60 s")
    if run.stdout.split() != ["2", "2"]:
        pytest.skip(f"MPI does not start two ranks: {run.stdout[-200:]} {run.stderr[-400:]}")
    return found


@pytest.mark.parametrize(
    ("ranks", "how"),
    [("3", ["-m", "mpi4py.futures"]), ("1", [])],
    ids=["ranks that are there", "ranks that the pool starts"],
)
def test_a_pool_of_mpi_evaluates_and_records(mpiexec, ranks, how, tmp_path, monkeypatch):
    script, seen = tmp_path / "study.py", tmp_path / "seen"
    script.write_text(STUDY)
    seen.mkdir()
    command = [mpiexec, "-n", ranks, sys.executable, *how, str(script)]
    monkeypatch.setenv("GPBO_TEST_SEEN", str(seen))
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    master, nfev, success, pending, trials = json.loads(run.stdout)
    assert (nfev, success, pending) == (24, True, [])
    assert len({(params["x"], params["k"]) for _, params, *_ in trials}) == 24
    kinds = {"raised": 0, "late": 0, "complete": 0}
    for state, params, value, noise, reason in trials:
        kind = "raised" if params["k"] > 7 else "late" if params["x"] > 0.8 else "complete"
        kinds[kind] += 1
        if kind == "complete":
            assert (state, value, noise) == ("complete", (params["x"] - 0.3) ** 2 + params["k"], 0.1)
        elif kind == "late":
            assert (state, reason) == ("failed", "no result after 0.5 s")
        else:
            assert state == "failed"
            assert f"ValueError: k is {params['k']}" in reason
            assert "Traceback" in reason
    assert all(kinds.values()), kinds
    workers = {path.name for path in seen.iterdir()}
    assert len(workers) == 2
    assert str(master) not in workers
