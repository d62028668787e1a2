"""The marginal likelihood's gradients that need the whole inverse covariance."""

from gpbo_kernels.likelihood.operation import lengthscale_gradients

__all__ = ["lengthscale_gradients"]
