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
from gpbo.numerics.buckets import bucket
from gpbo.numerics.triangular import invert_lower
from gpbo_kernels.stationary import covariance_and_slope

_WELL_CONDITIONED = 1e5  # largest ratio on the factor's diagonal up to which its explicit inverse is used
_BLOCK = 64  # observations bordered at a time


class TorchPosterior:
    """L, L^-1, beta = L^-1 (y - c) and the scaled inputs in padded buffers, on one device.

    The explicit inverse of L turns every solve into a product, which is what a GPU is good at. It is made once after
    the factorisation, if the diagonal of L says that the factor is well conditioned and if there is memory for it, and
    bordered from then on: a new row l, s of L is the row -l L^-1 / s, 1 / s of the inverse. Otherwise (nearly duplicate
    and nearly noiseless data) there are triangular solves.

    Buffers have the size ``bucket(m)``, so that shapes stay the same for many asks. Their padding is the identity in
    L and zero everywhere else, which makes it disappear from every product.

    Attributes:
        kind: Name of the kernel.
        scale, constant: Outputscale and mean.
        inverse: Inverse lengthscales, shape (d,).
        Z: Scaled inputs, shape (size, d).
        L: Lower factor, shape (size, size).
        Li: Its inverse; None where there are triangular solves.
        beta: Shape (size,); zero in the rows of conditioned points, except for failed ones.
        n: Observations.
        m: Observations and conditioned points.
    """

    def __init__(self, problem: Problem, theta: Array, device: torch.device) -> None:
        """Factorises the covariance, in place.

        Raises:
            NotPositiveDefinite: If even jitter of a millionth of the outputscale does not help.
        """
        self.device = device
        self.kind = problem.spec.kind
        self.scale, self.constant = math.exp(theta[2]), float(theta[0])
        self.inverse = self.tensor(np.exp(-theta[3:]))
        self.n = self.m = self._base = len(problem.y)
        self.noise: Array = problem.noise(theta)
        size, n = bucket(self.n), self.n
        self.Z = _coordinates(size, self.inverse)
        self.Z[:n] = self.tensor(problem.X) * self.inverse
        self._active = (torch.arange(size, device=device) < n).to(self.Z.dtype)
        self.L = torch.empty(size, size, dtype=torch.float64, device=device)
        for jitter in (0.0, 1e-10, 1e-8, 1e-6):
            ratio = self._factorise(self.tensor(self.noise + jitter * self.scale))
            if ratio is not None:
                break
        else:
            raise NotPositiveDefinite
        self.jitter = jitter
        self.Li = self._inverted() if ratio < _WELL_CONDITIONED else None
        self.set_outcomes(problem.y)

    def _factorise(self, noise: Tensor) -> float | None:
        """Fills L; the ratio on its diagonal, or None where the covariance is not positive definite."""
        n, K = self.n, self.L

        def some(start: int, stop: int) -> None:
            some = self.Z[start:stop], self.Z[:n]
            covariance_and_slope(self.kind, *some, scale=self.scale, out=(K[start:stop, :n], None))

        memory.in_pieces(some, n, 8 * 5 * n, "a covariance matrix")
        K[:n, n:], K[n:, :n], K[n:, n:] = 0.0, 0.0, torch.eye(len(K) - n, dtype=K.dtype, device=K.device)
        K.diagonal()[:n].add_(noise)
        info = torch.empty((), dtype=torch.int32, device=K.device)
        # The upper factor of the transpose, which is how LAPACK sees the lower one of a matrix in C order: no copy.
        torch.linalg.cholesky_ex(K.mT, upper=True, out=(K.mT, info))
        diagonal = K.diagonal()[:n]
        failed, largest, smallest = torch.stack([info.to(K.dtype), diagonal.amax(), diagonal.amin()]).tolist()
        return None if failed or not smallest > 0.0 else largest / smallest

    def ratio(self) -> float:
        """Largest over smallest entry of the factor's diagonal, a measure of its condition; waits for the device."""
        diagonal = self.L.diagonal()[: self.m]
        return float((diagonal.amax() / diagonal.amin()).item())

    def _inverted(self) -> Tensor | None:
        """L^-1 with zeros as padding; None where there is no memory for it and the blocks it is made of."""
        limit = memory.current().limit
        if limit is not None and 5 * self.L.nbytes // 2 > limit:
            return None
        try:
            inverse = invert_lower(self.L)
        except Exception as error:
            if not memory.refused(error):
                raise
            inverse = None
        if inverse is None:
            memory.current().refusals.append("triangular solves instead of an inverse")
            return None
        inverse.diagonal()[self.n :] = 0.0
        return inverse

    def tensor(self, values: Array) -> Tensor:
        """A float64 tensor on the posterior's device; a copy, because the data are read-only."""
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def covariance(self, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
        """Covariance and slopes between scaled points, each (n1, n2)."""
        k, slope = covariance_and_slope(self.kind, Z1, Z2, scale=self.scale)
        assert k is not None
        assert slope is not None
        return k, slope

    def set_outcomes(self, y: Array) -> None:
        """Replaces the outcomes, shape (n,)."""
        residual = torch.zeros(1, len(self.Z), dtype=torch.float64, device=self.device)
        residual[0, : self.n] = self.tensor(y) - self.constant
        self.beta = self.solve(residual)[0]
        self.beta[self.n :] = 0.0

    def solve(self, rows: Tensor) -> Tensor:
        """L^-1 applied to every row, (R, size); what a row holds beyond m is not looked at."""
        if self.Li is not None:
            return rows @ self.Li.mT
        solved: Tensor = torch.linalg.solve_triangular(self.L, (rows * self._active).mT, upper=False).mT
        return solved

    def solve_transposed(self, rows: Tensor) -> Tensor:
        """L^-T applied to every row, (R, size)."""
        if self.Li is not None:
            return rows @ self.Li
        solved: Tensor = torch.linalg.solve_triangular(self.L.mT, (rows * self._active).mT, upper=True).mT
        return solved

    def observe(self, X: Array, noise: Array, y: Array) -> None:
        """Adds observations by bordered updates; arguments as in ``HostPosterior.observe``.

        Blocks are counted from the factorisation and are of one shape, filled up with rows that do nothing, as there:
        the result depends on the observations alone, not on how they were grouped into calls.
        """
        assert self.m == self.n
        start = self._base + (self.n - self._base) // _BLOCK * _BLOCK
        self._forget(start)
        for first in range(start, len(X), _BLOCK):
            some = slice(first, min(first + _BLOCK, len(X)))
            self._resize(bucket(first + _BLOCK))
            self._border(X[some], noise[some], _BLOCK)
        self.n, self.noise = self.m, noise
        self._resize(bucket(self.m))
        added = float(noise[start:].min()) if start < len(X) else math.inf
        doubtful = self.scale + float(noise.max()) > _WELL_CONDITIONED**2 * added
        if self.Li is not None and doubtful and self.ratio() >= _WELL_CONDITIONED:
            self.Li = None
        self.set_outcomes(y)

    def condition(self, U: Array) -> None:
        """Conditions on the latent function at points, shape (k, d); see ``HostPosterior.condition``.

        Their noise bounds what they add to the condition of the factor, so that nothing is read back to see it.
        """
        if len(U):
            self._resize(bucket(self.m + len(U)))
            self._border(U, np.full(len(U), NUGGET * self.scale), len(U))

    def release(self) -> None:
        """Forgets all conditioned points."""
        self.rewind(self.n)

    def rewind(self, m: int) -> None:
        """Forgets the conditioned points after the first m rows."""
        assert self.n <= m <= self.m
        self._forget(m)
        self._resize(bucket(m))

    def _forget(self, m: int) -> None:
        """Makes padding of the rows from m on."""
        rows = slice(m, self.m)
        if m < self.m:
            self.L[rows] = 0.0
            self.L.diagonal()[rows] = 1.0
            if self.Li is not None:
                self.Li[rows] = 0.0
            for each in (self.Z, self.beta, self._active):
                each[rows] = 0.0
        self.m = m

    def _resize(self, size: int) -> None:
        """Moves everything into buffers of another size.

        Also into smaller ones: the last bits of a product depend on the shape of its operands.
        """
        old = len(self.Z)
        if size == old:
            return
        both = min(size, old)
        for name in ("L", "Li", "Z", "beta", "_active"):
            buffer = getattr(self, name)
            if buffer is None:
                continue
            square = name in ("L", "Li")
            if name == "Z":
                moved = _coordinates(size, self.inverse)
            else:
                moved = buffer.new_zeros((size, size) if square else size)
            part = (slice(both), slice(both)) if square else slice(both)
            moved[part] = buffer[part]
            if name == "L":
                moved.diagonal()[both:] = 1.0
            setattr(self, name, moved)

    def _border(self, U: Array, noise: Array, rows: int) -> None:
        """Appends points to the factor and its inverse, as ``rows`` rows of which the last may be padding."""
        m, k = self.m, len(U)
        end, device = m + rows, self.device
        Z = torch.zeros(rows, len(self.inverse), dtype=torch.float64, device=device)
        Z[:k] = self.tensor(U) * self.inverse
        there = torch.arange(rows, device=device) < k
        variances = torch.ones(rows, dtype=torch.float64, device=device)
        variances[:k] = self.tensor(noise)
        l = self.solve(torch.where(there[:, None], self.covariance(Z, self.Z)[0], 0.0))  # noqa: E741
        prior = torch.where(there[:, None] & there, self.covariance(Z, Z)[0], 0.0)
        rest = prior - l @ l.mT
        floor = variances.clamp_min(NUGGET * self.scale)  # rounding must not make a variance smaller than its noise
        rest.diagonal().copy_(torch.maximum(rest.diagonal() + variances, floor))
        block = rest.sqrt() if rows == 1 else self._block_factor(rest, floor)
        self.Z[m:end] = Z
        self.L[m:end, :m], self.L[m:end, m:end] = l[:, :m], block
        if self.Li is not None:
            corner = block.reciprocal() if rows == 1 else invert_lower(block)
            self.Li[m:end, :m] = -corner @ (l @ self.Li)[:, :m]
            self.Li[m:end, m:end] = corner * there
        self._active[m : m + k] = 1.0
        self.m = m + k

    @staticmethod
    def _block_factor(A: Tensor, floor: Tensor) -> Tensor:
        """Cholesky factor of a small covariance whose rounding may have made it indefinite.

        Where it has, row by row, each conditional variance kept above its floor: what one point after the other gives.
        """
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(A)
        if not info.item():
            return factor
        careful = torch.zeros_like(A)
        for row in range(len(A)):
            if row:
                earlier = careful[:row, :row]
                careful[row, :row] = torch.linalg.solve_triangular(earlier, A[row, :row, None], upper=False)[:, 0]
            left = A[row, row] - careful[row, :row].square().sum()
            careful[row, row] = torch.maximum(left, floor[row]).sqrt()
        return careful

    def smoothed(self, y: Array) -> Array:
        """Posterior means at the observations, shape (n,); see ``HostPosterior.smoothed``."""
        means: Array = y - self.noise * self._from_observed(self.beta[None])[0].cpu().numpy()
        return means

    def _from_observed(self, rows: Tensor) -> Tensor:
        """L^-T of the observations' factor applied to what rows hold of them, (P, n)."""
        rows = torch.nn.functional.pad(rows[:, : self.n], (0, len(self.Z) - self.n))
        solved: Tensor = self.solve_transposed(rows)[:, : self.n]
        return solved

    def stationary(self) -> Stationary:
        """The prior and the observed points."""
        return Stationary(self.kind, self.scale, self.constant, self.inverse, self.Z[: self.n])

    def weights(self, prior: Tensor) -> Tensor:
        """K^-1 (y - c - prior) for every row of ``prior``, shape (P, n); see ``HostPosterior.weights``."""
        rows = torch.nn.functional.pad(prior, (0, len(self.Z) - self.n))
        weights: Tensor = self._from_observed(self.beta - self.solve(rows))
        return weights

    def predict(self, U: Array) -> tuple[Array, Array]:
        """Mean and variance of the latent function at U, each of shape (R,)."""
        mean, variance = np.empty((2, len(U)))

        def some(start: int, stop: int) -> None:
            V = self.solve(self.covariance(self.tensor(U[start:stop]) * self.inverse, self.Z)[0])
            mean[start:stop] = (self.constant + V @ self.beta).cpu().numpy()
            variance[start:stop] = (self.scale - V.square().sum(-1)).clamp_min(1e-12).cpu().numpy()

        memory.in_pieces(some, len(U), 8 * 5 * len(self.Z), "predictions")
        return mean, variance


def _coordinates(rows: int, like: Tensor) -> Tensor:
    """Zeros of shape (rows, d), one coordinate after the other in memory, as kernels read them."""
    columns: Tensor = like.new_zeros(len(like), rows)
    return columns.mT
