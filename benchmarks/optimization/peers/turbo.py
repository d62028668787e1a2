"""Trust region Bayesian optimization, written from the paper: Eriksson et al. 2019, arXiv 1910.01366."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.optimization.peers import gaussian_process
from benchmarks.optimization.peers.base import Params
from benchmarks.optimization.peers.thompson import distinct_minima, sobol, standardized
from gpbo import Space

Array = NDArray[np.float64]
START, SHORTEST, LONGEST = 0.8, 2.0**-7, 1.6  # side lengths, in the unit cube
SUCCESSES = 3  # batches with an improvement before the region grows


class Turbo:
    """TuRBO-1, or TuRBO-m with several regions that share out a batch.

    A region keeps its own data. It doubles after three improving batches in a row, halves after max(4, d) points
    without improvement (for one region, ceil(max(4 / q, d / q)) batches), and below 2^-7 it starts again from a design
    of the size of the initial one. Several regions divide the initial design among them.

    The paper's min(100 d, 5000) candidates a region are too few for batches of hundreds in few dimensions: there are at
    least 5 q of them, below the same cap. Integers and categories are relaxed, and proposals are moved to the nearest
    feasible point.
    """

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float], regions: int = 1) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)
        regions = max(1, min(regions, len(params) // 2))
        U = space.encode(params)
        size = -(-len(params) // regions)
        self.regions = [Region(space, U[i::regions], values[i::regions], size, self.rng) for i in range(regions)]

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        rows: list[Array] = []
        self.owners: list[Region] = []
        for region in self.regions:
            while region.design and len(rows) < q:
                rows.append(region.design.pop(0))
                self.owners.append(region)
        ready = [region for region in self.regions if region.ready]
        if (left := q - len(rows)) and ready:
            candidates, samples, owners = [], [], []
            for region in ready:
                U = region.candidates(left)
                candidates.append(U)
                samples.append(region.draw(U, left))
                owners += [region] * len(U)
            U = np.concatenate(candidates)
            chosen = distinct_minima(np.concatenate(samples))
            rows += list(U[chosen])
            self.owners += [owners[i] for i in chosen]
        elif left:  # all start again, from more points than planned
            for i, u in enumerate(self.space.sample(sobol(left, self.space.n_params, self.rng))):
                region = self.regions[i % len(self.regions)]
                region.awaited += 1
                rows.append(u)
                self.owners.append(region)
        return self.space.decode(self.space.snap(np.array(rows)))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        U = self.space.encode(params)
        for region in self.regions:
            mine = [i for i, owner in enumerate(self.owners) if owner is region]
            if mine:
                region.learn(U[mine], [values[i] for i in mine])


class Region:
    """A trust region with its data and its model.

    Attributes:
        design: Points of a new start that are still to be proposed.
        awaited: Points of a new start whose values are not known yet.
    """

    def __init__(self, space: Space, U: Array, values: list[float], size: int, rng: np.random.Generator) -> None:
        self.space, self.size, self.rng = space, size, rng
        self.U, self.values = U, list(values)
        self.design: list[Array] = []
        self.awaited = 0
        self.length, self.successes, self.failures = START, 0, 0
        self.fitted = gaussian_process.Hyperparameters.initial(space.dim)

    @property
    def ready(self) -> bool:
        """Whether there is a design to model."""
        return not self.awaited

    def learn(self, U: Array, values: list[float]) -> None:
        """New points of this region, in order: first those of its design, if it has just started."""
        best = min(self.values, default=np.inf)
        self.U, self.values = np.concatenate([self.U, U]), self.values + values
        if self.awaited:
            self.awaited -= len(values)
            return
        if min(values) < best:
            self.successes, self.failures = self.successes + 1, 0
        else:
            self.successes, self.failures = 0, self.failures + len(values)
        if self.successes == SUCCESSES:
            self.length, self.successes = min(2.0 * self.length, LONGEST), 0
        elif self.failures >= max(4, self.space.dim):
            self.length, self.failures = self.length / 2.0, 0
        if self.length < SHORTEST:
            self.U, self.values = self.U[:0], []
            self.length, self.successes, self.failures = START, 0, 0
            self.fitted = gaussian_process.Hyperparameters.initial(self.space.dim)
            self.design = list(self.space.sample(sobol(self.size, self.space.n_params, self.rng)))
            self.awaited = self.size

    def candidates(self, q: int) -> Array:
        """Sobol points of the region about its best point, of which they keep most coordinates where d > 20."""
        d = self.space.dim
        y, self.mean, self.deviation = standardized(self.values)
        self.X, self.y = torch.from_numpy(self.U), torch.from_numpy(y)
        self.fitted = gaussian_process.fit(self.X, self.y, self.fitted, self.rng)
        lengthscale = self.fitted.lengthscale.numpy()
        sides = self.length * lengthscale / np.exp(np.log(lengthscale).mean())
        center = self.U[int(np.argmin(self.values))]
        low, high = np.clip(center - sides / 2.0, 0.0, 1.0), np.clip(center + sides / 2.0, 0.0, 1.0)
        n = min(max(100 * d, 5 * q), 5000)
        points = low + (high - low) * sobol(max(n, q), d, self.rng)
        moved = self.rng.random(points.shape) < min(20.0 / d, 1.0)
        moved[np.arange(len(moved)), self.rng.integers(d, size=len(moved))] |= ~moved.any(1)
        kept: Array = np.where(moved, points, center)
        return kept

    def draw(self, U: Array, samples: int) -> Array:
        """Joint posterior samples at candidates, in the units of the values, shape (m, samples)."""
        drawn = gaussian_process.draw(self.X, self.y, self.fitted, torch.from_numpy(U), samples, self.rng)
        values: Array = self.mean + self.deviation * drawn.numpy()
        return values
