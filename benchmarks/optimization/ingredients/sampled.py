"""The map and the kernel drawn by evidence at each comparison, not the most probable ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.optimization.ingredients.patches import Patches
from gpbo.strategy.surrogate import Surrogate
from gpbo.transforms import OutcomeMap


def by_evidence(patches: Patches) -> None:
    """A candidate with the probability that its log posterior gives it."""

    def make(original: Any) -> Any:
        def compared(self: Any, data: Any, infer: bool, carry: Any, device: Any, due: bool, count: int) -> Any:
            name, fits = original(self, data, infer, carry, device, due, count)
            if not due or count < len(data.y):
                return name, fits
            evidence = {}
            for candidate, fit in fits.items():
                outcome_map = OutcomeMap.of(data.y, candidate.split("/")[0])
                if outcome_map is not None and np.isfinite(fit.log_posterior):
                    evidence[candidate] = fit.log_posterior + outcome_map.log_derivative(data.y)
            if not evidence:
                return name, fits
            values = np.array(list(evidence.values()))
            weights = np.exp(values - values.max())
            rng = np.random.default_rng([len(data.y), *np.asarray(data.y[:2]).view(np.uint32).tolist()])
            return str(rng.choice(list(evidence), p=weights / weights.sum())), fits

        return compared

    patches.wrap(Surrogate, "_compared", make)
