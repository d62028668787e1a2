"""The ledger of a study, kept in step with the database where there is one.

Every change is durable before it is applied, and what other workers recorded is applied before anything is checked.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from gpbo.errors import CorruptStudyError, SpaceExhausted
from gpbo.ledger import Asked, Event, Ledger
from gpbo.locks import StudyLock
from gpbo.space import Codes

if TYPE_CHECKING:
    from gpbo.storage import News, Study, Transaction

Suggest = Callable[[int], list[Codes]]

_FRESH = 2  # attempts at an ask that has seen every pending trial of the other workers
_OPTIMISTIC = 6  # attempts before the others are made to wait for the time of one suggestion
_CHEAP = 0.01  # seconds that the others may be made to wait at once
_SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Carrying(Protocol):
    """What has a state between asks, as ``Strategy`` does."""

    def carry_state(self) -> dict[str, Any] | None:
        """The state as plain data."""

    def restore_state(self, state: dict[str, Any] | None) -> None:
        """Go on from such data."""


class Journal:
    """Records the events of one optimizer.

    Args:
        ledger: The record in memory.
        strategy: Its state belongs to the asks.
        lock: Held while the record changes.
        study: The stored study; None to keep the record in memory only.

    Raises:
        CorruptStudyError: If what is stored makes no sense.
        StorageError: If it cannot be read.
    """

    def __init__(self, ledger: Ledger, strategy: Carrying, lock: StudyLock, study: "Study | None") -> None:
        self._ledger, self._strategy, self._lock, self._study = ledger, strategy, lock, study
        self._state: dict[str, Any] | None = None  # of the strategy after the last ask on record
        self._handed: set[int] = set()  # trials that this optimizer handed out
        self._expired: frozenset[str] = frozenset()
        self._seconds = 0.0  # that the last suggestion took
        self._crowded = False  # whether other workers ask at the same time
        self.refresh()

    def refresh(self) -> None:
        """Learn what other workers recorded."""
        if self._study is not None:
            with self._lock.changing():
                self._learn(self._study.news())

    @contextmanager
    def change(self) -> Iterator[Callable[[Event], None]]:
        """Gives a function that records an event, which counts when the block is left without an error."""
        with self._lock.changing():
            if self._study is None:
                yield self._apply_now
                return
            with self._study.writing() as transaction:
                self._learn(transaction.news)
                yield transaction.append
            self._ledger.replay(transaction.events)

    def hand_out(self, q: int, suggest: Suggest) -> list[int]:
        """Record that ``q`` trials are handed out; their ids.

        Pending trials that nobody works on come first: those handed out under this worker's name, but not by this
        optimizer, as after a crash, and those of workers whose lease has run out.

        Args:
            q: Number of trials.
            suggest: Gives codes of that many new points in view of the ledger. It may take long, and others go on
                meanwhile: it is asked again where they were handed one of its points, or, at first, any point.

        Raises:
            WorkerReplacedError: If another process works under this worker's name.
            StorageError: If nothing can be recorded.
        """
        suggest = self._timed(suggest)
        if self._study is None:
            codes = suggest(q)
            with self._lock.changing():
                self._apply_now({"kind": "ask", "codes": codes, "seconds": self._seconds})
                return list(range(len(self._ledger.codes) - q, len(self._ledger.codes)))
        try:
            if self._crowded and self._seconds < _CHEAP:
                return self._claim(self._study, q, suggest, None, 0)
            for attempt in range(_OPTIMISTIC + 1):
                self.refresh()
                due, asks = self._due(q), self._ledger.asks
                ready = due, asks, self._suggested(suggest, q, due)
                ids = self._claim(self._study, q, suggest, ready, attempt)
                if ids:
                    return ids
            raise AssertionError("the last attempt makes the others wait")
        except BaseException:
            self._strategy.restore_state(self._state)
            raise

    def _claim(
        self, study: "Study", q: int, suggest: Suggest, ready: tuple[list[int], int, list[Codes]] | None, attempt: int
    ) -> list[int]:
        """Record that trials are handed out; none where another worker was faster and the others need not wait.

        Args:
            study: The stored study.
            q: Number of trials.
            suggest: As for :meth:`hand_out`.
            ready: Trials that were due, number of asks on record, and new points, when they were looked for; or None.
            attempt: Attempts before this one.
        """
        with self._lock.changing(), self._transaction(study) as transaction:
            due, codes, beaten = self._due(q), list[Codes](), True
            self._crowded = _asks(transaction.news.events)
            if ready is not None:
                seen, asks, codes = ready
                crossed = self._ledger.asks != asks if attempt < _FRESH else not self._ledger.free(codes)
                beaten = seen != due or (bool(codes) and crossed)
            if beaten:
                self._strategy.restore_state(self._state)
                if ready is not None and self._seconds >= _CHEAP and attempt < _OPTIMISTIC:
                    return []
                codes = self._suggested(suggest, q, due)
            ids = self._hand_out(transaction, due, codes)
        self._handed.update(ids)
        return ids

    def _timed(self, suggest: Suggest) -> Suggest:
        """``suggest``, with a note of what it took."""

        def timed(q: int) -> list[Codes]:
            start = time.perf_counter()
            codes = suggest(q)
            self._seconds = round(time.perf_counter() - start, 6)
            return codes

        return timed

    def _apply_now(self, event: Event) -> None:
        """An event of a study in memory."""
        event["time"] = round(time.time(), 3)
        self._ledger.apply(event)

    def close(self) -> None:
        """Give up the lease and the connections; nothing is lost, and a later call opens them again."""
        if self._study is not None:
            self._study.close()

    def _due(self, q: int) -> list[int]:
        """Up to ``q`` pending trials that nobody works on."""
        assert self._study is not None
        name, pending = self._study.worker.name, self._ledger.pending
        if name is None and not self._expired:
            return []
        own = [i for i, owner in pending.items() if owner == name is not None and i not in self._handed]
        return (own + [i for i, owner in pending.items() if owner in self._expired])[:q]

    @contextmanager
    def _transaction(self, study: "Study") -> "Iterator[Transaction]":
        """An ask's transaction; what it recorded is applied when it is durable."""
        with study.writing() as transaction:
            self._learn(transaction.news)
            study.worker.check()
            yield transaction
        if transaction.events:
            self._ledger.replay(transaction.events)
            self._state = self._strategy.carry_state()

    def _suggested(self, suggest: Suggest, q: int, due: list[int]) -> list[Codes]:
        """New points beside those that are due."""
        if q == len(due):
            return []
        try:
            return suggest(q - len(due))
        except SpaceExhausted as exhausted:
            raise SpaceExhausted(str(exhausted), exhausted.left + len(due)) from None

    def _hand_out(self, transaction: "Transaction", due: list[int], codes: list[Codes]) -> list[int]:
        name = transaction.worker
        taken_over = [i for i in due if self._ledger.pending[i] != name]
        if taken_over:
            transaction.append({"kind": "lease", "ids": taken_over, "worker": name})
        if codes:
            asked: Asked = {"kind": "ask", "codes": codes, "seconds": self._seconds}
            if name is not None:
                asked["worker"] = name
            transaction.append(asked)
            transaction.carry(self._strategy.carry_state())
        first = len(self._ledger.codes)
        return [*due, *range(first, first + len(codes))]

    def _learn(self, news: "News") -> None:
        assert self._study is not None
        self._expired = news.expired
        if news.events:
            try:
                self._ledger.replay(news.events)
                if _asks(news.events):
                    self._strategy.restore_state(news.state)
            except _SENSELESS:
                raise CorruptStudyError(
                    f"{self._study!r} holds events that make no sense. Go on with a copy."
                ) from None
            self._state = news.state if _asks(news.events) else self._state
        self._study.accept(news)


def _asks(events: Sequence[Event]) -> bool:
    return any(event["kind"] == "ask" for event in events)
