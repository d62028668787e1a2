"""SQLite files: made private, looked at before they are opened for writing, and written durably."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool, QueuePool

from gpbo.errors import CorruptStudyError, StorageError, StudyNotFoundError
from gpbo.storage.failures import RESTORE
from gpbo.storage.location import Location

_PATIENCE = 60.0  # seconds, as in `begin`, to wait for other writers, each of which takes milliseconds
_SHORT = 0.001  # seconds between looks at the lock, ten times that after a while
_MAGIC = b"SQLite format 3\0"


def prepare(location: Location, create: bool) -> None:
    """See that the file is there and sound, without a change to one that was there before.

    Raises:
        StudyNotFoundError: If there is no file, and none is to be made.
        StorageError: If it is no file, or cannot be written to.
        CorruptStudyError: If it is no SQLite database, or a damaged one.
    """
    path, name = location.path, location.name
    assert path is not None
    if path.is_dir():
        raise StorageError(f"{name}: is a directory. Pass the name of a file in it.")
    if create:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        else:
            path.chmod(0o600)  # whatever the umask says; SQLite gives its side files the same mode
            return
    if not path.exists():
        raise StudyNotFoundError(f"{name}: there is no such file. Check the name, or create it with Optimizer().")
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK)):
        raise StorageError(f"{name}: is read-only. Make the file and its directory writable, or work on a copy.")
    with path.open("rb") as file:
        start = file.read(32)
    if start and not start.startswith(_MAGIC):
        raise CorruptStudyError(f"{name}: is no SQLite database. Choose the file of a study, or a new name.")
    if _cut_off(path, start):
        raise CorruptStudyError(f"{name}: is damaged: its end is missing. {RESTORE}.")
    with closing(_connect(path, "ro")) as connection:
        (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise CorruptStudyError(f"{name}: is damaged. {RESTORE}. (SQLite: {finding})")


def _cut_off(path: Path, start: bytes) -> bool:
    """Whether the file is shorter than its header says, and no writer is about to complete it."""
    log = path.with_name(f"{path.name}-wal")
    if not start or (log.exists() and log.stat().st_size):
        return False
    page = int.from_bytes(start[16:18], "big")
    return path.stat().st_size < (65536 if page == 1 else page) * int.from_bytes(start[28:32], "big")


def engine(location: Location) -> Engine:
    """Connections to the file; transactions begin where ``Database`` says so."""
    path = location.path
    assert path is not None

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rw")
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA trusted_schema = OFF")
            _write_ahead(connection, location)
        except BaseException:
            connection.close()
            raise
        return connection

    return create_engine("sqlite://", creator=connect, pool_size=2, max_overflow=2, poolclass=QueuePool)


def reader(location: Location) -> Engine:
    """Connections that cannot change the file."""
    path = location.path
    assert path is not None
    return create_engine("sqlite://", creator=lambda: _connect(path, "ro"), poolclass=NullPool)


def begin(connection: Any, write: bool) -> None:
    """Begin a transaction; one that will write takes the lock at once, so that it never has to be given up halfway.

    SQLite's own wait for a lock sleeps ever longer, up to 0.1 s, while the lock is free most of the time.
    """
    if not write:
        connection.execute("BEGIN")
        return
    deadline = time.monotonic() + _PATIENCE
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        for attempt in itertools.count():
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.2, 1.0) * (_SHORT if attempt < 100 else 10 * _SHORT))
    finally:
        connection.execute("PRAGMA busy_timeout = 60000")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that leaves transactions to its user, and never makes a file."""
    uri = f"{path.as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)


def _write_ahead(connection: sqlite3.Connection, location: Location) -> None:
    """Have readers and a writer go on side by side; two processes may switch a new file at once."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StorageError(
            f"{location.name}: its file system cannot be shared safely, as with network drives. Choose a local disk, "
            "or PostgreSQL."
        )
