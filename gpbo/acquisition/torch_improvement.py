"""The engine's acquisition in plain torch, on any device: the definition that the compiled twin is held against."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gpbo.acquisition.improvement import DISAPPOINTMENT, Indices, Mark, Screen
from gpbo.acquisition.picks import pick_one_by_one
from gpbo.acquisition.torch_picks import follow_on_device, pick_on_device
from gpbo.acquisition.torch_screen import TorchScreen
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import memory
from gpbo.numerics.batched_bfgs import Objective
from gpbo.numerics.buckets import below
from gpbo.numerics.graphs import Tensors
from gpbo_kernels.improvement import log_expected_improvement, log_improvement

_MIN_VARIANCE = 1e-12


class TorchImprovement:
    """``Improvement`` (see ``improvement.py``) on a ``TorchPosterior``."""

    def __init__(self, posterior: TorchPosterior, best: float | None, normals: Array) -> None:
        """The acquisition before anything is conditioned on; arguments as in ``HostImprovement``."""
        self.posterior = posterior
        self.first = posterior.m
        self.normals = posterior.tensor(normals)
        self.best = torch.full_like(self.normals[:1].sum(0), -math.inf if best is None else best)

    def _mixture(self, V: Tensor, best: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Value, d/d mean of each fantasy (R, S), d/d sd (R,) and sd (R,) from whitened rows (R, size)."""
        p = self.posterior
        mean = p.constant + V @ p.beta
        variance = (p.scale - V.square().sum(-1)).clamp_min(_MIN_VARIANCE)
        sd = variance.sqrt()
        j = p.m - self.first
        best = best if j else best[:, :1]
        means = mean[:, None] + (V[:, self.first : p.m] @ self.normals[:j] if j else 0.0)
        logs, up, density = log_improvement((means - best) / sd[:, None])
        total = torch.logsumexp(logs, -1)
        weight = (logs - total[:, None]).exp()
        value = sd.log() + total - math.log(best.shape[1])
        slope = (weight * density).sum(-1) / sd
        return value, weight * up / sd[:, None], torch.where(variance > _MIN_VARIANCE, slope, 0.0), sd

    @property
    def is_log_improvement(self) -> bool:
        """Whether it is that and not a child of it, for which there are neither fused kernels nor running moments."""
        return type(self) is TorchImprovement

    def evaluate_at(self, U: Tensor, ends: Tensor | None, best: Tensor) -> tuple[Tensor, Tensor]:
        """Values (R,) and gradients (R, D) for points on the device, without a look from the host.

        Args:
            U: Points, shape (R, D).
            ends: Rows of the factor that count for each point, shape (R,); None for all.
            best: Incumbents, shape (R, S) or (1, S).
        """
        function, inputs, _ = self.objective(ends, best)
        return function(U, **inputs)

    def objective(self, ends: Tensor | None, best: Tensor) -> tuple[Objective, Tensors, Hashable]:
        """The function of points (R, D), its inputs, and what it is besides them; None if it is more than they say.

        Shapes are those of the padded factor, so that they stay the same while points are observed or conditioned on.
        """
        p = self.posterior
        if p.Li is None or not self.is_log_improvement:
            return partial(self._by_solves, ends=ends, best=best), {}, None
        j = p.m - self.first
        first = below(self.first) if j else len(p.Z)
        normals = self.normals.new_zeros(len(p.Z) - first, self.normals.shape[1])
        if j:
            normals[self.first - first : p.m - first] = self.normals[:j]
        inputs = {
            "Z": p.Z,
            "Li": p.Li,
            "beta": p.beta,
            "normals": normals,
            "best": best if j else best[:, :1],
            "inverse": p.inverse,
            "scale": p.tensor(np.array(p.scale)),
            "constant": p.tensor(np.array(p.constant)),
        }
        if ends is not None:
            inputs["ends"] = ends
        return partial(_by_products, p.kind, first), inputs, ("log improvement", p.kind, first)

    def _by_solves(self, U: Tensor, ends: Tensor | None, best: Tensor) -> tuple[Tensor, Tensor]:
        """The same with triangular solves, and for other functions of the moments."""
        p = self.posterior
        z = U * p.inverse
        k, slopes = p.covariance(z, p.Z)
        V = p.solve(k)
        seen = None if ends is None else torch.arange(len(p.Z), device=U.device) < ends[:, None]
        if seen is not None:
            V = torch.where(seen, V, 0.0)
        value, up, density, sd = self._mixture(V, best)
        right = up.sum(-1, keepdim=True) * p.beta - (density / sd)[:, None] * V
        if p.m > self.first:
            right[:, self.first : p.m] += up @ self.normals[: p.m - self.first].mT
        if seen is not None:
            right = torch.where(seen, right, 0.0)
        W = p.solve_transposed(right) * slopes
        return value, (W @ p.Z - z * W.sum(-1, keepdim=True)) * p.inverse

    def evaluate(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """Values (R,) and gradients (R, D) for points on the device."""
        return self.evaluate_at(U, None, self.best[None])

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        p = self.posterior
        values = np.empty(len(U))

        def some(start: int, stop: int) -> None:
            V = p.solve(p.covariance(p.tensor(U[start:stop]) * p.inverse, p.Z)[0])
            values[start:stop] = self._mixture(V, self.best[None])[0].cpu().numpy()

        memory.in_pieces(some, len(U), 8 * (5 * len(p.Z) + 8 * self.normals.shape[1]), "values of the acquisition")
        return values

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        value, gradient = self.evaluate(self.posterior.tensor(U))
        return value.cpu().numpy(), gradient.cpu().numpy()

    def search(self) -> tuple[Objective, Tensors, Hashable]:
        """What a gradient search maximises; see :meth:`objective`."""
        return self.objective(None, self.best[None])

    def of(self, rows: Indices) -> TorchImprovement:
        """Itself: all starts share one function."""
        return self

    def mark(self) -> Mark:
        """What has been conditioned on so far."""
        return Mark(self.posterior.m, self.best)

    def rewind(self, mark: Mark) -> None:
        """Forgets what was conditioned on after the mark."""
        self.posterior.rewind(mark.m)
        self.best = torch.as_tensor(mark.best, device=self.posterior.device)

    def at(self, marks: Sequence[Mark]) -> TorchPrefixes:
        """The function in which point r is conditioned on what was there at ``marks[r]``."""
        best = torch.stack([torch.as_tensor(mark.best, device=self.posterior.device) for mark in marks])
        return TorchPrefixes(self, np.array([mark.m for mark in marks]), best)

    def believe(self, U: Array) -> None:
        """Conditions on points with one outcome each; see ``Improvement.believe``."""
        p = self.posterior
        assert p.m == self.first
        p.condition(U)
        if len(U):  # their own entries of beta are zero
            self.best = torch.maximum(self.best, (p.constant + p.L[self.first : p.m] @ p.beta).amax())
        self.first = p.m

    def disappoint(self, U: Array, reference: float) -> None:
        """Conditions on points whose evaluation failed; see ``Improvement.disappoint``."""
        p = self.posterior
        assert p.m == self.first
        p.condition(U)
        new = slice(self.first, p.m)
        means = (p.constant + p.L[new] @ p.beta).cpu().numpy()  # each one's entry of beta follows from those before it
        factor, beta = p.L[new, new].cpu().numpy(), np.zeros(len(U))
        top = -math.inf
        for i in range(len(U)):
            mean = means[i] + factor[i, :i] @ beta[:i]
            beta[i] = max(min((reference - mean) / factor[i, i], 0.0), -DISAPPOINTMENT)
            top = max(top, mean + factor[i, i] * beta[i])
        p.beta[new] = p.tensor(beta)
        self.best = self.best.clamp_min(top)
        self.first = p.m

    def fantasise(self, U: Array) -> None:
        """Conditions on points one after the other, with one fantasy of each per sample."""
        p = self.posterior
        start = p.m
        p.condition(U)
        j = p.m - self.first
        if j > len(self.normals):
            self.normals = torch.nn.functional.pad(self.normals, (0, 0, 0, j - len(self.normals)))
        if p.m > start:
            rows = p.L[start : p.m]
            fantasies = p.constant + (rows @ p.beta)[:, None] + rows[:, self.first : p.m] @ self.normals[:j]
            self.best = torch.maximum(self.best, fantasies.amax(0))

    def follow(self, U: Array) -> list[Mark]:
        """Conditions on points as ``fantasise`` does; what had been conditioned on before each of them."""
        return follow_on_device(self, U)

    def pick(self, screen: Screen, values: Array, q: int) -> tuple[list[int], list[Mark]]:
        """Picks q candidates one after the other; see ``Improvement.pick``."""
        if not self.is_log_improvement:
            return pick_one_by_one(self, screen, values, q)
        return pick_on_device(self, screen, values, q)

    def screen(self, U: Array) -> TorchScreen:
        """The candidates U as a set to choose starts from."""
        return TorchScreen(self, U)


def _by_products(
    kind: str, first: int, U: Tensor, *, inverse: Tensor, Z: Tensor, best: Tensor, **others: Tensor
) -> tuple[Tensor, Tensor]:
    value, gradient = log_expected_improvement(kind, U * inverse, Z, best=best, first=first, **others)
    return value, gradient * inverse


class TorchPrefixes:
    """A ``TorchImprovement`` whose points see different numbers of the conditioned points."""

    def __init__(self, improvement: TorchImprovement, ends: Indices, best: Tensor) -> None:
        self._improvement, self._ends, self._best = improvement, ends, best
        self.posterior = improvement.posterior
        self._end_rows = torch.as_tensor(ends, device=self.posterior.device)

    def search(self) -> tuple[Objective, Tensors, Hashable]:
        """What a gradient search maximises; see ``TorchImprovement.objective``."""
        return self._improvement.objective(self._end_rows, self._best)

    def evaluate(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """Values (R,) and gradients (R, D) for points on the device."""
        return self._improvement.evaluate_at(U, self._end_rows, self._best)

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        return self.values_and_gradients(U)[0]

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        value, gradient = self.evaluate(self.posterior.tensor(U))
        return value.cpu().numpy(), gradient.cpu().numpy()

    def of(self, rows: Indices) -> TorchPrefixes:
        """The function for points that stem from these rows."""
        return TorchPrefixes(self._improvement, self._ends[rows], self._best[torch.as_tensor(rows)])
