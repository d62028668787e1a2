"""Single points now and then by the model without a preference for interpolation, where that finds noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.exact import Problem
from gpbo.models.fit import fit
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Prior
from gpbo.strategy import policy, surrogate
from gpbo.strategy.fitted import Fitted
from gpbo.transforms import OutcomeMap

_MOST = 200


def every(times: int, prior: Prior) -> Callable[[Patches], None]:
    """For every second, third, ... ask."""

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Any, q: int, *arguments: Any) -> Any:
            other = None
            if q == 1 and len(data.y) % times == 0 and not self._noisy(fitted):
                other = _other(data, fitted, prior)
            if other is None or not self._noisy(other):
                return original(self, data, fitted, also, q, *arguments)
            with replaced(surrogate.Surrogate, "summed", lambda *_: None):
                return original(self, data, other, also, q, *arguments)

        return search

    return lambda patches: patches.wrap(policy.Strategy, "_search", make)


def _other(data: Any, fitted: Fitted, prior: Prior) -> Fitted | None:
    kind = fitted.carry.kind.partition("/")[0]
    if len(data.y) > _MOST or fitted.problem.known is not None:
        return None
    best = None
    for each in dict.fromkeys((kind, "identity")):
        outcome_map = OutcomeMap.of(data.y, each)
        if outcome_map is None:
            continue
        problem = Problem(replace(fitted.problem.spec, noise=prior), data.X, outcome_map.forward(data.y))
        found = fit(problem)
        evidence = found.log_posterior + outcome_map.log_derivative(data.y)
        if np.isfinite(evidence) and (best is None or evidence > best[0]):
            best = evidence, problem, found.theta, outcome_map
    if best is None:
        return None
    _, problem, theta, outcome_map = best
    try:
        posterior = surrogate.factorised(problem, theta, torch.device("cpu"))
    except NotPositiveDefinite:
        return None
    return replace(fitted, problem=problem, theta=theta, outcome_map=outcome_map, posterior=posterior)
