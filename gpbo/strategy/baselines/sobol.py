"""A scrambled Sobol sequence: points that fill the space evenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.numerics.sobol import sobol
from gpbo.strategy.baselines.base import Baseline


class Sobol(Baseline):
    """The points of one sequence, in its order."""

    name: ClassVar[str] = "sobol"

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        for block in range(4):
            skip = data.asked + block * q
            yield self._space.sample(sobol(self._space.n_params, q, seed=self._seed % 2**63, skip=skip))
