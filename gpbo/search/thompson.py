"""Thompson sampling: every point of a batch is the best one found on a sample path of its own.

Paths know nothing of each other, so that thousands of them are searched at once; their randomness keeps them apart.
"""

from __future__ import annotations

import numpy as np

from gpbo.acquisition.paths import Paths
from gpbo.numerics import memory
from gpbo.search.candidates import Pool
from gpbo.search.gradient import Effort
from gpbo.search.greedy import Chosen
from gpbo.search.mixed import maximise
from gpbo.space import Space

PATH = Effort(starts=2, iterations=20, tolerance=1e-5, moves=2)
_FALLBACKS = 8  # candidates of a path that stand in where its optimum is taken


def sample_optima(paths: Paths, chosen: Chosen, pool: Pool, space: Space, rng: np.random.Generator) -> None:
    """Adds to a batch one point for each path.

    Args:
        paths: Posterior sample paths.
        chosen: Receives the points; the caller has made sure that enough untaken ones exist.
        pool: Raw candidates and the box to search in.
        space: The space.
        rng: For the case that everything found is taken.
    """
    P = len(paths)
    best = np.empty((P, min(_FALLBACKS, len(pool.U))), dtype=np.int64)

    def rank(start: int, stop: int) -> None:
        table = paths.table(pool.U, slice(start, stop))
        some = np.argpartition(-table, best.shape[1] - 1, axis=0)[: best.shape[1]]
        order = np.argsort(-np.take_along_axis(table, some, 0), axis=0, kind="stable")
        best[start:stop] = np.take_along_axis(some, order, 0).T

    memory.in_pieces(rank, P, 8 * 4 * len(pool.U), "ranking of candidates by paths")
    starts = min(PATH.starts, best.shape[1])
    owner = np.repeat(np.arange(P), starts)
    rows = best[:, :starts].reshape(-1)
    points, values = maximise(paths.assigned(owner), space, pool.U[rows], PATH, pool.box)
    order = np.argsort(-values.reshape(P, starts), axis=1, kind="stable") + starts * np.arange(P)[:, None]
    keys = space.keys(points)
    for path, ranked in enumerate(order):
        known = [keys[row] for row in ranked]
        chosen.take([points[ranked], pool.U[best[path]]], rng, keys=known, apart=True)
