"""One stored study, as one worker sees it: what is new in it, and transactions that add to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from gpbo.errors import ArgumentError, ArgumentTypeError, CorruptStudyError, StudyMismatchError, StudyNotFoundError
from gpbo.ledger import Event
from gpbo.scalars import shown
from gpbo.storage import records
from gpbo.storage.database import Database
from gpbo.storage.description import Description
from gpbo.storage.failures import RESTORE
from gpbo.storage.location import locate
from gpbo.storage.records import Row
from gpbo.storage.schema import FORMAT, events, states, studies
from gpbo.storage.workers import Worker

State = dict[str, Any]

_LONGEST_NAME = 255

_this = studies.c.id == bindparam("study")
_HEAD = select(studies.c.events, studies.c.head).where(_this)
_HEAD_LOCKED = _HEAD.with_for_update()
_NEWS = (
    select(events.c.seq, events.c.kind, events.c.payload, events.c.checksum)
    .where(events.c.study == bindparam("study"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
)
_STATE = select(states).where(states.c.study == bindparam("study"))
_ADD = insert(events)
_MOVE_HEAD = update(studies).where(_this).values(events=bindparam("last"), head=bindparam("digest"))


@dataclass(frozen=True)
class News:
    """What was recorded since one looked last.

    Attributes:
        events: In the order in which they happened.
        state: What the strategy carries after them, plain data; None if nothing, or if there was no ask among them.
        expired: Workers whose lease has run out.
        seq: Number of the last of the events.
        head: Its checksum.
    """

    events: Sequence[Event]
    state: State | None
    expired: frozenset[str]
    seq: int
    head: str


class Study:
    """A stored study. Not thread-safe but for the heartbeat; the optimizer holds a lock around it.

    Attributes:
        name: Its name in the database.
        description: Its space, direction and settings.
        worker: Who hands out trials here.
    """

    def __init__(self, database: Database, name: str, row: Any, worker: Worker) -> None:
        self._database, self.name, self.worker = database, name, worker
        self._id, self._seq, self._state_text = row.id, 0, ""
        self._head: str = row.checksum
        if row.checksum != records.checksum(FORMAT, name, row.description):
            raise self._damaged("its description does not fit its checksum")
        try:
            self.description = Description.loads(row.description)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise self._damaged("its description cannot be read") from None
        worker.join(database, self._id)

    def __repr__(self) -> str:
        return f"<Study {self.name!r} in {self._database.location.name}>"

    def __reduce__(self) -> Any:
        return self._database.location.__reduce__()

    @classmethod
    def open(cls, storage: Any, name: str, worker: Worker) -> Study:
        """A study that is there.

        Raises:
            StudyNotFoundError: If it is not.
            StorageError: If the database cannot be used; says why.
        """
        name = checked_name("study", name)
        database = Database(locate(storage), create=False)
        with database.reading() as connection:
            row = _find(connection, name)
            known = [] if row else sorted(connection.scalars(select(studies.c.name).limit(10)))
        if row is None:
            held = f"it holds {', '.join(map(repr, known))}" if known else "it holds none yet"
            where = f"{database.location.name}: there is no study {name!r}"
            raise StudyNotFoundError(f"{where}; {held}. Check the name, or create it with Optimizer(storage=...).")
        return cls(database, name, row, worker)

    @classmethod
    def enter(cls, storage: Any, name: str, description: Description, seeded: bool, worker: Worker) -> Study:
        """A study that is there and is as described, or a new one.

        Args:
            storage: Path or URL.
            name: Name of the study.
            description: What it is to be.
            seeded: Whether the seed has to be that of the description, too.
            worker: Who hands out trials.

        Raises:
            StudyMismatchError: If it is there, and another; names the first difference.
            StorageError: If the database cannot be used; says why.
        """
        name = checked_name("study", name)
        database = Database(locate(storage), create=True)
        with database.reading() as connection:
            row = _find(connection, name)
        if row is None:
            with database.writing() as connection:
                row = _find(connection, name) or _create(connection, name, description)
        study = cls(database, name, row, worker)
        stored = study.description
        difference = stored.difference(description if seeded else replace(description, seed=stored.seed))
        if difference:
            study.close()
            raise StudyMismatchError(
                f"{database.location.name}: study {name!r} is there already, and differs: {difference}. Use what is "
                "there, Optimizer.open(), or another study name."
            )
        return study

    def news(self) -> News:
        """What others recorded since what was accepted last."""
        with self._database.reading() as connection:
            return self._read(connection)

    def accept(self, news: News) -> None:
        """Count news as known."""
        self._seq, self._head = news.seq, news.head

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction: nobody else records anything before it ends. Durable when the block is left, or undone.

        What is new in it has to be accepted before anything is added.
        """
        with self._database.writing() as connection:
            news = self._read(connection, lock=True)
            time = self._database.now(connection)
            self.worker.renew(connection, time)
            transaction = Transaction(news, time, self.worker.name)
            yield transaction
            if transaction.rows:
                self._write(connection, transaction)
        if transaction.rows:
            self._seq, _, _, self._head = transaction.rows[-1]
            self._state_text = transaction.state_text or self._state_text

    def close(self) -> None:
        """Give up the lease and the connections."""
        self.worker.leave()
        self._database.close()

    def _read(self, connection: Connection, lock: bool = False) -> News:
        found = connection.execute(_HEAD_LOCKED if lock else _HEAD, {"study": self._id}).one_or_none()
        if found is None:
            raise self._damaged("it was removed while it was in use")
        expired = self.worker.expired(connection, self._database.now(connection)) if self.worker.shared else frozenset()
        if found.events == self._seq and found.head == self._head:
            return News((), None, frozenset(expired), self._seq, self._head)
        rows = connection.execute(_NEWS, {"study": self._id, "after": self._seq}).all()
        try:
            news, head = records.load_events(rows, self._seq + 1, self._head)
        except records.Damaged as damage:
            raise self._damaged(str(damage)) from None
        except (RecursionError, TypeError, ValueError):
            raise self._damaged("an event cannot be read") from None
        if found.events != self._seq + len(rows) or found.head != head:
            raise self._damaged("its last events are missing, or an older copy was put in its place")
        state = None
        if any(event["kind"] == "ask" for event in news):
            state = self._read_state(connection)
        return News(news, state, frozenset(expired), found.events, head)

    def _read_state(self, connection: Connection) -> State | None:
        row = connection.execute(_STATE, {"study": self._id}).one_or_none()
        if row is None:
            return None
        if row.checksum != records.checksum(self._id, row.seq, row.payload):
            raise self._damaged("the state of its model does not fit its checksum")
        self._state_text = row.payload
        state: State = json.loads(row.payload)
        return state

    def _write(self, connection: Connection, transaction: Transaction) -> None:
        connection.execute(_ADD, [{"study": self._id, **row._asdict()} for row in transaction.rows])
        last = transaction.rows[-1]
        connection.execute(_MOVE_HEAD, {"study": self._id, "last": last.seq, "digest": last.checksum})
        text = transaction.state_text
        if text and text != self._state_text:
            values = {"seq": last.seq, "payload": text, "checksum": records.checksum(self._id, last.seq, text)}
            changed = connection.execute(update(states).where(states.c.study == self._id).values(**values))
            if not changed.rowcount:
                connection.execute(insert(states).values(study=self._id, **values))

    def _damaged(self, what: str) -> CorruptStudyError:
        return CorruptStudyError(f"{self._database.location.name}: study {self.name!r} is damaged: {what}. {RESTORE}.")


