"""What result lines are worth: regrets, scores, intervals.

The score of a run is 0 at the median of Sobol's runs on the same problem with the same budget and batch size, and 1 at
the best that any run of any line found there at that budget; between and beyond them it is linear in the logarithm of
the regret where the minimum is known, in the value itself where it is not, and clipped to [-1, 1]. A run that stopped
early keeps what it had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.optimization.families import member, recipe
from benchmarks.optimization.member import Array, Case
from benchmarks.optimization.run import incumbents
from benchmarks.record import Line

REFERENCE = "sobol"
RESOLUTION = 0.05  # decades, or of what values spread: the smallest distance from 0 to 1, so that ties stay ties


def case_of(line: Line) -> Case:
    """The case of a result line."""
    return Case(line["case"], line["budget"], line["n_initial"], line.get("batch", 1))


def family(case: Case) -> str:
    """Name of the family that the case's problem is of."""
    return recipe(case.problem).family


def dimension(case: Case) -> int:
    """Number of parameters of the case's problem."""
    return recipe(case.problem).dimension


def curve(line: Line) -> tuple[Array, Array]:
    """Numbers of evaluations and, after each, the (true) value of the best point so far."""
    if "values" in line:
        best = np.array(incumbents(line["values"], line["true" if "true" in line else "values"]), dtype=np.float64)
        return np.arange(1, len(best) + 1, dtype=np.float64), best
    return np.array(line["evaluations"], dtype=np.float64), np.array(line["best"], dtype=np.float64)


def value_at(line: Line, fraction: float = 1.0) -> float:
    """The value after a fraction of the budget; where the optimizer recommended a point by then, that point's."""
    n = fraction * line["budget"]
    evaluations, best = curve(line)
    at = max(int(np.searchsorted(evaluations, n, side="right")) - 1, 0)
    told = {int(text): float(value) for text, value in line.get("recommended", {}).items()}
    for count in (int(evaluations[at]), int(evaluations[min(at + 1, len(best) - 1)])):
        if count in told and count - n < line.get("batch", 1):  # the first recommendation at or after half
            return told[count]
    return float(best[at])


@dataclass(frozen=True)
class Cell:
    """All runs of all providers on one case.

    Attributes:
        case: The case.
        lines: By provider and seed.
        minimum: Smallest value known.
        floor: Smallest regret that counts.
        exact: Whether the minimum is known, rather than the best of all lines.
    """

    case: Case
    lines: Mapping[str, Mapping[int, Line]]
    minimum: float
    floor: float
    exact: bool

    def log_regret(self, provider: str, fraction: float = 1.0) -> dict[int, float]:
        """log10 of the regret by seed."""
        return {seed: self._log(value_at(line, fraction)) for seed, line in self.lines[provider].items()}

    def seconds(self, provider: str) -> float:
        """Median over runs of the median seconds an ask takes."""
        each = [line["seconds"].get("p50") for line in self.lines[provider].values() if "seconds" in line]
        each += [float(np.median(n["suggestion_seconds"])) for n in self.lines[provider].values() if "seconds" not in n]
        known = [value for value in each if value is not None]
        return float(np.median(known)) if known else float("nan")

    def scores(self, provider: str) -> dict[int, float]:
        """Final scores by seed; none where Sobol has no line."""
        if self._ends is None:
            return {}
        return {
            seed: float(self._score(np.array(value_at(line)), *self._ends))
            for seed, line in self.lines[provider].items()
        }

    def profile(self, provider: str, fractions: Array, targets: int = 20) -> Array:
        """Share of (run, target) pairs reached by each fraction of the budget; targets are even in score, (0, 1]."""
        if self._ends is None:
            return np.zeros((0, len(fractions)))
        rows = []
        for line in self.lines[provider].values():
            evaluations, best = curve(line)
            at = np.searchsorted(evaluations, fractions * line["budget"], side="right") - 1
            values = np.where(at >= 0, best[np.maximum(at, 0)], np.inf)
            finite = np.isfinite(values)
            score = np.zeros(len(fractions))
            score[finite] = self._score(values[finite], *self._ends)
            rows.append(np.floor(np.clip(score, 0, 1) * targets + 1e-9) / targets)
        return np.array(rows)

    def _log(self, value: float) -> float:
        return float(np.log10(max(value - self.minimum, self.floor)))

    def _scale(self, values: Array) -> Array:
        return np.log10(np.maximum(values - self.minimum, self.floor)) if self.exact else values

    @cached_property
    def _ends(self) -> tuple[float, float] | None:
        """Sobol's median and the best of all lines, on the scale of scores."""
        if REFERENCE not in self.lines:
            return None
        ends = {
            provider: self._scale(np.array([value_at(line) for line in runs.values()]))
            for provider, runs in self.lines.items()
        }
        return float(np.median(ends[REFERENCE])), float(min(each.min() for each in ends.values()))

    def _score(self, values: Array, zero: float, one: float) -> Array:
        least = RESOLUTION if self.exact else max(self.floor, 1e-12 * abs(zero), 1e-300)
        return np.clip((zero - self._scale(values)) / max(zero - one, least), -1.0, 1.0)


