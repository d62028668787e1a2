"""Does the model deserve trust? Each value against what the model says of it from all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpbo.insight.runs import completed, values
from gpbo.trials import Trial

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

Floats = NDArray[np.float64]

LARGEST = 5000  # values up to which this takes seconds
_95 = 1.959963984540054  # standard deviations on either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Calibration:
    """Leave-one-out predictions of n values.

    Attributes:
        trials: The complete trials, in order of telling.
        observed: Their values, shape (n,).
        mean, sd: Predictions from all the others, noise included, in the user's units, shape (n,).
        z: Residuals in standard deviations on the model's own scale, shape (n,).
        inside: Which values lie in their 95 % interval, shape (n,).
    """

    trials: list[Trial]
    observed: Floats
    mean: Floats
    sd: Floats
    z: Floats
    inside: NDArray[np.bool_]

    @property
    def coverage(self) -> float:
        """Share of values in their 95 % interval; near 0.95 when the model knows what it does not know."""
        return float(self.inside.mean())

    @property
    def rank_correlation(self) -> float:
        """Spearman's correlation of predictions and values: 1 when the order is right; 0 when one of them is flat."""
        if len(self.observed) < 2 or np.ptp(self.observed) == 0.0 or np.ptp(self.mean) == 0.0:
            return 0.0
        from scipy.stats import spearmanr

        return float(spearmanr(self.mean, self.observed).statistic)


def calibration(opt: Optimizer) -> Calibration:
    """Leave-one-out predictions of everything told.

    Raises:
        NotReadyError: If no trial is complete.
    """
    mean, sd, z = opt.leave_one_out()
    trials = completed(opt)[: len(mean)]
    return Calibration(trials, values(trials), mean, sd, z, np.abs(z) <= _95)
