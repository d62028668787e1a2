"""A genetic algorithm from the operators of the package ``pymoo``: tournaments, crossover, mutation, elitism."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import comp_by_cv_and_fitness
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Real
from pymoo.operators.selection.tournament import TournamentSelection

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.numerics.sobol import sobol
from gpbo.space import Space
from gpbo.strategy.baselines.base import Baseline
from gpbo.strategy.baselines.groups import coordinate_groups, named, row
from gpbo.strategy.settings import Settings

_SURVIVORS = 20
_BLOCKS = 16


class Genetic(Baseline):
    """Offspring of the best 20 observations, once there are as many; before, a Sobol sequence."""

    name: ClassVar[str] = "genetic"

    def __init__(self, space: Space, settings: Settings, seed: int) -> None:
        super().__init__(space, settings, seed)
        self._groups = coordinate_groups(space)
        variables = {
            str(i): Real(bounds=(0.0, 1.0)) if len(group) == 1 else Choice(options=list(range(len(group))))
            for i, group in enumerate(self._groups)
        }
        self._problem = Problem(vars=variables, n_obj=1)
        self._mating = MixedVariableMating(
            selection=TournamentSelection(func_comp=comp_by_cv_and_fitness),
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        )

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        if len(data.y) + len(data.pending) < _SURVIVORS or len(data.y) < 2:
            for block in range(4):
                skip = data.asked + block * q
                yield self._space.sample(sobol(self._space.n_params, q, seed=self._seed % 2**63, skip=skip))
            return
        best = np.argsort(-data.y, kind="stable")[:_SURVIVORS]
        X: list[dict[str, Any]] = [named(self._groups, u) for u in data.X[best]]
        ranks = np.arange(len(best), dtype=np.float64)
        parents = Population.new(X=X, F=ranks[:, None], CV=np.zeros((len(best), 1)))
        for _ in range(_BLOCKS):
            offspring = self._mating(self._problem, parents, max(q, 2), random_state=rng)
            if len(offspring):
                yield self._space.snap(np.array([row(self._groups, one.X, self._space.dim) for one in offspring]))
