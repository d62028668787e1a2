"""What a user may choose about the strategy, and what a strategy reports about an ask."""

from __future__ import annotations

from dataclasses import dataclass

from gpbo.errors import ArgumentError
from gpbo.strategy.baselines import NAMES
from gpbo.strategy.regimes import EXACT

STRATEGIES = ("auto", *NAMES)
KERNELS = ("auto", "matern52", "matern32", "matern12", "rbf")


@dataclass(frozen=True)
class Settings:
    """Choices; each default is what the engine recommends.

    Attributes:
        kernel: "auto" fits Matern-5/2 and RBF and takes the one with more evidence; or the name of one kernel.
        n_initial: Size of the space-filling start, before the first model; None for parameters + 1, from 5 to 24.
        device: "auto", "cpu", "cuda" or "cuda:i".
        strategy: "auto" for the engine, or the name of a baseline.
        memory_limit: Bytes that the models and searches of an ask may take together; None for what is free.
        exact_limit: Observations up to which the model of the whole space holds all of them.
    """

    kernel: str = "auto"
    n_initial: int | None = None
    device: str = "auto"
    strategy: str = "auto"
    memory_limit: int | None = None
    exact_limit: int = EXACT

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ArgumentError(f"kernel={self.kernel!r} is unknown; use one of {', '.join(map(repr, KERNELS))}.")
        if self.strategy not in STRATEGIES:
            names = ", ".join(map(repr, STRATEGIES))
            raise ArgumentError(f"strategy={self.strategy!r} is unknown; use one of {names}.")

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels among which the evidence decides."""
        return ("matern52", "rbf") if self.kernel == "auto" else (self.kernel,)


@dataclass(frozen=True)
class AskReport:
    """What the last ask did.

    Attributes:
        strategy: The name of a baseline; or "design" (space-filling), "local LogEI" (in models of regions), "LogEI",
            "noisy LogEI", either of these "by enumeration", "Thompson" (sample paths); joined by " + " when a batch
            used several.
        n: Observations.
        pending: Points that were pending.
        q: Points suggested.
        device: Where the model lived.
        kernel: Kernel of the model; "" if none was used.
        fit_seconds: Time in fitting and factorising.
        acquisition_seconds: Time in searching.
        seconds: Time of the whole call; what is left of it went into space-filling points and bookkeeping.
        peak_memory: Bytes: of the device's allocator during the ask on a GPU, else the process's peak resident size so
            far; 0 where the system does not tell.
        refitted: Whether this ask refitted the hyperparameters.
        message: What had to be worked around, else "".
    """

    strategy: str
    n: int
    pending: int
    q: int
    device: str
    kernel: str
    fit_seconds: float
    acquisition_seconds: float
    seconds: float
    peak_memory: int
    refitted: bool
    message: str
