"""Studies kept in a database: SQLite files, or PostgreSQL. The record is a sequence of events, each with a checksum."""

from gpbo.storage.description import Description
from gpbo.storage.study import News, Study, Transaction, checked_name
from gpbo.storage.workers import Worker

__all__ = ["Description", "News", "Study", "Transaction", "Worker", "checked_name"]
