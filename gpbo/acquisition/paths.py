"""Posterior sample paths that can be evaluated anywhere, for Thompson sampling.

Matheron's rule turns a prior path f into a posterior one: f(x) + k(x, X) K^-1 (y - c - f(X) - e), with e a draw of the
noise. The prior path is a sum of random cosines (Rahimi and Recht 2007), the correction is exact. A path costs O(n) an
evaluation instead of the O(n^2) of a variance, and thousands of paths share every product.

The deviation of a path from the posterior mean can be shrunk: with a factor below one, paths exploit more.

Source: Wilson et al. 2020, "Efficiently sampling functions from Gaussian process posteriors", eq. 13.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import memory
from gpbo_kernels.paths import PathSet, evaluation_bytes, path_gradients, path_values, prepared
from gpbo_kernels.paths.reference import covariance

_FEATURES = 1024
_MATERN = {"matern52": 5.0, "matern32": 3.0, "matern12": 1.0}  # twice nu: degrees of freedom of the spectral density
_DRAWN = 256  # paths whose noise is drawn at a time
_COPIES = 8  # matrices of the size of (points, features + observations) alive in one table


class Paths:
    """P posterior paths; row r of any call belongs to path ``owner[r]``. Values are outcomes, to be maximised."""

    def __init__(self, posterior: HostPosterior | TorchPosterior, deviation: Array, rng: np.random.Generator) -> None:
        """Draws the paths.

        Args:
            posterior: The model; points conditioned on are not looked at, for a path has a value of its own there.
            deviation: Factor of each path's deviation from the posterior mean, shape (P,).
            rng: Source of the draws.
        """
        model = posterior.stationary()
        self.device = model.Z.device
        n, d = model.Z.shape
        P = len(deviation)

        def tensor(values: Array) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float64, device=self.device)

        self._inverse = model.inverse
        self._centre = model.Z.mean(0)
        Z = model.Z - self._centre  # products of small numbers: distances lose less to rounding
        frequencies = rng.standard_normal((_FEATURES, d))
        if model.kind in _MATERN:
            freedom = _MATERN[model.kind]
            frequencies /= np.sqrt(rng.chisquare(freedom, (_FEATURES, 1)) / freedom)
        W = tensor(frequencies)
        phase = tensor(rng.uniform(0.0, 2.0 * math.pi, _FEATURES))
        amplitude = math.sqrt(2.0 * model.scale / _FEATURES)
        factor = tensor(deviation)[:, None]
        weights = tensor(rng.standard_normal((P, _FEATURES))) * factor
        update = torch.empty(P, n, dtype=torch.float64, device=self.device)  # first the noise, to save room
        for start in range(0, P, _DRAWN):
            update[start : start + _DRAWN] = tensor(rng.standard_normal((min(_DRAWN, P - start), n)))
        update.mul_(tensor(np.sqrt(posterior.noise))).mul_(factor)
        features = amplitude * torch.cos(Z @ W.mT + phase)  # (n, F)

        def solve(start: int, stop: int) -> None:
            prior = weights[start:stop] @ features.mT
            update[start:stop] = posterior.weights(prior + update[start:stop])

        memory.in_pieces(solve, P, 4 * 8 * n, "sample paths")
        paths = PathSet(model.kind, model.scale, model.constant, amplitude, W, phase, Z, weights, update)
        self._paths = prepared(paths)

    def __len__(self) -> int:
        return len(self._paths.weights)

    def table(self, U: Array, paths: slice) -> Array:
        """Values of some paths at all rows of U, shape (R, paths)."""
        of = self._paths
        z = torch.as_tensor(U, dtype=torch.float64, device=self.device) * self._inverse - self._centre
        P = len(range(*paths.indices(len(self))))
        values = torch.empty(len(U), P, dtype=torch.float64, device=self.device)

        def evaluate(start: int, stop: int) -> None:
            part = z[start:stop]
            prior = torch.cos(part @ of.W.mT + of.phase).mul_(of.amplitude) @ of.weights[paths].mT
            values[start:stop] = prior + covariance(of, part)[0] @ of.update[paths].mT + of.constant

        memory.in_pieces(evaluate, len(U), 8 * (_COPIES * (_FEATURES + len(of.Z)) + 2 * P), "values of paths")
        return values.cpu().numpy()

    def values(self, U: Tensor, owner: Tensor) -> Tensor:
        """Values (R,) of path ``owner[r]`` at row r."""
        z = U * self._inverse - self._centre
        values = torch.empty(len(U), dtype=U.dtype, device=self.device)

        def part(start: int, stop: int) -> None:
            values[start:stop] = path_values(self._paths, z[start:stop], owner[start:stop])

        memory.in_pieces(part, len(U), evaluation_bytes(self._paths), "values of paths")
        return values

    def evaluate(self, U: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Values (R,) and gradients (R, D) of path ``owner[r]`` at row r."""
        z = U * self._inverse - self._centre
        values = torch.empty(len(U), dtype=U.dtype, device=self.device)
        gradient = torch.empty_like(U)

        def part(start: int, stop: int) -> None:
            values[start:stop], along = path_gradients(self._paths, z[start:stop], owner[start:stop])
            gradient[start:stop] = along * self._inverse

        memory.in_pieces(part, len(U), evaluation_bytes(self._paths), "gradients of paths")
        return values, gradient

    def assigned(self, owner: NDArray[np.int64]) -> AssignedPaths:
        """An acquisition function whose row r is path ``owner[r]``."""
        return AssignedPaths(self, owner)


class AssignedPaths:
    """``Acquisition`` in which every start of a search climbs a path of its own."""

    def __init__(self, paths: Paths, owner: NDArray[np.int64]) -> None:
        self.paths = paths
        self.owner = torch.as_tensor(owner, device=paths.device)

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        points = torch.as_tensor(U, dtype=torch.float64, device=self.paths.device)
        return self.paths.values(points, self.owner).cpu().numpy()

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        points = torch.as_tensor(U, dtype=torch.float64, device=self.paths.device)
        values, gradients = self.paths.evaluate(points, self.owner)
        return values.cpu().numpy(), gradients.cpu().numpy()

    def of(self, rows: NDArray[np.int64]) -> AssignedPaths:
        """The function for points that stem from these starts."""
        return AssignedPaths(self.paths, self.owner.cpu().numpy()[rows])
