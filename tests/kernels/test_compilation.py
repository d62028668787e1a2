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
    cases += [_covariance("matern12", dtype, True, 64, 16)]  # the tile for many dimensions, and the most registers
    used = _compile(cases, tmp_path)
    assert max(each["stack"] for each in used) <= 64, used  # bytes a thread: what spills is not in the loop


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_lengthscale_gradients_compile_for_every_kind(dtype: str, tmp_path: Path) -> None:
    used = _compile([_gradient(kind, dtype) for kind in KINDS], tmp_path)
    assert max(each["stack"] for each in used) <= 256, used


def test_strides_may_exceed_int32_and_run_along_columns(tmp_path: Path) -> None:
    strides = ["k_row", "k_batch", "slope_row", "slope_batch", "diagonal_batch", "z1_batch", "z2_batch"]
    columns = {"k_row": 1, "slope_row": 1}
    cases = [_covariance("matern52", "fp64", symmetric, 32, 4, wide=strides) for symmetric in (False, True)]
    cases += [_covariance("rbf", "fp64", False, 32, 4, ones=columns, absent=["scale", "diagonal"], wide=strides[1:2])]
    cases += [_gradient("matern52", "fp64", wide=["inverse_row", "inverse_batch", "z_batch"])]
    cases += [_gradient("matern52", "fp64", ones={"inverse_row": 1})]
    assert len(_compile(cases, tmp_path)) == len(cases)


# Search ----------------------------------------------------------------------------------------------------------


CROSS = {
    "module": "gpbo_kernels.improvement.fused",
    "kernel": "_cross_covariance_kernel",
    "pointers": ["z", "Z", "scale", "out"],
    "warps": 4,
}
INPUT = {
    "module": "gpbo_kernels.improvement.fused",
    "kernel": "_input_gradient_kernel",
    "pointers": ["z", "Z", "W", "scale", "out"],
    "warps": 4,
}
MIXTURE = {
    "module": "gpbo_kernels.improvement.fused",
    "kernel": "_mixture_kernel",
    "pointers": ["V", "beta", "normals", "best", "scale", "constant", "least", "value", "right"],
    "types": {"ends": "*i64"},
    "warps": 8,
}
PICK = {
    "module": "gpbo_kernels.greedy.fused",
    "kernel": "_pick_kernel",
    "pointers": [
        *("Z", "V", "mean", "variance_in", "variance_out", "shifts_in", "shifts_out", "normals", "scale", "noise"),
        *("least", "lowest", "best", "keys_in", "keys_out", "tops_in", "tops_out", "values"),
    ],
    "types": {"taken": "*i8", "rows_in": "*i32", "rows_out": "*i32", "picked": "*i64"},
    "warps": 8,
}
PATH = {
    "module": "gpbo_kernels.paths.fused",
    "kernel": "_path_kernel",
    "pointers": ["z", "W", "phase", "Z", "weights", "update", "scale", "amplitude", "constant", "out"],
    "types": {"owner": "*i64"},
    "warps": 4,
}


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_improvement_compiles(dtype: str, tmp_path: Path) -> None:
    cross, gradient = {"ROWS": 4, "COLUMNS": 128}, {"POINTS": 64, "DIMENSIONS": 32}
    kinds = KINDS if dtype == "fp64" else ("matern52",)
    cases = [CROSS | {"dtype": dtype, "constants": {"KIND": kind} | cross} for kind in kinds]
    cases += [INPUT | {"dtype": dtype, "constants": {"KIND": kind} | gradient} for kind in kinds]
    mixture = {"COLUMNS": 1024, "FANTASISED": 16, "SAMPLES": 128}
    cases += [MIXTURE | {"dtype": dtype, "constants": {"ENDS": ends} | mixture} for ends in (False, True)]
    cases += [CROSS | {"dtype": dtype, "constants": {"KIND": "rbf"} | cross, "wide": ["row_Z", "column_Z"]}]
    used = _compile(cases, tmp_path)
    assert max(each["stack"] for each in used) <= 64, used


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_picks_compile(dtype: str, tmp_path: Path) -> None:
    cases = []
    for candidates, append, evaluate in [(4, 0, 1), (1, 1, 1), (4, 1, 1), (16, 1, 1), (4, 1, 0)]:
        sizes = {"CANDIDATES": candidates, "COLUMNS": 2048 // candidates, "DIMENSIONS": 8, "SAMPLES": 128}
        constants = {"KIND": "matern52", "APPEND": append, "EVALUATE": evaluate, "PROGRAMS": 512} | sizes
        cases.append(PICK | {"dtype": dtype, "constants": constants})
    used = _compile(cases, tmp_path)
    assert max(each["stack"] for each in used) <= 64, used


@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_paths_compile(dtype: str, tmp_path: Path) -> None:
    cases = []
    for kind, gradient, dimensions in [("matern52", 1, 32), ("matern12", 1, 4), ("rbf", 0, 8), ("matern52", 1, 128)]:
        constants = {"KIND": kind, "GRADIENT": gradient, "DIMENSIONS": dimensions, "ROWS": 8, "COLUMNS": 64}
        cases.append(PATH | {"dtype": dtype, "constants": constants})
    used = _compile(cases, tmp_path)
    assert max(each["stack"] for each in used) <= 128, used  # the reduction of large angles takes some
