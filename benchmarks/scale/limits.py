"""The limits of a measurement, and whether they hold."""

from __future__ import annotations

import itertools

from benchmarks.record import Line
from benchmarks.scale.cases import Case, Step

GIGA = 1e9
LINEAR = 1.1  # times by which seconds per point may grow from one q to the next, which timing alone may do


def limits(case: Case, step: Step) -> Line:
    """Those that are numbers, or a word on refitting; what is compared with other measurements is not among them."""
    found = {"seconds": step.seconds, "gigabytes": case.gigabytes, "refitted": step.refitted}
    return {key: value for key, value in found.items() if value is not None}


def holds(case: Case, step: Step, line: Line) -> dict[str, bool]:
    """Whether each of these holds, and whether all points are new and distinct."""
    if line["outcome"] != "done":
        return {"done": False}
    found = {"distinct": bool(line["distinct"])}
    if step.seconds is not None:
        found["seconds"] = line["seconds"] <= step.seconds
    if case.gigabytes is not None:
        found["gigabytes"] = line["peak_bytes"] <= case.gigabytes * GIGA
    if step.refitted is not None:
        found["refitted"] = line["ask"]["refitted"] == step.refitted
    return found


def stock_ratio(ours: Line | None, stock: Line | None) -> float | None:
    """How many times longer BoTorch took; None if either is not there."""
    if ours is None or stock is None or not ours["outcome"] == stock["outcome"] == "done":
        return None
    return float(stock["seconds"] / ours["seconds"])


def growth(lines: list[Line]) -> list[float | None]:
    """From each measurement to the next larger q, by how much seconds per point grow; None where one is not there."""
    ordered = sorted(lines, key=lambda line: line["sizes"]["q"])
    rates = [line["seconds"] / line["sizes"]["q"] if line["outcome"] == "done" else None for line in ordered]
    return [None if before is None or after is None else after / before for before, after in itertools.pairwise(rates)]
