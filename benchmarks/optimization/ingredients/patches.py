"""Replaces attributes of modules and classes, and puts back what was there."""

from __future__ import annotations

from typing import Any


class Patches:
    """What has been replaced in this process."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replaces an attribute that is there, and returns what it was."""
        before = getattr(owner, name)
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Puts everything back, the last first."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)
