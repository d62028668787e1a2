"""Monotone maps of the outcome to a scale on which a Gaussian process fits, and back.

Which map suits is a question for each study, and the evidence answers it: with the log-derivative of a map added, the
log posteriors of models on different scales are densities of the same outcomes and can be compared. Every map is
increasing in the outcome, which is maximised, so that a better outcome stays better.

The logarithm serves outcomes that span orders of magnitude above an optimum, the symmetric logarithm ("bilog") heavy
tails on both sides (Eriksson and Poloczek 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAPS = ("identity", "log", "bilog")
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LARGEST = 600.0  # of an exponent on the way back
_RESOLUTION = 1e-14  # spread, relative to the magnitude, below which outcomes count as equal


@dataclass(frozen=True)
class OutcomeMap:
    """From outcomes y to model targets t, maximised and standardized.

    With the loss z = -y 2**-exponent: identity -z; log -log((z - centre) / width + 1) with the best outcome as the
    centre and the distance to the median as the width; bilog -sign(u) log(1 + |u|) with u = (z - centre) / width, the
    median and the median absolute deviation. Then minus ``shift``, divided by ``scale``.

    The power of two comes first and is exact, so that outcomes near the ends of float64 neither overflow nor vanish in
    sums, and y and 2**k y give bit for bit the same targets.

    Attributes:
        kind: One of ``MAPS``.
        exponent: Power of two that brings the largest magnitude to [0.5, 1).
        centre, width: Of the nonlinear part.
        shift, scale: Mean and standard deviation after it; a scale without a spread is the magnitude.
    """

    kind: str
    exponent: int
    centre: float
    width: float
    shift: float
    scale: float

    @classmethod
    def of(cls, y: Floats, kind: str = "identity") -> OutcomeMap | None:
        """Fits to finite outcomes, shape (n,), n >= 1; None where they have no spread for this kind of map."""
        exponent = math.frexp(float(np.abs(y).max()))[1]
        loss = -np.ldexp(y, -exponent)
        smallest = _RESOLUTION * float(np.abs(loss).max())
        typical = _RESOLUTION * _median(np.abs(loss))  # heavy tails do not blur what lies below the median
        centre, width = 0.0, 1.0
        if kind == "log":
            centre = float(loss.min())
            width = _median(loss) - centre
        elif kind == "bilog":
            centre = _median(loss)
            width = _median(np.abs(loss - centre))
        if kind != "identity" and not width > typical:
            return None
        raw = cls(kind, exponent, centre, width, 0.0, 1.0)
        t = raw.forward(y)
        if not np.isfinite(t).all():  # some lie beyond float64 in units of the width
            return None
        shift = float(t.mean())
        spread = float((t - shift).std(ddof=1)) if len(y) > 1 else 0.0
        if kind == "identity":
            return replace(raw, shift=shift, scale=spread if spread > smallest else max(abs(shift), 1.0))
        return replace(raw, shift=shift, scale=spread) if spread > _RESOLUTION else None

    def _loss(self, y: Floats) -> Floats:
        loss: Floats = -np.ldexp(y, -self.exponent)
        return loss

    def forward(self, y: Floats) -> Floats:
        """Targets, same shape; not finite for outcomes so far beyond the best one that the logarithm ends before."""
        loss = self._loss(y)
        if self.kind == "log":
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                t = -np.log1p((loss - self.centre) / self.width)
        elif self.kind == "bilog":
            with np.errstate(over="ignore"):
                u = (loss - self.centre) / self.width
            t = -np.sign(u) * np.log1p(np.abs(u))
        else:
            t = -loss
        targets: Floats = (t - self.shift) / self.scale
        return targets

    def _derivative(self, y: Floats) -> Floats:
        """Dt / d(y 2**-exponent)."""
        loss = self._loss(y)
        if self.kind == "log":
            return 1.0 / ((loss - self.centre + self.width) * self.scale)
        if self.kind == "bilog":
            return 1.0 / ((np.abs(loss - self.centre) + self.width) * self.scale)
        return np.full_like(loss, 1.0 / self.scale)

    def log_derivative(self, y: Floats) -> float:
        """Sum of log dt/dy over the outcomes, up to a constant that all kinds of map share."""
        return float(np.log(self._derivative(y)).sum())

    def variance(self, y: Floats, std: Floats) -> Floats:
        """Variances of the targets for outcomes with standard deviations ``std``, to first order; 1e12 at most."""
        with np.errstate(over="ignore"):
            deviations = np.minimum(np.ldexp(std, -self.exponent) * self._derivative(y), 1e6)
        return np.square(deviations)

    def deviation(self, y: Floats, variance: Floats) -> Floats:
        """The inverse of :meth:`variance`: standard deviations of outcomes ``y`` with targets of these variances."""
        with np.errstate(over="ignore"):
            return np.ldexp(np.sqrt(variance) / self._derivative(y), self.exponent)

    def backward(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the outcome where the target is normal, each of shape (m,).

        Exact for the identity; by Gauss-Hermite quadrature otherwise.
        """
        sd = np.sqrt(variance) * self.scale
        centre = mean * self.scale + self.shift
        if self.kind == "identity":
            return np.ldexp(centre, self.exponent), np.ldexp(sd, self.exponent)
        t = -(centre[:, None] + sd[:, None] * _NODES)
        if self.kind == "log":
            loss = self.centre + self.width * np.expm1(np.minimum(t, _LARGEST))
        else:
            loss = self.centre + self.width * np.sign(t) * np.expm1(np.minimum(np.abs(t), _LARGEST))
        expected = loss @ _WEIGHTS
        spread = np.sqrt(np.square(loss - expected[:, None]) @ _WEIGHTS)
        return np.ldexp(-expected, self.exponent), np.ldexp(spread, self.exponent)


def _median(values: Floats) -> float:
    """The median of finite values; NumPy's own takes longer to look at its arguments than to find it."""
    half = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, half)[half])
    low, high = np.partition(values, (half - 1, half))[half - 1 : half + 1]
    return float((low + high) / 2.0)
