"""What is still to be gained, as the model sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpbo.insight.landscape import predicted
from gpbo.insight.runs import completed, improvements, values

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

_WIDE, _NEAR = 1024, 512  # points looked at: anywhere, and around the best


@dataclass(frozen=True)
class Prospects:
    """How a search stands.

    Attributes:
        n: Values told.
        since: Evaluations since the last improvement.
        patience: Evaluations without an improvement that are too many.
        gain: Largest expected improvement over the best value, among many points, in the user's units.
        gain_share: The same, as a share of what the search gained over the median value.
    """

    n: int
    since: int
    patience: int
    gain: float
    gain_share: float


def prospects(opt: Optimizer) -> Prospects:
    """Looks at points anywhere and around the best.

    Raises:
        NotReadyError: If no trial is complete.
    """
    from scipy.special import ndtr

    from gpbo.numerics.sobol import sobol

    outcomes = values(completed(opt))
    sign = 1.0 if opt.direction == "maximize" else -1.0
    best = opt.best()
    space = opt.space
    rng = np.random.default_rng(0)
    anywhere = space.sample(sobol(space.n_params, _WIDE, seed=0))
    steps = rng.standard_normal((_NEAR, space.dim)) * 10.0 ** rng.uniform(-3, -0.5, (_NEAR, 1))
    around = space.snap(space.encode([best.params]) + steps)
    mean, sd = predicted(opt, space.decode(np.concatenate([anywhere, around])))
    assert best.value is not None
    size = float(np.abs(outcomes).max()) or 1.0
    ahead, sd = sign * (mean / size - best.value / size), np.maximum(sd / size, 1e-300)
    z = np.clip(ahead / sd, -37.0, 37.0)
    gain = float((ahead * ndtr(z) + sd * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)).max())
    gained = abs(float(best.value / size - np.median(outcomes / size)))
    since = len(outcomes) - 1 - improvements(outcomes, opt.direction)[-1]
    share = max(gain, 0.0) / gained if gained > 0.0 else float("inf")
    return Prospects(len(outcomes), since, max(10, len(outcomes) // 3), max(gain, 0.0) * size, share)
