"""Where a search starts: points spread over the space, and points close to the best observations.

Late in a study the acquisition is concentrated in a region around the incumbent that a space-filling sample never hits;
without local candidates the search misses the optimum for most seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gpbo.models.spec import Array
from gpbo.numerics.sobol import sobol
from gpbo.space import Space

_CENTRES = 5
_SIGMA = (1e-3, 0.2)  # local steps are log-uniform between these, as fractions of the range


class Candidates:
    """Draws raw candidates; keeps one Sobol set, rotated at random for every draw."""

    def __init__(self, space: Space, spread: int = 512, near: int = 512) -> None:
        """Prepares the base sequence.

        Args:
            space: The space.
            spread: Number of space-filling candidates.
            near: Number of candidates around the best observations.
        """
        self._space = space
        self._near = near
        self._base = sobol(space.n_params, spread, seed=0)

    def draw(self, ranked: Array, rng: np.random.Generator) -> tuple[Array, int]:
        """Feasible candidates.

        Args:
            ranked: Observed points, best first, shape (k, D); the first few are the centres of the local candidates.
            rng: Source of randomness.

        Returns:
            Candidates, shape (spread + near, D), and the number of space-filling ones, which come first.
        """
        space = self._space
        spread = space.sample((self._base + rng.random(space.n_params)) % 1.0)
        if not len(ranked):
            return spread, len(spread)
        return np.vstack([spread, self._around(ranked[:_CENTRES], rng)]), len(spread)

    def _around(self, centres: Array, rng: np.random.Generator) -> Array:
        """Gaussian steps around the centres, half of them in a few parameters only; categories are drawn anew."""
        space, m = self._space, self._near
        centre = centres[np.minimum(rng.geometric(0.5, m) - 1, len(centres) - 1)]
        sigma = np.exp(rng.uniform(math.log(_SIGMA[0]), math.log(_SIGMA[1]), m))
        moved = centre + rng.standard_normal((m, space.dim)) * sigma[:, None]
        share = np.where(rng.random(m) < 0.5, 1.0, max(2.0 / space.n_params, 0.1))
        change = rng.random((m, space.n_params)) < share[:, None]
        owner = space.owner
        if not (space.levels == 0).all():
            fresh = space.sample(rng.random((m, space.n_params)))
            coarse = (space.levels != 0) & (space.levels < 16)  # a small step never leaves a coarse level
            moved = np.where(coarse, fresh, moved)
            redraw = rng.random((m, space.n_params)) < max(1.0 / space.n_params, 0.2)
            change &= redraw | ~np.isin(np.arange(space.n_params), owner[coarse])
        return space.snap(np.where(change[:, owner], moved, centre))


def wander(space: Space, rng: np.random.Generator) -> Iterator[Array]:
    """Feasible points in random order without end in an infinite space, each point once in a finite one.

    The walk over a finite space steps through its indices with a stride coprime to their number, so nothing is stored.
    """
    for _ in range(8):
        yield from space.sample(rng.random((64, space.n_params)))
    if space.cardinality is None:
        while True:
            yield from space.sample(rng.random((64, space.n_params)))
    count = space.cardinality
    start, stride = int(rng.integers(min(count, 2**62))), _coprime(count, rng)
    for step in range(count):
        yield space.point((start + step * stride) % count)


def _coprime(count: int, rng: np.random.Generator) -> int:
    while True:
        stride = int(rng.integers(1, min(count, 2**62) + 1))
        if math.gcd(stride, count) == 1:
            return stride
