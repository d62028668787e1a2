"""Thompson sampling over the whole cube, with the Gaussian process of TuRBO but without a trust region."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc

from benchmarks.optimization.peers import gaussian_process
from benchmarks.optimization.peers.base import Params
from gpbo import Space

Array = NDArray[np.float64]
FEWEST, MOST = 2000, 5000  # candidates; five for each point of the batch in between


class Thompson:
    """Each point of a batch minimises a joint posterior sample over Sobol points, none of them taken twice."""

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float]) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)
        self.X, self.values = space.encode(params), list(values)
        self.fitted = gaussian_process.Hyperparameters.initial(space.dim)

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        X, y = torch.from_numpy(self.X), torch.from_numpy(standardized(self.values)[0])
        self.fitted = gaussian_process.fit(X, y, self.fitted, self.rng)
        n = max(min(max(FEWEST, 5 * q), MOST), q)
        U = self.space.sample(sobol(n, self.space.n_params, self.rng))
        samples = gaussian_process.draw(X, y, self.fitted, torch.from_numpy(U), q, self.rng)
        return self.space.decode(U[distinct_minima(samples.numpy())])

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        self.X = np.concatenate([self.X, self.space.encode(params)])
        self.values += values


def standardized(values: list[float]) -> tuple[Array, float, float]:
    """Values with mean 0 and standard deviation 1, and the mean and the deviation they had."""
    y = np.array(values)
    mean, deviation = float(y.mean()), float(y.std())
    deviation = deviation if deviation > 1e-12 * (1.0 + abs(mean)) else 1.0
    return (y - mean) / deviation, mean, deviation


def sobol(n: int, d: int, rng: np.random.Generator) -> Array:
    """The first n points of a newly scrambled Sobol sequence, shape (n, d)."""
    points: Array = qmc.Sobol(d, rng=rng).random_base2(max(n - 1, 1).bit_length())[:n]
    return points


def distinct_minima(samples: Array) -> list[int]:
    """For each column the row of its minimum among the rows that no earlier column took, shape (m, q), m >= q."""
    free = np.ascontiguousarray(samples.T)
    rows = []
    for column in free:
        rows.append(int(column.argmin()))
        free[:, rows[-1]] = np.inf
    return rows
