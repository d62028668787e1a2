"""What the closed form needs to know of an exact GP: kernel, priors, bounds. Plain data, no framework."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FAMILIES = {"none": 0.0, "lognormal": 1.0, "gamma": 2.0}


@dataclass(frozen=True)
class Prior:
    """A prior density on a positive hyperparameter, on its natural (not log) scale.

    Attributes:
        family: "none", "lognormal" (a = mean, b = standard deviation of the log) or "gamma" (a = concentration, b =
            rate).
        a, b: Its parameters.
    """

    family: str = "none"
    a: float = 0.0
    b: float = 1.0

    def row(self) -> list[float]:
        """[family, a, b] as numbers, for compiled code."""
        return [_FAMILIES[self.family], self.a, self.b]


Bounds = tuple[float, float]
_POSITIVE: Bounds = (0.0, math.inf)


@dataclass(frozen=True)
class Spec:
    """An exact GP with a constant mean and a stationary ARD kernel, up to its data and hyperparameters.

    Hyperparameters are a vector theta = [mean, log noise, log outputscale, log lengthscales (d)]; the noise entry is
    frozen at the lower bound when the noise is known, the outputscale entry at 0 when there is no outputscale. With
    sums, the outputscale and the lengthscales of the sum follow: [..., log outputscale, log lengthscales (d)].

    Attributes:
        kind: Kernel, one of ``gpbo_kernels.KINDS``.
        d: Input dimensions.
        scaled: Whether there is an outputscale.
        infer_noise: Whether the noise is homoscedastic and inferred; otherwise it is known per observation.
        noise, scale, lengthscale: Priors.
        noise_bounds, scale_bounds, lengthscale_bounds: Bounds on the natural scale.
        initial_noise: Where a cold fit starts, natural scale.
        sums: Whether the kernel is the one of all coordinates and, added to it, the mean over coordinates of the same
            kernel on that coordinate alone, with an outputscale and lengthscales of its own; compiled host path only.
        sum_lengthscale: Prior of those lengthscales.
    """

    kind: str
    d: int
    scaled: bool = True
    infer_noise: bool = True
    noise: Prior = field(default_factory=Prior)
    scale: Prior = field(default_factory=Prior)
    lengthscale: Prior = field(default_factory=Prior)
    noise_bounds: Bounds = _POSITIVE
    scale_bounds: Bounds = _POSITIVE
    lengthscale_bounds: Bounds = _POSITIVE
    initial_noise: float = 1e-2
    sums: bool = False
    sum_lengthscale: Prior = field(default_factory=Prior)

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return 2 * self.d + 4 if self.sums else self.d + 3

    def start(self) -> Array:
        """Where a cold fit begins, shape (size,): the prior mode of the lengthscales, unit outputscale."""
        d = self.d
        theta = np.zeros(self.size)
        theta[1] = math.log(self.initial_noise)
        theta[3 : 3 + d] = _log_mode(self.lengthscale, d)
        theta[4 + d :] = _log_mode(self.sum_lengthscale, 1)
        lower, upper = self.bounds()
        return np.clip(theta, lower, upper)

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of theta, each of shape (size,); equal where an entry is frozen."""
        lower, upper = _bounds(self)
        return lower.copy(), upper.copy()

    def priors(self) -> Array:
        """Priors of noise, outputscale and lengthscale, and with sums of theirs, as rows [family, a, b]."""
        scale = self.scale if self.scaled else Prior()
        of_sums = (self.scale, self.sum_lengthscale) if self.sums else ()
        return np.array([prior.row() for prior in (self.noise, scale, self.lengthscale, *of_sums)])


@lru_cache(256)
def _bounds(spec: Spec) -> tuple[Array, Array]:
    lower, upper = np.full(spec.size, -np.inf), np.full(spec.size, np.inf)
    for entries, (low, high) in (
        (slice(1, 2), spec.noise_bounds if spec.infer_noise else (1.0, 1.0)),
        (slice(2, 3), spec.scale_bounds if spec.scaled else (1.0, 1.0)),
        (slice(3, None), spec.lengthscale_bounds),
        (slice(3 + spec.d, 4 + spec.d), spec.scale_bounds),  # nothing without sums
    ):
        # exp(+-46) = 1e+-20: far beyond any sensible hyperparameter, near enough to keep exp() finite
        lower[entries] = math.log(low) if low > 0.0 else -46.0
        upper[entries] = math.log(high) if math.isfinite(high) else 46.0
    return lower, upper


def _log_mode(prior: Prior, d: int) -> float:
    """Log of the lengthscale that a prior favours, on the natural scale."""
    if prior.family == "lognormal":
        return prior.a - prior.b**2
    if prior.family == "gamma" and prior.a > 1.0:
        return math.log((prior.a - 1.0) / prior.b)
    return 0.5 * math.log(d) - 0.7


def lengthscale_prior(d: int, deviation: float) -> Prior:
    """A log-normal prior with the mode of Hvarfner, Hellsten and Nardi (2024), sqrt(d) exp(sqrt(2) - 3).

    Args:
        d: Input dimensions.
        deviation: Standard deviation of the logarithm; theirs is sqrt(3).
    """
    return Prior("lognormal", math.sqrt(2.0) - 3.0 + 0.5 * math.log(d) + deviation**2, deviation)


def with_sums(spec: Spec) -> Spec:
    """The same with a sum of kernels on single coordinates; their lengthscales have the prior of one dimension."""
    return replace(spec, sums=True, sum_lengthscale=lengthscale_prior(1, 1.0))


def default_spec(kind: str, d: int, *, infer_noise: bool = True) -> Spec:
    """The engine's model for inputs in the unit cube and standardized outcomes.

    The lengthscale prior grows with sqrt(d), the typical distance in the cube, so that a priori the model is as
    smooth in 60 dimensions as in 2 (Hvarfner, Hellsten and Nardi 2024); the mode is theirs. The logarithm's deviation
    is 1, theirs is sqrt(3): the noise prior favours interpolation by some 8 nats, and with theirs a lengthscale of a
    twentieth, at 0.5 to 1.4 nats in 2 to 20 dimensions, was a cheaper way through noisy values than noise; now it
    costs 1.5 to 4.2. The noise prior is wide on purpose: it must reach down to interpolation, because a floor of 1e-4
    hides the last digits of a deterministic objective, and up to plain noise.
    """
    return Spec(
        kind=kind,
        d=d,
        scaled=True,
        infer_noise=infer_noise,
        noise=Prior("lognormal", -6.0, 3.0),
        scale=Prior("lognormal", 0.0, 2.0),
        lengthscale=lengthscale_prior(d, 1.0),
        noise_bounds=(1e-8, 10.0),
        scale_bounds=(1e-3, 1e3),
        lengthscale_bounds=(0.025, 1e3),
        initial_noise=math.exp(-6.0),
    )
