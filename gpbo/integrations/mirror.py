"""The engine behind a study that another tool keeps: follows that record, and suggests."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpbo.ledger import Event, Ledger, Outcomes
from gpbo.space import Codes, Space
from gpbo.strategy import Settings, Strategy


@dataclass(frozen=True)
class Outcome:
    """How a trial of the other tool ended.

    Attributes:
        key: What the other tool calls it.
        codes: The point that was evaluated.
        value: Its finite value, or None if there is none.
        reason: Why there is none, else empty.
    """

    key: Hashable
    codes: Codes
    value: float | None
    reason: str = ""


class Mirror:
    """A ledger that is brought into step with the other record before every suggestion; the model grows with it.

    Not thread-safe.

    Args:
        space: The search space.
        maximize: Whether large values are good.
        settings: The user's choices.
        seed: Suggestions depend on it, on what is recorded and on the number of the suggestion.
    """

    def __init__(self, space: Space, maximize: bool, settings: Settings, seed: int) -> None:
        self.space = space
        self._ledger = Ledger(space, 1.0 if maximize else -1.0)
        self._strategy = Strategy(space, settings, seed)
        self._events: list[Event] = []
        self._open: dict[Hashable, int] = {}  # ids of pending trials by key
        self._settled: set[Hashable] = set()
        self._tried: set[Codes] = set()

    def tried(self, codes: Codes) -> bool:
        """Whether the outcome of that point is recorded."""
        return codes in self._tried

    def __contains__(self, key: Hashable) -> bool:
        """Whether the outcome of the trial is recorded."""
        return key in self._settled

    def follow(self, running: Mapping[Any, Codes], ended: Iterable[Outcome]) -> None:
        """Record what ended, and that of all others exactly ``running`` is pending."""
        events: list[Event] = []
        for outcome in ended:
            self._settled.add(outcome.key)
            self._tried.add(outcome.codes)
            found: Outcomes = {"values": [outcome.value], "noise": [None], "reasons": [outcome.reason]}
            pending = self._open.pop(outcome.key, None)
            if pending is not None and self._ledger.codes[pending] == outcome.codes:
                events.append({"kind": "tell", "ids": [pending], **found})
                continue
            if pending is not None:  # something else was evaluated than had been suggested
                events.append({"kind": "forget", "ids": [pending]})
            events.append({"kind": "add", "codes": [outcome.codes], **found})
        for key, pending in list(self._open.items()):
            if running.get(key) != self._ledger.codes[pending]:
                events.append({"kind": "forget", "ids": [self._open.pop(key)]})
        self._record(events)
        for key, codes in running.items():
            if key not in self._open and key not in self._settled:
                self._hold(key, codes)

    def rename(self, key: Hashable, new: Hashable) -> None:
        """Call a pending trial by another key."""
        self._open[new] = self._open.pop(key)

    def suggest(self, keys: list[Hashable], number: int) -> list[Codes]:
        """New points, pending from now on under these keys, chosen together.

        Where a finite space holds fewer points that were never tried, points are repeated: the ones that are most
        promising to measure again.

        Args:
            keys: One per point.
            number: Selects the random stream.
        """
        chosen: list[Codes] = []
        while len(chosen) < len(keys):
            data, total = self._ledger.data(), self.space.cardinality
            wanted = len(keys) - len(chosen)
            left = wanted if total is None else total - len(data.taken)
            if total is not None and left <= 0:
                data, left = replace(data, taken=frozenset()), total
            U, _ = self._strategy.suggest(data, min(wanted, left), number)
            for codes in self.space.decode_codes(U):
                self._hold(keys[len(chosen)], codes)
                chosen.append(codes)
        return chosen

    def _hold(self, key: Hashable, codes: Codes) -> None:
        self._open[key] = len(self._ledger.codes)
        self._record([{"kind": "ask", "codes": [codes]}])

    def _record(self, events: list[Event]) -> None:
        self._ledger.replay(events)
        self._events += events

    def exhausted(self) -> bool:
        """Whether every point of a finite space is told, pending or failed."""
        total = self.space.cardinality
        return total is not None and len(self._ledger.data().taken) >= total

    def dump(self) -> dict[str, Any]:
        """Everything, as plain data that JSON holds without loss where the keys are strings."""
        return {
            "events": list(self._events),
            "open": dict(self._open),
            "settled": list(self._settled),
            "carry": self._strategy.carry_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on, as a new mirror, from what :meth:`dump` gave."""
        self._record([*state["events"]])
        self._open, self._settled = dict(state["open"]), set(state["settled"])
        ledger = self._ledger
        self._tried = {ledger.codes[i] for i in (*ledger.complete, *ledger.failed)}
        self._strategy.restore_state(state["carry"])
