"""Log expected improvement over fantasies of pending points: the acquisition that the engine maximises.

After j points have been conditioned on, the value at x is log of the mean over s of EI(x | fantasies s): quasi-Monte
Carlo over the conditioned points with fixed base samples, analytic over x. Greedy maximisation of it maximises q-EI
step by step; with no conditioned point it is exactly LogEI, and with the promising observed points conditioned on
(and no other incumbent) it is noisy EI.

Sources: Ament et al. 2023 (LogEI); Wilson, Hutter and Deisenroth 2018 (greedy batches); Letham et al. 2019 (noisy EI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtri
from torch import Tensor

from gpbo.acquisition.compiled import LOG_EI, condition_rows, evaluate, screen_values
from gpbo.acquisition.picks import follow_one_by_one, pick_one_by_one
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.numerics import ALL_THREADS_FROM, memory, one_thread
from gpbo.numerics.sobol import sobol

Indices: TypeAlias = NDArray[np.int64]
Arguments: TypeAlias = tuple[int, int, float, float, Array, Array, Array, Array, int, Indices, Array, Array]

_NO_GRADIENT = np.empty((0, 0))
DISAPPOINTMENT = 3.0
_TOGETHER = 4  # new points from which a product beats updates one by one
_SCREEN_SAMPLES = 16  # fantasies used to rank raw candidates; the search itself uses all


def base_normals(points: int, samples: int, seed: int) -> Array:
    """Standard normals by inverting a scrambled Sobol sequence, shape (points, samples)."""
    uniform = np.clip(sobol(points, samples, seed=seed), 1e-12, 1.0 - 1e-12)
    return np.ascontiguousarray(ndtri(uniform).T)


class Acquisition(Protocol):
    """What a search needs of an acquisition function; points are numpy rows of the unit cube."""

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""

    def of(self, rows: Indices) -> Acquisition:
        """The function for points that stem from these starts of a search; where all starts share one, itself."""


class Screen(Protocol):
    """A fixed set of candidates whose values follow as points are conditioned on."""

    U: Array

    def values(self) -> Array:
        """Acquisition values, shape (R,)."""

    def shortlist(self, rows: Indices) -> Screen:
        """A set of some of the candidates, at the present state."""


class Improvement(Acquisition, Protocol):
    """An expected improvement that points can be added to."""

    def believe(self, U: Array) -> None:
        """Conditions on points with one outcome each, the posterior mean; only before the first ``fantasise``.

        A believed outcome that is better than the incumbent replaces it, or the same point would be proposed again a
        hair away.
        """

    def disappoint(self, U: Array, reference: float) -> None:
        """Conditions on points whose evaluation failed; only before the first ``fantasise``.

        They are believed to be no better than the reference, as far as that is within ``DISAPPOINTMENT`` standard
        deviations of what the model says. Where that is not far enough the incumbent is raised to what is believed, or
        the model's optimism would propose the same point again a hair away.
        """

    def fantasise(self, U: Array) -> None:
        """Conditions on points one after the other, with one fantasy of each per sample."""

    def follow(self, U: Array) -> list[Mark]:
        """Conditions on points as ``fantasise`` does; what had been conditioned on before each of them."""

    def pick(self, screen: Screen, values: Array, q: int) -> tuple[list[int], list[Mark]]:
        """Picks q candidates of a screen one after the other, each the best given those before it.

        Afterwards all picks but the last are conditioned on.

        Args:
            screen: The candidates, at least q.
            values: Their present values, which the caller has.
            q: Number of picks.

        Returns:
            Rows of the picks, all different, and what had been conditioned on before each.
        """

    def mark(self) -> Mark:
        """What has been conditioned on so far."""

    def rewind(self, mark: Mark) -> None:
        """Forgets what was conditioned on after the mark."""

    def at(self, marks: Sequence[Mark]) -> Acquisition:
        """The function in which point r is conditioned on what was there at ``marks[r]``."""

    def screen(self, U: Array) -> Screen:
        """The candidates U as a set to choose starts from."""


@dataclass(frozen=True)
class Mark:
    """A state of an improvement.

    Attributes:
        m: Observations and conditioned points.
        best: Incumbent of each fantasy, shape (S,), where the improvement is.
    """

    m: int
    best: Array | Tensor


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

    def arguments(self, R: int) -> Arguments:
        """The leading arguments of the compiled functions for R points, from the mode on."""
        p = self.posterior
        best, normals = self.best, self.normals
        if p.m == self.first:  # all fantasies are alike until something is conditioned on
            best, normals = best[:1], normals[:, :1]
        ends = np.full(R, p.m)
        return (LOG_EI, *_model(p), self.first, ends, np.ascontiguousarray(normals), best[None].copy())

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        return _values(self, U)

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        return _values_and_gradients(self, U)

    def of(self, rows: Indices) -> HostImprovement:
        """Itself: all starts share one function."""
        return self

    def believe(self, U: Array) -> None:
        """Conditions on points with one outcome each; see ``Improvement.believe``."""
        p = self.posterior
        assert p.m == self.first
        p.condition(U)
        for m in range(self.first, p.m):
            self.best = np.maximum(self.best, p.constant + p.L[m, :m] @ p.beta[:m])
        self.first = p.m

    def disappoint(self, U: Array, reference: float) -> None:
        """Conditions on points whose evaluation failed; see ``Improvement.disappoint``."""
        p = self.posterior
        assert p.m == self.first
        p.condition(U)
        for m in range(self.first, p.m):
            mean = p.constant + p.L[m, :m] @ p.beta[:m]
            p.beta[m] = max(min((reference - mean) / p.L[m, m], 0.0), -DISAPPOINTMENT)
            self.best = np.maximum(self.best, mean + p.L[m, m] * p.beta[m])
        self.first = p.m

    def fantasise(self, U: Array) -> None:
        """Conditions on points one after the other, with one fantasy of each per sample."""
        p = self.posterior
        start = p.m
        p.condition(U)
        missing = p.m - self.first - len(self.normals)
        if missing > 0:
            self.normals = np.vstack([self.normals, np.zeros((missing, self.normals.shape[1]))])
        for m in range(start + 1, p.m + 1):
            row = p.L[m - 1, :m]  # = [l, sd]: the fantasy is c + l'beta + sum l_j z_j + sd z
            fantasy = p.constant + row @ p.beta[:m] + row[self.first :] @ self.normals[: m - self.first]
            self.best = np.maximum(self.best, fantasy)

    def follow(self, U: Array) -> list[Mark]:
        """Conditions on points as ``fantasise`` does; what had been conditioned on before each of them."""
        return follow_one_by_one(self, U)

    def pick(self, screen: Screen, values: Array, q: int) -> tuple[list[int], list[Mark]]:
        """Picks q candidates one after the other; see ``Improvement.pick``."""
        return pick_one_by_one(self, screen, values, q)

    def mark(self) -> Mark:
        """What has been conditioned on so far."""
        return Mark(self.posterior.m, self.best)

    def rewind(self, mark: Mark) -> None:
        """Forgets what was conditioned on after the mark."""
        self.posterior.rewind(mark.m)
        self.best = np.asarray(mark.best)

    def at(self, marks: Sequence[Mark]) -> HostPrefixes:
        """The function in which point r is conditioned on what was there at ``marks[r]``."""
        return HostPrefixes(self, np.array([mark.m for mark in marks]), np.array([mark.best for mark in marks]))

    def screen(self, U: Array) -> HostScreen:
        """The candidates U as a set to choose starts from."""
        return HostScreen(self, U)


class HostPrefixes:
    """A ``HostImprovement`` whose points see different numbers of the conditioned points."""

    def __init__(self, improvement: HostImprovement, ends: Indices, best: Array) -> None:
        self._improvement, self._ends, self._best = improvement, ends, best
        self.posterior = improvement.posterior

    def arguments(self, R: int) -> Arguments:
        """The leading arguments of the compiled functions, from the mode on; R is the number of marks."""
        assert len(self._ends) == R
        base = self._improvement
        return (
            LOG_EI,
            *_model(base.posterior),
            base.first,
            self._ends,
            np.ascontiguousarray(base.normals),
            np.ascontiguousarray(self._best),
        )

    def values(self, U: Array) -> Array:
        """Values at the rows of U, shape (R,)."""
        return _values(self, U)

    def values_and_gradients(self, U: Array) -> tuple[Array, Array]:
        """Values (R,) and gradients (R, D)."""
        return _values_and_gradients(self, U)

    def of(self, rows: Indices) -> HostPrefixes:
        """The function for points that stem from these rows."""
        return HostPrefixes(self._improvement, self._ends[rows], self._best[rows])


def _model(p: HostPosterior) -> tuple[int, float, float, Array, Array, Array, Array]:
    return p.kind, p.scale, p.constant, p.inverse, p.Z, p.L, p.beta


def _values(acquisition: HostImprovement | HostPrefixes, U: Array) -> Array:
    U = np.ascontiguousarray(U)
    values = np.empty(len(U))

    def evaluate_some(start: int, stop: int) -> None:
        arguments = acquisition.of(np.arange(start, stop)).arguments(stop - start)
        V = np.empty((stop - start, arguments[6].shape[0]))
        values[start:stop] = evaluate(U[start:stop], _NO_GRADIENT, *arguments, V, _NO_GRADIENT)

    with one_thread(acquisition.posterior.m < ALL_THREADS_FROM):
        memory.in_pieces(evaluate_some, len(U), 8 * acquisition.posterior.L.shape[0], "values of the acquisition")
    return values


def _values_and_gradients(acquisition: HostImprovement | HostPrefixes, U: Array) -> tuple[Array, Array]:
    U = np.ascontiguousarray(U)
    values, gradient = np.empty(len(U)), np.empty_like(U)

    def evaluate_some(start: int, stop: int) -> None:
        arguments = acquisition.of(np.arange(start, stop)).arguments(stop - start)
        V, W = np.empty((2, stop - start, arguments[6].shape[0]))
        values[start:stop] = evaluate(U[start:stop], gradient[start:stop], *arguments, V, W)

    with one_thread():
        memory.in_pieces(evaluate_some, len(U), 16 * acquisition.posterior.L.shape[0], "gradients of the acquisition")
    return values, gradient


class HostScreen:
    """Moments at all candidates, brought up to date by O(m) a candidate for every point conditioned on."""

    def __init__(self, improvement: HostImprovement, U: Array) -> None:
        p, first = improvement.posterior, improvement.first
        self.U = np.ascontiguousarray(U)
        self._improvement = improvement
        self._m = p.m
        normals = improvement.normals[: p.m - first, :_SCREEN_SAMPLES]
        self._V = np.empty((len(U), p.L.shape[0]))
        self._mean, self._variance = np.empty((2, len(U)))
        self._shifts = np.empty((len(U), normals.shape[1]))

        def some(start: int, stop: int) -> None:
            V = p.whiten(self.U[start:stop], self._V[start:stop])[:, : p.m]
            self._mean[start:stop] = p.constant + V @ p.beta[: p.m]
            self._variance[start:stop] = p.scale - np.square(V).sum(-1)
            self._shifts[start:stop] = V[:, first:] @ normals

        with one_thread(p.m < ALL_THREADS_FROM):
            memory.in_pieces(some, len(U), 8 * p.L.shape[0], "moments of candidates")

    def values(self) -> Array:
        """Acquisition values, shape (R,), on a few of the fantasies."""
        improvement, p = self._improvement, self._improvement.posterior
        if self._V.shape[1] < p.L.shape[0]:
            self._V = np.pad(self._V, ((0, 0), (0, p.L.shape[0] - self._V.shape[1])))
        normals, first = improvement.normals, improvement.first
        if p.m - self._m >= _TOGETHER:
            with one_thread(p.m < ALL_THREADS_FROM):
                self._extend()
        for row in range(self._m, p.m):
            z = normals[row - first, :_SCREEN_SAMPLES].copy() if row >= first else np.zeros(0)
            moments = self._mean, self._variance, self._shifts
            condition_rows(p.kind, p.scale, self.U, p.inverse, p.Z, p.L, p.beta, row, z, self._V, *moments)
        self._m = p.m
        few = 1 if p.m == first else self._shifts.shape[1]
        shifts = np.ascontiguousarray(self._shifts[:, :few])
        values = screen_values(self._mean, self._variance, shifts, improvement.best[:few].copy())
        if np.isnan(values).any():
            raise ArithmeticError("the acquisition function is undefined")
        return values

    def _extend(self) -> None:
        """Moments after several points were conditioned on, by one matrix product."""
        improvement, p, old = self._improvement, self._improvement.posterior, self._m
        V, rows = self._V, p.L[old : p.m, : p.m]
        part = p.covariance(self.U, old) - V[:, :old] @ rows[:, :old].T
        new = solve_triangular(rows[:, old:], part.T, lower=True, check_finite=False).T
        V[:, old : p.m] = new
        self._mean += new @ p.beta[old : p.m]
        self._variance -= np.square(new).sum(-1)
        skipped = max(improvement.first - old, 0)
        normals = improvement.normals[old + skipped - improvement.first : p.m - improvement.first]
        self._shifts += new[:, skipped:] @ normals[:, :_SCREEN_SAMPLES]
        self._m = p.m

    def shortlist(self, rows: Indices) -> HostScreen:
        """A set of some of the candidates, at the present state."""
        short = HostScreen.__new__(HostScreen)
        short._improvement, short._m, short.U = self._improvement, self._m, self.U[rows]
        short._V, short._mean, short._variance = self._V[rows], self._mean[rows], self._variance[rows]
        short._shifts = self._shifts[rows]
        return short
