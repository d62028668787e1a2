"""The map and the kernel chosen by leave-one-out prediction, not by the evidence.

Source: Rasmussen and Williams 2006, section 5.4.2; Bachoc 2013 on cross validation where the model is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.leave_one_out import leave_one_out
from gpbo.strategy import surrogate
from gpbo.strategy.subsets import thinned
from gpbo.strategy.surrogate import Surrogate
from gpbo.transforms import OutcomeMap


def chosen(weight: float) -> Callable[[Patches], None]:
    """By the evidence and the log predictive density with this weight and the rest."""

    def make(original: Any) -> Any:
        def compared(self: Any, data: Any, infer: bool, carry: Any, device: Any, due: bool, count: int) -> Any:
            name, fits = original(self, data, infer, carry, device, due, count)
            if not due:
                return name, fits
            rows = thinned(len(data.y), count)
            found = {}
            for candidate, fit in fits.items():
                kind, kernel = candidate.split("/")
                outcome_map = OutcomeMap.of(data.y, kind)
                if outcome_map is None or not np.isfinite(fit.log_posterior):
                    continue
                problem = self._problem(data, rows, infer, outcome_map, kernel)
                try:
                    posterior = surrogate.factorised(problem, fit.theta, torch.device("cpu"))
                except NotPositiveDefinite:
                    continue
                residuals, variances = leave_one_out(posterior)
                density = -0.5 * float((np.log(variances) + np.square(residuals) / variances).sum())
                both = weight * density + (1 - weight) * fit.log_posterior
                found[candidate] = both + outcome_map.log_derivative(data.y[rows])
            return (max(found, key=lambda one: found[one]) if found else name), fits

        return compared

    return lambda patches: patches.wrap(Surrogate, "_compared", make)
