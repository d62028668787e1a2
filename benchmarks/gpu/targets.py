"""What is aimed at on one H100, and whether it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.gpu.table import Cell, Ratio, Table

_TIMING = 1.1  # times by which timing alone may differ
_GIGA = 1e9


@dataclass(frozen=True)
class Verdict:
    """What was found for a target.

    Attributes:
        target: The target.
        found: The figures; "not measured" if there are none.
        met: Whether it is met; None if that is open.
    """

    target: str
    found: str
    met: bool | None


Cells = Callable[[Cell, str], bool]


def verdicts(table: Table) -> Iterator[Verdict]:
    """All targets."""
    for text, n, q, mode, seconds in (
        ("ask(1), n <= 500, after each value: under 15 ms", (100, 500), 1, "next", 0.015),
        ("ask(1), n = 4,000, after each value: under 100 ms", (4000,), 1, "next", 0.1),
        ("ask(1), n = 10,000, after each value: under 100 ms", (10000,), 1, "next", 0.1),
        ("ask(1), n = 10,000, with a refit: under 1 s", (10000,), 1, "refit", 1.0),
        ("ask(1000), n = 10,000: under 1 s", (10000,), 1000, "next", 1.0),
        ("ask(1000), n = 10,000, nothing carried: under 1 s", (10000,), 1000, "cold", 1.0),
        ("ask(10,000), n = 10,000: under 3 s", (10000,), 10000, "next", 3.0),
        ("ask(10,000), n = 10,000, nothing carried: under 3 s", (10000,), 10000, "cold", 3.0),
    ):
        yield _fast(table, text, n, q, mode, seconds)
    yield _small(table)
    yield _ahead(table, "at least 10 times as fast as stock BoTorch on the same GPU, fits and asks", 10.0, 10**9)
    yield _ahead(table, "at least 30 times as fast as stock BoTorch on the same GPU, n <= 1,000", 30.0, 1000)
    yield _automatic(table)


def _shown(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"


def _fast(table: Table, text: str, sizes: tuple[int, ...], q: int, mode: str, seconds: float) -> Verdict:
    cells = [
        cell for cell, found in table.cells() if cell.n in sizes and (cell.task, cell.q, found) == ("ask", q, mode)
    ]
    times = {cell: table.seconds(cell, mode, "gpbo gpu") for cell in cells}
    measured = {cell: value for cell, value in times.items() if value is not None}
    if not measured:
        return Verdict(text, "not measured", None)
    parts = [f"{_shown(value)} (n = {cell.n:,}, d = {cell.d})" for cell, value in measured.items()]
    missing = [f"n = {cell.n:,}, d = {cell.d} not measured" for cell, value in times.items() if value is None]
    met = all(value < seconds for value in measured.values())
    return Verdict(text, "; ".join(parts + missing), met if not missing or not met else None)


def _small(table: Table) -> Verdict:
    text = "the exact log posterior and its gradient at n = 30,000 within 40 GB"
    lines = [
        (cell, table.line(cell, mode, "gpbo gpu"))
        for cell, mode in table.cells()
        if (cell.task, cell.n) == ("evaluate", 30000)
    ]
    peaks = {cell: line["peak_bytes"] / _GIGA for cell, line in lines if line and line.get("peak_bytes")}
    if not peaks:
        lost = any(line is not None and line["outcome"] == "out of memory" for _, line in lines)
        return Verdict(text, "out of memory" if lost else "not measured", False if lost else None)
    found = "; ".join(f"{value:.1f} GB (d = {cell.d})" for cell, value in peaks.items())
    return Verdict(text, found, all(value <= 40.0 for value in peaks.values()))


def _ahead(table: Table, text: str, least: float, largest: int) -> Verdict:
    """Of asks and fits with nothing carried, which is where stock BoTorch starts every time."""
    ratios: list[tuple[Ratio, Cell]] = []
    unknown = 0
    for cell, mode in table.cells():
        if mode == "cold" and cell.n <= largest:
            ratio = table.ratio(cell, mode, "botorch gpu")
            if ratio is None:
                unknown += 1
            else:
                ratios.append((ratio, cell))
    if not ratios:
        return Verdict(text, "not measured", None)
    missed = [ratio for ratio, _ in ratios if ratio.value < least and not ratio.least]
    open_ = [ratio for ratio, _ in ratios if ratio.value < least and ratio.least]
    met = len(ratios) - len(missed) - len(open_)
    worst, where = min(((r, c) for r, c in ratios if not r.least), key=lambda pair: pair[0].value, default=ratios[0])
    found = f"{met} of {len(ratios)} cells, {len(missed)} missed, {len(open_)} open, {unknown} not measured"
    found += f"; smallest {worst} ({where.what}, n = {where.n:,}, d = {where.d})"
    return Verdict(text, found, False if missed else None if open_ or unknown else True)


def _automatic(table: Table) -> Verdict:
    """Where it chose the CPU it is that path, and any difference is timing's."""
    text = 'device="auto" never slower than our own CPU path'
    slower, moved, stayed = [], 0, 0
    for cell, mode in table.cells():
        ratio, line = table.ratio(cell, mode, "gpbo cpu", ours="gpbo auto"), table.line(cell, mode, "gpbo auto")
        if ratio is None or line is None:
            continue
        late = ratio.value * _TIMING < 1.0
        if line["ran_on"] == "cpu":
            stayed += 1
        elif not (late and ratio.least):  # a CPU that was cut early says nothing
            moved += 1
            if late:
                slower.append(f"{cell.what}, n = {cell.n:,}, d = {cell.d}, {mode}: CPU {ratio} of its time")
    if not moved + stayed:
        return Verdict(text, "not measured", None)
    found = f"on the GPU {moved - len(slower)} of {moved} within {_TIMING:g} times; {stayed} stay on the CPU"
    return Verdict(text, "; ".join([found, *slower]), not slower)
