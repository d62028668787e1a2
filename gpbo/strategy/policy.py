"""Data in, suggestions out: space-filling start, model, acquisition, search."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models import SingleTaskGP

from gpbo.acquisition.stock import stock_acquisition
from gpbo.data import Data
from gpbo.errors import NotReadyError
from gpbo.models.exact import build_model
from gpbo.models.leave_one_out import leave_one_out
from gpbo.models.spec import Array
from gpbo.numerics import ALL_THREADS_FROM, available, memory, one_thread
from gpbo.numerics.sobol import sobol
from gpbo.search.candidates import Candidates, wander
from gpbo.space import Space
from gpbo.strategy.composition import Composer
from gpbo.strategy.devices import Place
from gpbo.strategy.fitted import Fitted, Posterior
from gpbo.strategy.regimes import Plan, affordable, by_sums, most_regions, plan, space_filling_start, still_spread
from gpbo.strategy.regions import Region, centres, determined, enough, regions_around
from gpbo.strategy.settings import AskReport, Settings
from gpbo.strategy.state import State, dump, load
from gpbo.strategy.subsets import Rows
from gpbo.strategy.surrogate import Surrogate, part_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

_INCUMBENTS = 8  # promising observations among which noisy EI looks for the best
_NOISY = 1e-2  # share of noise in the variance from which an inferred noise is taken for real
_ENUMERABLE = 2000  # points of a finite space that are all evaluated
_FEWEST = 64  # observations for sample paths
_CANDIDATES = 1024  # raw ones for a search of such a space after all, where memory is short


class Strategy:
    """Suggests points for one study. Not thread-safe; the optimizer holds a lock around it."""

    def __init__(self, space: Space, settings: Settings, seed: int) -> None:
        """Prepares an empty study.

        Args:
            space: The search space.
            settings: The user's choices.
            seed: Every random number of ask k depends on (seed, k) only.

        Raises:
            ArgumentError: If the device is unknown or not there.
        """
        self._space = space
        self._settings = settings
        self._seed = seed
        self._place = Place(settings.device)
        self._surrogate = Surrogate(space.dim, settings.kernels, settings.exact_limit)
        self._candidates = Candidates(space)
        self._n_initial = settings.n_initial if settings.n_initial is not None else space_filling_start(space.n_params)

    @property
    def device(self) -> torch.device:
        """Where ``Batch.u`` lives: the device the user named, the CPU for "auto"."""
        return self._place.user

    def carry_state(self) -> State | None:
        """What the next ask starts from besides the data, as plain data; None at first."""
        return dump(self._surrogate.carry)

    def restore_state(self, state: State | None) -> None:
        """Go on from what :meth:`carry_state` gave, in this process or another."""
        self._surrogate.restore(load(state, self._settings.kernels, self._space.dim))

    def suggest(self, data: Data, q: int, event: int, hurry: bool = False) -> tuple[Array, AskReport]:
        """Q distinct points, none of them told, pending or failed before.

        Args:
            data: What is known.
            q: Number of points.
            event: Index of this ask; selects its random stream.
            hurry: Whether to take what costs least per point.

        Returns:
            Rows of the unit cube, shape (q, D), and what was done. The caller has made sure that q points are left.

        Raises:
            DeviceError: If the user's GPU cannot be used in this process.
        """
        began = time.perf_counter()
        try:
            return self._suggest(data, q, event, hurry, began)
        except _Lost:
            pass
        except RuntimeError as error:  # lost before the model was looked at
            if not self._place.lost(error):
                raise
            self._surrogate.forget()
        return self._suggest(data, q, event, hurry, began)

    def _suggest(self, data: Data, q: int, event: int, hurry: bool, began: float) -> tuple[Array, AskReport]:
        rng = np.random.default_rng([self._seed, event])
        n, p = len(data.y), len(data.pending)
        device = self._place.choose(n, q)
        wanted = q if n < min(2, self._n_initial) or n == 0 else min(q, max(0, self._n_initial - n - p))
        first = data.asked
        if q == 1 and not wanted and still_spread(n + p + len(data.failed), self._n_initial, self._space.n_params):
            # go on where the start ended: every second point of the sequence would lie in one half of some dimension
            wanted, first = 1, (self._n_initial + data.asked) // 2
        used = ["design"] if wanted else []
        fit_seconds, search_seconds, kernel, refitted, message, failure = 0.0, 0.0, "", False, "", ""
        with self._budget(device) as budget:
            rows = self._design_points(data, wanted, rng, first) if wanted else np.empty((0, self._space.dim))
            if wanted < q:
                fitting = searching = time.perf_counter()
                amid = 0.0  # seconds of the search in which a model was fitted
                try:
                    _reset_peak(device)
                    with one_thread(available() and n < ALL_THREADS_FROM):  # one limit set for all fits
                        fitted = self._surrogate.get(data, device, hurry)
                    searching = time.perf_counter()
                    with one_thread(n < ALL_THREADS_FROM and q < 64):  # sample paths in large numbers gain from more
                        more, name, amid = self._search(data, fitted, rows, q - wanted, rng, hurry)
                except Exception as error:
                    if not isinstance(error, _FAILURES) and not type(error).__module__.startswith("triton"):
                        raise
                    if self._place.lost(error):
                        self._surrogate.forget()
                        raise _Lost from error
                    # Out of memory, a failure inside a library: a space-filling suggestion is worth more than none.
                    failure = f"the model failed ({type(error).__name__}: {error}); space-filling points instead"
                if failure:  # outside the handler, whose traceback holds what was in the way
                    rows, used = self._design_points(data, q, rng, first), ["design"]
                else:
                    rows = np.vstack([rows, more])
                    used.append(name)
                    refitted = fitted.refitted and not self._surrogate.committed(fitted)
                    kernel, message = fitted.problem.spec.kind, fitted.message
                    self._surrogate.commit()
                fit_seconds, search_seconds = searching - fitting + amid, time.perf_counter() - searching - amid
        trouble = "; ".join(part for part in (failure, budget.report()) if part)
        if trouble:
            logger.warning("ask(%d): %s", q, trouble)
        message = "; ".join(part for part in (self._place.notice(), message, trouble) if part)
        return rows, AskReport(
            strategy=" + ".join(used),
            n=n,
            pending=p,
            q=q,
            device=str(device),
            kernel=kernel,
            fit_seconds=fit_seconds,
            acquisition_seconds=search_seconds,
            seconds=time.perf_counter() - began,
            peak_memory=_peak_memory(device),
            refitted=refitted,
            message=message,
        )

    def prepare(self, evaluations: int) -> None:
        """Loads what the first ask with a model would load otherwise, by one on made-up data; half a second or less.

        On a new installation it compiles, which takes longer. Nothing is done where there will be no such ask.

        Args:
            evaluations: How many there will be.
        """
        if evaluations <= self._n_initial or (self._space.cardinality is not None and self._space.cardinality < 16):
            return
        X = self._space.sample(sobol(self._space.n_params, 6, seed=0))
        none = np.empty((0, self._space.dim))
        data = Data(X, np.arange(6.0), None, none, none, 6, set(self._space.keys(X)), 0)
        other = Strategy(self._space, replace(self._settings, n_initial=1), 0)
        for hurry in (False, True):
            other.suggest(data, 2, 0, hurry)

    def _design_points(self, data: Data, q: int, rng: np.random.Generator, first: int) -> Array:
        """The next points of the study's scrambled Sobol sequence, from the one at ``first`` on, that are not taken."""
        space = self._space
        chosen: dict[object, Array] = {}
        for attempt in range(4):
            U = np.empty((q, space.dim))

            def some(start: int, stop: int, first: int = first + attempt * q, U: Array = U) -> None:
                part = sobol(space.n_params, stop - start, seed=self._seed % 2**63, skip=first + start)
                U[start:stop] = space.sample(part)

            memory.in_pieces(some, q, 8 * 4 * (space.n_params + space.dim), "space-filling points")
            for u, key in zip(U, space.keys(U), strict=True):
                if key not in data.taken and len(chosen) < q:
                    chosen.setdefault(key, u)
            if len(chosen) == q:
                return np.array(list(chosen.values()))
        for u in wander(space, rng):
            (key,) = space.keys(u[None])
            if key not in data.taken:
                chosen.setdefault(key, u)
            if len(chosen) == q:
                break
        return np.array(list(chosen.values()))

    def _search(
        self, data: Data, fitted: Fitted, also: Array, q: int, rng: np.random.Generator, hurry: bool
    ) -> tuple[Array, str, float]:
        """Q points, conditioned on pending and failed points and on ``also``, how, and seconds of fitting amid it."""
        began = time.perf_counter()
        smooth, best = self._incumbents(fitted)
        plain = best is not None and best == smooth.max()  # neither noisy nor tied at the best
        guide = None if hurry or not plain else self._guide(fitted)
        if guide is not None:
            fitted, (smooth, best) = guide, self._incumbents(guide)
        amid = time.perf_counter() - began
        space, posterior, n = self._space, fitted.posterior, len(data.y)
        order = np.argsort(-smooth, kind="stable")
        X = fitted.problem.X
        baseline = X[order[:_INCUMBENTS]] if best is None else X[:0]
        taken = data.taken if not len(also) else set(data.taken) | set(space.keys(also))
        composer = Composer(space, self._candidates, data, also, taken, rng)
        if space.cardinality is not None and space.cardinality <= _ENUMERABLE:
            missing = composer.all_of(posterior, best, baseline, q)
            batch = Plan((), missing, 0, _CANDIDATES)
            around = np.empty(0, dtype=np.int64)
        else:
            around = np.empty(0, dtype=np.int64) if hurry else self._centres(data, fitted, smooth, q, plain=plain)
            batch = plan(n, q, data.asked, regions=len(around), hurry=hurry)
        missing = 0
        counts = [count for count in batch.local if count]  # those of the first regions
        for region, count in zip(self._regions(data, fitted, around[: len(counts)]), counts, strict=True):
            if region is None:
                missing += count
                continue
            with one_thread():
                missing += composer.in_region(region, count, batch.candidates)
        whole = batch.whole
        if affordable(n):  # what regions could not provide
            whole, missing = whole + missing, 0
        if whole:
            summed = None
            if best is not None and not hurry:
                began, avoid = time.perf_counter(), np.vstack([data.pending, data.failed, also])
                summed = memory.unless_refused(partial(self._surrogate.summed, fitted, avoid), "no model with sums")
                amid += time.perf_counter() - began
            add = partial(composer.in_whole, best=best, baseline=baseline, ranked=X[order])
            with one_thread(n < ALL_THREADS_FROM):
                missing += _by_both(add, posterior, summed, whole, batch.candidates)
        if batch.paths + missing:
            self._by_paths(composer, fitted, X[order], batch.paths + missing, batch.candidates, fitted.posterior.device)
        return np.array(composer.chosen.points), composer.described(), amid

    def _guide(self, fitted: Fitted) -> Fitted | None:
        """The model of clipped outcomes that says where to look instead of this one; None where there is none.

        For plain outcomes only: where they are noisy or tied at the best, how well single ones are predicted says more
        of their noise and their steps than of a model.
        """
        guide = memory.unless_refused(partial(self._surrogate.guide, fitted), "no model of clipped outcomes")
        return None if guide is None or guide is fitted or self._noisy(guide) else guide

    def _by_paths(
        self, composer: Composer, fitted: Fitted, ranked: Array, q: int, candidates: int, device: torch.device
    ) -> None:
        """Adds q points by sample paths: of the model, or where memory is short of fewer and fewer observations."""
        missing, size = composer.by_paths(fitted.posterior, ranked, q, candidates), fitted.posterior.n
        while missing and size > _FEWEST:
            size //= 2
            part = memory.unless_refused(partial(part_of, fitted, size, device), f"not {size} observations either")
            if part is not None:
                memory.current().refusals.append(f"sample paths of {size} observations")
                missing = composer.by_paths(part, ranked, missing, candidates)
        composer.anywhere(missing)

    def _centres(self, data: Data, fitted: Fitted, smooth: Array, q: int, *, plain: bool) -> Rows:
        """Observations around which parts of the space get models of their own, as far as they are worth it.

        Args:
            data: What is known.
            fitted: The model of the whole space.
            smooth: What its observations are ranked by.
            q: Points wanted.
            plain: Whether outcomes are neither noisy nor tied at the best, where a close look would see nothing.
        """
        n = len(data.y)
        most = most_regions(n, q, determined=determined(n, self._space))
        if most == 0 or not enough(n, self._space.dim) or (not plain and affordable(n)):
            return np.empty(0, dtype=np.int64)
        return centres(data, fitted, most, smooth if len(smooth) == n else data.y)

    def _regions(self, data: Data, fitted: Fitted, rows: Rows) -> Iterator[Region | None]:
        """The models around some observations; None where there is none, or no memory for it."""
        kernel = "rbf" if "rbf" in self._settings.kernels else self._settings.kernels[0]
        turn, device = determined(len(data.y), self._space), fitted.posterior.device
        return regions_around(data, fitted, rows.tolist(), kernel, noisy=self._noisy(fitted), turn=turn, device=device)

    def _incumbents(self, fitted: Fitted) -> tuple[Array, float | None]:
        """Outcomes to rank observations by, and what to improve on; None where noise hides which one is best.

        Where the best outcome was seen at more than one point, outcomes come in steps (accuracies, counts), and what a
        model promises below one step is no improvement. Then the threshold is one step above the best: as far as the
        best is above the second best.
        """
        y = fitted.problem.y
        if self._noisy(fitted):
            return _trusted(fitted), None
        best = float(y.max())
        worse = y[y < best]
        if len(worse) and len(np.unique(fitted.problem.X[y == best], axis=0)) > 1:
            return y, 2.0 * best - float(worse.max())
        return y, best

    def _noisy(self, fitted: Fitted) -> bool:
        if np.isfinite(fitted.known_noise).any():
            return True
        noise, scale = np.exp(fitted.theta[1]), np.exp(fitted.theta[2])
        return bool(noise > _NOISY * (noise + scale))

    def _use(self, data: Data, of: Callable[[Fitted], T]) -> T:
        """What a function makes of the fitted model; on the CPU if the GPU is lost meanwhile."""
        try:
            return of(self._fitted(data))
        except RuntimeError as error:
            if not self._place.lost(error):
                raise
            self._surrogate.forget()
        return of(self._fitted(data))

    def _fitted(self, data: Data) -> Fitted:
        n = len(data.y)
        if n == 0:
            raise NotReadyError("There is no model before the first successful tell; tell or add a result first.")
        device = self._place.choose(n)
        with self._look(device):  # the next ask goes on with this model, so the limit counts here as well
            return self._surrogate.get(data, device)

    def _budget(self, device: torch.device) -> AbstractContextManager[memory.Budget]:
        return memory.budget(self._settings.memory_limit, device)

    @contextmanager
    def _look(self, device: torch.device) -> Iterator[None]:
        """The budget of a look at the model, with a word in the log where it was too small."""
        with self._budget(device) as budget:
            yield
        if budget.refusals:
            logger.warning("%s", budget.report())

    def model(self, data: Data) -> SingleTaskGP:
        """The fitted model: unit cube in, standardized and maximised outcome."""

        def built(fitted: Fitted) -> SingleTaskGP:
            with warnings.catch_warnings():  # building the first model imports sympy, which installs a filter
                return build_model(fitted.problem, fitted.theta, fitted.posterior.device)

        return self._use(data, built)

    def acquisition(self, data: Data, q: int) -> AcquisitionFunction:
        """A BoTorch acquisition function for q points on the fitted model, pending points included."""
        best = self._use(data, self._incumbents)[1]
        model = self.model(data)
        pending = torch.as_tensor(np.vstack([data.pending, data.failed])).to(model.train_targets)
        return stock_acquisition(model, q, best, pending if len(pending) else None, self._seed % 2**31)

    def predict(self, data: Data, U: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the latent function at U, shape (m, D), in the user's scale, maximised."""

        def predicted(fitted: Fitted) -> tuple[Array, Array]:
            with self._look(fitted.posterior.device), one_thread(len(data.y) < ALL_THREADS_FROM):
                mean, variance = fitted.posterior.predict(U)
            return fitted.outcome_map.backward(mean, variance)

        return self._use(data, predicted)

    def leave_one_out(self, data: Data) -> tuple[Array, Array, Array]:
        """Predictions of each observation from the others: mean, deviation (user's scale, maximised), residual / sd.

        NaN for observations that the model of a very large study leaves out.
        """

        def left_out(fitted: Fitted) -> tuple[Array, Array, Array]:
            with self._look(fitted.posterior.device):
                residuals, variances = leave_one_out(fitted.posterior)
            at = np.isin(fitted.rows, fitted.outliers)  # by the noise of the others, or they would explain themselves
            if at.any():
                assert fitted.problem.known is not None
                variances[at] = np.maximum(variances - fitted.problem.known, 0.0)[at] + np.exp(fitted.theta[1])
            mean, std = fitted.outcome_map.backward(fitted.problem.y - residuals, variances)
            table = np.full((3, len(data.y)), np.nan)
            table[:, fitted.rows] = mean, std, residuals / np.sqrt(variances)
            return table[0], table[1], table[2]

        return self._use(data, left_out)

    def recommend(self, data: Data) -> int:
        """Row of the observation with the best posterior mean."""
        return self._use(data, lambda fitted: int(fitted.rows[_trusted(fitted).argmax()]))


def _by_both(add: Callable[..., int], posterior: Posterior, summed: Posterior | None, q: int, candidates: int) -> int:
    """Adds q points, some by the model with sums where there is one; returns how many memory was too short for."""
    share = 0 if summed is None else by_sums(q)
    missing = add(posterior, q=q - share, candidates=candidates) if q > share else 0
    # half the candidates: each costs a covariance a parameter
    refused = add(summed, q=share, candidates=candidates // 2) if share else 0
    return missing + (add(posterior, q=refused, candidates=candidates) if refused else 0)


def _trusted(fitted: Fitted) -> Array:
    """Posterior means of the observations, -inf for outliers: what is expected of them is not what was seen there."""
    smooth: Array = fitted.posterior.smoothed(fitted.problem.y)
    smooth[np.isin(fitted.rows, fitted.outliers)] = -np.inf
    return smooth


_FAILURES = (RuntimeError, ArithmeticError, np.linalg.LinAlgError, MemoryError)  # and Triton's, of no common class


class _Lost(Exception):
    """The GPU was lost during an ask, of which nothing was kept."""


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
