"""Events as rows of text, each with a checksum that covers the row and the checksum before it.

JSON holds every float as the shortest decimal that reads back as the same float, so that nothing is rounded. Its text
is ASCII on one line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from gpbo.ledger import Event


class Row(NamedTuple):
    """One event as it is stored."""

    seq: int
    kind: str
    payload: str
    checksum: str


class Damaged(Exception):
    """A row does not fit its checksum, or is missing. The message says which."""


def checksum(*parts: object) -> str:
    """A digest of parts none of which, but the last, holds a line break."""
    return blake2b("\n".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def dump_event(event: Event, seq: int, previous: str, time: float) -> Row:
    """The row of an event, which follows the row with checksum ``previous``."""
    content = {key: value for key, value in event.items() if key != "kind"}
    payload = dumps({**content, "time": round(time, 3)})
    return Row(seq, event["kind"], payload, checksum(previous, seq, event["kind"], payload))


def load_events(rows: Sequence[Any], seq: int, previous: str) -> tuple[list[Event], str]:
    """The events of consecutive rows, the first numbered ``seq``, and the checksum of the last.

    Raises:
        Damaged: If a row is missing or was changed.
    """
    for number, (found, kind, payload, digest) in enumerate(rows, seq):
        if found != number:
            raise Damaged(f"event {number} is missing")
        previous = checksum(previous, number, kind, payload)
        if digest != previous:
            raise Damaged(f"event {number} does not fit its checksum")
    events = [{"kind": kind, **json.loads(payload)} for _, kind, payload, _ in rows]
    return cast(list[Event], events), previous


def dumps(plain: Any) -> str:
    """JSON in ASCII, on one line."""
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))
