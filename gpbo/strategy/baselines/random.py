"""Independent points, every one as likely as any other; floats and integers on a log scale are log-uniform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.strategy.baselines.base import Baseline


class Random(Baseline):
    """Random search."""

    name: ClassVar[str] = "random"

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        for _ in range(16):
            yield self._space.sample(rng.random((q, self._space.n_params)))
