"""Large steps in pieces that fit into memory.

A step is cut by a byte budget; when the allocator refuses all the same, its pieces are halved and the step goes on. The
default budget is a fixed number wherever there is enough free memory: pieces, and with them the last bits of a result,
then do not depend on what else the machine is doing.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

_PIECE = 2**27  # bytes of one piece, where more is free
_SHARE = 1 / 8  # of what is free, or of the user's limit, for one piece
_LATE = 0.1  # seconds for which a reading of the free memory serves to size pieces
_LATELY = [-math.inf, 0.0]  # when the last one was, and what it said
_REFUSALS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cannot allocate memory",
    "status_alloc_failed",
)


@dataclass
class Budget:
    """Memory for the large steps of one call.

    Attributes:
        piece: Bytes for one piece of a step.
        limit: Bytes for everything held at once; None where the user set no limit.
        refusals: What the allocator refused, and what was done instead.
    """

    piece: int = _PIECE
    limit: int | None = None
    refusals: list[str] = field(default_factory=list)

    def report(self) -> str:
        """The refusals in words, each once; "" if there were none."""
        return f"memory was short: {'; '.join(dict.fromkeys(self.refusals))}" if self.refusals else ""


_CURRENT: ContextVar[Budget | None] = ContextVar("gpbo_memory_budget", default=None)


def current() -> Budget:
    """The budget of the enclosing ``budget`` block, or the default one."""
    return _CURRENT.get() or Budget()


@contextlib.contextmanager
def budget(limit: int | None, device: torch.device) -> Iterator[Budget]:
    """Sets the budget for the block.

    Args:
        limit: The user's limit in bytes, None for none.
        device: Where the large tensors will be.
    """
    room = _lately_free(device) if limit is None else limit
    token = _CURRENT.set(Budget(max(2**20, min(_PIECE, int(room * _SHARE))), limit))
    try:
        yield current()
    finally:
        _CURRENT.reset(token)


def refused(error: BaseException) -> bool:
    """Whether an error is the allocator's: NumPy's, torch's on the CPU, or that of a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _REFUSALS)


def in_pieces(
    step: Callable[[int, int], None], total: int, bytes_each: int, name: str, most: int | None = None
) -> None:
    """Runs ``step(start, stop)`` over 0 .. total in pieces; a piece that the allocator refuses is halved.

    Args:
        step: Writes its results for the items start .. stop - 1, and may be repeated for the same items.
        total: Number of items.
        bytes_each: Memory one item takes while the step runs.
        name: What the step is, for the report.
        most: Items of a piece at most, where more gain nothing; None for as many as fit.

    Raises:
        MemoryError: If the allocator refuses a single item, in whatever form it does.
    """
    plan = current()
    size = max(1, min(total, most or total, plan.piece // max(1, bytes_each)))
    start = 0
    while start < total:
        stop = min(total, start + size)
        try:
            step(start, stop)
        except Exception as error:
            if not refused(error) or stop - start == 1:
                raise
            size = (stop - start) // 2
        else:
            start = stop
            continue
        _refused(f"{name} in pieces of {size}")


def halving(step: Callable[[int], T], size: int, name: str, least: int = 1) -> tuple[int, T]:
    """Runs ``step(size)``, with half the size as long as the allocator refuses.

    Args:
        step: What to do.
        size: Size of the first try.
        name: What it makes, with {} for the size, for the report.
        least: Size that is not halved any more.

    Returns:
        The size that worked and the step's result.

    Raises:
        MemoryError: If the allocator refuses the least size as well, in whatever form it does.
    """
    while True:
        try:
            return size, step(size)
        except Exception as error:
            if not refused(error) or size <= least:
                raise
            size = max(least, size // 2)
        _refused(name.format(size))


def unless_refused(step: Callable[[], T], remedy: str) -> T | None:
    """The result of ``step()``, or None where the allocator refuses; ``remedy`` says what is done then."""
    try:
        return step()
    except Exception as error:
        if not refused(error):
            raise
    _refused(remedy)
    return None


def claim(count: int) -> None:
    """Refuses what is large and does not fit into the host's free memory.

    Linux promises more than it has, and kills the process that takes it at its word.

    Args:
        count: Bytes.

    Raises:
        MemoryError: If they are not there.
    """
    if count > _PIECE and count > free(torch.device("cpu")):
        raise MemoryError(f"{count / 1e9:.1f} GB are not free")


def fitting(order: int, bytes_each: int, device: torch.device, name: str) -> int:
    """The order of a matrix as far as what is free on a device has room for it; a smaller one is noted.

    Args:
        order: The order wanted.
        bytes_each: Memory that one entry takes.
        device: Where it will be.
        name: What it makes, with {} for the order, for the report.
    """
    if bytes_each * order**2 <= _PIECE:
        return order
    room = math.isqrt(free(device) // bytes_each)
    if room >= order:
        return order
    _refused(name.format(room))
    return room


def _refused(remedy: str) -> None:
    """Notes what is done instead; called outside the handler, whose traceback holds what was in the way."""
    current().refusals.append(remedy)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free(device: torch.device) -> int:
    """Bytes that are free on the device; on the CPU, what the system or the container will still give."""
    if device.type == "cuda":  # and what torch's allocator holds and nobody uses
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + idle
    room = [_physical()]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            folder = Path("/sys/fs/cgroup")
            room.append(int((folder / limit).read_text()) - int((folder / used).read_text()) + _cached(folder))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        room.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    return max(2**24, min(room))


def _lately_free(device: torch.device) -> int:
    """``free``, on the CPU as of a tenth of a second ago at most: asking the system costs a good part of an ask."""
    if device.type != "cpu":
        return free(device)
    now = time.monotonic()
    if now - _LATELY[0] > _LATE:
        _LATELY[:] = now, free(device)
    return int(_LATELY[1])


def _cached(folder: Path) -> int:
    """Bytes of file cache that the system gives up when they are asked for."""
    for line in (folder / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _physical() -> int:
    try:
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 2**32
