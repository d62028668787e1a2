"""Covariance functions on plain tensors: value and gradient in closed form, torch only.

The package knows nothing of gpbo. Every operation is a folder with ``reference.py``, the definition in plain torch that
is also the CPU path, beside which a fused kernel can stand.
"""

from gpbo_kernels.stationary import KINDS, covariance, matern12, matern32, matern52, profile, rbf

__all__ = ["KINDS", "covariance", "matern12", "matern32", "matern52", "profile", "rbf"]
