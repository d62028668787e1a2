"""What could be done for a while when single points have not improved on the best one for long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.hedge import standardized
from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo.models.fit import fit
from gpbo.models.spec import Array, Prior
from gpbo.strategy import policy, regimes, surrogate
from gpbo.strategy.fitted import Fitted

_COARSE = 0.03  # least noise, as a share of the outcomes' variance, of a model that is to see the large features only


def _stalled(data: Any) -> bool:
    """Every second ask after as many in vain as there are dimensions, five at least."""
    since = _since(data)
    return since >= max(5, data.X.shape[1]) and since % 2 == 1


def _since(data: Any) -> int:
    return len(data.y) - 1 - int(np.argmax(data.y))


def spread(every: int, patience: float = 1.0) -> Callable[[Patches], None]:
    """Every so many asks a space-filling point, after as many in vain as there are dimensions, five at least.

    Args:
        every: How often.
        patience: Multiplies how many must have been in vain.
    """

    def make(original: Any) -> Any:
        def suggest(self: Any, data: Any, q: int, *arguments: Any) -> Any:
            n = len(data.y)
            if q > 1 or n < self._n_initial:
                return original(self, data, q, *arguments)
            waited = _since(data) - int(patience * max(5, data.X.shape[1]))
            if waited < 0 or waited % every:
                return original(self, data, q, *arguments)
            with replaced(self, "_n_initial", n + len(data.pending) + 1):
                return original(self, data, q, *arguments)

        return suggest

    return lambda patches: patches.wrap(policy.Strategy, "suggest", make)


def plain(patches: Patches) -> None:
    """The model of standardized outcomes."""

    def search(original: Any, self: Any, data: Any, fitted: Fitted, *arguments: Any) -> Any:
        return original(self, data, standardized(data, fitted), *arguments)

    _searching(patches, search)


def _searching(patches: Patches, instead: Callable[..., Any]) -> None:
    """Lets ``instead`` search when a study has stalled; it gets the engine's own search first."""

    def make(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Array, q: int, *arguments: Any) -> Any:
            if q > 1 or not _stalled(data):
                return original(self, data, fitted, also, q, *arguments)
            return instead(original, self, data, fitted, also, q, *arguments)

        return search

    patches.wrap(policy.Strategy, "_search", make)


def paths(patches: Patches) -> None:
    """A sample path's optimum."""
    plan = regimes.plan

    def search(original: Any, self: Any, data: Any, fitted: Fitted, also: Array, q: int, *arguments: Any) -> Any:
        def only_paths(*a: Any, **named: Any) -> Any:
            return replace(plan(*a, **named), local=(0,), whole=0, paths=q)

        with replaced(policy, "plan", only_paths):
            return original(self, data, fitted, also, q, *arguments)

    _searching(patches, search)


def coarse(patches: Patches) -> None:
    """A model that takes small ripples for noise."""

    def search(original: Any, self: Any, data: Any, fitted: Fitted, *arguments: Any) -> Any:
        if fitted.problem.known is not None:
            return original(self, data, fitted, *arguments)
        spec = replace(fitted.problem.spec, noise=Prior(), noise_bounds=(_COARSE, 10.0), initial_noise=0.1)
        problem = replace(fitted.problem, spec=spec)
        theta = fit(problem).theta
        posterior = surrogate.factorised(problem, theta, fitted.posterior.device)
        smooth = posterior.smoothed(problem.y)
        other = replace(fitted, problem=problem, theta=theta, posterior=posterior)
        with replaced(policy.Strategy, "_incumbents", lambda *_: (smooth, float(smooth.max()))):
            return original(self, data, other, *arguments)

    _searching(patches, search)
