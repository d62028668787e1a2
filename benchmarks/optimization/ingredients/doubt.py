"""Space-filling points now and then while the model does not predict the outcomes it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.leave_one_out import leave_one_out
from gpbo.strategy import policy


def spread(every: int, skill: float) -> Callable[[Patches], None]:
    """Every so many asks, while leave-one-out predictions explain less than this share of the outcomes' variance."""

    def make(original: Any) -> Any:
        def suggest(self: Any, data: Any, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            if q > 1 or n < self._n_initial or n % every or _skill(self, data) >= skill:
                return original(self, data, q, *arguments)
            with replaced(self, "_n_initial", n + len(data.pending) + 1):
                return original(self, data, q, *arguments)

        return suggest

    return lambda patches: patches.wrap(policy.Strategy, "suggest", make)


def graded(steps: tuple[tuple[float, int], ...]) -> Callable[[Patches], None]:
    """The less of the variance is explained, the more often: (explained less than, every so many asks), in order."""

    def make(original: Any) -> Any:
        def suggest(self: Any, data: Any, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            if q > 1 or n < self._n_initial:
                return original(self, data, q, *arguments)
            skill = _skill(self, data)
            every = next((every for least, every in steps if skill < least), 0)
            if not every or n % every:
                return original(self, data, q, *arguments)
            with replaced(self, "_n_initial", n + len(data.pending) + 1):
                return original(self, data, q, *arguments)

        return suggest

    return lambda patches: patches.wrap(policy.Strategy, "suggest", make)


def _skill(strategy: Any, data: Any) -> float:
    fitted = strategy._fitted(data)
    residuals, _ = leave_one_out(fitted.posterior)
    return 1.0 - float(np.square(residuals).sum() / np.square(fitted.problem.y - fitted.problem.y.mean()).sum())
