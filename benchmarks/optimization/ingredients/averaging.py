"""LogEI averaged over several models instead of that of the best one, for one point at a time.

Source: Snoek, Larochelle and Adams 2012 ("integrated acquisition function"); here with the Laplace approximation of the
hyperparameters' posterior in place of Markov chains, or over the two kernels weighted by evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.acquisition.improvement import Improvement
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Array
from gpbo.search.greedy import FIRST
from gpbo.strategy import policy, surrogate
from gpbo.strategy.composition import Composer
from gpbo.strategy.fitted import Fitted

_DRAWS = 8


def over_hyperparameters(patches: Patches) -> None:
    """Eight draws from the Laplace approximation."""
    _averaged(patches, draws)


def over_kernels(patches: Patches) -> None:
    """Both kernels on the scale that has the most evidence."""
    _averaged(patches, _kernels)


def one_draw(patches: Patches) -> None:
    """One draw from the Laplace approximation for each ask."""
    _averaged(patches, lambda fitted, rng: draws(fitted, rng, 1))


def draws(fitted: Fitted, rng: np.random.Generator, count: int = _DRAWS) -> list[tuple[Any, Array, float]]:
    """The model with hyperparameters from the Laplace approximation of their posterior: problem, theta, log weight."""
    n = min(fitted.carry.n, surrogate._FIT_ON)
    covariance = fitted.carry.chosen.curvature / n
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    root = vectors * np.sqrt(np.clip(values, 0.0, 4.0))
    lower, upper = fitted.problem.spec.bounds()
    steps = rng.standard_normal((count, len(lower))) @ root.T
    return [(fitted.problem, np.clip(fitted.theta + step, lower, upper), 0.0) for step in steps]


def _kernels(fitted: Fitted, rng: np.random.Generator) -> list[tuple[Any, Array, float]]:
    kind = fitted.carry.kind.split("/")[0]
    found = {name: fit for name, fit in fitted.carry.fits.items() if name.split("/")[0] == kind}
    models = []
    for name, fit in found.items():
        spec = replace(fitted.problem.spec, kind=name.split("/")[1])
        theta = fitted.theta if name == fitted.carry.kind else fit.theta
        models.append((replace(fitted.problem, spec=spec), theta, fit.log_posterior))
    return models


def _averaged(patches: Patches, models_of: Any) -> None:
    held: list[Fitted] = []
    original_search = policy.Strategy._search
    original = Composer.in_whole

    def search(self: Any, data: Any, fitted: Fitted, *arguments: Any, **named: Any) -> Any:
        held[:] = [fitted]
        return original_search(self, data, fitted, *arguments, **named)

    def in_whole(
        self: Any, posterior: Any, best: float | None, baseline: Array, ranked: Array, q: int, candidates: int
    ) -> int:
        if q > 1 or best is None:
            return original(self, posterior, best, baseline, ranked, q, candidates)
        acquisitions, weights = [], []
        for problem, theta, weight in models_of(held[0], self._rng):
            try:
                model = surrogate.factorised(problem, theta, torch.device("cpu"))
            except NotPositiveDefinite:
                continue
            acquisition, _ = self._improvement(model, best, self._under_way(), self._data.failed, baseline, q)
            acquisitions.append(acquisition)
            weights.append(weight)
        if not acquisitions:
            return original(self, posterior, best, baseline, ranked, q, candidates)
        share = np.array(weights) - logsumexp(weights)
        pool = self._candidates.draw(ranked[:5], self._rng, candidates)
        values = logsumexp([a.values(pool.U) + w for a, w in zip(acquisitions, share, strict=True)], axis=0)
        order = np.argsort(-values, kind="stable")
        wide, near = order[order < pool.spread], order[order >= pool.spread]
        half = FIRST.starts // 2
        points = [_climb(acquisitions, share, u) for u in pool.U[[*wide[:half], *near[:half]]]]
        points.sort(key=lambda each: each[1])
        found = self._space.snap(np.array([point for point, _ in points]))
        self.chosen.take([found, pool.U[order]], self._rng)
        missing: int = self._tally("LogEI", q, len(self.chosen))
        return missing

    patches.set(policy.Strategy, "_search", search)
    patches.set(Composer, "in_whole", in_whole)


def _climb(acquisitions: Sequence[Improvement], share: Array, start: Array) -> tuple[Array, float]:
    def negative(u: Array) -> tuple[float, Array]:
        parts = [a.values_and_gradients(u[None]) for a in acquisitions]
        logs = np.array([value[0] for value, _ in parts]) + share
        total = float(logsumexp(logs))
        gradient = np.exp(logs - total) @ np.array([gradient[0] for _, gradient in parts])
        return -total, -gradient

    result = minimize(negative, start, jac=True, bounds=[(0.0, 1.0)] * len(start), method="L-BFGS-B")
    return result.x, float(result.fun)
