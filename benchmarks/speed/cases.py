"""What is measured: rows of the speed table, their sizes, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A row of the speed table.

    Attributes:
        name: Name in result lines.
        title: What is timed.
        goals: From each rival to the ratio that must be reached and the one aimed at.
    """

    name: str
    title: str
    goals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Case:
    """One cell of a row.

    Attributes:
        row: Name of the row.
        n: Observations at the beginning.
        d: Dimensions.
        q: Suggestions of an ask.
        repeats: Times that every participant is measured; slow ones end earlier, by ``budget``.
        steps: Steps of a loop in one measurement of our own; rivals take at most ``rival_steps``.
        rival_steps: See ``steps``.
    """

    row: str
    n: int
    d: int
    q: int = 1
    repeats: int = 3
    steps: int = 1
    rival_steps: int = 1


ROWS = {
    row.name: row
    for row in (
        Row("cold fit", "cold fit of BoTorch's default model, n <= 200, d 2-60", {"botorch": (15, 40)}),
        Row("carried refit", "refit after one more observation, curvature carried", {"botorch": (50, 100)}),
        Row("cold ask", "whole ask, nothing carried", {"botorch_local": (10, 20)}),
        Row(
            "loop",
            "tell one + ask one, n 20-500",
            {"botorch_local": (15, 50), "optuna_gp": (4, 12), "ax": (30, 100), "skopt": (30, 100)},
        ),
        Row("loop 1000", "tell one + ask one, n = 1000", {"botorch_local": (10, 50), "optuna_gp": (4, 10)}),
        Row("greedy 8", "whole ask of 8, nothing carried", {"botorch_local": (10, 20)}),
        Row("greedy 50", "whole ask of 50, nothing carried", {"botorch_local": (50, 100)}),
        Row("import", "import in a fresh process", {"torch": (1 / 1.3, 1 / 1.1)}),
    )
}

CASES = (
    *(Case("cold fit", n, d, repeats=5 if n < 200 else 2) for n in (10, 50, 200) for d in (2, 6, 20, 60)),
    *(Case("carried refit", n, d, repeats=2 if n < 1000 else 1) for n in (50, 200, 1000) for d in (6, 20)),
    *(Case("cold ask", n, d) for n in (50, 200) for d in (6, 20)),
    *(Case("loop", n, 6, repeats=1, steps=24, rival_steps=4) for n in (20, 50, 100, 200, 500)),
    *(Case("loop", n, 20, repeats=1, steps=24, rival_steps=3) for n in (50, 200)),
    *(Case("loop 1000", 1000, d, repeats=1, steps=20, rival_steps=1) for d in (6, 20)),
    *(Case("greedy 8", n, 6, q=8, repeats=1) for n in (50, 200, 1000)),
    *(Case("greedy 50", n, 6, q=50, repeats=1) for n in (50, 1000)),
    Case("import", 0, 0, repeats=7),
)


def objective(X: Array) -> Array:
    """A smooth function of the first six coordinates at most, to be minimised; shape (m, d) -> (m,)."""
    Z = X[:, :6]
    c = np.linspace(0.2, 0.8, Z.shape[1])
    wave = 0.5 * np.sin(6.0 * Z[:, 0] + c[0]) * np.cos(4.0 * Z[:, min(1, Z.shape[1] - 1)])
    values: Array = ((Z - c) ** 2).sum(1) - wave - 0.2 * np.cos(5.0 * Z).mean(1)
    return values


def observations(n: int, d: int, seed: int, noise: float = 0.0) -> tuple[Array, Array]:
    """Scrambled Sobol points and their outcomes with normal noise of a given standard deviation."""
    X = qmc.Sobol(d, seed=seed).random_base2(max(n - 1, 1).bit_length())[:n]
    return X, objective(X) + noise * np.random.default_rng(seed).standard_normal(n)
