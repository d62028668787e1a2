"""From the arguments of an optimizer to a stored study; imported by all, while SQLAlchemy is only where it is used."""

from typing import TYPE_CHECKING, Any

from gpbo.errors import ArgumentError, ArgumentTypeError
from gpbo.scalars import real, shown
from gpbo.space import Space

if TYPE_CHECKING:
    from gpbo.storage import Study, Worker

_LONGEST_LEASE = 1e9


def enter(
    storage: Any,
    study: Any,
    described: tuple[Space, str, int, int | None, str, str, str],
    seeded: bool,
    worker: Any,
    lease: Any,
) -> "Study":
    """The stored study with this description, made if need be; see ``Study.enter``."""
    from gpbo.storage import Description, Study

    return Study.enter(storage, study, Description(*described), seeded, _worker(worker, lease))


def reopen(storage: Any, study: Any, worker: Any, lease: Any) -> "Study":
    """The stored study; see ``Study.open``."""
    from gpbo.storage import Study

    return Study.open(storage, study, _worker(worker, lease))


def _worker(name: Any, lease: Any) -> "Worker":
    from gpbo.storage import Worker, checked_name

    if lease is not None:
        try:
            lease = real(lease)
        except ValueError as error:
            raise ArgumentTypeError(f"lease {error}.") from None
        if not 0 < lease <= _LONGEST_LEASE:
            raise ArgumentError(f"lease must be a positive number of seconds, got {shown(lease)}.")
    return Worker(None if name is None else checked_name("worker", name), lease)
