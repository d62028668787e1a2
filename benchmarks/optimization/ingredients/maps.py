"""Outcome maps that the engine does not have, for comparison with those it has.

Sources: Yeo and Johnson 2000 (power), as HEBO uses it (Cowen-Rivers et al. 2022); normal scores as in copula processes
(Salinas et al. 2020); winsorising as in robust statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import yeojohnson_normmax

from gpbo.transforms import Floats, OutcomeMap

_TENTH = 0.1


@dataclass(frozen=True)
class MoreMaps(OutcomeMap):
    """The engine's maps and "power", "tenth" (a steeper logarithm) and "rank".

    Attributes:
        power: Of the Yeo-Johnson map.
        known: Sorted losses of which the ranks are known.
    """

    power: float = 1.0
    known: tuple[float, ...] = ()

    @classmethod
    def of(cls, y: Floats, kind: str = "identity") -> OutcomeMap | None:
        """As ``OutcomeMap.of``."""
        if kind not in ("power", "tenth", "rank"):
            return OutcomeMap.of(y, kind)
        plain = OutcomeMap.of(y, "log" if kind == "tenth" else "bilog")
        if plain is None:
            return None
        loss = plain._loss(y)
        raw = cls(kind, plain.exponent, plain.centre, plain.width, 0.0, 1.0)
        if kind == "rank":
            raw = replace(raw, known=tuple(np.unique(loss)))
        if kind == "power":
            spread = float(loss.std(ddof=1))
            raw = replace(raw, centre=float(loss.mean()), width=spread)
            raw = replace(raw, power=float(yeojohnson_normmax((loss - raw.centre) / spread, brack=(-2, 2))))
        t = raw.forward(y)
        shift, spread = float(t.mean()), float(t.std(ddof=1))
        return replace(raw, shift=shift, scale=spread) if np.isfinite(spread) and spread > 1e-10 else None

    def forward(self, y: Floats) -> Floats:
        """As ``OutcomeMap.forward``."""
        u = (self._loss(y) - self.centre) / self.width
        if self.kind == "power":
            t = -_yeo_johnson(u, self.power)
        elif self.kind == "tenth":
            with np.errstate(invalid="ignore", divide="ignore"):
                t = -np.log(u + _TENTH)
        elif self.kind == "rank":
            rank = np.interp(self._loss(y), self.known, np.arange(len(self.known)))
            t = -ndtri((rank + 0.5) / len(self.known))
        else:
            return super().forward(y)
        targets: Floats = (t - self.shift) / self.scale
        return targets

    def _derivative(self, y: Floats) -> Floats:
        u = (self._loss(y) - self.centre) / self.width
        if self.kind == "power":
            slope = np.where(u >= 0, (np.abs(u) + 1) ** (self.power - 1), (np.abs(u) + 1) ** (1 - self.power))
            return slope / (self.width * self.scale)
        if self.kind == "tenth":
            return 1.0 / ((u + _TENTH) * self.width * self.scale)
        if self.kind == "rank":
            return np.full_like(u, 1.0 / (self.width * self.scale))  # on its own, where nothing is compared
        return super()._derivative(y)


def _yeo_johnson(u: Floats, power: float) -> Floats:
    up, down = np.maximum(u, 0.0), np.maximum(-u, 0.0)
    above = np.log1p(up) if abs(power) < 1e-8 else ((up + 1) ** power - 1) / power
    below = np.log1p(down) if abs(power - 2) < 1e-8 else ((down + 1) ** (2 - power) - 1) / (2 - power)
    return np.where(u >= 0, above, -below)


def winsorised(y: Floats) -> Floats:
    """Outcomes (maximised), raised to the lower quartile less 1.5 times the distance of the quartiles."""
    low, high = np.percentile(y, [25, 75])
    clipped: Floats = np.maximum(y, low - 1.5 * (high - low))
    return clipped
