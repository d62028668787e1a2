"""The Gaussian process of the Thompson sampling peers: exact, in float64, fitted by maximum likelihood.

Constant mean, ARD Matern-5/2 covariance and Gaussian noise on standardized values. Written out rather than taken from
GPyTorch, whose autograd needs several times as long on one core; the test holds both together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

# The bounds of Eriksson et al. 2019, appendix: values are standardized and inputs lie in the unit cube.
LENGTHSCALE, SCALE, NOISE = (0.005, 2.0), (0.05, 20.0), (5e-4, 0.1)
MOST_FITTED = 1000  # hyperparameters are fitted to a random subset of larger data; the posterior takes all
ITERATIONS = 50


@dataclass(frozen=True)
class Hyperparameters:
    """Lengthscales, shape (d,), the variance of the process and that of the noise, in standardized units."""

    lengthscale: Tensor
    scale: float
    noise: float

    @classmethod
    def initial(cls, d: int) -> Hyperparameters:
        """Where a fit without predecessor starts."""
        return cls(torch.full((d,), 0.5, dtype=torch.float64), 1.0, 0.005)

    @property
    def theta(self) -> NDArray[np.float64]:
        """Logarithms: lengthscales, scale, noise."""
        return np.log([*self.lengthscale.tolist(), self.scale, self.noise])

    @classmethod
    def of(cls, theta: NDArray[np.float64]) -> Hyperparameters:
        """The inverse of ``theta``."""
        values = np.exp(theta)
        return cls(torch.from_numpy(values[:-2].copy()), float(values[-2]), float(values[-1]))


def covariance(A: Tensor, B: Tensor, at: Hyperparameters) -> Tensor:
    """Matern-5/2 covariance of rows, (n, d) and (m, d) -> (n, m)."""
    r = math.sqrt(5.0) * torch.cdist(
        A / at.lengthscale, B / at.lengthscale, compute_mode="use_mm_for_euclid_dist_if_necessary"
    )
    K: Tensor = at.scale * (1.0 + r + r.square() / 3.0) * torch.exp(-r)
    return K


def negative_log_likelihood(theta: NDArray[np.float64], X: Tensor, y: Tensor) -> tuple[float, NDArray[np.float64]]:
    """Negative log marginal likelihood per point and its gradient in the logarithms of the hyperparameters.

    The constant mean is profiled out: it takes its best value for the other hyperparameters.

    Args:
        theta: Logarithms of the lengthscales, the scale and the noise, shape (d + 2,).
        X: Shape (n, d).
        y: Shape (n,), standardized.
    """
    at, n = Hyperparameters.of(theta), len(y)
    Z = X / at.lengthscale
    norms = Z.square().sum(-1)
    squared = (norms[:, None] + norms[None, :] - 2.0 * (Z @ Z.T)).clamp_min_(0.0).mul_(5.0).fill_diagonal_(0.0)
    r = squared.sqrt()
    decay = torch.exp(-r).mul_(at.scale)
    slope = (1.0 + r).mul_(decay)  # dk/d(log l) is 5/3 slope (x - x')^2 / l^2
    K = decay.mul_(squared.div_(3.0).add_(r).add_(1.0))
    L, failed = torch.linalg.cholesky_ex(K + at.noise * torch.eye(n, dtype=torch.float64))
    if failed:
        return math.inf, np.zeros_like(theta)
    inverse = torch.cholesky_inverse(L)
    ones = inverse.sum(0)
    mean = (ones @ y) / ones.sum()
    alpha = inverse @ (y - mean)
    value = 0.5 * (alpha @ (y - mean)) + L.diagonal().log().sum() + 0.5 * n * math.log(2.0 * math.pi)
    W = inverse.sub_(alpha[:, None] * alpha[None, :])
    noise = 0.5 * at.noise * W.diagonal().sum()
    scale = 0.5 * (W * K).sum()
    M = W.mul_(slope)
    # sum_ij M_ij (z_i - z_j)^2 for every dimension, by one product instead of d matrices
    lengthscale = (5.0 / 3.0) * ((M.sum(0) @ Z.square()) - ((M @ Z) * Z).sum(0))
    gradient = torch.cat([lengthscale, scale[None], noise[None]])
    return float(value) / n, gradient.numpy() / n


def fit(X: Tensor, y: Tensor, start: Hyperparameters, rng: np.random.Generator) -> Hyperparameters:
    """Hyperparameters of maximum likelihood within the bounds, from ``start``; of large data, on a random subset."""
    if len(y) > MOST_FITTED:
        some = torch.from_numpy(rng.choice(len(y), MOST_FITTED, replace=False))
        X, y = X[some], y[some]
    bounds = np.log([LENGTHSCALE] * X.shape[1] + [SCALE, NOISE])
    found = minimize(
        negative_log_likelihood,
        np.clip(start.theta, *bounds.T),
        args=(X, y),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS, "maxfun": ITERATIONS, "ftol": 1e-6},
    )
    return Hyperparameters.of(found.x)


def draw(
    X: Tensor, y: Tensor, at: Hyperparameters, candidates: Tensor, samples: int, rng: np.random.Generator
) -> Tensor:
    """Joint samples of the posterior, without noise, at candidates: (n, d), (n,), (m, d) -> (m, samples)."""
    n, m = len(y), len(candidates)
    K = covariance(X, X, at)
    K.diagonal().add_(at.noise)
    L = torch.linalg.cholesky(K)
    ones = torch.ones(n, 1, dtype=torch.float64)
    half = torch.linalg.solve_triangular(L, torch.cat([ones, y[:, None]], 1), upper=False)
    mean = (half[:, 0] @ half[:, 1]) / half[:, 0].square().sum()
    V = torch.linalg.solve_triangular(L, covariance(X, candidates, at), upper=False)
    center = mean + V.T @ (half[:, 1] - mean * half[:, 0])
    posterior = covariance(candidates, candidates, at).sub_(V.T @ V)
    normals = torch.from_numpy(rng.standard_normal((m, samples)))
    drawn: Tensor = center[:, None] + _root(posterior, at.scale) @ normals
    return drawn


def _root(K: Tensor, scale: float) -> Tensor:
    jitter = 1e-8 * scale
    while jitter < scale:
        K.diagonal().add_(jitter)
        L: Tensor
        L, failed = torch.linalg.cholesky_ex(K)
        if not failed:
            return L
        jitter *= 10.0
    raise np.linalg.LinAlgError("The candidates' covariance has no Cholesky factor.")
