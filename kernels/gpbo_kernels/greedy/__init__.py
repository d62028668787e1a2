"""Greedy picks from a set of candidates, each conditioned on those before it, without the host."""

from gpbo_kernels.greedy.operation import pick
from gpbo_kernels.greedy.reference import Picks

__all__ = ["Picks", "pick"]
