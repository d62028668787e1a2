"""Gradient of a Gaussian process' log marginal likelihood in the log lengthscales, from the inverse covariance.

With a = K^-1 (y - c), M = aa' - K^-1 and the slopes s of the covariance, dK/d log l_k = s_ij (z_ik - z_jk)^2, hence

    dL/d log l_k = 1/2 tr(M dK/d log l_k) = 1/2 sum_ij M_ij s_ij (z_ik - z_jk)^2
                 = sum_i z_ik^2 (W 1)_i - sum_i z_ik (W Z)_ik,    W = M o s,

the last line one product of an n x n by an n x d matrix, never an n x n x d array.

Source: Rasmussen and Williams 2006, eq. 5.9.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpbo_kernels.stationary.reference import distance, profile

_PAIRS = 2**24  # of which slopes and weights are held at a time: some 128 MB each in float64


def lengthscale_gradients(kind: str, Z: Tensor, a: Tensor, inverse: Tensor, lower: bool) -> Tensor:
    """Gradients for unit scale, shape (..., d); arguments as of the operation, with one batch shape."""
    n = Z.shape[-2]
    Z = Z - Z.mean(-2, keepdim=True)  # differences do not see it, and squares lose less
    step = max(1, _PAIRS // max(1, inverse.shape[:-2].numel() * n))
    total = torch.zeros_like(Z[..., 0, :])
    for first in range(0, n, step):
        last = min(n, first + step)
        block = inverse[..., first:last, :]
        if lower:
            below = torch.ones(last - first, n, dtype=torch.bool, device=Z.device).tril(first)
            block = torch.where(below, block, inverse[..., first:last].mT)
        z = Z[..., first:last, :]
        _, slope = profile(kind, distance(z, Z))
        W = (a[..., first:last, None] * a[..., None, :] - block) * slope
        if kind == "matern12":  # slopes grow like 1/r: for close points the product would cancel to nothing
            each = [(W * (z[..., :, None, k] - Z[..., None, :, k]).square()).sum((-2, -1)) for k in range(Z.shape[-1])]
            total = total + 0.5 * torch.stack(each, -1)
        else:
            total = total + (z.square() * W.sum(-1, keepdim=True)).sum(-2) - (z * (W @ Z)).sum(-2)
    return total
