"""Picks and conditioning in sequence on a ``TorchPosterior``: on its device, with one copy to the host at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from gpbo.acquisition.improvement import Mark, Screen
from gpbo.acquisition.picks import pick_one_by_one
from gpbo.models.host_posterior import NUGGET
from gpbo.models.spec import Array
from gpbo.numerics import memory
from gpbo_kernels.greedy import pick

if TYPE_CHECKING:
    from gpbo.acquisition.torch_improvement import TorchImprovement

_SHARE = 1 / 4  # of the user's memory limit, for the whitened rows of all candidates


def pick_on_device(
    improvement: TorchImprovement, screen: Screen, values: Array, q: int
) -> tuple[list[int], list[Mark]]:
    """As ``Improvement.pick``; one by one where the whitened rows of all candidates do not fit into memory.

    Raises:
        ArithmeticError: If the acquisition is undefined at a candidate.
    """
    limit, needed = memory.current().limit, 8 * len(screen.U) * (improvement.posterior.m + q)
    if q == 1 or (limit is not None and needed > _SHARE * limit):
        return pick_one_by_one(improvement, screen, values, q)
    try:
        rows, best = _picked(improvement, screen.U, q)
    except Exception as error:
        if not memory.refused(error):
            raise
        return pick_one_by_one(improvement, screen, values, q)
    start = improvement.posterior.m
    improvement.fantasise(screen.U[rows[:-1]])
    return rows, [Mark(start + i, each) for i, each in enumerate(best)]


def _picked(improvement: TorchImprovement, U: Array, q: int) -> tuple[list[int], Array]:
    """Rows of q picks, and the incumbents before each, shape (q, S)."""
    p, N, S = improvement.posterior, len(U), len(improvement.best)
    m, first = p.m, improvement.first
    z = p.tensor(U) * p.inverse
    missing = m - first + q - 1 - len(improvement.normals)
    normals = torch.nn.functional.pad(improvement.normals, (0, 0, 0, max(0, missing)))
    V, mean, variance, shifts = z.new_empty(N, m + q - 1), z.new_empty(N), z.new_empty(N), z.new_zeros(N, S)

    def whiten(start: int, stop: int) -> None:
        rows = p.solve(p.covariance(z[start:stop], p.Z)[0])
        V[start:stop, :m] = rows
        mean[start:stop] = p.constant + rows @ p.beta
        variance[start:stop] = p.scale - rows.square().sum(-1)
        shifts[start:stop] = rows[:, first:] @ normals[: m - first]

    memory.in_pieces(whiten, N, 8 * 5 * m, "moments of candidates")
    best = improvement.best
    found = pick(p.kind, z, V, m, mean, variance, shifts, normals[m - first :], best, q, scale=p.scale, nugget=NUGGET)
    table = torch.cat([found.rows[:, None].to(best), found.values[:, None], found.best], 1).cpu().numpy()
    if np.isnan(table[:, 1]).any():
        raise ArithmeticError("the acquisition function is undefined")
    return [int(row) for row in table[:, 0]], table[:, 2:]


def follow_on_device(improvement: TorchImprovement, U: Array) -> list[Mark]:
    """As ``Improvement.follow``: conditions on all points at once, from which the states in between follow."""
    p, start, before = improvement.posterior, improvement.posterior.m, improvement.best
    improvement.fantasise(U)
    rows = p.L[start : p.m - 1, : p.m]  # those of the last point tell of no state before one
    fantasies = p.constant + (rows @ p.beta)[:, None]
    fantasies = fantasies + rows[:, improvement.first :] @ improvement.normals[: p.m - improvement.first]
    best = torch.cat([before[None], fantasies]).cummax(0).values.cpu().numpy()
    return [Mark(start + i, best[i]) for i in range(len(U))]
