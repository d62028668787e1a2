"""Log expected improvement over fantasies, with its gradient."""

from gpbo_kernels.improvement.operation import log_expected_improvement, mixture
from gpbo_kernels.improvement.tails import log_improvement

__all__ = ["log_expected_improvement", "log_improvement", "mixture"]