def collect(lines: Iterable[Line], also: Iterable[Line] = ()) -> list[Cell]:
    """Lines by case, in the order of first appearance; ``also`` only adds to what is known of unknown minima."""
    grouped: dict[Case, dict[str, dict[int, Line]]] = defaultdict(lambda: defaultdict(dict))
    best: dict[str, float] = defaultdict(lambda: float("inf"))
    lines = list(lines)
    for line in [*lines, *also]:
        best[line["case"]] = min(best[line["case"]], float(min(_all_values(line))))
    for line in lines:
        if _all_values(line):
            grouped[case_of(line)][line["provider"]][int(line["seed"])] = line
    cells = []
    for case, runs in grouped.items():
        problem = member(case.problem)
        exact = problem.minimum is not None
        minimum = problem.minimum if problem.minimum is not None else best[case.problem]
        cells.append(Cell(case, {name: dict(each) for name, each in runs.items()}, minimum, problem.floor, exact))
    return cells


def _all_values(line: Line) -> Sequence[float]:
    return next((line[name] for name in ("true", "values", "best") if name in line), [])


def difference(cells: Iterable[Cell], name: str, baseline: str) -> tuple[float, float, float] | None:
    """Mean difference of log10 final regret against a baseline, with its interval; None where no run is in both.

    Pairs are of the same problem and seed; each difference is clipped to [-1, 1].
    """
    groups: list[Array] = []
    for cell in cells:
        if name != baseline and {name, baseline} <= cell.lines.keys():
            mine, theirs = cell.log_regret(name), cell.log_regret(baseline)
            if common := sorted(mine.keys() & theirs.keys()):
                groups.append(np.clip([mine[seed] - theirs[seed] for seed in common], -1.0, 1.0))
    return (float(np.mean([each.mean() for each in groups])), *interval(groups)) if groups else None


def shown(difference: tuple[float, float, float] | None) -> str:
    """A difference and its interval in a table."""
    return "" if difference is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*difference)


def bootstrap(values: Array, samples: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean, with a fixed seed."""
    picks = np.random.default_rng(0).integers(len(values), size=(samples, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def interval(groups: Sequence[Array], samples: int = 2000) -> tuple[float, float]:
    """90 % interval of the mean of group means: groups (problems) are drawn again, and in each its values (seeds)."""
    rng = np.random.default_rng(0)
    means = np.stack([each[rng.integers(len(each), size=(samples, len(each)))].mean(1) for each in groups], axis=1)
    picks = rng.integers(len(groups), size=(samples, len(groups)))
    low, high = np.percentile(np.take_along_axis(means, picks, axis=1).mean(1), [5, 95])
    return float(low), float(high)
