"""Keeps the model of a study current: refits when it pays, borders the factor in between.

The state between asks is a pure function of the history: the fits committed at the last ask, which later fits start
from, and nothing that a look at the model in between could change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from gpbo.data import Data
from gpbo.models.exact import MIN_KNOWN_NOISE, Problem
from gpbo.models.fit import Fit, fit
from gpbo.models.host_posterior import HostPosterior, NotPositiveDefinite
from gpbo.models.spec import Array, default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available
from gpbo.transforms import Standardizer

Posterior = HostPosterior | TorchPosterior

_COLD_EVERY = 8  # refits between cold starts, which guard against following one local maximum for ever
_SELECT_ON = 300  # observations on which kernels are compared; with more, only the winner is fitted to all of them


@dataclass(frozen=True)
class Carry:
    """What the next fit starts from.

    Attributes:
        n: Observations at the last refit.
        refits: Refits so far.
        kind: Kernel with the most evidence.
        fits: The last fit of every kernel, to at most ``_SELECT_ON`` observations.
        chosen: The fit of ``kind`` to all observations.
    """

    n: int
    refits: int
    kind: str
    fits: dict[str, Fit]
    chosen: Fit

    def same_as(self, other: Carry | None) -> bool:
        """Whether the next fit would start from the very same numbers."""
        return (
            other is not None
            and (self.n, self.refits, self.kind) == (other.n, other.refits, other.kind)
            and np.array_equal(self.chosen.theta, other.chosen.theta)
            and all(np.array_equal(fit.theta, other.fits[kind].theta) for kind, fit in self.fits.items())
        )


@dataclass(frozen=True)
class Fitted:
    """A model of all observations.

    Attributes:
        problem: Specification and data, standardized as at the last refit.
        theta: Hyperparameters.
        standardizer: Between the user's scale and the model's.
        posterior: The factor; conditioned points are for the caller to release.
        carry: What the next fit starts from once this model has been used for an ask.
        refitted: Whether the hyperparameters are new.
        message: What had to be worked around, else "".
    """

    problem: Problem
    theta: Array
    standardizer: Standardizer
    posterior: Posterior
    carry: Carry
    refitted: bool
    message: str


def refit_period(n: int) -> int:
    """Observations after which the hyperparameters are fitted anew: every one up to 200, then one in a hundred."""
    return 1 if n <= 200 else n // 100


class Surrogate:
    """Current model of the data, cached."""

    def __init__(self, dim: int, kernels: tuple[str, ...]) -> None:
        self._dim = dim
        self._kernels = kernels
        self.carry: Carry | None = None
        self._current: tuple[int, torch.device, Fitted] | None = None

    def commit(self) -> None:
        """Makes the current model the one that later fits start from."""
        if self._current is not None:
            self.carry = self._current[2].carry

    def restore(self, carry: Carry | None) -> None:
        """Go on from fits committed elsewhere, on the same observations."""
        if carry is None or not carry.same_as(self.carry):
            self.carry, self._current = carry, None

    def get(self, data: Data, device: torch.device) -> Fitted:
        """The model of all observations in ``data``; observations are only ever added."""
        n = len(data.y)
        if self._current is not None and self._current[:2] == (n, device):
            self._current[2].posterior.release()
            return self._current[2]
        infer = data.noise is None or not np.nanmax(data.noise) > 0.0
        carry = self.carry
        if carry is not None and (carry.chosen.theta[1] == 0.0) == infer:
            carry = None  # noise was given for the first time: another model
        if carry is not None and n - carry.n < refit_period(n):
            fitted = self._extended(data, infer, carry, device)
        else:
            fitted = self._refitted(data, infer, carry, device)
        self._current = (n, device, fitted)
        return fitted

    def _problem(
        self, data: Data, rows: int, infer: bool, standardizer: Standardizer, kind: str, settled: int | None = None
    ) -> Problem:
        """Standardized data; values told without noise, among others with noise, get the median of those.

        Only the first ``settled`` count for that median, so that between refits it does not move.
        """
        known = None
        if not infer:
            assert data.noise is not None
            std = np.where(np.isnan(data.noise), np.nanmedian(data.noise[:settled]), data.noise)[:rows]
            known = np.maximum(standardizer.variance(std), MIN_KNOWN_NOISE)
        spec = default_spec(kind, self._dim, infer_noise=infer)
        return Problem(spec, data.X[:rows], standardizer.forward(data.y[:rows]), known)

    def _refitted(self, data: Data, infer: bool, carry: Carry | None, device: torch.device) -> Fitted:
        n = len(data.y)
        standardizer = Standardizer.of(data.y)
        fits: dict[str, Fit] = {}
        for kind in self._kernels:
            problem = _thinned(self._problem(data, n, infer, standardizer, kind))
            previous = None if carry is None else carry.fits[kind]
            tries = [fit(problem, previous, device=device)]
            lost = not np.isfinite(tries[0].log_posterior)
            if carry is not None and (lost or (carry.refits + 1) % _COLD_EVERY == 0):
                tries.append(fit(problem, device=device))
            fits[kind] = max(tries, key=lambda one: one.log_posterior)
        kind = max(self._kernels, key=lambda one: fits[one].log_posterior)
        problem = self._problem(data, n, infer, standardizer, kind)
        chosen = fits[kind]
        if n > _SELECT_ON:
            same = carry is not None and carry.kind == kind and carry.n > _SELECT_ON
            chosen = fit(problem, carry.chosen if same and carry is not None else chosen, device=device)
            if not np.isfinite(chosen.log_posterior):
                chosen = fit(problem, device=device)
        message = ""
        if not np.isfinite(chosen.log_posterior):
            chosen = replace(chosen, theta=problem.spec.start())
            message = "the fit failed; hyperparameters at their prior"
        try:
            posterior = _factorised(problem, chosen.theta, device)
        except NotPositiveDefinite:
            theta = problem.spec.start()
            theta[1] = np.log(1e-2) if infer else 0.0
            problem = replace(problem, known=None if problem.known is None else np.maximum(problem.known, 1e-2))
            chosen = replace(chosen, theta=theta)
            posterior = _factorised(problem, theta, device)
            message = "the covariance was singular; prior hyperparameters and noise of 1 % of the variance"
        state = Carry(n, 1 if carry is None else carry.refits + 1, kind, fits, chosen)
        return Fitted(problem, chosen.theta, standardizer, posterior, state, True, message)

    def _extended(self, data: Data, infer: bool, carry: Carry, device: torch.device) -> Fitted:
        """The last refit's model with later observations bordered on, always one by one from the same factor.

        The result does not depend on how the observations were grouped into asks, so that a study that is loaded again
        continues bit for bit.
        """
        standardizer = Standardizer.of(data.y[: carry.n])
        problem = self._problem(data, len(data.y), infer, standardizer, carry.kind, carry.n)
        theta = carry.chosen.theta
        posterior: Posterior | None = None
        if self._current is not None and self._current[1] == device and self._current[2].carry.n == carry.n:
            posterior = self._current[2].posterior
            posterior.release()
        if posterior is None or posterior.n > len(data.y):
            first = self._problem(data, carry.n, infer, standardizer, carry.kind, carry.n)
            posterior = _factorised(first, theta, device)
        new = slice(posterior.n, None)
        noise = np.full(len(data.y), np.exp(theta[1])) if problem.known is None else problem.known
        if posterior.n < len(data.y):
            posterior.observe(data.X[new], noise[new], problem.y)
        return Fitted(problem, theta, standardizer, posterior, carry, False, "")


def _thinned(problem: Problem) -> Problem:
    """At most ``_SELECT_ON`` observations, spread evenly over the order of telling."""
    n = len(problem.y)
    if n <= _SELECT_ON:
        return problem
    rows = np.linspace(0, n - 1, _SELECT_ON).astype(np.int64)
    known = None if problem.known is None else problem.known[rows]
    return replace(problem, X=problem.X[rows], y=problem.y[rows], known=known)


def _factorised(problem: Problem, theta: Array, device: torch.device) -> Posterior:
    if device.type == "cpu" and available():
        return HostPosterior(problem, theta)
    return TorchPosterior(problem, theta, device)
