"""Batches whose points come from other models, or from models in other shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.averaging import draws
from benchmarks.optimization.ingredients.patches import Patches
from gpbo.models.fit import fit
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.numerics.rows import SUMS
from gpbo.strategy import policy, regimes, surrogate
from gpbo.strategy.composition import Composer
from gpbo.strategy.fitted import Fitted, Posterior
from gpbo.transforms import OutcomeMap

_WITHIN = 6.0  # nats of evidence
Model = tuple[Posterior, float] | None  # and its best outcome


def sums(share: float) -> Callable[[Patches], None]:
    """Of the points by LogEI of the whole space this share from a model with sums; single points as ever."""

    def by_sums(whole: int) -> int:
        return 1 if whole == 1 else round(whole * share)

    return lambda patches: patches.set(policy, "by_sums", by_sums)


def regions(share: float) -> Callable[[Patches], None]:
    """This share of the points from models of regions."""
    shares = ((8, (share, 1.0 - share)), (64, (share, 1.0 - share)), regimes.SHARES[-1])
    return lambda patches: patches.set(regimes, "SHARES", shares)


def half_by(other: Callable[[Any, Any, Fitted, Any], Model]) -> Callable[[Patches], None]:
    """Half of the points by LogEI of the whole space that are not from sums are from another model instead."""
    held: list[Any] = []

    def searching(original: Any) -> Any:
        def search(self: Any, data: Any, fitted: Fitted, also: Any, q: int, rng: Any, hurry: bool) -> Any:
            held[:] = [(self, data, fitted, rng)]
            return original(self, data, fitted, also, q, rng, hurry)

        return search

    def adding(original: Any) -> Any:
        def in_whole(self: Any, posterior: Any, *, q: int, best: float | None, **named: Any) -> Any:
            model = None
            if q > 1 and best is not None and getattr(posterior, "kind", 0) < SUMS:
                model = other(*held[0])
            if model is None:
                return original(self, posterior, q=q, best=best, **named)
            missing = original(self, posterior, q=q - q // 2, best=best, **named)
            return missing + original(self, model[0], q=q // 2, best=model[1], **named)

        return in_whole

    def change(patches: Patches) -> None:
        patches.wrap(policy.Strategy, "_search", searching)
        patches.wrap(Composer, "in_whole", adding)

    return change


def runner_up(strategy: Any, data: Any, fitted: Fitted, rng: Any) -> Model:
    """The outcome map and kernel with the second most evidence, if it has nearly as much."""
    if fitted.problem.known is not None:
        return None
    found = []
    for name, last in fitted.carry.fits.items():
        outcome_map = OutcomeMap.of(data.y, name.split("/")[0])
        if outcome_map is not None:
            found.append((last.log_posterior + outcome_map.log_derivative(data.y), name, outcome_map, last))
    most = max(each[0] for each in found)
    others = [each for each in found if each[1] != fitted.carry.kind and each[0] > most - _WITHIN]
    if not others:
        return None
    _, name, outcome_map, last = max(others, key=lambda each: each[0])
    problem = strategy._surrogate._problem(data, fitted.rows, True, outcome_map, name.split("/")[1])
    return _model(problem, fit(problem, last).theta, fitted)


def drawn(strategy: Any, data: Any, fitted: Fitted, rng: np.random.Generator) -> Model:
    """The same model with hyperparameters drawn from their posterior."""
    ((problem, theta, _),) = draws(fitted, rng, 1)
    return _model(problem, theta, fitted)


def _model(problem: Any, theta: Any, fitted: Fitted) -> Model:
    try:
        return surrogate.factorised(problem, theta, fitted.posterior.device), float(problem.y.max())
    except NotPositiveDefinite:
        return None
