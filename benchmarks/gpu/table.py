"""The measured times by cell, and how they compare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.gpu.counts import Speed, Work, ask, evaluation
from benchmarks.record import Line


@dataclass(frozen=True, order=True)
class Cell:
    """What is compared: a fit or an ask at one size.

    Attributes:
        d: Dimensions.
        n: Observations.
        rank: Place of the task at one size.
        task: "evaluate", "fit" or "ask".
        q: Points of an ask, else 0.
    """

    d: int
    n: int
    rank: int
    task: str
    q: int

    @property
    def what(self) -> str:
        """Task, with the number of points."""
        return f"ask({self.q})" if self.task == "ask" else self.task


@dataclass(frozen=True)
class Ratio:
    """How many times longer one took than the other; with ``least``, at least so many times."""

    value: float
    least: bool = False

    def __str__(self) -> str:
        shown = f"{self.value:.0f}×" if self.value >= 99.5 else f"{self.value:.3g}×"
        return f"> {shown}" if self.least else shown


class Table:
    """Lines of one device's run, by cell, mode and side; of repeated measurements, the last."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines: dict[tuple[Cell, str, str], Line] = {}
        self._modes: dict[Cell, dict[str, None]] = {}
        self.speeds: dict[str, Speed] = {}
        floors: dict[str, list[Line]] = {}
        for line in lines:
            if line["stage"] == "floor" and line["outcome"] == "done":
                floors.setdefault("cpu" if line["device"] == "cpu" else "gpu", []).append(line)
            if line["stage"] == "case":
                sizes, task = line["sizes"], line["task"]
                rank = {"evaluate": -2, "fit": -1}.get(task, sizes["q"])
                cell = Cell(sizes["d"], sizes["n"], rank, task, sizes["q"])
                mode = line.get("mode") or ("once" if task == "evaluate" else "cold")
                self._lines[cell, mode, f"{line['provider']} {line['device']}"] = line
                self._modes.setdefault(cell, {})[mode] = None
        for device, found in floors.items():
            speed = _speed(found)
            if speed is not None:
                self.speeds[device] = speed

    def cells(self) -> list[tuple[Cell, str]]:
        """Every cell with every mode that has a line, in order of size."""
        return [(cell, mode) for cell in sorted(self._modes) for mode in self._modes[cell]]

    def line(self, cell: Cell, mode: str, side: str) -> Line | None:
        """Of a side, "gpbo gpu" for one. Stock BoTorch carries nothing, so that all modes have its "cold" line."""
        return self._lines.get((cell, "cold" if side.startswith("botorch") and mode != "once" else mode, side))

    def seconds(self, cell: Cell, mode: str, side: str) -> float | None:
        """Measured seconds; None where there are none."""
        line = self.line(cell, mode, side)
        return float(line["seconds"]) if line is not None and line["outcome"] == "done" else None

    def ratio(self, cell: Cell, mode: str, side: str, ours: str = "gpbo gpu") -> Ratio | None:
        """How many times longer a side took than ours; None if that is not known."""
        mine, line = self.seconds(cell, mode, ours), self.line(cell, mode, side)
        if mine is None or line is None or "seconds" not in line:
            return None
        return Ratio(line["seconds"] / mine, least=line["outcome"] != "done")

    def from_floor(self, cell: Cell, mode: str, side: str) -> float | None:
        """Times the floor that a side of ours took; None if it is not known."""
        line, seconds = self.line(cell, mode, side), self.seconds(cell, mode, side)
        if line is None or seconds is None:
            return None
        where = "cpu" if "cpu" in (line["device"], line.get("ran_on")) else "gpu"
        speed = self.speeds.get(where)
        work = _work(cell, line)
        return None if speed is None or work is None else seconds / speed.seconds(work)


def _speed(lines: list[Line]) -> Speed | None:
    double = [line for line in lines if line["dtype"] == "float64"]
    products = [1e3 * line["flop"] / line["p50"] for line in double if line["floor"] == "product"]
    copies = [1e3 * line["bytes"] / line["p50"] for line in double if line["floor"] == "copy"]
    launches = [1e-3 * line["p50"] for line in double if line["floor"] == "kernel launch"]
    return Speed(max(products), max(copies), min(launches)) if products and copies and launches else None


def _work(cell: Cell, line: Line) -> Work | None:
    """What had to be done; None for a fit that does not say how often it evaluated."""
    if cell.task == "evaluate":
        return evaluation(cell.n, cell.d)
    if cell.task == "fit":
        return evaluation(cell.n, cell.d).times(line["evaluations"]) if "evaluations" in line else None
    if "modelled" not in line:
        return None
    return ask(line["modelled"], cell.d, cell.q, refitted=line["refitted"])
