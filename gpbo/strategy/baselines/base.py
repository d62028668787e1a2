"""What all baselines share: distinct points, none of them taken, whatever the method proposes."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.search.candidates import wander
from gpbo.strategy.policy import Strategy
from gpbo.strategy.settings import AskReport


class Baseline(Strategy):
    """Suggests without the model. Model, predictions and recommendation are the engine's, for whoever asks for them.

    The suggestions are a function of the data, the seed and the number of the ask, so that nothing needs to be carried
    from one ask to the next.
    """

    name: ClassVar[str]

    @abstractmethod
    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        """Blocks of feasible rows, shape (any, D), best first; those that are taken or repeated will be skipped."""

    def suggest(self, data: Data, q: int, event: int, hurry: bool = False) -> tuple[Array, AskReport]:
        """Q distinct points, none of them told, pending or failed before; see ``Strategy``."""
        began = time.perf_counter()
        rng = np.random.default_rng([self._seed, event])
        chosen: dict[object, Array] = {}
        for block in self._proposals(data, q, rng):
            self._choose(chosen, block, data, q)
            if len(chosen) == q:
                break
        proposed = len(chosen)
        if proposed < q:
            for u in wander(self._space, rng):
                self._choose(chosen, u[None], data, q)
                if len(chosen) == q:
                    break
        seconds = time.perf_counter() - began
        return np.array(list(chosen.values())), AskReport(
            strategy=self.name,
            n=len(data.y),
            pending=len(data.pending),
            q=q,
            device="cpu",
            kernel="",
            fit_seconds=0.0,
            acquisition_seconds=seconds,
            seconds=seconds,
            peak_memory=0,
            refitted=False,
            message="" if proposed == q else f"{q - proposed} points at random: {self.name} repeated what was tried",
        )

    def prepare(self, evaluations: int) -> None:
        """Nothing to load."""

    def _choose(self, chosen: dict[object, Array], block: Array, data: Data, q: int) -> None:
        for u, key in zip(block, self._space.keys(block), strict=True):
            if len(chosen) < q and key not in data.taken:
                chosen.setdefault(key, u)
