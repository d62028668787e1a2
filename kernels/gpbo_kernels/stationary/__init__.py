"""Stationary covariance functions with one lengthscale per input dimension."""

from gpbo_kernels.stationary.operation import covariance, covariance_and_slope, matern12, matern32, matern52, rbf
from gpbo_kernels.stationary.reference import KINDS, profile

__all__ = ["KINDS", "covariance", "covariance_and_slope", "matern12", "matern32", "matern52", "profile", "rbf"]
