"""What is compared: the classic cases and the optimizers, as data. Drawn cases: ``suites.py``, ``families``."""

from __future__ import annotations

from benchmarks.optimization.member import Case
from benchmarks.optimization.peers import PROVIDERS

__all__ = ["BASELINE", "CASES", "PROVIDERS"]

CASES = (
    Case("branin", 30, 5),
    Case("hartmann6", 60, 7),
    Case("ackley10", 80, 11),
    Case("levy10", 80, 11),
    Case("forest_digits", 30, 5),
    Case("forest_iris", 30, 5),
)
BASELINE = "gpbo"
