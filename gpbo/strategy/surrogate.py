"""Keeps the model of a study current: refits when it pays, borders the factor in between.

The state between asks is a pure function of the history: the fits committed at the last ask, which later fits start
from, and nothing that a look at the model in between could change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from gpbo.data import Data
from gpbo.models import outliers
from gpbo.models.exact import MIN_KNOWN_NOISE, Problem
from gpbo.models.fit import Fit, fit
from gpbo.models.host_posterior import HostPosterior, NotPositiveDefinite
from gpbo.models.spec import Array, default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import ALL_THREADS_FROM, available, memory, one_thread
from gpbo.numerics.graphs import GRAPHS
from gpbo.strategy import clipped, sums
from gpbo.strategy.fitted import CLIPPED, SUMS, Aside, Carry, Fitted, Outliers, Posterior, carried
from gpbo.strategy.regimes import EXACT, most_modelled
from gpbo.strategy.subsets import Rows, leading, modelled, thinned
from gpbo.transforms import MAPS, OutcomeMap

_COLD_EVERY = 8  # refits between cold starts, which guard against following one local maximum for ever
_SELECT_ON = 100  # observations on which candidates are compared; with more, only the winner is fitted to more
_FIT_ON = 500  # observations to which hyperparameters are fitted; more say little and cost the cube of their number
_COMPARE_EVERY = 1 / 12  # share of new observations after which all candidates are fitted again, not only the winner


def refit_period(n: int) -> int:
    """Observations after which the hyperparameters are fitted anew: every one up to 200, then one in a hundred."""
    return 1 if n <= 200 else n // 100


class Surrogate:
    """Current model of the data, cached."""

    def __init__(self, dim: int, kernels: tuple[str, ...], exact: int = EXACT) -> None:
        self._dim = dim
        self._kernels = kernels
        self._exact = exact  # observations up to which the factor holds all of them
        self.carry: Carry | None = None
        self._current: tuple[int, torch.device, int, Fitted] | None = None
        self._committed: Fitted | None = None
        self._aside: tuple[Carry, dict[str, Aside]] | None = None  # since the last commit, and beside which model

    def commit(self) -> None:
        """Makes the current model the one that later fits start from."""
        if self._current is not None:
            self._committed = fitted = self._current[3]
            self.carry = fitted.carry
            if self._aside is not None and self._aside[0] is fitted.carry:
                self.carry = replace(fitted.carry, aside={**fitted.carry.aside, **self._aside[1]})

    def committed(self, fitted: Fitted) -> bool:
        """Whether this is the model that was committed last."""
        return fitted is self._committed

    def forget(self) -> None:
        """Drops the current model, not what later fits start from: its device is lost."""
        self._current = None

    def restore(self, carry: Carry | None) -> None:
        """Go on from fits committed elsewhere, on the same observations."""
        if carry is None or not carry.same_as(self.carry):
            self.carry, self._current = carry, None

    def get(self, data: Data, device: torch.device, hurry: bool = False) -> Fitted:
        """The model of all observations in ``data``; observations are only ever added.

        Args:
            data: What is known.
            device: Where to compute.
            hurry: Whether to put off the next refit until there are twice the observations.
        """
        n = len(data.y)
        period = max(refit_period(n), n // 2) if hurry else refit_period(n)
        if self._current is not None and self._current[:3] == (n, device, period):
            self._current[3].posterior.release()
            return self._current[3]
        given = given_noise(data)
        infer = given is None or bool(np.isnan(given).any())
        carry = self.carry
        if carry is not None and (carry.chosen.theta[1] == 0.0) == infer:
            carry = None  # noise was given for the first time: another model
        fitted, due = None, _due(n, carry)
        current = carry is not None and n - carry.n < period
        if carry is not None and (current or not due) and self._suspicious(data, infer, carry, device):
            current, due = False, True
        if carry is not None and current:
            fitted = self._extended(data, infer, carry, device)
        if fitted is None:
            fitted = self._refitted(data, infer, carry, device, due)
        self._current = (n, device, period, fitted)
        return fitted

    def guide(self, fitted: Fitted) -> Fitted:
        """What says where to look: a model of clipped outcomes where that is better at it (``clipped``).

        Args:
            fitted: What :meth:`get` returned last, which is returned otherwise.
        """
        problem, posterior = fitted.problem, fitted.posterior
        if not available() or not clipped.useful(problem) or np.isfinite(fitted.known_noise).any():
            return fitted
        rows = clipped.better(problem)
        carry, best, most = fitted.carry, fitted, clipped.MARGIN
        plain: float | None = None  # worked out where there is something to compare with
        for share in clipped.LEVELS:
            name = f"{CLIPPED} {share}"
            known = self._known(carry, name)
            due = known is None or clipped.due(len(problem.y), carry.refits - known.refits, promising=known.promising)
            made = clipped.clipped(problem, share) if known is None or due or known.promising else None
            if made is None:
                continue
            other, unit = made
            if known is None or due:
                known = self._renewed(carry, name, partial(clipped.refitted, other, carry.chosen))
            if plain is None:
                plain = clipped.predicted(posterior, rows)
            factor, density = _judged(other, known.fit, unit, rows, posterior.device)
            gain = density - plain
            if due:
                self._keep(carry, name, replace(known, promising=gain > clipped.PROMISING))
            if factor is not None and gain > most:
                most = gain
                best = replace(fitted, problem=other, theta=known.fit.theta, posterior=factor, name=name)
        return best

    def summed(self, fitted: Fitted, avoid: Array) -> Posterior | None:
        """A model with sums over single parameters to search as well; None where it has no use (``sums``).

        Args:
            fitted: What :meth:`get` returned last, or :meth:`guide` made of it.
            avoid: Points under way and failed, shape (k, d).
        """
        problem = sums.summed(fitted.problem)
        if problem is None or not available():
            return None
        carry, name = fitted.carry, f"{SUMS} {fitted.name}".strip()
        known = self._known(carry, name)
        if known is None or sums.due(len(problem.y), carry.refits - known.refits):
            known = self._keep(carry, name, self._renewed(carry, name, partial(sums.refitted, problem, fitted.theta)))
        return sums.usable(problem, known.fit, avoid)

    def _known(self, carry: Carry, name: str) -> Aside | None:
        """The last fit of a model beside the study's.

        Args:
            carry: Of the study's model.
            name: Of the model beside.
        """
        last = self.carry
        return None if last is None or last.kind != carry.kind else last.aside.get(name)

    def _renewed(self, carry: Carry, name: str, refit: Callable[..., Fit]) -> Aside:
        """The next fit of a model beside the study's.

        Args:
            carry, name: As above.
            refit: Takes the last fit, if any, and whether to start anew as well.
        """
        known = self._known(carry, name)
        since = 0 if known is None else known.refits
        cold = carry.refits // _COLD_EVERY > since // _COLD_EVERY
        return Aside(refit(None if known is None else known.fit, cold=cold), carry.refits)

    def _keep(self, carry: Carry, name: str, made: Aside) -> Aside:
        """Carries a model beside the study's on, once that has been used."""
        if self._aside is None or self._aside[0] is not carry:
            self._aside = carry, {}
        self._aside[1][name] = made
        return made

    def _problem(
        self, data: Data, rows: Rows, infer: bool, outcome_map: OutcomeMap, kernel: str, known_outliers: Outliers = ()
    ) -> Problem:
        """Some observations on the model's scale; the noise of values that were told without is inferred."""
        y = data.y[rows]
        given = given_noise(data)
        if known_outliers:
            given = np.full(len(data.y), np.nan) if given is None else given.copy()
            at, deviations = zip(*known_outliers, strict=True)
            given[list(at)] = deviations
        known = None if given is None else np.maximum(outcome_map.variance(y, given[rows]), MIN_KNOWN_NOISE)
        spec = default_spec(kernel, self._dim, infer_noise=infer)
        return Problem(spec, data.X[rows], outcome_map.forward(y), known)

    def _compared(
        self, data: Data, infer: bool, carry: Carry | None, device: torch.device, due: bool, count: int
    ) -> tuple[str, dict[str, Fit]]:
        """Fits of the candidates to ``count`` observations, and the one with the most evidence.

        All candidates are fitted when a comparison is due, otherwise the last winner alone.
        """
        n = len(data.y)
        rows = thinned(n, count)
        fits: dict[str, Fit] = {} if carry is None else dict(carry.fits)
        evidence: dict[str, float] = {}
        for kind in MAPS:
            outcome_map = OutcomeMap.of(data.y, kind)
            if outcome_map is None:
                continue
            change = outcome_map.log_derivative(data.y[rows])
            for kernel in self._kernels:
                name = f"{kind}/{kernel}"
                if not due and carry is not None and name != carry.kind:
                    continue
                problem = self._problem(data, rows, infer, outcome_map, kernel)
                previous = fits.get(name)
                tries = [fit(problem, previous, device=device)]
                lost = not np.isfinite(tries[0].log_posterior)
                if previous is not None and carry is not None and (lost or (carry.refits + 1) % _COLD_EVERY == 0):
                    tries.append(fit(problem, device=device))
                fits[name] = max(tries, key=lambda one: one.log_posterior)
                evidence[name] = fits[name].log_posterior + change
        if not evidence:  # the last winner's map has no spread any more
            return self._compared(data, infer, None, device, True, count)
        return max(evidence, key=lambda name: evidence[name]), fits

    def _divided(
        self, data: Data, carry: Carry | None, name: str, plain: Fit, count: int
    ) -> tuple[str, Fit, Outliers] | None:
        """The candidate that explains the observations best with outliers, its fit and these; None where none does.

        Args:
            data: What is known; no noise was told.
            carry: Which outliers there were.
            name: The best candidate without.
            plain: Its fit.
            count: Observations that it is a fit to.
        """
        n = len(data.y)
        rows, everything = thinned(n, count), np.arange(n)
        before = np.isin(everything, [row for row, _ in carry.outliers]) if carry is not None else None

        def made(problem: Problem, theta: Array) -> Posterior:
            return factorised(problem, theta, torch.device("cpu"))

        best: tuple[float, str, OutcomeMap, outliers.Division] | None = None
        kind, kernel = name.split("/")
        for each in (kind, *(other for other in MAPS if other != kind)):
            outcome_map = OutcomeMap.of(data.y, each)
            if outcome_map is None:
                continue
            change = outcome_map.log_derivative(data.y[rows])
            if each == kind:
                least = plain.log_posterior + change
                problem = self._problem(data, rows, True, outcome_map, kernel)
                if (before is None or not before.any()) and outliers.explained(problem, plain.theta, made):
                    return None
            division = outliers.divide(self._problem(data, everything, True, outcome_map, kernel), rows, made, before)
            if division is None or not outliers.worthwhile(division, least - change):
                continue
            if best is None or division.log_posterior + change > best[0]:
                best = division.log_posterior + change, each, outcome_map, division
        if best is None:
            return None
        _, kind, outcome_map, division = best
        at = np.flatnonzero(~np.isnan(division.variances))
        deviations = outcome_map.deviation(data.y[at], division.variances[at])
        accidents = tuple(zip(at.tolist(), deviations.tolist(), strict=True))
        problem = self._problem(data, rows, True, outcome_map, kernel, accidents)
        return f"{kind}/{kernel}", fit(problem, division.fit), accidents

    def _refitted(self, data: Data, infer: bool, carry: Carry | None, device: torch.device, due: bool) -> Fitted:
        n = len(data.y)
        compared_on, (name, fits) = memory.halving(
            lambda count: self._compared(data, infer, carry, device, due, count),
            min(n, _SELECT_ON),
            "models compared on {} observations",
        )
        chosen, found = fits[name], None
        if due and _untold(data) and n >= outliers.FEWEST and np.isfinite(chosen.log_posterior):
            look = partial(self._divided, data, carry, name, chosen, compared_on)
            found = memory.unless_refused(look, "no look for outliers")
        accidents: Outliers = ()
        if found is not None:
            name, chosen, accidents = found
        kind, kernel = name.split("/")
        outcome_map = OutcomeMap.of(data.y, kind)
        assert outcome_map is not None
        if n > _SELECT_ON:
            kept = carry is not None and carry.kind == name and carry.n > _SELECT_ON
            previous = carry.chosen if carry is not None and kept else chosen

            def fit_to(count: int) -> Fit:
                problem = self._problem(data, thinned(n, count), infer, outcome_map, kernel, accidents)
                warm = fit(problem, previous, device=device)
                return warm if np.isfinite(warm.log_posterior) else fit(problem, device=device)

            _, chosen = memory.halving(fit_to, min(n, _FIT_ON), "hyperparameters of {} observations")
        message = ""
        if not np.isfinite(chosen.log_posterior):
            chosen = replace(chosen, theta=default_spec(kernel, self._dim, infer_noise=infer).start())
            message = "the fit failed; hyperparameters at their prior"

        def factor(held: int) -> tuple[Rows, Problem, Array, Posterior]:
            rows = leading(data.y, held)
            problem = self._problem(data, rows, infer, outcome_map, kernel, accidents)
            try:
                return rows, problem, chosen.theta, factorised(problem, chosen.theta, device)
            except NotPositiveDefinite:
                theta = problem.spec.start()
                theta[1] = np.log(1e-2) if infer else 0.0
                problem = replace(problem, known=None if problem.known is None else np.maximum(problem.known, 1e-2))
                return rows, problem, theta, factorised(problem, theta, device)

        self._current = None  # its factor makes room for the new one
        holding, limit = "a model of {} observations", memory.current().limit
        held = most_modelled(n, limit, self._exact)
        if limit is None:
            held = memory.fitting(held, 8 * _copies(device), device, holding)
        held, (rows, problem, theta, posterior) = memory.halving(factor, held, holding)
        if theta is not chosen.theta:
            chosen = replace(chosen, theta=theta)
            message = "the covariance was singular; prior hyperparameters and noise of 1 % of the variance"
        if posterior.jitter and not message:
            message = f"jitter of {posterior.jitter:g} of the outputscale on the diagonal of the covariance"
        message = message or _said(accidents)
        refits = 1 if carry is None else carry.refits + 1
        compared = n if due or carry is None else carry.compared
        fits, chosen = {name: carried(each) for name, each in fits.items()}, carried(chosen)
        state = Carry(n, held, compared, refits, name, fits, chosen, accidents)
        if carry is not None and carry.kind == name:
            state = replace(state, aside=carry.aside)
        return Fitted(problem, rows, chosen.theta, outcome_map, posterior, state, True, message)

    def _suspicious(self, data: Data, infer: bool, carry: Carry, device: torch.device) -> bool:
        """Whether an observation since the last refit may be an outlier, through which a model without noise would go.

        In a study that has had outliers, the model of the last refit says; in another, an outcome is conspicuous that
        is worse than the worst by more than all differ. The answer does not depend on how observations came in.
        """
        n = len(data.y)
        kind, kernel = carry.kind.split("/")
        outcome_map = OutcomeMap.of(data.y[: carry.n], kind)
        if not _untold(data) or carry.n < outliers.FEWEST or carry.n == n or outcome_map is None:
            return False
        rows = modelled(data.y, carry.n, carry.held)
        problem = self._problem(data, rows, infer, outcome_map, kernel, carry.outliers)
        first = _first(problem, rows, carry)
        if not carry.outliers:
            return bool(problem.y[len(first.y) :].min() < first.y.min() - np.ptp(first.y))
        try:
            posterior = factorised(first, carry.chosen.theta, device)
        except NotPositiveDefinite:
            return True
        return outliers.surprising(posterior, problem, carry.chosen.theta, len(first.y))

    def _extended(self, data: Data, infer: bool, carry: Carry, device: torch.device) -> Fitted | None:
        """The last refit's model with later observations bordered on, in blocks counted from the same factor.

        None where a new observation lies beyond the end of the outcome map, or where memory for a larger factor is
        refused: then it is time to refit.

        The result does not depend on how the observations were grouped into asks, so that a study that is loaded again
        continues bit for bit.
        """
        kind, kernel = carry.kind.split("/")
        outcome_map = OutcomeMap.of(data.y[: carry.n], kind)
        if outcome_map is None or not np.isfinite(outcome_map.forward(data.y)).all():
            return None
        rows = modelled(data.y, carry.n, carry.held)
        problem = self._problem(data, rows, infer, outcome_map, kernel, carry.outliers)
        theta = carry.chosen.theta
        posterior: Posterior | None = None
        if self._current is not None and self._current[1] == device and self._current[3].carry.n == carry.n:
            posterior = self._current[3].posterior
            posterior.release()
        try:
            if posterior is None or posterior.n > len(rows):
                posterior = None  # before there is another one
                posterior = factorised(_first(problem, rows, carry), theta, device)
            if posterior.n < len(rows):
                with one_thread(len(rows) < ALL_THREADS_FROM):
                    posterior.observe(problem.X, problem.noise(theta), problem.y)
        except Exception as error:
            if not memory.refused(error):
                raise
            self._current = None
            return None
        return Fitted(problem, rows, theta, outcome_map, posterior, carry, False, _said(carry.outliers))


