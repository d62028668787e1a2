"""Where a search starts: points spread over the space, and points close to the best observations.

Late in a study the acquisition is concentrated in a region around the incumbent that a space-filling sample never hits;
without local candidates the search misses the optimum for most seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpbo.models.spec import Array
from gpbo.numerics.sobol import sobol
from gpbo.search.box import Box
from gpbo.search.domain import Domain
from gpbo.space import Space

_CENTRES = 5
_SIGMA = (1e-3, 0.2)  # local steps are log-uniform between these, as fractions of the range


@dataclass(frozen=True)
class Pool:
    """Raw candidates of a search, and where it may go from them.

    Attributes:
        U: Feasible points, shape (R, D).
        spread: Number of space-filling ones, which come first.
        box: Part of the cube they lie in.
    """

    U: Array
    spread: int
    box: Box


class Candidates:
    """Draws raw candidates; keeps one Sobol set, rotated at random for every draw."""

    def __init__(self, space: Domain) -> None:
        """Nothing is drawn yet.

        Args:
            space: The space.
        """
        self._space = space
        self._base = np.empty((0, space.n_params))

    def along(self, axes: Domain) -> Candidates:
        """The same in other coordinates of the same number."""
        other = Candidates(axes)
        if axes.n_params == self._space.n_params:  # constants are parameters without a coordinate
            other._base = self._base
        return other

    def draw(self, ranked: Array, rng: np.random.Generator, size: int = 1024, box: Box | None = None) -> Pool:
        """Feasible candidates, half of them space-filling, half around the best observations.

        Args:
            ranked: Observed points, best first, shape (k, D); the first few are the centres of the local candidates.
            rng: Source of randomness.
            size: Number of candidates.
            box: Where they are to lie; the whole cube by default.
        """
        space = self._space
        half = size // 2
        if len(self._base) < half:
            self._base = sobol(space.n_params, half, seed=0)
        spread = space.sample((self._base[:half] + rng.random(space.n_params)) % 1.0)
        near = self._around(ranked[:_CENTRES], size - half, rng, box) if len(ranked) else spread[:0]
        U = np.vstack([spread, near])
        if box is None:
            return Pool(U, half, Box.whole(space.dim))
        wide = box.lower + (box.upper - box.lower) * U[:half]
        U[:half] = space.snap(np.where(space.levels == -1, U[:half], wide))
        U[half:] = space.snap(np.where(space.levels == -1, U[half:], np.clip(U[half:], box.lower, box.upper)))
        return Pool(U, half, box)

    def _around(self, centres: Array, m: int, rng: np.random.Generator, box: Box | None) -> Array:
        """Gaussian steps around the centres, half of them in a few parameters only; categories are drawn anew."""
        space = self._space
        centre = centres[np.minimum(rng.geometric(0.5, m) - 1, len(centres) - 1)]
        sigma = np.exp(rng.uniform(math.log(_SIGMA[0]), math.log(_SIGMA[1]), m))[:, None]
        if box is not None:
            sigma = sigma * (box.upper - box.lower)
        moved = centre + rng.standard_normal((m, space.dim)) * sigma
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
