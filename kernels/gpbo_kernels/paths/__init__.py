"""Posterior sample paths, evaluated at many points, each on a path of its own."""

from gpbo_kernels.paths.operation import evaluation_bytes, path_gradients, path_values, prepared
from gpbo_kernels.paths.reference import PathSet

__all__ = ["PathSet", "evaluation_bytes", "path_gradients", "path_values", "prepared"]
