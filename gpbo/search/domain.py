"""What searches ask of the place they go about in, and of the batch they add to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpbo.models.spec import Array


class Domain(Protocol):
    """Where points lie; ``Space`` is one, and so are ``Axes``."""

    @property
    def n_params(self) -> int:
        """Number of parameters."""

    @property
    def dim(self) -> int:
        """Number of coordinates D."""

    @property
    def levels(self) -> NDArray[np.int64]:
        """Per coordinate 0 where it is continuous; see ``Space``."""

    @property
    def owner(self) -> NDArray[np.int64]:
        """Per coordinate the index of its parameter."""

    def sample(self, V: Array) -> Array:
        """Feasible rows from uniform numbers, shape (m, n_params) -> (m, D)."""

    def snap(self, U: Array) -> Array:
        """The nearest feasible rows, shape (m, D)."""

    def neighbours(self, u: Array) -> Array:
        """Feasible rows that differ from one in what is not continuous, shape (k, D)."""


class Batch(Protocol):
    """What takes up the points that a search has found; ``Chosen`` is one."""

    def take(self, offers: Iterable[Array], rng: np.random.Generator) -> Array:
        """Adds the first point of the offers that may be taken, or another one; returns it."""
