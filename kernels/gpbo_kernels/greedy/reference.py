"""Greedy picks from a fixed set of candidates by log expected improvement over fantasies.

Conditioning on a candidate adds one row to the factor, which is the candidate's whitened row v and its conditional
deviation l. Every other candidate c gets one entry more, (k(c, pick) - v_c'v) / l: picks are pivots of an incomplete
Cholesky factorisation, with the acquisition in place of the largest diagonal. O(N m) a pick instead of O(N m^2).

Sources: Wilson, Hutter and Deisenroth 2018, section 4 (greedy batches); Harbrecht, Peters and Schneider 2012 (pivoted
Cholesky).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gpbo_kernels.improvement.reference import MIN_VARIANCE
from gpbo_kernels.improvement.tails import log_improvement
from gpbo_kernels.stationary.reference import profile


class Picks(NamedTuple):
    """What was picked, on the device.

    Attributes:
        rows: Rows of the candidates, in the order of the picks, shape (q,), int64.
        values: Acquisition values when they were picked, shape (q,); NaN where one was undefined.
        best: Incumbents before each pick, shape (q, S).
    """

    rows: Tensor
    values: Tensor
    best: Tensor


def pick(
    kind: str,
    Z: Tensor,
    V: Tensor,
    m: int,
    mean: Tensor,
    variance: Tensor,
    shifts: Tensor,
    normals: Tensor,
    best: Tensor,
    q: int,
    *,
    scale: float | Tensor,
    nugget: float,
) -> Picks:
    """Picks q candidates one after the other, each the best given those before it.

    A candidate is picked once, and of equal ones the first. Nothing is copied to the host.

    Args:
        kind: One of ``KINDS``.
        Z: Scaled candidates, shape (N, d), N at least q.
        V: Whitened rows, shape (N, at least m + q - 1), a row contiguous; the first m columns count, the next q - 1 are
            overwritten.
        m: Rows of the factor.
        mean, variance: Posterior moments at the candidates, shape (N,); the variance as it comes, without a clamp.
        shifts: Of the mean under each fantasy, shape (N, S); with none so far, zeros.
        normals: Base samples of the picks' own fantasies, shape (at least q - 1, S).
        best: Incumbents, shape (S,).
        q: Number of picks.
        scale: Outputscale.
        nugget: Share of the outputscale that a pick's variance carries as noise, and the least it can be.
    """
    noise = nugget * scale
    rows, values, incumbents = [], [], []
    taken = torch.zeros(len(Z), dtype=torch.bool, device=Z.device)
    lowest = torch.finfo(Z.dtype).min
    for p in range(q):
        sd = variance.clamp_min(MIN_VARIANCE).sqrt()
        logs = log_improvement((mean[:, None] + shifts - best) / sd[:, None])[0]
        value = sd.log() + torch.logsumexp(logs, -1) - math.log(best.shape[0])
        # Where nothing promises anything the first open candidate is picked, and what is undefined is not passed over.
        open_ = torch.where(taken, -math.inf, value.clamp_min(lowest).nan_to_num(nan=math.inf))
        row = open_.argmax()[None]
        rows.append(row)
        values.append(value[row])
        incumbents.append(best)
        if p + 1 == q:
            break
        taken = taken.index_fill(0, row, True)
        v = V[:, : m + p].index_select(0, row)[0]
        deviation = (variance[row] + noise).clamp_min(noise).sqrt()
        best = torch.maximum(best, (mean[row, None] + shifts[row] + deviation * normals[p])[0])
        k = profile(kind, (Z - Z.index_select(0, row)).square().sum(-1).sqrt())[0] * scale
        new = (k - V[:, : m + p] @ v) / deviation
        V[:, m + p] = new
        variance = variance - new.square()
        shifts = shifts + new[:, None] * normals[p]
    return Picks(torch.cat(rows), torch.cat(values), torch.stack(incumbents))
