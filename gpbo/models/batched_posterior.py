"""Posteriors of several data sets of one size, their covariances factorised in one batched Cholesky.

A GPU that factorises matrices of some thousand rows one after the other waits for itself most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gpbo.models.exact import Problem
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import memory
from gpbo_kernels import profile


class _Given(TorchPosterior):
    """A posterior whose factor is there already, without jitter."""

    def __init__(self, problem: Problem, theta: Array, device: torch.device, factor: Tensor) -> None:
        self._given: Tensor | None = factor
        super().__init__(problem, theta, device)
        del self._given

    def _factorise(self, noise: Tensor) -> float | None:
        if self._given is None:  # it was of no use
            return super()._factorise(noise)
        n, L = self.n, self.L
        L[:n, :n], self._given = self._given, None
        L[:n, n:], L[n:, :n], L[n:, n:] = 0.0, 0.0, torch.eye(len(L) - n, dtype=L.dtype, device=L.device)
        diagonal = L.diagonal()[:n]
        largest, smallest = torch.stack([diagonal.amax(), diagonal.amin()]).tolist()
        return largest / smallest if smallest > 0.0 else None


def factorised_together(
    problems: Sequence[Problem], thetas: Sequence[Array], device: torch.device
) -> list[TorchPosterior | None]:
    """One posterior for each problem; None where its covariance stays singular with jitter.

    Args:
        problems: Data sets with the same number of observations n and the same kernel.
        thetas: Hyperparameters of each, shape (d + 3,).
        device: Where to compute.

    Raises:
        MemoryError: If the allocator refuses even a single factor, in whatever form it does.
    """
    (n,), (kind,) = {len(each.y) for each in problems}, {each.spec.kind for each in problems}
    made: list[TorchPosterior | None] = [None] * len(problems)

    def tensor(rows: Sequence[Array]) -> Tensor:
        return torch.stack([torch.tensor(row, dtype=torch.float64, device=device) for row in rows])

    def some(start: int, stop: int) -> None:
        part, hyper = problems[start:stop], thetas[start:stop]
        Z = tensor([each.X for each in part]) * tensor([np.exp(-theta[3:]) for theta in hyper])[:, None]  # b x n x d
        k = profile(kind, torch.cdist(Z, Z, compute_mode="donot_use_mm_for_euclid_dist"))[0]
        k = k * tensor([np.exp(theta[2:3]) for theta in hyper])[:, :, None]
        k.diagonal(dim1=-2, dim2=-1).add_(tensor([each.noise(theta) for each, theta in zip(part, hyper, strict=True)]))
        factors, info = torch.linalg.cholesky_ex(k)
        del k
        for i, failed in enumerate(info.tolist()):
            if failed:
                made[start + i] = _with_jitter(part[i], hyper[i], device)
            else:
                made[start + i] = _Given(part[i], hyper[i], device, factors[i])

    # Counted once, though five are alive at a time: a piece is a small part of what there is.
    memory.in_pieces(some, len(problems), 8 * n**2, "factors of regions")
    return made


def _with_jitter(problem: Problem, theta: Array, device: torch.device) -> TorchPosterior | None:
    try:
        return TorchPosterior(problem, theta, device)
    except NotPositiveDefinite:
        return None
