"""Posterior of an exact GP with fixed hyperparameters in plain torch, on any device; twin of ``HostPosterior``."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gpbo.models.exact import Problem
from gpbo.models.host_posterior import NUGGET, NotPositiveDefinite
from gpbo.models.spec import Array
from gpbo.models.stationary import Stationary
from gpbo.numerics import memory
from gpbo_kernels import profile

_WELL_CONDITIONED = 1e5  # largest ratio on the factor's diagonal up to which its explicit inverse is used


class TorchPosterior:
    """L, beta = L^-1 (y - c) and the scaled inputs; attributes as in ``HostPosterior``, tensors on one device.

    The explicit inverse of L turns every solve into a product, which is what a GPU is good at. It is used only while
    the diagonal of L says that the factor is well conditioned; nearly duplicate or nearly noiseless data take
    triangular solves.
    """

    def __init__(self, problem: Problem, theta: Array, device: torch.device) -> None:
        """Factorises the covariance.

        Raises:
            NotPositiveDefinite: If even jitter of a millionth of the outputscale does not help.
        """
        self.device = device
        self.kind = problem.spec.kind
        self.scale, self.constant = math.exp(theta[2]), float(theta[0])
        self.inverse = self.tensor(np.exp(-theta[3:]))
        self.Z = self.tensor(problem.X) * self.inverse
        self.n = self.m = len(problem.y)
        noise = problem.noise(theta)
        self.noise: Array = noise
        K, _ = self.covariance(self.Z, self.Z)
        for jitter in (0.0, 1e-10, 1e-8, 1e-6):
            A = K + torch.diag(self.tensor(noise + jitter * self.scale))
            L, info = torch.linalg.cholesky_ex(A)
            if not info.item():
                break
        else:
            raise NotPositiveDefinite
        self.L = L.contiguous()  # always: the last bits of a solve depend on how the factor lies in memory
        self.jitter = jitter
        self.set_outcomes(problem.y)
        self._inverse_of = 0
        self._inverse: Tensor | None = None

    def tensor(self, values: Array) -> Tensor:
        """A float64 tensor on the posterior's device; a copy, because the data are read-only."""
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def covariance(self, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
        """Covariance and slopes between scaled points, each (n1, n2)."""
        k, slope = profile(self.kind, torch.cdist(Z1, Z2, compute_mode="donot_use_mm_for_euclid_dist"))
        return k * self.scale, slope * self.scale

    def set_outcomes(self, y: Array) -> None:
        """Replaces the outcomes, shape (n,)."""
        residual = self.tensor(y)[:, None] - self.constant
        beta = torch.linalg.solve_triangular(self.L[: self.n, : self.n], residual, upper=False)[:, 0]
        self.beta = torch.nn.functional.pad(beta, (0, self.m - self.n))

    def _explicit_inverse(self) -> Tensor | None:
        """L^-1, computed when it is first needed after a change; None where L is too badly conditioned for it."""
        if self._inverse_of != self.m:
            self._inverse_of, self._inverse = self.m, None
            diagonal = self.L.diagonal()
            if (diagonal.max() / diagonal.min()).item() < _WELL_CONDITIONED:
                eye = torch.eye(self.m, dtype=self.L.dtype, device=self.device)
                self._inverse = torch.linalg.solve_triangular(self.L, eye, upper=False)
        return self._inverse

    def solve(self, rows: Tensor) -> Tensor:
        """L^-1 applied to every row, (R, m)."""
        inverse = self._explicit_inverse()
        if inverse is not None:
            return rows @ inverse.mT
        solved: Tensor = torch.linalg.solve_triangular(self.L, rows.mT, upper=False).mT
        return solved

    def solve_transposed(self, rows: Tensor) -> Tensor:
        """L^-T applied to every row, (R, m)."""
        inverse = self._explicit_inverse()
        if inverse is not None:
            return rows @ inverse
        solved: Tensor = torch.linalg.solve_triangular(self.L.mT, rows.mT, upper=True).mT
        return solved

    def observe(self, X: Array, noise: Array, y: Array) -> None:
        """Adds observations by bordered updates; arguments as in ``HostPosterior.observe``."""
        assert self.m == self.n
        for u, variance in zip(X[self.n :], noise[self.n :], strict=True):
            self._append(u, float(variance))
        self.noise = noise
        self.n = self.m
        self.set_outcomes(y)
        self._inverse_of = 0

    def condition(self, U: Array) -> None:
        """Conditions on the latent function at points, shape (k, d); see ``HostPosterior.condition``."""
        noise = NUGGET * self.scale
        if len(U) < 2:
            for u in U:
                self._append(u, noise)
            return
        z = self.tensor(U) * self.inverse
        rows = torch.linalg.solve_triangular(self.L, self.covariance(self.Z, z)[0], upper=False).mT
        rest = self.covariance(z, z)[0] - rows @ rows.mT
        rest.diagonal().add_(noise)
        block, info = torch.linalg.cholesky_ex(rest)
        if info.item():  # rounding; one by one, each conditional variance is kept above the noise
            for u in U:
                self._append(u, noise)
            return
        k, m = len(U), self.m
        self.L = torch.nn.functional.pad(self.L, (0, k, 0, k))
        self.L[m:, :m], self.L[m:, m:] = rows, block
        self.Z = torch.cat([self.Z, z])
        self.beta = torch.nn.functional.pad(self.beta, (0, k))
        self.m += k

    def release(self) -> None:
        """Forgets all conditioned points."""
        self.rewind(self.n)

    def rewind(self, m: int) -> None:
        """Forgets the conditioned points after the first m rows."""
        assert self.n <= m <= self.m
        self.m = m
        self.Z, self.L, self.beta = self.Z[:m], self.L[:m, :m].contiguous(), self.beta[:m]
        self._inverse_of = 0

    def smoothed(self, y: Array) -> Array:
        """Posterior means at the observations, shape (n,); see ``HostPosterior.smoothed``."""
        L = self.L[: self.n, : self.n]
        alpha = torch.linalg.solve_triangular(L.mT, self.beta[: self.n, None], upper=True)[:, 0].cpu().numpy()
        means: Array = y - self.noise * alpha
        return means

    def _append(self, u: Array, noise: float) -> None:
        z = self.tensor(u)[None] * self.inverse
        k, _ = self.covariance(z, self.Z)
        row = torch.linalg.solve_triangular(self.L, k.mT, upper=False).mT
        rest = (self.scale + noise - row.square().sum()).clamp_min(max(noise, NUGGET * self.scale))
        self.L = torch.nn.functional.pad(self.L, (0, 1, 0, 1))
        self.L[-1, :-1], self.L[-1, -1] = row[0], rest.sqrt()
        self.Z = torch.cat([self.Z, z])
        self.beta = torch.nn.functional.pad(self.beta, (0, 1))
        self.m += 1

    def stationary(self) -> Stationary:
        """The prior and the observed points."""
        return Stationary(self.kind, self.scale, self.constant, self.inverse, self.Z[: self.n])

    def weights(self, prior: Tensor) -> Tensor:
        """K^-1 (y - c - prior) for every row of ``prior``, shape (P, n); see ``HostPosterior.weights``."""
        L = self.L[: self.n, : self.n]
        rows = self.beta[: self.n] - torch.linalg.solve_triangular(L, prior.mT, upper=False).mT
        solved: Tensor = torch.linalg.solve_triangular(L.mT, rows.mT, upper=True).mT
        return solved

    def predict(self, U: Array) -> tuple[Array, Array]:
        """Mean and variance of the latent function at U, each of shape (R,)."""
        mean, variance = np.empty((2, len(U)))

        def some(start: int, stop: int) -> None:
            V = self.solve(self.covariance(self.tensor(U[start:stop]) * self.inverse, self.Z)[0])
            mean[start:stop] = (self.constant + V @ self.beta).cpu().numpy()
            variance[start:stop] = (self.scale - V.square().sum(-1)).clamp_min(1e-12).cpu().numpy()

        memory.in_pieces(some, len(U), 8 * 5 * self.m, "predictions")
        return mean, variance
