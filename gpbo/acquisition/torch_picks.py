"""Picks and conditioning in sequence on a ``TorchPosterior``: on its device, with one copy to the host at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gpbo.acquisition.improvement import Mark, Screen
from gpbo.acquisition.picks import pick_one_by_one
from gpbo.acquisition.torch_screen import TorchScreen
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
        rows, best = _picked(improvement, screen, q)
    except Exception as error:
        if not memory.refused(error):
            raise
        return pick_one_by_one(improvement, screen, values, q)
    start = improvement.posterior.m
    improvement.fantasise(screen.U[rows[:-1]])
    return rows, [Mark(start + i, each) for i, each in enumerate(best)]


def _picked(improvement: TorchImprovement, screen: Screen, q: int) -> tuple[list[int], Tensor]:
    """Rows of q picks, and the incumbents before each, shape (q, S)."""
    assert isinstance(screen, TorchScreen)
    p, first = improvement.posterior, improvement.first
    table = screen.moments()
    V = table.reserved(q - 1)
    missing = p.m - first + q - 1 - len(improvement.normals)
    normals = torch.nn.functional.pad(improvement.normals, (0, 0, 0, max(0, missing)))
    own, moments = normals[p.m - first :], (table.mean, table.variance, table.shifts)
    found = pick(p.kind, table.z, V, p.m, *moments, own, improvement.best, q, scale=p.scale, nugget=NUGGET)
    rows, values = torch.stack([found.rows.to(found.values), found.values]).cpu().numpy()
    if np.isnan(values).any():
        raise ArithmeticError("the acquisition function is undefined")
    return [int(row) for row in rows], found.best


def follow_on_device(improvement: TorchImprovement, U: Array) -> list[Mark]:
    """As ``Improvement.follow``: conditions on all points at once, from which the states in between follow."""
    p, start, before = improvement.posterior, improvement.posterior.m, improvement.best
    improvement.fantasise(U)
    rows = p.L[start : p.m - 1]  # those of the last point tell of no state before one
    fantasies = p.constant + (rows @ p.beta)[:, None]
    fantasies = fantasies + rows[:, improvement.first : p.m] @ improvement.normals[: p.m - improvement.first]
    best = torch.cat([before[None], fantasies]).cummax(0).values
    return [Mark(start + i, best[i]) for i in range(len(U))]
