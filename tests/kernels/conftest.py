"""Where fused kernels run in tests: interpreted on the CPU, or compiled on a CUDA device."""

from __future__ import annotations

import pytest
import torch

from gpbo_kernels import backend


@pytest.fixture(params=[pytest.param("cpu", id="interpreted"), pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    pytest.importorskip("triton", reason="Triton is not installed: no fused kernel is tested")
    if request.param == "cpu" and not backend.interpreted():
        pytest.skip("kernels are compiled here: TRITON_INTERPRET is not 1")
    return torch.device(request.param)
