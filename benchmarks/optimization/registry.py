"""What is compared: the cases and the optimizers, as data."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from scipy.stats import qmc

from benchmarks import forest
from benchmarks.optimization import providers
from gpbo import Space, problems

Params = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A problem and how long it may be searched; every objective is minimised.

    Attributes:
        name: Name in result lines and reports.
        space: Search space.
        objective: Value of named parameters.
        budget: Number of evaluations, the initial design included.
        minimum: Smallest value, or None where the best value of all results stands in for it.
        floor: Regrets below this count as this, in logarithms; for accuracies, less than one sample.
    """

    name: str
    space: Space
    objective: Callable[[Params], float]
    budget: int
    minimum: float | None
    floor: float = 1e-8

    @property
    def n_initial(self) -> int:
        """Size of the initial design that all optimizers share."""
        return max(5, self.space.n_params + 1)

    def seed(self, seed: int) -> int:
        """Seed of the run's random numbers, different for every case."""
        return zlib.crc32(f"{self.name}|{seed}".encode())

    def design(self, seed: int, n: int) -> list[Params]:
        """The first n points of the run's scrambled Sobol sequence."""
        sobol = qmc.Sobol(self.space.n_params, seed=self.seed(seed))
        return self.space.decode(self.space.sample(sobol.random_base2((n - 1).bit_length())[:n]))


def _synthetic(problem: problems.Problem, budget: int) -> Case:
    return Case(problem.name, problem.space, problem, budget, problem.minimum)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _synthetic(problems.branin(), 30),
        _synthetic(problems.hartmann6(), 60),
        _synthetic(problems.ackley(10), 80),
        _synthetic(problems.levy(10), 80),
        Case("forest_digits", forest.space(), partial(forest.cached_error, "digits"), 30, None, floor=1e-4),
        Case("forest_iris", forest.space(), partial(forest.cached_error, "iris"), 30, None, floor=1e-3),
    )
}

BASELINE = "botorch"
PROVIDERS: dict[str, Callable[[Space, int, list[Params], list[float]], providers.Provider]] = {
    "gpbo": providers.Gpbo,
    "botorch": providers.BoTorch,
    "botorch_local": partial(providers.BoTorch, options={"sample_around_best": True}),
    "optuna_gp": partial(providers.Optuna, sampler="gp"),
    "optuna_tpe": partial(providers.Optuna, sampler="tpe"),
    "sobol": providers.Sobol,
}