class Transaction:
    """What is new, and what is to be added.

    Attributes:
        news: What others recorded before.
        worker: Name of the worker whose transaction it is.
        events: To be added.
        rows: The same as they are stored.
        state_text: What the strategy carries after them, as JSON; empty if that is as before.
    """

    def __init__(self, news: News, time: float, worker: str | None) -> None:
        self.news, self.worker = news, worker
        self._time, self._seq, self._head = time, news.seq, news.head
        self.events: list[Event] = []
        self.rows: list[Row] = []
        self.state_text = ""

    def append(self, event: Event) -> None:
        """Add an event."""
        event["time"] = round(self._time, 3)
        row = records.dump_event(event, self._seq + 1, self._head, self._time)
        self._seq, self._head = row.seq, row.checksum
        self.events.append(event)
        self.rows.append(row)

    def carry(self, state: State | None) -> None:
        """Set what the strategy carries after the events added."""
        self.state_text = "" if state is None else records.dumps(state)


def checked_name(what: str, name: Any) -> str:
    """A name of a study or a worker.

    Raises:
        ArgumentTypeError: If it is no string.
        ArgumentError: If it is empty or very long, or has characters that cannot be shown.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"{what} must be a string, got {shown(name)}.")
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        cure = f"use 1 to {_LONGEST_NAME} printable characters"
        raise ArgumentError(f"{what} has the name {shown(name)}; {cure}.")
    return name


def _find(connection: Connection, name: str) -> Any:
    columns = (studies.c.id, studies.c.description, studies.c.checksum)
    return connection.execute(select(*columns).where(studies.c.name == name)).one_or_none()


def _create(connection: Connection, name: str, description: Description) -> Any:
    text = description.dumps()
    digest = records.checksum(FORMAT, name, text)
    connection.execute(insert(studies).values(name=name, description=text, checksum=digest, events=0, head=digest))
    return _find(connection, name)
