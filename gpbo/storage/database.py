"""Connections and transactions. Every write is a short transaction that other writers wait for; no read waits."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from gpbo.errors import StorageError, StudyNotFoundError
from gpbo.storage import postgres, schema, sqlite
from gpbo.storage.failures import translated
from gpbo.storage.location import Location

_WRITE = "gpbo_write"
_abandoned: list[Engine] = []  # engines of a parent process: closing their connections here would disturb it


class Database:
    """One database, from this process and the children it forks.

    Args:
        location: Where it is.
        create: Whether to make it where there is none.

    Raises:
        StudyNotFoundError: If there is none, and none is to be made.
        StorageError: If it cannot be used; says why.
    """

    def __init__(self, location: Location, create: bool) -> None:
        self.location = location
        with translated(location):
            if location.path is not None:
                sqlite.prepare(location, create)
        with translated(location), closing(self._looking()) as connection:
            ready = schema.is_there(connection, location)
        self._connect()
        if not ready and not create:
            raise StudyNotFoundError(f"{location.name}: holds no studies yet. Create one with Optimizer(storage=...).")
        if not ready:
            with translated(location), self._connection(write=True) as connection:
                if location.path is None:
                    postgres.lock_schema(connection)
                if not schema.is_there(connection, location):
                    schema.create(connection)

    def __repr__(self) -> str:
        return f"<Database {self.location.name}>"

    @property
    def inherited(self) -> bool:
        """Whether the connections are a parent's, as after a fork."""
        return self._pid != os.getpid()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the database at one moment."""
        with translated(self.location), self._connection(write=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection that may write; what it wrote is durable once the block is left, or not there at all."""
        with translated(self.location), self._connection(write=True) as connection:
            yield connection

    def now(self, connection: Connection) -> float:
        """Seconds since 1970 by the one clock that all workers share: this machine's, or the server's."""
        if self.location.path is not None:
            return time.time()
        return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)

    def close(self) -> None:
        """Close all connections; a later use opens new ones."""
        _dispose(self._engine, self._pid)

    @contextmanager
    def _connection(self, write: bool) -> Iterator[Connection]:
        if self.inherited:
            self._close.detach()
            _abandoned.append(self._engine)
            self._connect()
        if self.location.path is not None and self._identity() != self._file:
            raise StorageError(
                f"{self.location.name}: the file was removed or replaced while it was in use. Put it back, or go on "
                "with Optimizer.open() on what is there now."
            )
        options: dict[str, Any] = {_WRITE: write}
        if self.location.path is None and not write:
            options["isolation_level"] = "REPEATABLE READ"  # one moment for all its queries, as with SQLite
        with self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def _looking(self) -> Connection:
        """A connection that changes nothing: the database may be another program's."""
        if self.location.path is None:
            return postgres.engine(self.location, pooled=False).connect()
        return sqlite.reader(self.location).connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        if self.location.path is None:
            self._engine = postgres.engine(self.location)
        else:
            self._file = self._identity()
            self._engine = sqlite.engine(self.location)
            event.listen(self._engine, "begin", _begin)
        self._close = weakref.finalize(self, _dispose, self._engine, self._pid)

    def _identity(self) -> tuple[int, int] | None:
        assert self.location.path is not None
        try:
            found = self.location.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _begin(connection: Connection) -> None:
    """Begin a transaction of SQLite, which the driver leaves to us."""
    sqlite.begin(connection.connection.driver_connection, bool(connection.get_execution_options().get(_WRITE)))


def _dispose(engine: Engine, pid: int) -> None:
    if pid == os.getpid():
        engine.dispose()
