"""Single points by turns from the engine's model and from one whose noise has another prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.models.fit import fit
from gpbo.models.spec import Array, Prior
from gpbo.strategy import policy, surrogate
from gpbo.strategy.surrogate import Fitted


def every(times: int, noise: Prior | None = None) -> Callable[[Patches], None]:
    """Every so many asks the model of the same outcomes and kernel that is most probable without a prior of the noise.

    Args:
        times: How often.
        noise: Another prior than none.
    """

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Array, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            if q > 1 or n % times or not fitted.problem.spec.infer_noise:
                return original(self, data, fitted, also, q, *arguments)
            problem = replace(fitted.problem, spec=replace(fitted.problem.spec, noise=noise or Prior()))
            found = fit(problem)
            if found.theta[1] < fitted.theta[1] + 1.0:
                return original(self, data, fitted, also, q, *arguments)
            posterior = surrogate.factorised(problem, found.theta, fitted.posterior.device)
            other = replace(fitted, problem=problem, theta=found.theta, posterior=posterior)
            return original(self, data, other, also, q, *arguments)

        return search

    return lambda patches: patches.wrap(policy.Strategy, "_search", make)
