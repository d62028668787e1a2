"""Rows, quasi-Newton updates, Sobol points and scoped threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch

import gpbo
from gpbo.numerics import available, one_thread
from gpbo.numerics.quasi_newton import eliminate, update_curvature
from gpbo.numerics.rows import KINDS, covariance_row, exp_row
from gpbo.numerics.sobol import sobol
from gpbo_kernels import profile

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


@needs_numba
def test_exp_row_is_exact_to_rounding():
    x = np.concatenate([-np.logspace(-300, np.log10(690), 5000), -np.linspace(0, 700, 5001), [0.0, -0.0]])
    out = np.empty(len(x))
    exp_row(x, out, len(x))
    np.testing.assert_allclose(out, np.exp(x), rtol=5e-16)


@needs_numba
def test_exp_row_far_below_stays_tiny_and_finite():
    x = np.array([-700.0, -745.0, -1e4, -1e300])
    out = np.empty(4)
    exp_row(x, out, 4)
    np.testing.assert_allclose(out, np.exp(-700.0), rtol=1e-15)


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
def test_covariance_rows_are_the_reference(kind):
    squared = np.concatenate([[0.0, 1e-300, 1e-18], np.logspace(-12, 4, 500)])
    k, slope = np.empty((2, len(squared)))
    covariance_row(KINDS[kind], 1.7, squared.copy(), k, slope, len(squared))
    k_, slope_ = profile(kind, torch.as_tensor(np.sqrt(squared)))
    np.testing.assert_allclose(k, 1.7 * k_.numpy(), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(slope, 1.7 * slope_.numpy(), rtol=1e-12, atol=1e-300)


@needs_numba
def test_curvature_update_meets_the_secant_equation():
    rng = np.random.default_rng(0)
    Q = rng.standard_normal((5, 5))
    H, s = Q @ Q.T + np.eye(5), rng.standard_normal(5)
    change = s + 0.1 * rng.standard_normal(5)
    assert not update_curvature(H, s, change, np.zeros(5, dtype=np.bool_), False)
    np.testing.assert_allclose(H @ change, s, atol=1e-12)
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    assert np.linalg.eigvalsh(H).min() > 0.0


@needs_numba
def test_curvature_is_kept_where_the_function_is_not_convex():
    H, before = np.eye(3), np.eye(3)
    assert not update_curvature(H, np.ones(3), -np.ones(3), np.zeros(3, dtype=np.bool_), False)
    np.testing.assert_array_equal(H, before)
    assert update_curvature(H, np.ones(3), -np.ones(3), np.zeros(3, dtype=np.bool_), True)


@needs_numba
def test_elimination_is_the_inverse_of_the_free_block():
    rng = np.random.default_rng(1)
    Q = rng.standard_normal((4, 4))
    hessian = Q @ Q.T + 0.1 * np.eye(4)
    H = np.linalg.inv(hessian)
    eliminate(H, 2)
    free = [0, 1, 3]
    np.testing.assert_allclose(H[np.ix_(free, free)], np.linalg.inv(hessian[np.ix_(free, free)]), rtol=1e-10)
    assert (H[2, free] == 0.0).all()
    assert (H[free, 2] == 0.0).all()


def test_sobol_points_continue_and_depend_on_the_seed_alone():
    whole = sobol(3, 16, seed=4)
    np.testing.assert_array_equal(whole[5:], sobol(3, 11, seed=4, skip=5))
    np.testing.assert_array_equal(whole, sobol(3, 16, seed=4))
    assert not np.array_equal(whole, sobol(3, 16, seed=5))
    assert (whole >= 0.0).all()
    assert (whole < 1.0).all()
    assert ((whole[:, 0] * 16).astype(int) == np.arange(16)[:, None]).any(0).all()  # one in every sixteenth


def test_more_dimensions_than_the_tables_have():
    points = sobol(21203, 3, seed=1, skip=2)
    assert points.shape == (3, 21203)
    np.testing.assert_array_equal(points, sobol(21203, 5, seed=1)[2:])


def pools():
    return sorted((pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info())


def test_threads_are_limited_inside_and_restored_after():
    before, torch_before = pools(), torch.get_num_threads()
    with one_thread():
        assert {threads for _, threads in pools()} == {1}
    assert pools() == before
    with pytest.raises(ValueError, match="mine"), one_thread():
        raise ValueError("mine")
    assert pools() == before
    with one_thread(False):
        assert pools() == before
    assert torch.get_num_threads() == torch_before


@pytest.mark.integration
def test_importing_without_numba_finds_the_plain_path():
    code = (
        "import sys; sys.modules['numba'] = None; sys.modules['llvmlite'] = None\n"
        "from gpbo.numerics import available; assert not available()\n"
        "from gpbo.numerics.rows import log_improvement; print(round(log_improvement(0.5)[0], 6))\n"
        "from gpbo.numerics.runtime import dpotrf\n"
        "try: dpotrf()\n"
        "except RuntimeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["-0.359828", "the compiled path is not available on this machine"]


def test_overlapping_limits_of_several_threads_are_all_lifted():
    before = [one["num_threads"] for one in threadpoolctl.threadpool_info()]
    started, go_on = threading.Event(), threading.Event()

    def inside():
        with one_thread():
            started.set()
            go_on.wait(10)

    other = threading.Thread(target=inside)
    other.start()
    started.wait(10)
    with one_thread():  # begins while the other is inside, ends after it
        go_on.set()
        other.join(10)
    assert [one["num_threads"] for one in threadpoolctl.threadpool_info()] == before


@pytest.mark.slow
@pytest.mark.skipif(not available(), reason="needs numba")
def test_an_edit_of_a_file_that_others_inline_is_seen(tmp_path):
    root = Path(gpbo.__file__).parent.parent
    for package in ("gpbo", "kernels"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import numpy as np\n"
        "from gpbo.models.compiled_objective import factorise\n"
        "A = np.zeros((2, 2)); factorise(1, np.array([[0.0, 1.0]]), 1.0, 0.0, np.zeros(2), A, np.empty((0, 0)))\n"
        "print(A[1, 0])"
    )

    def run():
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{tmp_path / 'kernels'}"}
        done = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)
        return float(done.stdout)

    first = run()
    rows = tmp_path / "gpbo" / "numerics" / "rows.py"
    rows.write_text(rows.read_text().replace("k[j] = (1.0 + r + r * r * (1.0 / 3.0)) * e", "k[j] = e"))
    assert first == pytest.approx((1 + 5**0.5 + 5 / 3) * np.exp(-(5**0.5)))
    assert run() == pytest.approx(np.exp(-(5**0.5)))
