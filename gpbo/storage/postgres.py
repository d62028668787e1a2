"""PostgreSQL servers, through psycopg 3."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool, QueuePool

from gpbo.errors import ArgumentError
from gpbo.storage.location import Location

_SCHEMA_LOCK = 0x6770626F  # any number no one else takes
_OPTIONS = (  # of a session; a writer that hangs is thrown out so that the others go on
    "-c synchronous_commit=on -c lock_timeout=60s -c idle_in_transaction_session_timeout=60s "
    "-c default_transaction_isolation=read\\ committed"
)


def engine(location: Location, pooled: bool = True) -> Engine:
    """Connections to the server.

    Raises:
        ArgumentError: If psycopg is not installed.
    """
    try:
        return create_engine(
            location.url,
            poolclass=QueuePool if pooled else NullPool,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 10,
                "application_name": "gpbo",
                "options": _OPTIONS,
                "keepalives_idle": 30,
                "prepare_threshold": None,  # goes well with connection poolers
            },
        )
    except ModuleNotFoundError:
        raise ArgumentError("storage on PostgreSQL needs psycopg: pip install 'gpbo[postgres]'.") from None


def lock_schema(connection: Connection) -> None:
    """Let only one process at a time make the tables; the lock ends with the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
