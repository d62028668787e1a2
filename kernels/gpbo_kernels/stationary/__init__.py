"""Stationary covariance functions with one lengthscale per input dimension."""

from gpbo_kernels.stationary.reference import KINDS, covariance, matern12, matern32, matern52, profile, rbf

__all__ = ["KINDS", "covariance", "matern12", "matern32", "matern52", "profile", "rbf"]
