"""Posterior of an exact GP with fixed hyperparameters, on the host: one lower Cholesky factor that grows row by row."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpbo.models.compiled_objective import factorise, solve_factor
from gpbo.models.compiled_posterior import append_rows, covariances, whitened_rows
from gpbo.models.exact import Problem
from gpbo.models.spec import Array
from gpbo.models.stationary import Stationary
from gpbo.numerics import memory
from gpbo.numerics.rows import KINDS, SUMS

_NO_SLOPES = np.empty((0, 0))
NUGGET = 1e-10  # of the outputscale
_BLOCK = 64  # points bordered at a time: enough for the solve to run at the speed of a matrix product


class NotPositiveDefinite(ArithmeticError):
    """The covariance stayed singular with the largest jitter that would not change the model."""


class HostPosterior:
    """L, beta = L^-1 (y - c) and the scaled inputs, with room for points that are conditioned on later.

    Attributes:
        name, kind: Name and number of the kernel.
        scale, constant: Outputscale and mean.
        inverse: Inverse lengthscales, shape (d,); with sums those of the sum and its share of the outputscale follow.
        Z: Scaled inputs, one coordinate a row, shape (d, capacity), or with sums (2 d, capacity).
        L: Lower factor, C order, shape (capacity, capacity).
        beta: Shape (capacity,); zero in the rows of conditioned points, except for failed ones, which are believed to
            disappoint. Fantasies are kept by the acquisition.
        n: Observations.
        m: Observations and conditioned points.
        device: The CPU.
    """

    device = torch.device("cpu")

    def __init__(self, problem: Problem, theta: Array, room: int = 0) -> None:
        """Factorises the covariance.

        Args:
            problem: Specification and data.
            theta: Hyperparameters, shape (d + 3,).
            room: Points that may be appended.

        Raises:
            NotPositiveDefinite: If even jitter of a millionth of the outputscale does not help.
            MemoryError: If the factor does not fit.
        """
        n, d = problem.X.shape
        self.name = problem.spec.kind
        self.kind = KINDS[self.name] + SUMS * problem.spec.sums
        self.scale, self.constant = math.exp(theta[2]), float(theta[0])
        self.inverse: Array = np.exp(-theta[3 : 3 + d])
        share = 0.0
        if problem.spec.sums:
            self.scale += math.exp(theta[3 + d])
            share = math.exp(theta[3 + d]) / self.scale
            self.inverse = np.concatenate([self.inverse, np.exp(-theta[4 + d :]), [share]])
        self.n = self.m = n
        capacity, rows = n + room, 2 * d if problem.spec.sums else d
        self.Z: Array = np.empty((rows, capacity))
        self.Z[:, :n] = np.tile(problem.X.T, (rows // d, 1)) * self.inverse[:rows, None]
        memory.claim(8 * capacity**2)
        self.L: Array = np.empty((capacity, capacity))
        self.beta: Array = np.zeros(capacity)
        noise = problem.noise(theta)
        self.noise: Array = noise
        self._base = n
        inputs = np.ascontiguousarray(self.Z[:, :n])
        for jitter in (0.0, 1e-10, 1e-8, 1e-6):
            if factorise(self.kind, inputs, self.scale, share, noise + jitter * self.scale, self.L, _NO_SLOPES):
                break
        else:
            raise NotPositiveDefinite
        self.jitter = jitter
        self.set_outcomes(problem.y)

    def set_outcomes(self, y: Array) -> None:
        """Replaces the outcomes, shape (n,); the factor does not depend on them. O(n^2)."""
        beta = np.zeros((1, self.L.shape[0]))
        beta[0, : self.n] = y - self.constant
        solve_factor(self.L, self.L.shape[0], self.n, beta, 1, False)
        self.beta = beta[0]
        self.beta[self.n :] = 0.0

    def observe(self, X: Array, noise: Array, y: Array) -> None:
        """Adds observations by bordered updates, O(m^2) each instead of O(n^3) for a new factor.

        Blocks are counted from the factorisation, and the last one is bordered anew when it grows: the result depends
        on the observations alone, not on how they were grouped into calls.

        Args:
            X: All observed points, old and new, shape (n + k, d); conditioned points must have been released.
            noise: Their noise variances, shape (n + k,).
            y: Their outcomes, shape (n + k,).
        """
        assert self.m == self.n
        self.m = self._base + (self.n - self._base) // _BLOCK * _BLOCK
        self._append(X[self.m :], noise[self.m :])
        self.noise = noise
        self.n = self.m
        self.set_outcomes(y)

    def condition(self, U: Array) -> None:
        """Conditions on the latent function at points, shape (k, d); alone, it leaves the posterior mean as it is.

        With a little noise, ``NUGGET`` of the outputscale: thousands of points that say the same of a smooth function
        would otherwise make a factor whose inverse has no bound.
        """
        self._append(U, np.full(len(U), NUGGET * self.scale))

    def release(self) -> None:
        """Forgets all conditioned points."""
        self.m = self.n
        self.beta[self.n :] = 0.0

    def rewind(self, m: int) -> None:
        """Forgets the conditioned points after the first m rows."""
        assert self.n <= m <= self.m
        self.beta[m : self.m] = 0.0
        self.m = m

    def _append(self, U: Array, noise: Array) -> None:
        if self.m + len(U) > self.L.shape[0]:
            self.reserve(max(16, self.m // 8, len(U)))
        for start in range(0, len(U), _BLOCK):
            rows = np.array(U[start : start + _BLOCK], order="C")  # a copy: read-only arrays would be compiled for anew
            variances = np.array(noise[start : start + _BLOCK])
            append_rows(self.kind, self.scale, rows, self.inverse, self.Z, self.L, self.m, variances)
            self.m += len(rows)

    @property
    def room(self) -> int:
        """Points that can be appended before the factor has to grow."""
        left: int = self.L.shape[0] - self.m
        return left

    def reserve(self, room: int) -> None:
        """Makes room for ``room`` more points.

        Raises:
            MemoryError: If there is no memory for a larger factor beside this one; nothing has changed then.
        """
        if room <= self.room:
            return
        capacity = max(self.m + room, self.L.shape[0] * 9 // 8)  # copied now and then, not at every ask
        memory.claim(8 * capacity**2)
        Z, L, beta = np.empty((len(self.Z), capacity)), np.empty((capacity, capacity)), np.zeros(capacity)
        Z[:, : self.m], L[: self.m, : self.m], beta[: self.m] = (
            self.Z[:, : self.m],
            self.L[: self.m, : self.m],
            self.beta[: self.m],
        )
        self.Z, self.L, self.beta = Z, L, beta

    def smoothed(self, y: Array) -> Array:
        """Posterior means at the observations, shape (n,), from their outcomes: y - D K^-1 (y - c)."""
        alpha = np.zeros((1, self.L.shape[0]))
        alpha[0, : self.n] = self.beta[: self.n]
        solve_factor(self.L, self.L.shape[0], self.n, alpha, 1, True)
        means: Array = y - self.noise * alpha[0, : self.n]
        return means

    def whiten(self, U: Array, out: Array | None = None) -> Array:
        """Rows L^-1 k(u), shape (R, capacity), of which the first m entries count; in ``out`` where it is given."""
        V = np.empty((len(U), self.L.shape[0])) if out is None else out
        rows = np.array(U, order="C")  # a copy: read-only arrays would be compiled for once more
        whitened_rows(self.kind, self.scale, rows, self.inverse, self.Z, self.L, self.m, V, _NO_SLOPES)
        return V

    def covariance(self, U: Array, start: int) -> Array:
        """Prior covariance between the rows of U and the points from row ``start`` on, shape (R, m - start)."""
        k = np.empty((len(U), self.m - start))
        covariances(self.kind, self.scale, np.array(U, order="C"), self.inverse, self.Z, start, k)
        return k

    def stationary(self) -> Stationary:
        """The prior and the observed points, as tensors; not with sums."""
        assert self.kind < SUMS
        observed = torch.from_numpy(np.ascontiguousarray(self.Z[:, : self.n].T))
        return Stationary(self.name, self.scale, self.constant, torch.from_numpy(self.inverse), observed)

    def weights(self, prior: Tensor) -> Tensor:
        """K^-1 (y - c - prior) for every row of ``prior``, shape (P, n): what corrects prior paths."""
        rows = np.zeros((len(prior), self.L.shape[0]))
        rows[:, : self.n] = prior.numpy()
        solve_factor(self.L, self.L.shape[0], self.n, rows, len(rows), False)
        rows[:, : self.n] = self.beta[: self.n] - rows[:, : self.n]
        solve_factor(self.L, self.L.shape[0], self.n, rows, len(rows), True)
        return torch.from_numpy(rows[:, : self.n])

    def predict(self, U: NDArray[np.float64]) -> tuple[Array, Array]:
        """Mean and variance of the latent function at U, each of shape (R,)."""
        mean, variance = np.empty((2, len(U)))

        def some(start: int, stop: int) -> None:
            V = self.whiten(U[start:stop])[:, : self.m]
            mean[start:stop] = self.constant + V @ self.beta[: self.m]
            variance[start:stop] = np.maximum(self.scale - np.square(V).sum(-1), 1e-12)

        memory.in_pieces(some, len(U), 8 * 2 * self.L.shape[0], "predictions")
        return mean, variance
