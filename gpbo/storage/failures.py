"""From what a database driver reports to an error that says what is wrong and what to do."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gpbo.errors import CorruptStudyError, StorageError
from gpbo.storage.location import Location

RESTORE = "Keep the file as it is and go on with a copy made before"

_SQLITE: tuple[tuple[str, type[StorageError], str], ...] = (
    ("SQLITE_FULL", StorageError, "the disk is full. Nothing was recorded; free some space and repeat the call"),
    ("SQLITE_READONLY", StorageError, "it is read-only. Make the file and its directory writable, or work on a copy"),
    ("SQLITE_BUSY", StorageError, "another process has kept it locked. Repeat the call; end the process if it hangs"),
    ("SQLITE_LOCKED", StorageError, "another process has kept it locked. Repeat the call; end the process if it hangs"),
    ("SQLITE_CORRUPT", CorruptStudyError, f"it is damaged. {RESTORE}"),
    ("SQLITE_NOTADB", CorruptStudyError, "it is no SQLite database. Choose the file of a study, or a new name"),
    ("SQLITE_CANTOPEN", StorageError, "it cannot be opened. See that the file and its directory can be written to"),
    ("SQLITE_IOERR", StorageError, "the disk cannot be read or written. Nothing was recorded; see to the disk"),
)
_SYSTEM = {
    errno.EACCES: "access is denied. Make the file and its directory readable and writable",
    errno.EROFS: "it is on a read-only file system. Choose another place",
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.ENOENT: "its directory does not exist. Create it first",
    errno.ENOTDIR: "its directory is a file. Choose another place",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
}
_SERVER: tuple[tuple[str, str], ...] = (
    ("28", "the server refuses the user or the password. Check them"),
    ("3D", "the server has no such database. Create it, or check its name"),
    ("42501", "the user may not do this. Grant it the rights to create and use tables"),
    ("25006", "the server is read-only, as a replica is. Connect to the primary one"),
    ("53100", "the server's disk is full. Nothing was recorded; free some space there and repeat the call"),
    ("53300", "the server accepts no more connections. Repeat the call later, or raise its max_connections"),
    ("55P03", "another process has kept the study locked. Repeat the call"),
    ("57", "the server is shutting down or starting. Repeat the call later"),
    ("08", "the connection was lost. Repeat the call; if it was recorded already, that call says so"),
    ("42", "its tables are not those of a gpbo study. Choose another database"),
)


@contextmanager
def translated(location: Location) -> Iterator[None]:
    """Within it, errors of drivers and of the operating system become a :class:`StorageError`, free of secrets."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        found: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            found = error.orig
        raise _explained(location, found) from None
    except UnicodeDecodeError:  # SQLite's message quotes the damaged place
        raise CorruptStudyError(f"{location.name}: is damaged: a text in it is none. {RESTORE}.") from None
    except OSError as error:
        cure = _SYSTEM.get(error.errno or 0, f"the operating system says: {error.strerror}")
        raise StorageError(f"{location.name}: {cure}.") from None


def _explained(location: Location, error: BaseException) -> StorageError:
    text = location.cleared(str(error).strip().partition("\n")[0])
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorname", "") or ""
        for start, kind, cure in _SQLITE:
            if code.startswith(start):
                return kind(f"{location.name}: {cure}. (SQLite: {text})")
        if not code or code == "SQLITE_ERROR":  # text that is no text, a column that is missing
            return CorruptStudyError(f"{location.name}: its tables cannot be read. {RESTORE}. (SQLite: {text})")
        return StorageError(f"{location.name}: the database failed. Repeat the call. (SQLite: {text})")
    state = getattr(error, "sqlstate", None) or ""
    for start, cure in _SERVER:
        if state.startswith(start):
            return StorageError(f"{location.name}: {cure}. (PostgreSQL: {text})")
    return StorageError(f"{location.name}: the server cannot be used. See that it runs and repeat the call. ({text})")
