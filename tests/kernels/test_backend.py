"""Which implementation runs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import torch

from gpbo_kernels import backend, use

X = torch.zeros(2, dtype=torch.float64)


@pytest.fixture
def _forgetful() -> Iterator[None]:
    """What was found out about a device is found out again, before the test and after it."""
    backend._compiles.cache_clear()
    yield
    backend._compiles.cache_clear()


def test_cpu_takes_the_reference() -> None:
    assert not backend.fused(X)


@pytest.mark.gpu
def test_cuda_takes_the_fused_kernel_of_float64_and_float32_on_one_device() -> None:
    x = X.cuda()
    assert backend.fused(x, x)
    assert backend.fused(x.float())
    assert not backend.fused(x, x.float())
    assert not backend.fused(x.half())
    assert not backend.fused(x, X)
    assert not backend.fused(x.clone().requires_grad_())
    with use("reference"):
        assert not backend.fused(x)


def test_forced_kernel_runs_and_says_why_it_cannot(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    x = X.to(device)
    with use("fused"):
        assert backend.fused(x)
        with use("reference"):
            assert not backend.fused(x)
        with use(None):
            assert backend.fused(x) == x.is_cuda
        with pytest.raises(RuntimeError, match="differ in device or dtype"):
            backend.fused(x, x.float())
        with pytest.raises(RuntimeError, match=r"not torch\.float16"):
            backend.fused(x.half())
        assert not backend.fused(x.clone().requires_grad_())
        with torch.no_grad():
            assert backend.fused(x.clone().requires_grad_())
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        with pytest.raises(RuntimeError, match="need CUDA"):
            backend.fused(X)
    assert backend.fused(x) == x.is_cuda


def test_forced_kernel_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    backend._installed.cache_clear()
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with use("fused"), pytest.raises(RuntimeError, match="Triton is not installed"):
        backend.fused(X)
    backend._installed.cache_clear()


def test_unknown_implementation_is_named() -> None:
    with pytest.raises(ValueError, match="unknown implementation 'fast'"), use("fast"):  # type: ignore[arg-type]
        pass


@pytest.mark.usefixtures("_forgetful")
def test_triton_that_does_not_compile_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = pytest.importorskip("gpbo_kernels.probe", reason="Triton is not installed")

    def fails(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nSome more lines")

    monkeypatch.setattr(probe, "exponential", fails)
    with pytest.warns(RuntimeWarning, match=r"cannot be used \(RuntimeError: Failed to find C compiler\.\)"):
        assert not backend._compiles(torch.device("cpu"))
    with warnings.catch_warnings(record=True) as caught:
        assert not backend._compiles(torch.device("cpu"))
    assert not caught


@pytest.mark.usefixtures("_forgetful")
def test_wrong_result_counts_as_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = pytest.importorskip("gpbo_kernels.probe", reason="Triton is not installed")
    monkeypatch.setattr(probe, "exponential", torch.zeros_like)
    with pytest.warns(RuntimeWarning, match="wrong result"):
        assert not backend._compiles(torch.device("cpu"))


@pytest.mark.usefixtures("_forgetful")
def test_probe_runs(device: torch.device) -> None:
    assert backend._compiles(device)


def test_package_imports_without_triton_and_reads_the_environment() -> None:
    lines = (
        "import sys, torch",
        "before = set(sys.modules)",
        "import gpbo_kernels",
        "from gpbo_kernels import backend",
        "assert not [name for name in set(sys.modules) - before if name.split('.')[0] == 'triton']",
        "print(backend._PROCESS)",
    )
    environment = os.environ | {"GPBO_KERNELS": "reference"}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "reference\n"
