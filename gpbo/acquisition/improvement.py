"""Log expected improvement over fantasies of pending points: the acquisition that the engine maximises.

After j points have been conditioned on, the value at x is log of the mean over s of EI(x | fantasies s): quasi-Monte
Carlo over the conditioned points with fixed base samples, analytic over x. Greedy maximisation of it maximises q-EI
step by step; with no conditioned point it is exactly LogEI, and with the promising observed points conditioned on
(and no other incumbent) it is noisy EI.

Sources: Ament et al. 2023 (LogEI); Wilson, Hutter and Deisenroth 2018 (greedy batches); Letham et al. 2019 (noisy EI).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import ndtri

from gpbo.acquisition.compiled import LOG_EI, evaluate, screen_values
from gpbo.models.compiled_posterior import extend_rows
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.numerics import one_thread
from gpbo.numerics.sobol import sobol

_NO_GRADIENT = np.empty((0, 0))
DISAPPOINTMENT = 3.0
_SCREEN_SAMPLES = 16  # fantasies used to rank raw candidates; the search itself uses all


def base_normals(points: int, samples: int, seed: int) -> Array:
    """Standard normals by inverting a scrambled Sobol sequence, shape (points, samples)."""
    uniform = np.clip(sobol(points, samples, seed=seed), 1e-12, 1.0 - 1e-12)
    return np.ascontiguousarray(ndtri(uniform).T)


class Screen(Protocol):
    """A fixed set of candidates whose values follow as points are conditioned on."""

    U: Array

    def values(self) -> Array:
        """Acquisition values, shape (R,)."""


class Improvement(Protocol):
    """What a search needs of an acquisition function; points are numpy rows of the unit cube."""

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""

    def believe(self, U: Array, *, failed: bool = False) -> None:
        """Conditions on points with one outcome each, the posterior mean; only before the first ``fantasise``.

        A believed outcome that is better than the incumbent replaces it, or the same point would be proposed again a
        hair away. Points whose evaluation failed are believed to be no better than the incumbent, as far as that is
        within ``DISAPPOINTMENT`` standard deviations of what the model says.
        """

    def fantasise(self, U: Array) -> None:
        """Conditions on points one after the other, with one fantasy of each per sample."""

    def screen(self, U: Array) -> Screen:
        """The candidates U as a set to choose starts from."""


class HostImprovement:
    """``Improvement`` on a ``HostPosterior``, through compiled code."""

    def __init__(self, posterior: HostPosterior, best: float | None, normals: Array) -> None:
        """The acquisition before anything is conditioned on.

        Args:
            posterior: The model; conditioned points are appended to it, and released by its owner.
            best: Best outcome so far, standardized; None when only fantasies define the incumbent (noisy EI).
            normals: Base samples, shape (most fantasised points, S); S = 1 and no rows for plain LogEI.
        """
        self.posterior = posterior
        self.first = posterior.m
        self.normals = normals
        self.best: Array = np.full(normals.shape[1], -np.inf if best is None else best)

    @property
    def arguments(self) -> tuple[int, int, float, float, Array, Array, Array, Array, int, int, Array, Array]:
        """The leading arguments of the compiled functions, from the mode on."""
        p = self.posterior
        best, normals = self.best, self.normals
        if p.m == self.first:  # all fantasies are alike until something is conditioned on
            best, normals = best[:1], normals[:, :1]
        return (
            LOG_EI,
            p.kind,
            p.scale,
            p.constant,
            p.inverse,
            p.Z,
            p.L,
            p.beta,
            self.first,
            p.m,
            np.ascontiguousarray(normals),
            np.ascontiguousarray(best),
        )

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        V = np.empty((len(U), self.posterior.L.shape[0]))
        with one_thread():
            return evaluate(np.ascontiguousarray(U), _NO_GRADIENT, *self.arguments, V, _NO_GRADIENT)

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        U = np.ascontiguousarray(U)
        V, W = np.empty((2, len(U), self.posterior.L.shape[0]))
        gradient = np.empty_like(U)
        with one_thread():
            return evaluate(U, gradient, *self.arguments, V, W), gradient

    def believe(self, U: Array, *, failed: bool = False) -> None:
        """Conditions on points with one outcome each; see ``Improvement.believe``."""
        p = self.posterior
        assert p.m == self.first
        for u in U:
            p.condition(u[None])
            row = p.L[p.m - 1, : p.m]
            mean = p.constant + row[:-1] @ p.beta[: p.m - 1]
            if failed:
                p.beta[p.m - 1] = max(min((self.best[0] - mean) / row[-1], 0.0), -DISAPPOINTMENT)
            self.best = np.maximum(self.best, mean + row[-1] * p.beta[p.m - 1])
        self.first = p.m

    def fantasise(self, U: Array) -> None:
        """Conditions on points one after the other, with one fantasy of each per sample."""
        p = self.posterior
        for u in U:
            p.condition(u[None])
            row = p.L[p.m - 1, : p.m]  # = [l, sd]: the fantasy is c + l'beta + sum l_j z_j + sd z
            j = p.m - self.first
            if j > len(self.normals):
                self.normals = np.vstack([self.normals, np.zeros((j - len(self.normals), self.normals.shape[1]))])
            fantasy = p.constant + row @ p.beta[: p.m] + row[self.first :] @ self.normals[:j]
            self.best = np.maximum(self.best, fantasy)

    def screen(self, U: Array) -> HostScreen:
        """The candidates U as a set to choose starts from."""
        return HostScreen(self, U)


class HostScreen:
    """Whitened rows of all candidates, extended by O(m) a candidate for every point conditioned on."""

    def __init__(self, improvement: HostImprovement, U: Array) -> None:
        self.U = np.ascontiguousarray(U)
        self._improvement = improvement
        with one_thread():
            self._V = improvement.posterior.whiten(self.U)
        self._m = improvement.posterior.m

    def values(self) -> Array:
        """Acquisition values, shape (R,), on a few of the fantasies."""
        improvement, p = self._improvement, self._improvement.posterior
        if self._V.shape[1] < p.L.shape[0]:
            self._V = np.pad(self._V, ((0, 0), (0, p.L.shape[0] - self._V.shape[1])))
        for row in range(self._m, p.m):
            extend_rows(p.kind, p.scale, self.U, p.inverse, p.Z, p.L, row, self._V)
        self._m = p.m
        few = 1 if p.m == improvement.first else _SCREEN_SAMPLES
        return screen_values(
            self._V,
            p.scale,
            p.constant,
            p.beta,
            improvement.first,
            p.m,
            np.ascontiguousarray(improvement.normals[:, :few]),
            improvement.best[:few].copy(),
        )
