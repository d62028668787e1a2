"""Where a study is stored, read from what the user wrote; and what of it may be shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpbo.errors import ArgumentError, ArgumentTypeError
from gpbo.scalars import shown

_FORMS = "pass the path of a file, such as 'study.db', or a URL 'postgresql://user@host/database'"


@dataclass(frozen=True)
class Location:
    """A database.

    Attributes:
        path: The SQLite file; None for a server.
        name: How messages call it; never holds a password.
    """

    path: Path | None
    name: str
    _url: Any = field(default=None, repr=False, compare=False)

    @property
    def url(self) -> Any:
        """SQLAlchemy's URL of a server, password included; not to be shown."""
        return self._url

    def __reduce__(self) -> Any:
        raise TypeError("A stored study is not pickled: open it again where it is needed, with Optimizer.open().")

    def cleared(self, text: str) -> str:
        """A driver's message without the secrets of the URL."""
        if self._url is not None:
            for secret in filter(None, [self._url.password, *_query_secrets(self._url)]):
                text = text.replace(str(secret), "***")
        return text


def locate(storage: Any) -> Location:
    """The database that a path or a URL means.

    Raises:
        ArgumentError: If it is no path and no URL of PostgreSQL.
        ArgumentTypeError: If it is neither a string nor a path.
    """
    if isinstance(storage, Location):
        return storage
    if not isinstance(storage, (str, os.PathLike)):
        raise ArgumentTypeError(f"storage is {shown(storage)}; {_FORMS}.")
    text = os.fspath(storage)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ArgumentError(f"storage is {shown(text)}; {_FORMS}.")
    if text == ":memory:":
        raise ArgumentError("storage is ':memory:'; leave storage out to keep the study in memory only.")
    scheme, separator, rest = text.partition("://")
    if isinstance(storage, os.PathLike) or not separator:
        return _file(text)
    if scheme == "sqlite":
        return _file(rest.removeprefix("/"))
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ArgumentError(f"storage: databases of kind {scheme[:40]!r} are not supported; {_FORMS}.")
    return _server(rest)


def _file(path: str) -> Location:
    if not path:
        raise ArgumentError(f"storage names no file; {_FORMS}.")
    return Location(Path(path).absolute(), path)


def _server(rest: str) -> Location:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError as Unreadable

    try:
        url = make_url(f"postgresql+psycopg://{rest}")
    except (Unreadable, ValueError):  # either message may hold the password
        raise ArgumentError(f"storage is a URL that cannot be read; {_FORMS}.") from None
    host = url.host or str(url.query.get("host") or "localhost")
    port = f":{url.port}" if url.port else ""
    return Location(None, f"postgresql://{host}{port}/{url.database or ''}", url)


def _query_secrets(url: Any) -> list[str]:
    return [str(value) for key, value in url.query.items() if "pass" in key.lower()]
