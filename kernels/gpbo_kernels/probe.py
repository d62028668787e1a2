"""The smallest kernel that needs all of Triton's tool chain: launcher, assembler and mathematical library."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from gpbo_kernels import backend


@triton.jit
def _exponential(x, out):
    tl.store(out, tl.exp(tl.load(x)))


def exponential(x: Tensor) -> Tensor:
    """The exponential of one number, shape (1,)."""
    out = torch.empty_like(x)
    with backend.device_of(x):
        _exponential[(1,)](x, out)
    return out