def _judged(
    problem: Problem, found: Fit, unit: float, rows: clipped.Mask, device: torch.device
) -> tuple[Posterior | None, float]:
    """The posterior of clipped outcomes under a fit, and how well it predicts the better ones (``clipped``)."""
    if not np.isfinite(found.log_posterior):
        return None, -np.inf
    try:
        posterior = factorised(problem, found.theta, device)
    except NotPositiveDefinite:
        return None, -np.inf
    return posterior, clipped.predicted(posterior, rows) - float(rows.sum()) * float(np.log(unit))


def _said(accidents: Outliers) -> str:
    """What the report of an ask says of them."""
    return f"outcomes far worse than the others let expect, taken for outliers: {len(accidents)}" if accidents else ""


def _first(problem: Problem, rows: Rows, carry: Carry) -> Problem:
    """The observations there were at the last refit."""
    n = int((rows < carry.n).sum())
    known = None if problem.known is None else problem.known[:n]
    return replace(problem, X=problem.X[:n], y=problem.y[:n], known=known)


def _due(n: int, carry: Carry | None) -> bool:
    """Whether all candidates are to be compared: now and then, and always where outliers distort those without."""
    return carry is None or bool(carry.outliers) or n - carry.compared >= max(1, int(n * _COMPARE_EVERY))


