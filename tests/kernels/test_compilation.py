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


def _covariance(kind: str, dtype: str, symmetric: bool, side: int = 32, warps: int = 4, **more: Any) -> dict[str, Any]:
    constants = {"KIND": kind, "SYMMETRIC": symmetric, "SIDE": side} | more.pop("ones", ONES)
    return COVARIANCE | {"dtype": dtype, "constants": constants, "warps": warps, **more}


def _gradient(kind: str, dtype: str, **more: Any) -> dict[str, Any]:
    constants = {"KIND": kind, "SIDE": 64, "ROWS": 8} | more.pop("ones", {"inverse_column": 1})
    return GRADIENT | {"dtype": dtype, "constants": constants, "warps": 1, **more}


WIDE = ["k_row", "k_batch", "slope_row", "slope_batch", "diagonal_batch", "z1_batch", "z2_batch"]


def _of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """Both kernels in both precisions."""
    return {
        f"covariance of {kind}, float64": _covariance(kind, "fp64", True),
        f"covariance of {kind}, float32": _covariance(kind, "fp32", True),
        f"cross covariance of {kind}": _covariance(kind, "fp64", False, absent=["diagonal", "slope", "scale"]),
        f"gradients of {kind}, float64": _gradient(kind, "fp64"),
        f"gradients of {kind}, float32": _gradient(kind, "fp32"),
    }


LAYOUTS = {
    "cross slope": _covariance("matern32", "fp32", False, absent=["diagonal", "k", "scale"]),
    "covariance in many dimensions": _covariance("matern12", "fp64", True, 64, 16),
    "covariance with int64 strides": _covariance("matern52", "fp64", True, wide=WIDE),
    "cross covariance by columns": _covariance("rbf", "fp64", False, ones={"k_row": 1, "slope_row": 1}, wide=WIDE[1:2]),
    "gradients with int64 strides": _gradient("matern52", "fp64", wide=["inverse_row", "inverse_batch", "z_batch"]),
    "gradients by columns": _gradient("matern52", "fp64", ones={"inverse_row": 1}),
}
OTHERS = {name: case for kind in KINDS if kind != "matern12" for name, case in _of_kind(kind).items()}


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(_of_kind("matern12"), id="matern12"),  # which needs the most registers
        pytest.param(OTHERS | LAYOUTS, id="the others", marks=pytest.mark.slow),
    ],
)
def test_kernels_compile_and_stay_in_registers(cases: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed: no kernel is compiled")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, str(Path(__file__).with_name("compilation.py"))]
    text = json.dumps(list(cases.values()))
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(f"Triton's compiler does not run here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    spilled = {name: used["stack"] for name, used in zip(cases, json.loads(done.stdout), strict=True)}
    assert max(spilled.values()) <= 64, spilled  # bytes a thread; more would be traffic in the loops
