"""GPyTorch kernels over ``gpbo_kernels``: they stand wherever GPyTorch's own do, with the same parameters and state."""

from __future__ import annotations

from typing import Any

import gpytorch
from gpytorch.kernels import Kernel
from torch import Tensor

from gpbo_kernels import covariance

_ORDERS = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}


class Matern(gpytorch.kernels.MaternKernel):  # type: ignore[misc]
    """Matern-1/2, -3/2 or -5/2 with closed-form gradients, also for ARD and input gradients.

    GPyTorch's kernel falls back to autograd through six n x n temporaries in both cases.
    """

    @property
    def kind(self) -> str:
        """Name of the covariance in ``gpbo_kernels``."""
        return {order: name for name, order in _ORDERS.items()}[self.nu]

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariance, shape (..., n1, n2), or its diagonal, shape (..., n)."""
        if diag or params.get("last_dim_is_batch", False):
            return super().forward(x1, x2, diag=diag, **params)  # type: ignore[no-any-return]
        return covariance(self.kind, x1, x2, self.lengthscale)


class RBF(gpytorch.kernels.RBFKernel):  # type: ignore[misc]
    """Squared-exponential kernel with closed-form gradients."""

    kind = "rbf"

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariance, shape (..., n1, n2), or its diagonal, shape (..., n)."""
        if diag or params.get("last_dim_is_batch", False):
            return super().forward(x1, x2, diag=diag, **params)  # type: ignore[no-any-return]
        return covariance("rbf", x1, x2, self.lengthscale)


def make_kernel(kind: str, **options: Any) -> Kernel:
    """The kernel of the given kind; options as GPyTorch's (``ard_num_dims``, priors, constraints)."""
    return RBF(**options) if kind == "rbf" else Matern(nu=_ORDERS[kind], **options)
