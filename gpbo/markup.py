"""Small pieces of HTML with which objects show themselves in notebooks. All text in them is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_MOST_ROWS = 20
_LONGEST = 80


def table(caption: str, header: Sequence[str], rows: Sequence[Iterable[Any]]) -> str:
    """A table of plain values; long ones are cut in the middle.

    Args:
        caption: Above the table.
        header: Titles of the columns.
        rows: Cells from left to right. A float is shown with six digits, None as an empty cell.
    """
    shown = list(rows)
    skipped = len(shown) - _MOST_ROWS
    if skipped > 0:
        shown = [*shown[: _MOST_ROWS // 2], *shown[-_MOST_ROWS // 2 :]]
    body = ["".join(f"<td>{escape(_text(cell))}</td>" for cell in row) for row in shown]
    if skipped > 0:
        body.insert(_MOST_ROWS // 2, f'<td colspan="{len(header)}">… {skipped} more …</td>')
    titles = "".join(f"<th>{escape(title)}</th>" for title in header)
    lines = "".join(f"<tr>{cells}</tr>" for cells in body)
    style = ' style="text-align:left;white-space:nowrap"'
    return (
        f"<table><caption{style}>{escape(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    text = f"{cell:.6g}" if isinstance(cell, float) else str(cell)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
