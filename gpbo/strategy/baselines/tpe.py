"""The tree-structured Parzen estimator of Optuna."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from gpbo.data import Data
from gpbo.models.spec import Array
from gpbo.space import Space
from gpbo.strategy.baselines.base import Baseline
from gpbo.strategy.baselines.groups import coordinate_groups, named, row
from gpbo.strategy.settings import Settings

_BLOCKS = 8


class Tpe(Baseline):
    """A study in memory learns every observation once; pending points are trials that run."""

    name: ClassVar[str] = "tpe"

    def __init__(self, space: Space, settings: Settings, seed: int) -> None:
        super().__init__(space, settings, seed)
        self._groups = coordinate_groups(space)
        self._distributions: dict[str, BaseDistribution] = {
            str(i): FloatDistribution(0.0, 1.0) if len(group) == 1 else CategoricalDistribution(range(len(group)))
            for i, group in enumerate(self._groups)
        }
        with _quiet():
            self._study = optuna.create_study(direction="maximize")
        self._used = 0

    def _proposals(self, data: Data, q: int, rng: np.random.Generator) -> Iterator[Array]:
        study = self._study
        for u, y in zip(data.X[self._used :], data.y[self._used :].tolist(), strict=True):
            study.add_trial(create_trial(params=named(self._groups, u), distributions=self._distributions, value=y))
        self._used = len(data.y)
        startup = 10 if self._settings.n_initial is None else self._settings.n_initial
        study.sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**32)), n_startup_trials=startup)
        running = [self._running(u) for u in data.pending]
        try:
            for _ in range(_BLOCKS):
                block = []
                for _ in range(q):
                    trial = study.ask(self._distributions)
                    running.append(trial.number)
                    block.append(row(self._groups, trial.params, self._space.dim))
                yield self._space.snap(np.array(block))
        finally:
            for number in running:  # the next ask says anew what is pending; the sampler ignores what failed
                study.tell(number, state=TrialState.FAIL)

    def _running(self, u: Array) -> int:
        point = named(self._groups, u)
        state = TrialState.RUNNING
        self._study.add_trial(create_trial(state=state, params=point, distributions=self._distributions))
        return len(self._study.get_trials(deepcopy=False)) - 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every new study."""
    logger = logging.getLogger("optuna.storages._in_memory")
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
