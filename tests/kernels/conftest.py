"""Where fused kernels run in tests: interpreted on the CPU, or compiled on a CUDA device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from gpbo_kernels import backend

GUARD = 64  # numbers on either side of a buffer


@pytest.fixture(params=[pytest.param("cpu", id="interpreted"), pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    pytest.importorskip("triton", reason="Triton is not installed: no fused kernel is tested")
    if request.param == "cpu" and not backend.interpreted():
        pytest.skip("kernels are compiled here: TRITON_INTERPRET is not 1")
    if request.param == "cpu" and not _interpreter_runs():
        pytest.skip("the interpreter of Triton before 3.7 does not run on this NumPy")
    return torch.device(request.param)


def _interpreter_runs() -> bool:
    """Triton 3.6 makes integers of arrays with one element, which NumPy has given up."""
    import triton

    if tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 7):
        return True
    try:
        int(np.zeros(1))
    except (TypeError, DeprecationWarning):  # NumPy 2.4; before, a warning, which is an error in tests
        return False
    return True


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A context in which fresh buffers hold NaN (integers: -1) and lie between guards, looked at when it ends."""

    @contextmanager
    def context() -> Iterator[None]:
        held: list[torch.Tensor] = []
        empty, plain = torch.empty, torch.Tensor.new_empty

        def allocate(*size: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
            shape = torch.Size(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
            whole = empty(shape.numel() + 2 * GUARD, dtype=dtype, device=device)
            whole.fill_(math.nan if dtype.is_floating_point else -1)
            held.append(whole)
            return whole[GUARD : GUARD + shape.numel()].view(shape)

        def new_empty(self: torch.Tensor, *size: Any, **others: Any) -> torch.Tensor:
            if others:  # Triton's interpreter
                return plain(self, *size, **others)
            return allocate(*size, dtype=self.dtype, device=self.device)

        def empty_like(like: torch.Tensor, **_: Any) -> torch.Tensor:
            return allocate(like.shape, dtype=like.dtype, device=like.device)

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "new_empty", new_empty)
            patch.setattr(torch, "empty_like", empty_like)
            patch.setattr(torch, "empty", allocate)
            yield
        assert held
        for whole in held:
            outside = torch.cat([whole[:GUARD], whole[-GUARD:]])
            assert (outside.isnan() if whole.is_floating_point() else outside == -1).all()

    return context
