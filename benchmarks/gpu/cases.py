"""What is measured, in an order of importance: fits and asks, of whom, where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SIZES = (100, 1000, 4000, 10000, 30000)
DIMENSIONS = (20, 6, 100)
BATCHES = (1, 8, 100, 1000, 10000)
SLOWEST = 20.0  # seconds after which a call is cut
_BRIEFEST = 5.0  # seconds that a call is given in any case
_ENOUGH = 40.0  # times ours on the GPU, after which nothing more is learnt about a ratio


@dataclass(frozen=True)
class Case:
    """A fit or an ask, of one provider on one device.

    Attributes:
        task: "evaluate" (the log posterior of the hyperparameters once, and its gradient), "fit" or "ask".
        n: Observations.
        d: Dimensions.
        q: Points of an ask, else 0.
        provider: "gpbo" or "botorch".
        device: "gpu", "cpu", or "auto" where gpbo chooses.
    """

    task: str
    n: int
    d: int
    q: int
    provider: str
    device: str

    @property
    def name(self) -> str:
        """What lines and messages call it."""
        return f"{self.what}/n{self.n}-d{self.d}/{self.provider}-{self.device}"

    @property
    def what(self) -> str:
        """Task, with the number of points."""
        return f"ask({self.q})" if self.task == "ask" else self.task

    @property
    def rank(self) -> int:
        """Place among the tasks at one size, of which each contains, or is more of, the one before."""
        return self.q if self.task == "ask" else {"evaluate": -2, "fit": -1}[self.task]

    @property
    def modes(self) -> tuple[str, ...]:
        """What is measured of it, in this order.

        An ask of ours is "cold" when it knows nothing but the data, "next" after the value of one suggestion, "refit"
        after so many new values that hyperparameters are due. Up to 200 observations every value makes them due, so
        that "next" refits there.
        """
        if self.task == "evaluate":
            return ("once",)
        if self.task == "fit" or self.provider == "botorch":
            return ("cold",)
        return ("cold", "next", "refit") if self.q == 1 and self.n > 200 else ("cold", "next")

    def contains(self, other: Case) -> bool:
        """Whether stock BoTorch cannot be faster here than there: as many dimensions, no less of the rest."""
        same = (self.provider, self.device, self.d) == (other.provider, other.device, other.d)
        return same and self.n >= other.n and self.rank >= other.rank


@dataclass(frozen=True)
class Matrix:
    """The sizes of a run.

    Attributes:
        sizes, dimensions, batches: Of which every combination is a case.
        first: Cells (task, n, q) in the first of the dimensions that come before all others: those with a target.
    """

    sizes: tuple[int, ...] = SIZES
    dimensions: tuple[int, ...] = DIMENSIONS
    batches: tuple[int, ...] = BATCHES
    first: tuple[tuple[str, int, int], ...] = (
        ("ask", 500, 1),
        ("ask", 4000, 1),
        ("ask", 10000, 1),
        ("ask", 10000, 1000),
        ("ask", 10000, 10000),
        ("evaluate", 30000, 0),
        ("ask", 30000, 1),
    )


TINY = Matrix((16,), (3, 2), (1, 3), (("ask", 20, 1), ("evaluate", 24, 0)))

_SMALL = 1000  # observations up to which all sides are compared before anything larger
_EVERYBODY = (("gpbo", "gpu"), ("botorch", "gpu"), ("gpbo", "auto"), ("gpbo", "cpu"), ("botorch", "cpu"))
_GROUPS = (  # (of the first of the dimensions, small): whose cases, one after the other in each cell
    (True, True, _EVERYBODY),
    (True, False, _EVERYBODY[:2]),
    (False, True, _EVERYBODY[:1]),
    (False, False, _EVERYBODY[:1]),
    (True, False, _EVERYBODY[2:]),
    (False, True, _EVERYBODY[1:]),
    (False, False, _EVERYBODY[1:]),
)


def ordered(matrix: Matrix) -> list[Case]:
    """All cases, each once: our own of the targets, then the sides of a comparison together, small ones first."""
    return list(dict.fromkeys(_in_groups(matrix)))


def _in_groups(matrix: Matrix) -> Iterator[Case]:
    leading, *others = matrix.dimensions
    for provider in ("gpbo", "botorch"):
        yield from (Case(task, n, leading, q, provider, "gpu") for task, n, q in matrix.first)
    for first, small, sides in _GROUPS:
        for d in [leading] if first else others:
            cells = sorted({*_cells(matrix), *matrix.first} if first else {*_cells(matrix)}, key=_by_size)
            for task, n, q in cells:
                if (n <= _SMALL) == small:
                    for provider, device in sides:
                        if device != "auto" or task == "ask":  # only an ask chooses its device
                            yield Case(task, n, d, q, provider, device)


def _by_size(cell: tuple[str, int, int]) -> tuple[int, int, int]:
    task, n, q = cell
    return n, ("evaluate", "fit", "ask").index(task), q


def _cells(matrix: Matrix) -> Iterator[tuple[str, int, int]]:
    for n in matrix.sizes:
        yield "evaluate", n, 0
        yield "fit", n, 0
        yield from (("ask", n, q) for q in matrix.batches)


def limit(case: Case, ours: float | None) -> float:
    """Seconds after which a call is cut.

    Args:
        case: What is called.
        ours: Seconds that gpbo took for the same on the GPU; None if that is not known.
    """
    if (case.provider, case.device) == ("gpbo", "gpu") or ours is None:
        return SLOWEST
    return min(SLOWEST, max(_BRIEFEST, _ENOUGH * ours))


def contained(case: Case, cut: Iterable[Case]) -> Case | None:
    """A case of stock BoTorch's that was cut or had no memory, and that this one contains; None if there is none."""
    if case.provider != "botorch":
        return None
    return next((other for other in cut if case.contains(other)), None)
