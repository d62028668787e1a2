"""The tables of a database of studies, and whether those that are there are ours."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
)

from gpbo.errors import CorruptStudyError, StudyVersionError
from gpbo.storage.location import Location

FORMAT = 1

_metadata = MetaData()
_format = Table("gpbo_format", _metadata, Column("version", Integer, primary_key=True))
studies = Table(
    "gpbo_studies",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("events", BigInteger, nullable=False),  # how many there are
    Column("head", Text, nullable=False),  # checksum of the last
)
events = Table(
    "gpbo_events",
    _metadata,
    Column("study", ForeignKey("gpbo_studies.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    sqlite_with_rowid=False,
)
states = Table(  # what the strategy carries after the latest ask; can be lost without harm to the record
    "gpbo_states",
    _metadata,
    Column("study", ForeignKey("gpbo_studies.id"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("checksum", Text, nullable=False),
)
workers = Table(  # who is alive; no part of the record
    "gpbo_workers",
    _metadata,
    Column("study", ForeignKey("gpbo_studies.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("token", Text, nullable=False),  # tells apart the processes that had this name one after the other
    Column("expires", Double),  # seconds since 1970; NULL for a lease without end
)


def is_there(connection: Connection, location: Location) -> bool:
    """Whether the database holds our tables, in our format.

    Raises:
        StudyVersionError: If they are of a newer format, or, in a file, of another program.
        CorruptStudyError: If a table is missing or has other columns.
    """
    found = set(inspect(connection).get_table_names())
    if _format.name not in found:
        foreign = sorted(found) if location.path is not None else sorted(found & set(_metadata.tables))
        if foreign:
            names = ", ".join(foreign[:3])
            raise StudyVersionError(f"{location.name}: holds tables of another program ({names}). Choose another name.")
        return False
    versions = list(connection.scalars(select(_format.c.version)))
    if len(versions) != 1 or not isinstance(versions[0], int) or versions[0] < 1:
        raise CorruptStudyError(f"{location.name}: its format version cannot be read. Go on with a copy made before.")
    if versions[0] > FORMAT:
        raise StudyVersionError(
            f"{location.name}: has format {versions[0]}, and this gpbo reads formats up to {FORMAT}. "
            "Install a newer gpbo."
        )
    for table in _metadata.sorted_tables:
        missing = table.name not in found
        columns = set() if missing else {column["name"] for column in inspect(connection).get_columns(table.name)}
        lacking = [column.name for column in table.columns if column.name not in columns]
        if lacking:
            raise CorruptStudyError(
                f"{location.name}: table {table.name} {'is missing' if missing else f'lacks column {lacking[0]!r}'}. "
                "Go on with a copy made before, or choose another database."
            )
    return True


def create(connection: Connection) -> None:
    """Make the tables."""
    _metadata.create_all(connection)
    connection.execute(insert(_format).values(version=FORMAT))
