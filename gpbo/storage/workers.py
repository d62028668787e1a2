"""Who hands out trials, and for how long they stay its own: workers, leases and the heartbeat that renews them."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import weakref

from sqlalchemy import Connection, bindparam, insert, select, update

from gpbo.errors import StorageError, WorkerReplacedError
from gpbo.storage.database import Database
from gpbo.storage.schema import workers

logger = logging.getLogger(__name__)

_EXPIRED = select(workers.c.name).where(workers.c.study == bindparam("study"), workers.c.expires < bindparam("now"))
_MINE = (workers.c.study == bindparam("of")) & (workers.c.token == bindparam("by"))
_RENEW = update(workers).where(_MINE).values(expires=bindparam("end"))


class Worker:
    """One optimizer among those that share a study.

    A worker has a row in the database with the time at which its lease runs out; a heartbeat puts that off as long as
    the process lives. Of the processes that use one name, the latest to come is the worker; it goes on with the trials
    of the one before.

    Args:
        name: Its name; None for one that nobody can take over.
        lease: Seconds that its pending trials stay its own after its last sign of life; None for ever.

    Attributes:
        name: Its name, drawn at random where a lease needs one; None for a worker without name and lease.
        lease: As above.
        replaced: Whether another process has taken the name.
        shared: Whether trials of others are looked after: always but in reports.
    """

    def __init__(self, name: str | None = None, lease: float | None = None, shared: bool = True) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}" if name is None and lease else name
        self.lease = lease
        self.replaced = False
        self.shared = shared
        self._token = secrets.token_hex(16)
        self._stopped, self._beating = threading.Event(), threading.Lock()
        self._pid = 0

    def join(self, database: Database, study: int) -> None:
        """Take the name, from another process if need be."""
        self._database, self._study = database, study
        if self.name is None:
            return
        with database.writing() as connection:
            values = {"token": self._token, "expires": self._end(database.now(connection))}
            mine = (workers.c.study == study) & (workers.c.name == self.name)
            if not connection.execute(update(workers).where(mine).values(**values)).rowcount:
                connection.execute(insert(workers).values(study=study, name=self.name, **values))
        self._beat()

    def renew(self, connection: Connection, now: float) -> None:
        """Put off the end of the lease, and notice when another process has taken the name."""
        if self.name is None:
            return
        if self._pid != os.getpid():
            self._beat()
        self._put_off(connection, now)

    def expired(self, connection: Connection, now: float) -> set[str]:
        """Names of the other workers whose lease has run out."""
        return set(connection.scalars(_EXPIRED, {"study": self._study, "now": now})) - {self.name or ""}

    def check(self) -> None:
        """Raise if another process has taken the name.

        Raises:
            WorkerReplacedError: If it has.
        """
        if self.replaced:
            raise WorkerReplacedError(
                f"ask: another process now works as {self.name!r}, and has its trials. Give each process its own "
                "worker name; what this one evaluated can still be told."
            )

    def leave(self) -> None:
        """End the heartbeat and the lease; a later transaction begins both anew."""
        inherited, self._pid = self._pid != os.getpid(), 0
        if self.name is None or self.lease is None or inherited:
            return
        self._stopped.set()
        try:
            with self._beating, self._database.writing() as connection:
                connection.execute(_RENEW, {"of": self._study, "by": self._token, "end": 0.0})
        except StorageError as error:  # it ends by itself
            logger.warning("The lease of worker %r could not be given up: %s", self.name, error)

    def _put_off(self, connection: Connection, now: float) -> None:
        mine = {"of": self._study, "by": self._token, "end": self._end(now)}
        self.replaced = not connection.execute(_RENEW, mine).rowcount

    def _end(self, now: float) -> float | None:
        return None if self.lease is None else now + self.lease

    def _beat(self) -> None:
        """Start the heartbeat of this process."""
        self._pid = os.getpid()
        if self.lease is None:
            return
        self._stopped, self._beating = threading.Event(), threading.Lock()  # another process may hold those it left
        weakref.finalize(self, self._stopped.set)
        arguments = (weakref.ref(self), self._stopped, self._beating, self.lease / 3)
        threading.Thread(target=_keep_beating, args=arguments, name="gpbo-lease", daemon=True).start()


def _keep_beating(worker: weakref.ref[Worker], stopped: threading.Event, beating: threading.Lock, pause: float) -> None:
    while not stopped.wait(pause):
        one = worker()
        if one is None or one.replaced:
            return
        try:
            with beating:  # a beat under way ends before the lease is given up, and none comes after
                if stopped.is_set():
                    return
                with one._database.writing() as connection:
                    one._put_off(connection, one._database.now(connection))
        except StorageError as error:
            logger.warning("The lease of worker %r could not be renewed: %s", one.name, error)
        del one
