"""Single points by LogEI under hyperparameters drawn from their posterior, instead of the most probable ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.optimization.ingredients.averaging import draws
from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Array
from gpbo.strategy import policy, surrogate
from gpbo.strategy.fitted import Fitted


def every(times: int) -> Callable[[Patches], None]:
    """For every second, third, ... ask."""

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Array, q: int, rng: Any, hurry: bool) -> Any:
            n = len(data.y)
            if q > 1 or n % times or n > 500:
                return original(self, data, fitted, also, q, rng, hurry)
            ((problem, theta, _),) = draws(fitted, rng, 1)
            try:
                posterior = surrogate.factorised(problem, theta, fitted.posterior.device)
            except NotPositiveDefinite:
                return original(self, data, fitted, also, q, rng, hurry)
            other = replace(fitted, theta=theta, posterior=posterior)
            with replaced(policy, "most_regions", lambda n, q, determined: 0):
                return original(self, data, other, also, q, rng, hurry)

        return search

    return lambda patches: patches.wrap(policy.Strategy, "_search", make)
