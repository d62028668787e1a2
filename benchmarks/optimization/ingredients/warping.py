"""Inputs warped for each parameter, where that makes the outcomes more probable; single points in continuous spaces.

Source: Snoek, Swersky, Zemel and Adams 2014 ("Input warping for Bayesian optimization of non-stationary functions"),
with the distribution function of Kumaraswamy 1980 in place of the beta's, as in BoTorch, and the most probable warp in
place of draws. The whole search is reparametrised: the engine sees warped points only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.data import Data
from gpbo.models.exact import Problem
from gpbo.models.fit import Fit, fit
from gpbo.models.spec import Array
from gpbo.space import Space
from gpbo.strategy import policy, surrogate
from gpbo.strategy.fitted import carried
from gpbo.strategy.subsets import thinned
from gpbo.transforms import OutcomeMap

_MOST = 200
_SD = 0.5  # of the logarithms of a and b, a priori
_STEPS = (0.5, 2**-0.5, 2**0.5, 2.0)
_BOUNDS = (0.25, 4.0)  # beyond, float64 holds too few of the points close to the upper end
_SWEEPS = 2
_GAIN = 1e-3  # nats: what a fit may miss of its maximum


@dataclass(frozen=True)
class Warp:
    """w(u) = 1 - (1 - u^a)^b for each parameter.

    Attributes:
        a, b: Exponents, by parameter.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]

    @classmethod
    def none(cls, d: int) -> Warp:
        """The one that changes nothing."""
        return cls((1.0,) * d, (1.0,) * d)

    def forward(self, U: Array) -> Array:
        """Warped points, shape (m, D)."""
        with np.errstate(divide="ignore"):  # at the upper end
            W: Array = -np.expm1(np.array(self.b) * np.log1p(-(U ** np.array(self.a))))
        return W.clip(0.0, 1.0)

    def backward(self, W: Array) -> Array:
        """The points that were warped, shape (m, D)."""
        with np.errstate(divide="ignore"):
            powers: Array = -np.expm1(np.log1p(-W) / np.array(self.b))
        U: Array = powers.clip(0.0, 1.0) ** (1.0 / np.array(self.a))
        return U.clip(0.0, 1.0)

    def log_prior(self) -> float:
        """Of the logarithms, so that without data nothing is warped; up to a constant."""
        return -0.5 * float(np.square(np.log([self.a, self.b]) / _SD).sum())

    def neighbours(self, j: int) -> list[Warp]:
        """Warps with another a or b of one parameter."""
        found = []
        for name in ("a", "b"):
            values = getattr(self, name)
            for step in _STEPS:
                value = values[j] * step
                if _BOUNDS[0] - 1e-9 <= value <= _BOUNDS[1] + 1e-9:
                    found.append(replace(self, **{name: (*values[:j], value, *values[j + 1 :])}))
        return found


def input_warping(patches: Patches) -> None:
    """Asks for single points by a model of warped points, chosen anew with every twelfth of new observations."""
    states: WeakKeyDictionary[Any, tuple[Warp, int]] = WeakKeyDictionary()  # by strategy: the warp, and n at its choice

    def make(original: Any) -> Any:
        def suggest(self: Any, data: Data, q: int, event: int, hurry: bool = False) -> Any:
            n, space = len(data.y), self._space
            if q == 1 and (n < 2 or n + len(data.pending) < self._n_initial):
                return original(self, data, q, event, hurry)  # space-filling
            if q > 1 or n > _MOST or (space.levels != 0).any():
                return unwarped(self, data, q, event, hurry)
            warp, at = states.get(self, (Warp.none(space.dim), 0))
            if not hurry and n - at >= max(1, n // 12) and self._surrogate.carry is not None:
                warp = _chosen(self._surrogate, data, warp)
                states[self] = warp, n
            if warp == Warp.none(space.dim):
                return original(self, data, q, event, hurry)
            self._surrogate.forget()  # a look at the model, not warped, may have come between
            rows, report = original(self, _warped(data, warp, space), q, event, hurry)
            self._surrogate.forget()
            if report.strategy != "design":  # which has not seen the model
                rows = warp.backward(rows)
            if data.taken.isdisjoint(space.keys(rows)):
                return rows, report
            return unwarped(self, data, q, event, hurry)

        def unwarped(self: Any, data: Data, *arguments: Any) -> Any:
            warp, _ = states.pop(self, (None, 0))
            if warp not in (None, Warp.none(self._space.dim)):
                self._surrogate.restore(None)
            return original(self, data, *arguments)

        return suggest

    patches.wrap(policy.Strategy, "suggest", make)


def most_probable(problem: Problem, warp: Warp, previous: Fit) -> tuple[Warp, Fit]:
    """The warp with the highest log posterior that steps in one exponent after the other lead to, and its fit.

    Args:
        problem: The model; its inputs are not warped.
        warp: Where the search starts.
        previous: A fit of the model at about that warp.
    """

    def fitted(warp: Warp, previous: Fit) -> tuple[float, Warp, Fit]:
        found = fit(replace(problem, X=warp.forward(problem.X)), previous)
        return found.log_posterior + warp.log_prior(), warp, found

    best = fitted(warp, previous)
    for _ in range(_SWEEPS):
        before = best[0]
        for j in range(problem.X.shape[1]):
            tries = [fitted(each, best[2]) for each in best[1].neighbours(j)]
            found = max(tries, key=lambda one: one[0])
            if found[0] > best[0] + _GAIN:
                best = found
        if best[0] == before:
            break
    return best[1:]


def _chosen(model: Any, data: Data, warp: Warp) -> Warp:
    """The warp by the outcome map and kernel of the last ask; its fit is what the next one starts from."""
    carry, n = model.carry, len(data.y)
    given = surrogate.given_noise(data)
    infer = given is None or bool(np.isnan(given).any())
    kind, kernel = carry.kind.split("/")
    outcome_map = OutcomeMap.of(data.y, kind)
    if outcome_map is None or (carry.chosen.theta[1] == 0.0) == infer:
        return warp
    problem = model._problem(data, thinned(n, surrogate._SELECT_ON), infer, outcome_map, kernel, carry.outliers)
    found, best = most_probable(problem, warp, carry.chosen)
    if found != warp:
        best = carried(best)
        fits = carry.fits if carry.outliers else carry.fits | {carry.kind: best}
        model.restore(replace(carry, n=min(carry.n, n - 1), fits=fits, chosen=best))
    return found


def _warped(data: Data, warp: Warp, space: Space) -> Data:
    X, pending, failed = (warp.forward(each) for each in (data.X, data.pending, data.failed))
    return replace(data, X=X, pending=pending, failed=failed, taken=set(space.keys(np.vstack([X, pending, failed]))))
