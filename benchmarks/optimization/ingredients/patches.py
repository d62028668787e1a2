"""Replaces attributes of modules and classes, and puts back what was there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Patches:
    """What has been replaced in this process."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replaces an attribute that is there."""
        self._before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replaces an attribute by what is made of it."""
        self.set(owner, name, make(getattr(owner, name)))

    def undo(self) -> None:
        """Puts everything back, the last first."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute for the block."""
    patches = Patches()
    patches.set(owner, name, value)
    try:
        yield
    finally:
        patches.undo()
