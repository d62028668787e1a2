"""What could be done while single points gain next to nothing: look for another basin, now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.hedge import standardized
from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.spec import Array
from gpbo.strategy import policy
from gpbo.strategy.fitted import Fitted


def settled(data: Any, share: float) -> bool:
    """Whether the last points, as many as dimensions and five at least, gained less than a share of what is typical.

    Typical is the distance of the median outcome to the best.
    """
    y, recent = data.y, max(5, data.X.shape[1])
    if len(y) <= 2 * recent:
        return False
    best = float(y.max())
    return best - float(y[:-recent].max()) < share * (best - float(np.median(y)))


def by_margin(times: int, share: float, margin: float, *, plain: bool) -> Callable[[Patches], None]:
    """Every so many asks LogEI above a raised threshold.

    Args:
        times: How often.
        share: Of the typical distance; less gain than that and a run counts as settled.
        margin: By how much the threshold is raised, in standard deviations of the (mapped) outcomes.
        plain: Whether outcomes are not mapped for it.
    """

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Array, q: int, *arguments: Any) -> Any:
            _, best = self._incumbents(fitted)
            if q > 1 or len(data.y) % times or best is None or not settled(data, share):
                return original(self, data, fitted, also, q, *arguments)
            other = standardized(data, fitted) if plain else fitted
            y = other.problem.y
            with (
                replaced(policy.Strategy, "_incumbents", lambda *_: (y, float(y.max()) + margin)),
                replaced(policy, "most_regions", lambda n, q, determined: 0),
            ):
                return original(self, data, other, also, q, *arguments)

        return search

    return lambda patches: patches.wrap(policy.Strategy, "_search", make)


def by_spread(times: int, share: float) -> Callable[[Patches], None]:
    """Every so many asks a space-filling point; arguments as in ``by_margin``."""

    def make(original: Any) -> Any:
        def suggest(self: Any, data: Any, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            if q > 1 or n < self._n_initial or n % times or not settled(data, share):
                return original(self, data, q, *arguments)
            with replaced(self, "_n_initial", n + len(data.pending) + 1):
                return original(self, data, q, *arguments)

        return suggest

    return lambda patches: patches.wrap(policy.Strategy, "suggest", make)
