"""Who comes first and second on each problem of a suite of batches, all members of the problem together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.optimization import score
from benchmarks.optimization.registry import BASELINE
from benchmarks.optimization.score import Cell

SUITES = ("batch100", "batch1000", "high_dimensional")


@dataclass(frozen=True)
class Result:
    """What an optimizer reached on a problem.

    Attributes:
        value: Over the members, the geometric mean of the median final regret, or the mean of the median value where
            the minimum of a member is not known.
        missing: How many of the runs that count it does not have; the value is then of the others.
        cut: How many of its runs stopped early.
        difference: Paired difference of log10 regret against the baseline, with its interval.
    """

    value: float
    missing: int
    cut: int
    difference: tuple[float, float, float] | None


@dataclass(frozen=True)
class Problem:
    """A problem, in one size and budget, over its members.

    Attributes:
        name: What stands before the ``#`` of its members' names.
        budget: Evaluations of a run.
        batch: Points asked together.
        runs: Number of runs (members and seeds) that count.
        exact: Whether the results are regrets, rather than values.
        results: By optimizer.
    """

    name: str
    budget: int
    batch: int
    runs: int
    exact: bool
    results: dict[str, Result]

    def at_place(self, place: int) -> list[str]:
        """The optimizers in a place, from 1; ties share it. Those that miss runs have none."""
        ranked = {name: float(f"{each.value:.6g}") for name, each in self.results.items() if not each.missing}
        values = sorted(set(ranked.values()))
        return [name for name, value in ranked.items() if value in values[place - 1 : place]]


def problems(cells: Sequence[Cell]) -> list[Problem]:
    """The problems of the cells, in the order of first appearance."""
    grouped: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        key = (cell.case.problem.partition("#")[0], cell.case.budget, cell.case.batch)
        grouped.setdefault(key, []).append(cell)
    return [_problem(*key, members) for key, members in grouped.items()]


def _problem(name: str, budget: int, batch: int, cells: Sequence[Cell]) -> Problem:
    exact = all(cell.exact for cell in cells)
    names = sorted({each for cell in cells for each in cell.lines})
    counted = _counted(
        {each: {(i, seed) for i, cell in enumerate(cells) for seed in cell.lines.get(each, {})} for each in names}
    )
    results = {}
    for each in names:
        medians, found, cut = [], 0, 0
        for i, cell in enumerate(cells):
            lines = [line for seed, line in cell.lines.get(each, {}).items() if (i, seed) in counted]
            if lines:
                values = np.array([score.value_at(line) for line in lines])
                final = np.log10(np.maximum(values - cell.minimum, cell.floor)) if exact else values
                medians.append(float(np.median(final)))
            found += len(lines)
            cut += sum(not line.get("finished", True) for line in lines)
        if medians:
            mean = float(np.mean(medians))
            difference = score.difference(cells, each, BASELINE)
            results[each] = Result(10**mean if exact else mean, len(counted) - found, cut, difference)
    return Problem(name, budget, batch, len(counted), exact, results)


def _counted(runs: dict[str, set[tuple[int, int]]]) -> set[tuple[int, int]]:
    """The runs that the baseline shares with all who have at least half of its runs; without it, those of all."""
    own = runs.get(BASELINE, set())
    return set.intersection(*(each for each in runs.values() if 2 * len(each & own) >= len(own)))


def table(cells: Sequence[Cell], order: Sequence[str]) -> Iterator[str]:
    """The report's lines, with a column an optimizer."""
    found = problems(cells)
    yield ""
    yield "By problem, all members together: median final regret (geometric mean over members), or value where the"
    yield f"minimum is not known (*, mean over members), and the paired difference against `{BASELINE}`. What counts"
    yield f"are the runs that `{BASELINE}` shares with all who have at least half of its runs; in brackets, those who"
    yield "miss some of them, and have no place. †: some runs were cut."
    yield ""
    yield (
        "| problem | evaluations | batch | runs | first | second | " + " | ".join(f"`{name}`" for name in order) + " |"
    )
    yield "|---" * (6 + len(order)) + "|"
    for each in found:
        row = [each.name + "*" * (not each.exact), str(each.budget), str(each.batch), str(each.runs)]
        row += [", ".join(f"`{name}`" for name in order if name in each.at_place(place)) for place in (1, 2)]
        yield "| " + " | ".join([*row, *(_cell(each.results.get(name)) for name in order)]) + " |"
    yield ""
    yield summary(found)


def summary(found: Sequence[Problem]) -> str:
    """How often the baseline comes first, and at least second, among two or more that have a place."""
    contested = [each for each in found if BASELINE in each.results and each.at_place(2) + each.at_place(1)[1:]]
    first = sum(BASELINE in each.at_place(1) for each in contested)
    second = first + sum(BASELINE in each.at_place(2) for each in contested)
    return f"`{BASELINE}` is first on {first}, and at least second on {second}, of {len(contested)} problems."


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    value = f"{result.value:.3g}" + "†" * bool(result.cut)
    if result.missing:
        value = f"({value}; {result.missing} missing)"
    return f"{value} {score.shown(result.difference)}".strip()
