"""What is measured: sizes, limits, and the data of a study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

Array = NDArray[np.float64]

_ROUNDS = 10  # in which the second half of the data closes in on the best
_WIDEST, _NARROWEST = 0.15, 0.01  # standard deviation of the steps in the first and the last round
_REFERENCE = 20  # dimensions up to which steps have that deviation; beyond, they keep their length


@dataclass(frozen=True)
class Step:
    """One ask of a case, in the process of the case.

    Attributes:
        q: Points asked for.
        told: Points of the ask before whose values are told first.
        seconds: Longest time allowed; None if there is no limit.
        refitted: Whether hyperparameters have to be refitted, or must not be; None if either will do.
    """

    q: int
    told: int = 0
    seconds: float | None = None
    refitted: bool | None = None


@dataclass(frozen=True)
class Case:
    """A study of some size, in a process of its own.

    Attributes:
        group: What it belongs to.
        n: Observations.
        d: Dimensions.
        steps: Asks, one after the other.
        pending: Points that are pending.
        gigabytes: Largest resident size allowed, of the whole process; None if there is no limit.
        stock: Points of an ask of BoTorch on the same data, which must take longer than the first step; 0 for none.
    """

    group: str
    n: int
    d: int
    steps: tuple[Step, ...]
    pending: int = 0
    gigabytes: float | None = None
    stock: int = 0

    @property
    def name(self) -> str:
        """What the command line and the results call it."""
        return f"{self.group}/n{self.n}-d{self.d}-q{self.steps[0].q}"


GROUPS = {
    "batch": "a large batch, refit included, against BoTorch's ask of 8 (`SingleTaskGP`, `fit_gpytorch_mll`, "
    "sequential qLogEI, 10 restarts, 512 raw points) on the same data in the same process",
    "observations": "many observations",
    "growth": "growth with q",
    "pending": "10,000 points pending",
    "dimensions": "many dimensions",
    "start": "the first batch, nothing known",
}

CASES = (
    Case("batch", 1000, 20, (Step(1000),), gigabytes=2, stock=8),
    Case("batch", 2000, 20, (Step(10000, seconds=60),), gigabytes=4),
    Case(
        "observations",
        10000,
        20,
        (Step(100, seconds=120, refitted=True), Step(100, told=3, seconds=15, refitted=False)),
        gigabytes=6,
    ),
    Case("observations", 50000, 20, (Step(1000, seconds=60),), gigabytes=8),
    *(Case("growth", 1000, 20, (Step(q),)) for q in (100, 300, 1000, 3000, 10000)),
    *(Case("pending", 1000, 20, (Step(q),), pending=10000) for q in (8, 100)),
    *(Case("dimensions", 500, d, (Step(q),)) for d in (100, 300, 1000) for q in (1, 100)),
    Case("start", 0, 20, (Step(10000),)),
)


class Objective:
    """Ackley's function plus Levy's bowl, moved and rotated, on the unit cube; to be minimised.

    Source: Ackley 1987; Levy and Montalvo 1985, without the first and the last term.
    """

    def __init__(self, d: int) -> None:
        rng = np.random.default_rng(d)
        Q, R = np.linalg.qr(rng.standard_normal((d, d)))
        self._rotation = 8.0 * Q * np.sign(np.diag(R))  # the signs of a QR decomposition are anyone's choice
        self._optimum = rng.uniform(0.3, 0.7, d)

    def __call__(self, X: Array) -> Array:
        """Values of points, shape (m, d) -> (m,)."""
        Z = (X - self._optimum) @ self._rotation
        hole = 20.0 * np.exp(-0.2 * np.sqrt(np.square(Z).mean(1))) + np.exp(np.cos(2.0 * np.pi * Z).mean(1))
        W = Z / 4.0
        bowl = (np.square(W) * (1.0 + 10.0 * np.square(np.sin(np.pi * W)))).mean(1)
        values: Array = 20.0 + np.e - hole + bowl
        return values


def observations(n: int, d: int, objective: Objective, seed: int = 0) -> tuple[Array, Array]:
    """What a study has seen by then: half of it Sobol points, half of it steps about the best so far, ever shorter."""
    if not n:
        return np.empty((0, d)), np.empty(0)
    half = n - n // 2
    X = qmc.Sobol(d, seed=seed).random_base2((half - 1).bit_length())[:half]
    y = objective(X)
    rng = np.random.default_rng(seed)
    deviations = np.geomspace(_WIDEST, _NARROWEST, _ROUNDS) * min(1.0, _REFERENCE / d) ** 0.5
    for deviation, rows in zip(deviations, np.array_split(np.arange(half, n), _ROUNDS), strict=True):
        near = np.clip(X[y.argmin()] + deviation * rng.standard_normal((len(rows), d)), 0.0, 1.0)
        X, y = np.vstack([X, near]), np.append(y, objective(near))
    return X, y
