"""Covariance functions and what fits them on plain tensors: values and gradients in closed form.

The package knows nothing of gpbo, and needs torch only. Every operation is a folder: ``reference.py``, the definition
in plain torch, which is also the CPU path; ``fused.py``, a Triton kernel of the same numbers for CUDA devices;
``operation.py``, what callers use. ``use`` forces one of the two. ``improvement``, ``greedy`` and ``paths``, which are
not imported here, hold what a search evaluates.
"""

from gpbo_kernels.backend import use
from gpbo_kernels.likelihood import lengthscale_gradients
from gpbo_kernels.stationary import (
    KINDS,
    covariance,
    covariance_and_slope,
    matern12,
    matern32,
    matern52,
    profile,
    rbf,
)

__all__ = [
    "KINDS",
    "covariance",
    "covariance_and_slope",
    "lengthscale_gradients",
    "matern12",
    "matern32",
    "matern52",
    "profile",
    "rbf",
    "use",
]