def part_of(fitted: Fitted, most: int, device: torch.device) -> Posterior:
    """The posterior of the leading observations alone, with the same hyperparameters."""
    problem = fitted.problem
    rows = leading(problem.y, most)
    known = None if problem.known is None else problem.known[rows]
    return factorised(replace(problem, X=problem.X[rows], y=problem.y[rows], known=known), fitted.theta, device)


def given_noise(data: Data) -> Array | None:
    """Standard deviations told with the values, NaN where none was; None if there are none, or all say exact."""
    return data.noise if data.noise is not None and np.nanmax(data.noise) > 0.0 else None


def _untold(data: Data) -> bool:
    """Whether nothing was said of noise, not even that there is none."""
    return data.noise is None or bool(np.isnan(data.noise).all())


def _copies(device: torch.device) -> int:
    """Matrices of the factor's order that making it takes."""
    return 2 if device.type == "cpu" and available() else 5


def factorised(problem: Problem, theta: Array, device: torch.device) -> Posterior:
    """The posterior on the compiled host path where it can run, else in torch.

    Where a GPU has no memory for it, what else is kept there is dropped, and it is tried once more.
    """
    if device.type == "cpu" and available():
        with one_thread(len(problem.y) < ALL_THREADS_FROM):
            return HostPosterior(problem, theta, room=max(32, len(problem.y) // 16))
    try:
        return TorchPosterior(problem, theta, device)
    except Exception as error:
        if device.type == "cpu" or not memory.refused(error):
            raise
    GRAPHS.clear()  # outside the handler, whose traceback holds the matrices that were in the way
    torch.cuda.empty_cache()
    memory.current().refusals.append("captured graphs were dropped")
    return TorchPosterior(problem, theta, device)
