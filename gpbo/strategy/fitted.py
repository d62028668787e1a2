"""A fitted model of a study, and what the next fit starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from gpbo.models.exact import Problem
from gpbo.models.fit import Fit
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import Array
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.strategy.subsets import Rows
from gpbo.transforms import OutcomeMap

Posterior = HostPosterior | TorchPosterior
Outliers: TypeAlias = tuple[tuple[int, float], ...]  # rows and standard deviations on the user's scale

SUMS, CLIPPED = "sums", "clipped"  # models beside the study's; the first also beside the second
MOST_CURVATURE = 64  # hyperparameters whose whole curvature is carried


@dataclass(frozen=True)
class Aside:
    """The fit of a model that stands beside the study's and only says where to look.

    Attributes:
        fit: The last one.
        refits: Refits of the study's model at the time of it.
        promising: Whether it was of use then, or nearly, so that it is looked at for every ask.
    """

    fit: Fit
    refits: int
    promising: bool = True


@dataclass(frozen=True)
class Carry:
    """What the next fit starts from.

    Attributes:
        n: Observations at the last refit.
        held: Most of them that the factor holds.
        compared: Observations at the last comparison of all candidates.
        refits: Refits so far.
        kind: The candidate with the most evidence, "map/kernel".
        fits: The last fit of every candidate, to as many observations as candidates are compared on.
        chosen: The fit of ``kind`` to as many as hyperparameters are fitted to.
        outliers: Rows taken for outliers, each with the standard deviation of its noise on the user's scale.
        aside: By name, models that stand beside that of ``kind``.
    """

    n: int
    held: int
    compared: int
    refits: int
    kind: str
    fits: dict[str, Fit]
    chosen: Fit
    outliers: Outliers = ()
    aside: Mapping[str, Aside] = field(default_factory=dict)

    def same_as(self, other: Carry | None) -> bool:
        """Whether the next fit would start from the very same numbers."""
        return (
            other is not None
            and (self.n, self.held, self.compared) == (other.n, other.held, other.compared)
            and (self.refits, self.kind, self.outliers) == (other.refits, other.kind, other.outliers)
            and self.fits.keys() == other.fits.keys()
            and _same(self.chosen, other.chosen)
            and all(_same(fit, other.fits[kind]) for kind, fit in self.fits.items())
            and self.aside.keys() == other.aside.keys()
            and all(_same_aside(one, other.aside[name]) for name, one in self.aside.items())
        )


def _same(one: Fit, other: Fit) -> bool:
    return np.array_equal(one.theta, other.theta) and np.array_equal(one.curvature, other.curvature)


def _same_aside(one: Aside, other: Aside) -> bool:
    return (one.refits, one.promising) == (other.refits, other.promising) and _same(one.fit, other.fit)


def carried(fit: Fit) -> Fit:
    """The part of a fit that is carried: in many dimensions the diagonal of the curvature, for it goes into storage."""
    if len(fit.theta) <= MOST_CURVATURE:
        return fit
    return replace(fit, curvature=np.diag(fit.curvature.diagonal()))


@dataclass(frozen=True)
class Fitted:
    """A model of all observations.

    Attributes:
        problem: Specification and data, standardized as at the last refit.
        rows: Which observations the problem holds, shape (n,); all of them as long as a factor of all is affordable.
        theta: Hyperparameters.
        outcome_map: Between the user's scale and the model's.
        posterior: The factor; conditioned points are for the caller to release.
        carry: What the next fit starts from once this model has been used for an ask.
        refitted: Whether the hyperparameters are new.
        message: What had to be worked around, else "".
        name: Of the model beside the study's that this is, else "".
    """

    problem: Problem
    rows: Rows
    theta: Array
    outcome_map: OutcomeMap
    posterior: Posterior
    carry: Carry
    refitted: bool
    message: str
    name: str = ""

    @property
    def outliers(self) -> Rows:
        """Observations whose outcomes are taken for accidents, worse than the rest lets expect."""
        return np.array([row for row, _ in self.carry.outliers], dtype=np.int64)

    @property
    def known_noise(self) -> Array:
        """Noise variances that were told, NaN elsewhere, shape (n,)."""
        if self.problem.known is None:
            return np.full(len(self.problem.y), np.nan)
        return np.where(np.isin(self.rows, self.outliers), np.nan, self.problem.known)
