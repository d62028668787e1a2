"""Candidates on a device whose acquisition values follow as points are conditioned on; twin of ``HostScreen``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gpbo.acquisition.improvement import Indices
from gpbo.models.spec import Array
from gpbo.numerics import memory
from gpbo_kernels.improvement import log_improvement

if TYPE_CHECKING:
    from gpbo.acquisition.torch_improvement import TorchImprovement

_MIN_VARIANCE = 1e-12
_ROOM = 64  # columns by which a table grows
# Largest ratio on the factor's diagonal up to which float32 ranks candidates as float64 does: recall of the best at
# least 0.99 (benchmarks/gpu/recall.py).
_RANKED_IN_SINGLE = 100.0
_EXACT = 1 / 2  # of the candidates, the best in float32, whose values are computed in float64
_FAST_DOUBLE = {(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)}  # compute capabilities whose float64 runs at half of float32


class TorchScreen:
    """Moments at all candidates, brought up to date by O(m) a candidate for every point conditioned on.

    Attributes:
        U: The candidates, shape (R, D).
    """

    def __init__(self, improvement: TorchImprovement, U: Array, *, single: bool | None = None) -> None:
        """Candidates at the present state.

        Args:
            improvement: The acquisition.
            U: Feasible points, shape (R, D).
            single: Whether a first ranking may be in float32; None for where that is faster and safe.
        """
        p = improvement.posterior
        self.U = np.ascontiguousarray(U)
        self._improvement = improvement
        self._z = p.tensor(self.U) * p.inverse
        self._table: Table | None = None
        self._single = worthwhile(p.device) if single is None else single
        self._single = self._single and p.Li is not None and p.ratio() <= _RANKED_IN_SINGLE

    def values(self) -> Array:
        """Acquisition values, shape (R,).

        Where the ranking is in float32, the values of the lower half are as well.
        """
        if not self._improvement.is_log_improvement:
            return self._improvement.values(self.U)
        if self._table is None and self._single:
            values = self._ranked()
        else:
            values = self.moments().values()
        found: Array = values.cpu().numpy()
        if np.isnan(found).any():
            raise ArithmeticError("the acquisition function is undefined")
        return found

    def _ranked(self) -> Tensor:
        """Values in float32, those of the better half in float64."""
        improvement, p = self._improvement, self._improvement.posterior
        assert p.Li is not None
        single = p.Li.float()  # of all steps, only the one of O(n^2) a candidate is worth it
        values = torch.empty(len(self._z), dtype=torch.float64, device=p.device)

        def some(start: int, stop: int) -> None:
            V = p.covariance(self._z[start:stop], p.Z)[0].float() @ single.mT
            mean, variance = V @ p.beta.float(), V.square().sum(-1)
            shifts = V[:, improvement.first : p.m] @ _samples(improvement, improvement.first, p.m).float()
            values[start:stop] = _values(improvement, p.constant + mean.double(), p.scale - variance.double(), shifts)

        memory.in_pieces(some, len(values), 8 * 5 * len(p.Z), "a ranking of candidates")
        best = values.nan_to_num(nan=math.inf).topk(max(1, int(_EXACT * len(values)))).indices
        values[best] = Table(improvement, self._z[best]).values()
        return values

    def moments(self) -> Table:
        """The moments of all candidates in float64, at the present state."""
        if self._table is None:
            self._table = Table(self._improvement, self._z)
        self._table.update()
        return self._table

    def shortlist(self, rows: Indices) -> TorchScreen:
        """A set of some of the candidates, at the present state."""
        short = TorchScreen.__new__(TorchScreen)
        short.U, short._improvement, short._single = self.U[rows], self._improvement, False
        some = torch.as_tensor(rows, device=self._z.device)
        short._z = self._z[some]
        short._table = Table(self._improvement, short._z) if self._table is None else self._table.some(some)
        return short


class Table:
    """Whitened rows V = L^-1 k(z) of candidates and the moments that follow from them, in float64.

    Attributes:
        z: Scaled candidates, shape (R, d).
        mean, variance: Posterior moments, shape (R,); the variance as it comes, without a clamp.
        shifts: Of the mean under each fantasy, shape (R, S).
    """

    def __init__(self, improvement: TorchImprovement, z: Tensor) -> None:
        p, first = improvement.posterior, improvement.first
        self._improvement, self.z, self._m = improvement, z, p.m
        self._V = z.new_empty(len(z), p.m + _ROOM)

        def some(start: int, stop: int) -> None:
            self._V[start:stop, : p.m] = p.solve(p.covariance(z[start:stop], p.Z)[0])[:, : p.m]

        memory.in_pieces(some, len(z), 8 * 5 * len(p.Z), "candidates")
        V = self._V[:, : p.m]
        self.mean = p.constant + V @ p.beta[: p.m]
        self.variance = p.scale - V.square().sum(-1)
        self.shifts = V[:, first:] @ _samples(improvement, first, p.m)

    def values(self) -> Tensor:
        """Acquisition values, shape (R,), with all that has been conditioned on."""
        self.update()
        return _values(self._improvement, self.mean, self.variance, self.shifts)

    def reserved(self, rows: int) -> Tensor:
        """V with room for so many rows more than are conditioned on now, shape (R, at least m + rows)."""
        missing = self._m + rows - self._V.shape[1]
        if missing > 0:
            self._V = torch.nn.functional.pad(self._V, (0, missing + _ROOM))
        return self._V

    def update(self) -> None:
        """Follows what has been conditioned on since."""
        improvement, p, old = self._improvement, self._improvement.posterior, self._m
        if p.m == old:
            return
        self.reserved(p.m - old)
        rows = p.L[old : p.m]
        part = p.covariance(self.z, p.Z[old : p.m])[0] - self._V[:, :old] @ rows[:, :old].mT
        new = torch.linalg.solve_triangular(rows[:, old : p.m], part.mT, upper=False).mT
        self._V[:, old : p.m] = new
        self.mean = self.mean + new @ p.beta[old : p.m]
        self.variance = self.variance - new.square().sum(-1)
        start = max(improvement.first, old)
        self.shifts = self.shifts + new[:, start - old :] @ _samples(improvement, start, p.m)
        self._m = p.m

    def some(self, rows: Tensor) -> Table:
        """The table of some of the candidates."""
        part = Table.__new__(Table)
        part._improvement, part._m, part.z = self._improvement, self._m, self.z[rows]
        part._V, part.mean, part.variance = self._V[rows], self.mean[rows], self.variance[rows]
        part.shifts = self.shifts[rows]
        return part


def worthwhile(device: torch.device) -> bool:
    """Whether float32 is faster: on GPUs whose float64 runs at a small part of its rate, as those of workstations.

    Not where the user lets products of float32 be computed in TF32, whose ten bits keep no order.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) in _FAST_DOUBLE:
        return False
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by the older and the newer interface at once
        return False


def _samples(improvement: TorchImprovement, start: int, stop: int) -> Tensor:
    """Base samples of the conditioned points in the rows of the factor from ``start`` to ``stop``."""
    return improvement.normals[start - improvement.first : stop - improvement.first]


def _values(improvement: TorchImprovement, mean: Tensor, variance: Tensor, shifts: Tensor) -> Tensor:
    few = 1 if improvement.posterior.m == improvement.first else shifts.shape[1]  # all fantasies are alike at first
    sd = variance.clamp_min(_MIN_VARIANCE).sqrt()
    means = mean[:, None] + shifts[:, :few]
    logs = log_improvement((means - improvement.best[:few]) / sd[:, None])[0]
    return sd.log() + torch.logsumexp(logs, -1) - math.log(few)
