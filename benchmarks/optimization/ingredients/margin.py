"""Single points that must promise more than the last digits of the best one: LogEI above a raised threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.spec import Array
from gpbo.strategy import policy
from gpbo.strategy.fitted import Fitted


def every(times: int, margin: float, *, settled: bool = False) -> Callable[[Patches], None]:
    """Every so many asks.

    Args:
        times: How often.
        margin: By how much the threshold is raised, in standard deviations of the (mapped) outcomes.
        settled: Only while the last asks, as many as there are dimensions, have gained less than a tenth of that.
    """

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Array, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            y, best = self._incumbents(fitted)
            if q > 1 or n % times or best is None or (settled and not _settled(data, fitted, margin / 10)):
                return original(self, data, fitted, also, q, *arguments)
            with (
                replaced(policy.Strategy, "_incumbents", lambda *_: (y, best + margin)),
                replaced(policy, "most_regions", lambda n, q, determined: 0),
            ):
                return original(self, data, fitted, also, q, *arguments)

        return search

    return lambda patches: patches.wrap(policy.Strategy, "_search", make)


def _settled(data: Any, fitted: Fitted, least: float) -> bool:
    recent, y = max(5, data.X.shape[1]), fitted.problem.y
    return len(y) == len(data.y) > recent and bool(np.max(y) - np.max(y[:-recent]) < least)
