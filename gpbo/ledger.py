"""The record of a study: every change is one event of plain data, and replaying the events rebuilds the record.

Events are trusted here; the optimizer checks what the user hands in before it makes one. All of them survive JSON.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple, NotRequired, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpbo.data import Data
from gpbo.space import Codes, Space
from gpbo.trials import State, Trial, Trials

Floats = NDArray[np.float64]


class Timed(TypedDict):
    """Something happened at a time, in seconds since 1970, if it is known."""

    time: NotRequired[float]


class Asked(Timed):
    """Points were handed out, to a worker if it has a name; they get the next ids. Seconds: what choosing them took."""

    kind: Literal["ask"]
    codes: list[Codes]
    worker: NotRequired[str]
    seconds: NotRequired[float]


class Outcomes(Timed):
    """Per trial a value, or None if it failed; its noise, or None if unknown; why it failed, or an empty string."""

    values: list[float | None]
    noise: list[float | None]
    reasons: list[str]


class Told(Outcomes):
    """Pending trials got their outcomes."""

    kind: Literal["tell"]
    ids: list[int]


class Forgotten(Timed):
    """Pending trials were released."""

    kind: Literal["forget"]
    ids: list[int]


class Added(Outcomes):
    """Points that were never asked for came with their outcomes; they get the next ids."""

    kind: Literal["add"]
    codes: list[Codes]


class Leased(Timed):
    """Pending trials were handed out again, to another worker, or to one without a name."""

    kind: Literal["lease"]
    ids: list[int]
    worker: str | None


Event: TypeAlias = Asked | Told | Forgotten | Added | Leased


class Ask(NamedTuple):
    """One ask on record.

    Attributes:
        ids: Ids of the trials handed out.
        n: Complete trials at that time.
        time: When, in seconds since 1970; None if unknown.
        seconds: What choosing the points took; None if unknown.
    """

    ids: range
    n: int
    time: float | None
    seconds: float | None


class Ledger:
    """All trials of a study, by id.

    Args:
        space: Where the points lie.
        sign: 1.0 when maximising, -1.0 when minimising: turns a value into an outcome that is maximised.

    Attributes:
        codes: Codes of each trial.
        states: State of each trial.
        complete: Ids of complete trials, in order of telling: row i of ``Data.X`` is ``complete[i]``.
        failed: Ids of failed trials, in order of telling.
        pending: Ids of pending trials, in order of asking, and the worker that each was handed out to, if named.
        asks: Number of ask events so far.
        record_of_asks: Those events, in order.
    """

    def __init__(self, space: Space, sign: float) -> None:
        self._space, self._sign = space, sign
        self.codes: list[Codes] = []
        self.states: list[State] = []
        self._values: list[float | None] = []
        self._noise: list[float | None] = []
        self._reasons: list[str] = []
        self._asked_at: list[float | None] = []
        self._told_at: list[float | None] = []
        self.record_of_asks: list[Ask] = []
        self._U = _Rows((space.dim,))
        self.complete: list[int] = []
        self.failed: list[int] = []
        self.pending: dict[int, str | None] = {}
        self._told: list[int] = []
        self._told_X, self._told_y, self._told_noise = _Rows((space.dim,)), _Rows(()), _Rows(())
        self._noise_given = False
        self._taken: Counter[Hashable] = Counter()
        self._asked = 0
        self.asks = 0
        self._version = 0
        self._data: Data | None = None

    def apply(self, event: Event) -> None:
        """Change the record by one event."""
        self.replay([event])

    def replay(self, events: Sequence[Event]) -> None:
        """Change the record by several events, in their order, at a fraction of the time of one after the other."""
        first = len(self.codes)
        codes = [
            tuple(row) for event in events if event["kind"] == "ask" or event["kind"] == "add" for row in event["codes"]
        ]
        if codes:
            self._append(codes)
        told: list[int] = []
        for event in events:
            if event["kind"] == "ask":
                ids = range(first, first := first + len(event["codes"]))
                self.pending.update(dict.fromkeys(ids, event.get("worker")))
                self._asked += len(ids)
                self._asked_at[ids.start : ids.stop] = [event.get("time")] * len(ids)
                self.record_of_asks.append(Ask(ids, len(self.complete), event.get("time"), event.get("seconds")))
                self.asks += 1
            elif event["kind"] == "tell":
                for trial_id in event["ids"]:
                    del self.pending[trial_id]
                told += self._settle(event["ids"], event)
            elif event["kind"] == "add":
                told += self._settle(range(first, first := first + len(event["codes"])), event)
            elif event["kind"] == "forget":
                self._release(event["ids"])
            else:
                self.pending.update(dict.fromkeys(event["ids"], event["worker"]))
        if told:
            self._told_X.extend(self._U.view()[told])
            self._told_y.extend(np.array([self._values[i] for i in told], dtype=np.float64) * self._sign)
            self._told_noise.extend(np.array([self._noise[i] for i in told], dtype=np.float64))  # None becomes NaN
        self._version += len(events)

    def _append(self, codes: list[Codes]) -> None:
        """New trials with the next ids, in state pending."""
        ids = range(len(self.codes), len(self.codes) + len(codes))
        self.codes += codes
        self.states += ["pending"] * len(ids)
        self._values += [None] * len(ids)
        self._noise += [None] * len(ids)
        self._reasons += [""] * len(ids)
        self._asked_at += [None] * len(ids)
        self._told_at += [None] * len(ids)
        self._U.extend(self._space.encode_codes(codes))
        for keys in self._keys(ids):
            self._taken.update(keys)

    def _settle(self, ids: Sequence[int], outcomes: Outcomes) -> list[int]:
        """Give trials their outcomes; the complete ones among them."""
        time = outcomes.get("time")
        complete: list[int] = []
        columns = zip(ids, outcomes["values"], outcomes["noise"], outcomes["reasons"], strict=True)
        for trial_id, value, noise, reason in columns:
            self.states[trial_id] = "failed" if value is None else "complete"
            self._values[trial_id], self._noise[trial_id], self._reasons[trial_id] = value, noise, reason
            self._told_at[trial_id] = time
            (self.failed if value is None else complete).append(trial_id)
            self._noise_given |= noise is not None
        self.complete += complete
        self._told += ids
        return complete

    def _release(self, ids: list[int]) -> None:
        for trial_id, keys in zip(ids, self._keys(ids), strict=True):
            del self.pending[trial_id]
            self.states[trial_id] = "forgotten"
            for key in keys:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]

    def _keys(self, ids: Sequence[int]) -> list[set[Hashable]]:
        """For each trial its point, and the point its row decodes to, which may differ in a float's last digit."""
        decoded = self._space.keys(self.rows(ids))
        return [{self.codes[i], key} for i, key in zip(ids, decoded, strict=True)]

    def free(self, codes: Sequence[Codes]) -> bool:
        """Whether none of the points is told, pending or failed."""
        return not any(row in self._taken for row in codes)

    def trial(self, trial_id: int) -> Trial:
        """A trial as it is now."""
        return self.trials([trial_id])[0]

    def trials(self, ids: Sequence[int]) -> list[Trial]:
        """Several trials as they are now."""
        codes = [self.codes[i] for i in ids]
        params, x = self._space.params(codes), self._space.x_of_codes(codes)
        return [
            Trial(
                i,
                point,
                self.states[i],
                self._values[i],
                self._noise[i],
                self._reasons[i],
                row,
                self._asked_at[i],
                self._told_at[i],
            )
            for i, point, row in zip(ids, params, x, strict=True)
        ]

    def rows(self, ids: Sequence[int]) -> Floats:
        """Rows of the unit cube for some trials, shape (len(ids), D)."""
        chosen: Floats = self._U.view()[list(ids)]
        return chosen

    def history(self) -> Trials:
        """Complete and failed trials, in order of telling."""
        return Trials(self._told, len(self._told), self.trial)

    def data(self) -> Data:
        """The snapshot handed to the strategy; cheap, and kept until the next event."""
        if self._data is None or self._data.version != self._version:
            self._data = Data(
                X=self._told_X.view(),
                y=self._told_y.view(),
                noise=self._told_noise.view() if self._noise_given else None,
                pending=_frozen(self.rows(list(self.pending))),
                failed=_frozen(self.rows(self.failed)),
                asked=self._asked,
                taken=self._taken.keys(),
                version=self._version,
            )
        return self._data


class _Rows:
    """An array that grows at its end in amortised constant time per row; views of it never change."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._data: Floats = np.empty((16, *shape))
        self._size = 0

    def extend(self, rows: ArrayLike) -> None:
        rows = np.asarray(rows)
        size = self._size + len(rows)
        if size > len(self._data):
            grown = np.empty((max(size, 2 * len(self._data)), *self._data.shape[1:]))
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : size] = rows
        self._size = size

    def view(self) -> Floats:
        return _frozen(self._data[: self._size])


def _frozen(array: Floats) -> Floats:
    array.flags.writeable = False
    return array
