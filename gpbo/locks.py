"""Locks that threads, forks and Ctrl-C cannot leave a study half changed behind."""

import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StudyLock:
    """One lock to compute under, which may take long, and one to change the record under, which never does.

    A fork waits for the short lock only, and the child gets both of them anew: what another thread held at that moment
    is free in the child, and the record there is whole.
    """

    def __init__(self) -> None:
        self._computing = threading.RLock()
        self._changing = threading.RLock()
        with _registry.lock:
            _registry.alive.add(self)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Held while one call reads the record, computes, and changes it by what it found."""
        lock = self._computing  # a fork in between replaces the attribute
        with lock:
            yield

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Held while the record changes or is read at one moment; Ctrl-C takes effect afterwards."""
        with self._changing, interrupts_deferred():
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Held while the record is read at one moment."""
        with self._changing:
            yield


class _Registry:
    """All live locks, weakly, for the moment of a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.alive: weakref.WeakSet[StudyLock] = weakref.WeakSet()
        self.held: list[StudyLock] = []

    def before_fork(self) -> None:
        self.lock.acquire()
        self.held = sorted(self.alive, key=id)
        for one in self.held:
            one._changing.acquire()

    def after_in_parent(self) -> None:
        held, self.held = self.held, []
        for one in reversed(held):
            one._changing.release()
        self.lock.release()

    def after_in_child(self) -> None:
        for one in self.held:
            one._computing, one._changing = threading.RLock(), threading.RLock()
        self.held = []
        self.lock = threading.Lock()


_registry = _Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry.before_fork,
        after_in_parent=_registry.after_in_parent,
        after_in_child=_registry.after_in_child,
    )


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold back Ctrl-C, which may otherwise strike between any two operations, until the block ends.

    A second one acts at once, also where such blocks lie within each other. Does nothing outside the main thread, which
    alone receives it.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append((number, frame))
        if len(received) == 2:
            handler(*received[0])
        if len(received) >= 2:
            handler(number, frame)

    signal.signal(signal.SIGINT, receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if len(received) == 1:
            handler(*received[0])
