"""Outcomes that are whole multiples of a step, such as accuracies: what is an improvement there, and what is noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.models.spec import Array, Prior
from gpbo.strategy import policy, surrogate

_FEWEST = 8  # outcomes in which a step is looked for
_LEVELS = 6  # of these at least; by chance, each beyond two is on the lattice once in five times
_BREAK = 8.0  # ratio of neighbouring sizes of gaps that separates jitter from steps
_JITTER = 0.1  # of a step: folds of unequal size
_MOST_LEVELS = 5000  # between the best and the worst outcome


def resolution(y: Array) -> float:
    """The step of outcomes that are its multiples, up to a constant and a little jitter; 0 where they are not."""
    return _resolution(y.tobytes())


@lru_cache(maxsize=64)
def _resolution(held: bytes) -> float:
    y = np.sort(np.frombuffer(held))
    if len(y) < _FEWEST or not y[-1] > y[0]:
        return 0.0
    gaps = np.sort(np.diff(y))
    gaps[gaps <= 1e-12 * np.abs(y).max()] = 0.0
    breaks = [large for small, large in pairwise(gaps[1:]) if large > 0 and large >= _BREAK * small]
    return max((_lattice(y, large / times) for large in breaks for times in (1, 2, 3)), default=0.0)


def _lattice(y: Array, step: float) -> float:
    """The step nearest to the one given of which all outcomes are multiples; 0 where there is none."""
    if (y[-1] - y[0]) / step > _MOST_LEVELS:
        return 0.0
    around = y - y[np.abs(y - np.median(y)).argmin()]
    around = around[np.argsort(np.abs(around), kind="stable")]
    for count in range(3, len(around) + 1):  # a small error of the step grows with the distance, so from near to far
        multiples = np.round(around[:count] / step)
        if multiples.any():
            step = float(multiples @ around[:count] / (multiples @ multiples))
    rest = around / step - np.round(around / step)
    levels, counts = np.unique(np.round(around / step), return_counts=True)
    few = len(levels) < _LEVELS or (counts > 1).sum() < 2 or len(y) - len(levels) < 3
    return 0.0 if few or np.abs(rest - np.median(rest)).max() >= _JITTER else step


def threshold(*, always: float, tied: float) -> Callable[[Patches], None]:
    """Improvement by so many steps.

    Args:
        always: Where the best outcome was seen at one point.
        tied: Where it was seen at more, up to jitter.
    """

    def change(patches: Patches) -> None:
        def search(original: Any) -> Any:
            def made(self: Any, data: Any, *arguments: Any) -> Any:
                self._outcomes = data.y
                return original(self, data, *arguments)

            return made

        def incumbents(original: Any) -> Any:
            def made(self: Any, fitted: Any) -> Any:
                smooth, best = original(self, fitted)
                y = getattr(self, "_outcomes", None)
                step = 0.0 if best is None or y is None or len(y) != len(fitted.problem.y) else resolution(y)
                if y is None or step == 0.0:
                    return smooth, best
                several = len(np.unique(fitted.problem.X[y > y.max() - step / 2], axis=0)) > 1
                at, below = fitted.outcome_map.forward(np.array([y.max(), y.max() - step]))
                return smooth, float(at + (tied if several else always) * (at - below))

            return made

        patches.wrap(policy.Strategy, "_search", search)
        patches.wrap(policy.Strategy, "_incumbents", incumbents)

    return change


def noise(steps: float, prior: Prior | None = None) -> Callable[[Patches], None]:
    """A noise with at least this standard deviation in steps; rounding alone has one of sqrt(1 / 12) (Sheppard).

    Args:
        steps: The standard deviation.
        prior: Of the noise where there are steps; None for the engine's.
    """

    def make(original: Any) -> Any:
        def problem(self: Any, data: Any, rows: Any, infer: bool, outcome_map: Any, *arguments: Any) -> Any:
            made = original(self, data, rows, infer, outcome_map, *arguments)
            step = resolution(data.y) if infer else 0.0
            if step == 0.0:
                return made
            least = float(np.median(outcome_map.variance(data.y, np.full(len(data.y), steps * step))))
            low, high = made.spec.noise_bounds
            spec = replace(made.spec, noise_bounds=(min(max(low, least), 0.1), high))
            return replace(made, spec=spec if prior is None else replace(spec, noise=prior))

        return problem

    return lambda patches: patches.wrap(surrogate.Surrogate, "_problem", make)
