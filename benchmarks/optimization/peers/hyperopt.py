"""The tree-structured Parzen estimator of hyperopt."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from hyperopt import STATUS_OK, Trials, hp, tpe
from hyperopt.base import JOB_STATE_DONE, Domain

from benchmarks.optimization.peers.base import Numbers, Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space


class Hyperopt:
    """``tpe.suggest`` as ``fmin`` with a queue of q calls it: one by one, in view of what was queued before."""

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float]) -> None:
        logging.getLogger("hyperopt").setLevel(logging.WARNING)
        self.space, self.rng, self.start = space, np.random.default_rng(seed), len(params)
        self.kept = variable(space)
        self.domain = Domain(None, {name: _expression(name, each) for name, each in self.kept.items()})
        self.trials = Trials()
        for each, value in zip(to_numbers(space, params), values, strict=True):
            self._insert(each, value)
        self.trials.refresh()

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self.ids = []
        points = []
        for _ in range(q):
            ids = self.trials.new_trial_ids(1)
            self.trials.refresh()
            (document,) = tpe.suggest(
                ids, self.domain, self.trials, int(self.rng.integers(2**31 - 1)), n_startup_jobs=min(20, self.start)
            )
            self.trials.insert_trial_docs([document])
            self.trials.refresh()
            self.ids += ids
            numbers = {name: found[0] for name, found in document["misc"]["vals"].items()}
            points.append(from_numbers(self.space, numbers))
        return points

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        known = {document["tid"]: document for document in self.trials._dynamic_trials[-len(values) :]}
        for each, value in zip(self.ids, values, strict=True):
            known[each]["result"] = {"loss": value, "status": STATUS_OK}
            known[each]["state"] = JOB_STATE_DONE
        self.trials.refresh()

    def _insert(self, numbers: Numbers, value: float) -> None:
        (tid,) = self.trials.new_trial_ids(1)
        place = {
            "tid": tid,
            "cmd": self.domain.cmd,
            "workdir": self.domain.workdir,
            "idxs": {name: [tid] for name in numbers},
            "vals": {name: [number] for name, number in numbers.items()},
        }
        (document,) = self.trials.new_trial_docs([tid], [None], [{"loss": value, "status": STATUS_OK}], [place])
        document["state"] = JOB_STATE_DONE
        self.trials.insert_trial_docs([document])


def _expression(name: str, parameter: Float | Int | Categorical) -> Any:
    if isinstance(parameter, Categorical) and not parameter.ordered:
        return hp.choice(name, list(range(parameter.count)))
    if (count := levels(parameter)) is not None:
        return hp.uniformint(name, 0, count - 1)
    assert not isinstance(parameter, Categorical)
    low, high = parameter.low, parameter.high
    if isinstance(parameter, Int):
        return (
            hp.qloguniform(name, math.log(low), math.log(high), 1) if parameter.log else hp.uniformint(name, low, high)
        )
    return hp.loguniform(name, math.log(low), math.log(high)) if parameter.log else hp.uniform(name, low, high)
