"""The log posterior of the hyperparameters and its gradient in closed form: the definition, in plain torch.

No autograd: one Cholesky factorisation, one inverse and one pass over the weights W = (aa' - K^-1) o S, where a = K^-1
(y - c) and S holds the slopes of the kernel; neither W nor S need be stored (``gpbo_kernels.lengthscale_gradients``).
Batched over hyperparameter vectors. Nothing in it depends on a value that the host would have to read, and observations
may be padded to a size that stays the same for many of them: the function can be captured in a CUDA graph.

Source: Rasmussen and Williams 2006, eqs. 5.8-5.9, with the priors on natural values added (BoTorch's MAP convention).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpbo.models.spec import Prior, Spec
from gpbo.numerics.triangular import invert_lower, lower_square
from gpbo_kernels import covariance_and_slope, lengthscale_gradients

_LOG_2PI = math.log(2.0 * math.pi)


def log_prior(prior: Prior, t: Tensor) -> tuple[Tensor, Tensor]:
    """Log density of exp(t) on the natural scale, and its derivative in t, element by element."""
    if prior.family == "lognormal":
        u = (t - prior.a) / prior.b
        return -t - math.log(prior.b) - 0.5 * _LOG_2PI - 0.5 * u * u, -1.0 - u / prior.b
    if prior.family == "gamma":
        a, b = prior.a, prior.b
        x = t.exp()
        return a * math.log(b) - math.lgamma(a) + (a - 1.0) * t - b * x, (a - 1.0) - b * x
    return torch.zeros_like(t), torch.zeros_like(t)


def log_posterior(
    spec: Spec, X: Tensor, y: Tensor, known: Tensor | None, theta: Tensor, there: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log marginal likelihood plus log priors, and the gradient.

    Args:
        spec: What kind of GP.
        X: Inputs, shape (n, d).
        y: Outcomes, shape (n,).
        known: Noise variances, shape (n,), NaN where it is the inferred one; or None when it is so everywhere.
        theta: [mean, log noise, log outputscale, log lengthscales], shape (B, d + 3).
        there: Which rows are observations and not padding, shape (n,); None for all. Padding is zero in X.

    Returns:
        Values (B,) in nats, -inf where the covariance is not positive definite; gradients in theta (B, d + 3).
    """
    there = torch.ones_like(y, dtype=torch.bool) if there is None else there
    n = there.sum(dtype=y.dtype)
    mean, scale = theta[:, 0], theta[:, 2].exp()
    inferred = there if known is None else there & torch.isnan(known)
    noise = torch.where(inferred, theta[:, 1].exp()[:, None], 0.0 if known is None else torch.where(there, known, 0.0))
    Z = X / theta[:, None, 3:].exp()
    covariance, _ = covariance_and_slope(spec.kind, Z, scale=scale, want=(True, False))
    assert covariance is not None
    K = torch.where(there[:, None] & there, covariance, 0.0)
    del covariance  # of n = 30,000 it takes 7 GB
    K.diagonal(dim1=-2, dim2=-1).add_(torch.where(there, noise, 1.0))  # padding is a block of its own: the identity
    L, info = torch.linalg.cholesky_ex(K)
    del K
    bad = info > 0
    L = torch.where(bad[:, None, None], torch.eye(len(y), dtype=L.dtype, device=L.device), L)
    Li = invert_lower(L)
    residual = torch.where(there, y - mean[:, None], 0.0)[..., None]
    half = Li @ residual
    a = Li.mT @ half
    quadratic = half.square().sum((-2, -1))
    value = -0.5 * quadratic - L.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * n * _LOG_2PI
    inverse = lower_square(Li)
    parts = (a[..., 0].square() - inverse.diagonal(dim1=-2, dim2=-1)) * noise
    trace = parts.sum(-1)
    gradient = torch.zeros_like(theta)
    gradient[:, 0] = a.sum((-2, -1))
    gradient[:, 2] = 0.5 * (quadratic - n - trace)  # tr(M K) = a'(K + D)a - n - tr(M D)
    gradient[:, 3:] = lengthscale_gradients(spec.kind, Z, a[..., 0], inverse, scale=scale, lower=True)
    if spec.infer_noise:
        density, derivative = log_prior(spec.noise, theta[:, 1])
        value = value + density
        gradient[:, 1] = 0.5 * torch.where(inferred, parts, 0.0).sum(-1) + derivative
    if spec.scaled:
        density, derivative = log_prior(spec.scale, theta[:, 2])
        value = value + density
        gradient[:, 2] += derivative
    density, derivative = log_prior(spec.lengthscale, theta[:, 3:])
    value = value + density.sum(-1)
    gradient[:, 3:] += derivative
    bad = bad | ~torch.isfinite(value)
    return torch.where(bad, -torch.inf, value), torch.where(bad[:, None], 0.0, gradient)
