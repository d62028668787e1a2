"""How far the points of a batch are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpbo.errors import NotReadyError
from gpbo.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpbo.optimizer import Optimizer

_COMPARED = 1000  # points at most, of a batch and of the uniform points beside it


@dataclass(frozen=True)
class Spread:
    """A batch and what was known when it was asked for.

    Attributes:
        trials: Its trials.
        before: Trials asked for or added before.
        nearest: Median distance from a point of the batch to its nearest neighbour in it, in the unit cube; nan for a
            batch of one.
        uniform: The same for as many uniform random points.
    """

    trials: list[Trial]
    before: list[Trial]
    nearest: float
    uniform: float


def spread(opt: Optimizer, batch: Sequence[Trial] | None = None) -> Spread:
    """The spread of a batch; of the last one asked for if None.

    Raises:
        NotReadyError: If nothing was asked for.
    """
    if batch is None:
        if not opt.asks:
            raise NotReadyError("There is no batch before the first ask; call ask(q) first.")
        batch = [opt.trial(trial_id) for trial_id in opt.asks[-1].ids]
    trials = list(batch)
    first = min(trial.id for trial in trials)
    before = [opt.trial(trial_id) for trial_id in range(first)]
    rng = np.random.default_rng(0)
    U = opt.space.encode([trial.params for trial in trials[:_COMPARED]])
    V = opt.space.sample(rng.random((len(U), opt.space.n_params)))
    return Spread(trials, before, _nearest(U), _nearest(V))


def _nearest(U: NDArray[np.float64]) -> float:
    if len(U) < 2:
        return float("nan")
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(U))
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1)))
