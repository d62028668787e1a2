"""What the user holds: a suggestion with its outcome, a batch of them, and the record of a study."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from gpbo.errors import SpaceError
from gpbo.markup import table
from gpbo.space import Params

if TYPE_CHECKING:
    import pandas as pd
    import torch

Floats = NDArray[np.float64]
State: TypeAlias = Literal["pending", "complete", "failed", "forgotten"]


@dataclass(frozen=True, repr=False)
class Trial:
    """One point of the search space and what is known of it; a snapshot that never changes.

    Attributes:
        id: Counts from 0 within a study.
        params: From name to plain Python value; a fresh dict each time, free to be changed.
        state: "pending", "complete", "failed" or "forgotten".
        value: The outcome in the user's scale; None unless complete.
        noise: Standard deviation of the value; None if not given.
        reason: Why it failed; empty otherwise.
        x: Native numbers, shape (n_params,), read-only; a category is the index of its choice.
        asked_at: When it was handed out, in seconds since 1970; None if it was added, or the time is unknown.
        told_at: When its outcome was recorded; None if it has none, or the time is unknown.
    """

    id: int
    _params: Params
    state: State = "pending"
    value: float | None = None
    noise: float | None = None
    reason: str = ""
    x: Floats = field(compare=False, default_factory=lambda: np.empty(0))
    asked_at: float | None = field(compare=False, default=None)
    told_at: float | None = field(compare=False, default=None)

    def __post_init__(self) -> None:
        self.x.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.x.flags.writeable = False

    @property
    def params(self) -> Params:
        """From name to plain Python value; a fresh dict each time, free to be changed."""
        return dict(self._params)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._params[name]
        except (KeyError, TypeError):
            raise SpaceError(f"Trial {self.id} has no parameter {name!r}; it has {', '.join(self._params)}.") from None

    def __hash__(self) -> int:
        return hash((self.id, self.state))

    def __repr__(self) -> str:
        outcome = "" if self.value is None else f", value={self.value!r}"
        outcome += "" if self.noise is None else f", noise={self.noise!r}"
        outcome += f", reason={self.reason!r}" if self.reason else ""
        return f"Trial(id={self.id}, params={self._params!r}, state={self.state!r}{outcome})"


class Trials(Sequence[Trial]):
    """A sequence of trials, each read from the study's record when it is looked at.

    A copy, or one that was pickled, holds the trials as they were then.

    Args:
        ids: Ids of the trials. May grow afterwards: only the first ``size`` belong to this sequence.
        size: Number of trials.
        read: From an id to the trial as it is now.
    """

    def __init__(self, ids: Sequence[int], size: int, read: Callable[[int], Trial]) -> None:
        self._ids, self._size, self._read = ids, size, read

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "Trials": ...
    def __getitem__(self, index: int | slice) -> "Trial | Trials":
        chosen = range(self._size)[index]
        if isinstance(chosen, int):
            return self._read(self._ids[chosen])
        return Trials([self._ids[i] for i in chosen], len(chosen), self._read)

    def __iter__(self) -> Iterator[Trial]:
        return (self._read(self._ids[i]) for i in range(self._size))

    def __reduce__(self) -> Any:
        return _kept, (list(self),)

    def __repr__(self) -> str:
        shown = [repr(trial) for trial in self[:3]] + [f"... {self._size} in all"] * (self._size > 3)
        return f"[{', '.join(shown)}]"

    def _repr_html_(self) -> str:
        return trials_table(f"{self._size} trials", self)

    @property
    def ids(self) -> list[int]:
        """The trials' ids."""
        return list(self._ids[: self._size])

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per trial: id, a column ``params_<name>`` per parameter, value, noise, state and reason.

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd

        rows = [
            {"id": trial.id}
            | {f"params_{name}": value for name, value in trial.params.items()}
            | {"value": trial.value, "noise": trial.noise, "state": trial.state, "reason": trial.reason}
            for trial in self
        ]
        frame = pd.DataFrame(rows)
        return frame.astype({"value": "float64", "noise": "float64"}) if rows else frame


def _kept(trials: list[Trial]) -> Trials:
    """A sequence of trials that needs no record."""
    return Trials([trial.id for trial in trials], len(trials), {trial.id: trial for trial in trials}.__getitem__)


class Batch(Sequence[Trial]):
    """Trials that were asked for, or added, together. A slice is a Batch, an index a :class:`Trial`.

    Args:
        trials: The trials, in order.
        x: Native numbers, shape (q, n_params).
        U: Rows of the unit cube, shape (q, D).
        device: Where ``u`` lies.
    """

    def __init__(self, trials: Sequence[Trial], x: Floats, U: Floats, device: "torch.device") -> None:
        self._trials, self._x, self._U, self._device = tuple(trials), x, U, device

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "Batch": ...
    def __getitem__(self, index: int | slice) -> "Trial | Batch":
        if isinstance(index, slice):
            return Batch(self._trials[index], self._x[index], self._U[index], self._device)
        return self._trials[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Batch):
            return NotImplemented
        return self._trials == other._trials

    def __hash__(self) -> int:
        return hash(self._trials)

    def __repr__(self) -> str:
        return f"Batch({list(self._trials)!r})"

    def _repr_html_(self) -> str:
        return trials_table(f"Batch of {len(self)}", self)

    @property
    def ids(self) -> list[int]:
        """The trials' ids."""
        return [trial.id for trial in self._trials]

    @property
    def params(self) -> list[Params]:
        """One dict from name to plain Python value per trial."""
        return [trial.params for trial in self._trials]

    @property
    def x(self) -> Floats:
        """Native numbers, shape (q, n_params), a copy; a category is the index of its choice."""
        return self._x.copy()

    @property
    def u(self) -> "torch.Tensor":
        """Rows of the unit cube, float64 of shape (q, D), on the optimizer's device; a copy."""
        import torch

        return torch.tensor(self._U, dtype=torch.float64, device=self._device)


def trials_table(caption: str, trials: Sequence[Trial]) -> str:
    """An HTML table for notebooks, one row per trial."""
    names = list(trials[0].params) if len(trials) else []
    rows = [[trial.id, *trial.params.values(), trial.value, trial.noise, trial.state] for trial in trials]
    return table(caption, ["id", *names, "value", "noise", "state"], rows)
