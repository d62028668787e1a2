"""What the model says of each observation when it has not seen it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import memory

_BLOCK = 512  # columns at a time: what lies above their diagonal is left out


def leave_one_out(posterior: HostPosterior | TorchPosterior) -> tuple[Array, Array]:
    """Predictions of every observation from all the others, at the fitted hyperparameters.

    With K the covariance of the observations, noise included, and alpha = K^-1 (y - c):
    y_i - mean_i = alpha_i / (K^-1)_ii and variance_i = 1 / (K^-1)_ii. The hyperparameters have seen the observation, so
    that with few observations the predictions are a little too good.

    Args:
        posterior: Without conditioned points.

    Returns:
        Residuals y_i - mean_i and variances, noise included, in the model's units, each of shape (n,).

    Source: Rasmussen and Williams 2006, eq. 5.10-5.12.
    """
    n = posterior.n
    assert posterior.m == n
    if isinstance(posterior, TorchPosterior):
        L, beta = posterior.L.cpu().numpy(), posterior.beta.cpu().numpy()
    else:
        L, beta = posterior.L, posterior.beta
    precision, alpha = np.empty(n), np.empty(n)

    def some(start: int, end: int) -> None:  # columns of L^-1, which are zero above the diagonal
        columns = solve_triangular(L[start:n, start:n], np.eye(n - start, end - start), lower=True, check_finite=False)
        precision[start:end] = np.square(columns).sum(axis=0)
        alpha[start:end] = beta[start:n] @ columns

    memory.in_pieces(some, n, 8 * 3 * n, "columns of the inverse factor", _BLOCK)
    return alpha / precision, 1.0 / precision
