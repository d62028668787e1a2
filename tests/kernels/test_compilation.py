"""Every kernel compiles for a Hopper GPU, on any machine: the interpreter takes more than the compiler does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpbo_kernels import KINDS

COVARIANCE = {
    "module": "gpbo_kernels.stationary.fused",
    "kernel": "covariance_kernel",
    "pointers": ["Z1", "Z2", "k", "slope", "scale", "diagonal"],
}
GRADIENT = {
    "module": "gpbo_kernels.likelihood.fused",
    "kernel": "gradient_kernel",
    "pointers": ["Z", "a", "inverse", "partial"],
}
ONES = {"k_column": 1, "slope_column": 1}  # as Triton specialises contiguous rows


def _compile(cases: list[dict[str, Any]], cache: Path) -> list[dict[str, int]]:
    pytest.importorskip("triton", reason="Triton is not installed: no kernel is compiled")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(cache)
    command = [sys.executable, str(Path(__file__).with_name("compilation.py"))]
    done = subprocess.run(
        command, input=json.dumps(cases), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        pytest.skip(f"Triton's compiler does not run here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _covariance(kind: str, dtype: str, symmetric: bool, side: int, warps: int, **more: Any) -> dict[str, Any]:
    constants = {"KIND": kind, "SYMMETRIC": symmetric, "SIDE": side} | more.pop("ones", ONES)
    return COVARIANCE | {"dtype": dtype, "constants": constants, "warps": warps, **more}


def _gradient(kind: str, dtype: str, **more: Any) -> dict[str, Any]:
    constants = {"KIND": kind, "SIDE": 32} | more.pop("ones", {"inverse_column": 1})
    return GRADIENT | {"dtype": dtype, "constants": constants, "warps": 1, **more}


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_covariance_compiles_for_every_kind(dtype: str, tmp_path: Path) -> None:
    cases = [_covariance(kind, dtype, True, 32, 4) for kind in KINDS]
    cases += [_covariance(kind, dtype, False, 32, 4, absent=["diagonal", "slope", "scale"]) for kind in KINDS]
    cases += [_covariance("matern12", dtype, True, 64, 16), _covariance("matern52", dtype, True, 64, 16)]
    used = _compile(cases, tmp_path)
    assert max(each["stack"] for each in used) <= 64, used  # bytes a thread: what spills is not in the loop


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_lengthscale_gradients_compile_for_every_kind(dtype: str, tmp_path: Path) -> None:
    used = _compile([_gradient(kind, dtype) for kind in KINDS], tmp_path)
    assert max(each["stack"] for each in used) <= 128, used


def test_strides_may_exceed_int32_and_run_along_columns(tmp_path: Path) -> None:
    strides = ["k_row", "k_batch", "slope_row", "slope_batch", "diagonal_batch", "z1_batch", "z2_batch"]
    columns = {"k_row": 1, "slope_row": 1}
    cases = [_covariance("matern52", "fp64", symmetric, 32, 4, wide=strides) for symmetric in (False, True)]
    cases += [_covariance("rbf", "fp64", False, 32, 4, ones=columns, absent=["scale", "diagonal"], wide=strides[1:2])]
    cases += [_gradient("matern52", "fp64", wide=["inverse_row", "inverse_batch", "z_batch"])]
    cases += [_gradient("matern52", "fp64", ones={"inverse_row": 1})]
    assert len(_compile(cases, tmp_path)) == len(cases)
