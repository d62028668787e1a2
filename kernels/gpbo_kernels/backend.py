"""Which of the two implementations of an operation runs: the plain-torch reference or the fused Triton kernel.

Both give the same numbers to rounding, so the choice is one of speed and memory only. Left alone, tensors of one CUDA
device take the fused kernel, everything else the reference. ``use`` forces either; the environment variable
``GPBO_KERNELS`` (``reference`` or ``fused``) does so for a whole process.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

Choice = Literal["reference", "fused"]
_DTYPES = (torch.float64, torch.float32)
_CHOICES = (None, "reference", "fused")


def _checked(choice: str | None) -> str | None:
    if choice not in _CHOICES:
        raise ValueError(f"unknown implementation {choice!r}; use 'reference', 'fused' or None")
    return choice


_PROCESS = _checked(os.environ.get("GPBO_KERNELS") or None)
_choice: ContextVar[str | None] = ContextVar("choice", default=_PROCESS)


@contextmanager
def use(choice: Choice | None) -> Iterator[None]:
    """Forces one implementation inside a ``with`` block; ``None`` leaves the choice to the tensors.

    With ``"fused"``, CPU tensors are taken too where Triton interprets (``TRITON_INTERPRET=1``, set before the first
    kernel is imported), and an operation whose tensors no kernel takes raises ``RuntimeError`` instead of running the
    reference: a test or a benchmark then measures what it says. Tensors of which autograd wants a graph have the
    reference in any case.

    Raises:
        ValueError: If the choice is unknown.
    """
    token = _choice.set(_checked(choice))
    try:
        yield
    finally:
        _choice.reset(token)


def fused(*tensors: Tensor) -> bool:
    """Whether the fused kernel is to take these tensors.

    Args:
        tensors: All floating-point tensors that the operation reads or writes, at least one.

    Returns:
        True if Triton runs here, the tensors are on one CUDA device and all of float64 or all of float32, and autograd
        wants no graph of them. A Triton that is there and cannot compile for the device is warned of once a process.

    Raises:
        RuntimeError: If ``use("fused")`` is on and Triton or the tensors do not allow it.
    """
    choice, first = _choice.get(), tensors[0]
    if choice == "reference" or not (first.is_cuda or choice == "fused"):
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    reason = None
    if any(tensor.device != first.device or tensor.dtype != first.dtype for tensor in tensors):
        reason = "the tensors differ in device or dtype"
    elif first.dtype not in _DTYPES:
        reason = f"the kernels know float64 and float32, not {first.dtype}"
    elif not first.is_cuda and not (first.device.type == "cpu" and interpreted()):
        reason = f"tensors are on {first.device}; the kernels need CUDA, or TRITON_INTERPRET=1 for the CPU"
    elif not _installed():
        reason = "Triton is not installed"
    elif first.is_cuda and not _compiles(first.device):
        reason = f"Triton does not compile for {first.device}"
    if reason is not None and choice == "fused":
        raise RuntimeError(f"no fused kernel can run: {reason}")
    return reason is None


def interpreted() -> bool:
    """Whether Triton interprets kernels in NumPy instead of compiling them, on CPU tensors as well."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Context in which a kernel is launched: Triton uses the current CUDA device, not that of the tensors."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


@functools.cache
def _installed() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def _compiles(device: torch.device) -> bool:
    """Whether a small kernel compiles and runs: Triton may lack a C compiler, or the card be too old for it."""
    try:
        from gpbo_kernels.probe import exponential

        right = exponential(torch.zeros(1, dtype=torch.float64, device=device)).item() == 1.0
        failure = None if right else "a kernel gave a wrong result"
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    if failure is not None:
        warnings.warn(
            f"gpbo_kernels runs its plain-torch implementations on {device}, which are slower: Triton cannot be used "
            f"({failure.splitlines()[0]})",
            RuntimeWarning,
            stacklevel=3,
        )
    return failure is None
