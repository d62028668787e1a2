"""All suites of small budgets together: each optimizer on the problems it has lines on, and where Sobol is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.optimization import score
from benchmarks.optimization.member import Case
from benchmarks.optimization.registry import BASELINE
from benchmarks.optimization.score import Cell

SUITES = ("sequential", "batch5", "batch10", "bbob", "bbob_batch10", "noisy", "mixed", "tuning")
UNLIKELY = 0.05  # one-sided probability of a difference by chance


@dataclass(frozen=True)
class Against:
    """The baseline against Sobol on one problem.

    Attributes:
        case: The problem, with its budget and batches.
        runs: Of the baseline.
        decades: By how much its median is worse, in log10 of the regret.
        chance: Probability that its runs rank as badly as that, or worse, if both were equally good (Mann and Whitney).
    """

    case: Case
    runs: int
    decades: float
    chance: float

    def __str__(self) -> str:
        text = f"{self.decades:.2f}"
        return f"**{text}**" if self.decades > 0 and self.chance < UNLIKELY else text


def against(cells: Sequence[Cell]) -> list[Against]:
    """The problems on which both have lines."""
    from scipy.stats import mannwhitneyu

    found = []
    for cell in cells:
        if {BASELINE, score.REFERENCE} <= cell.lines.keys():
            mine, theirs = (np.array(list(cell.log_regret(name).values())) for name in (BASELINE, score.REFERENCE))
            chance = float(mannwhitneyu(mine, theirs, alternative="greater").pvalue)
            found.append(Against(cell.case, len(mine), float(np.median(mine) - np.median(theirs)), chance))
    return found


def behind(found: Sequence[Against]) -> list[Against]:
    """Those where the baseline's median is worse, the farthest first."""
    return sorted((each for each in found if each.decades > 1e-9), key=lambda each: -each.decades)


def table(suites: Mapping[str, Sequence[Cell]], names: Sequence[str], again: Sequence[Cell] = ()) -> Iterator[str]:
    """The report's lines.

    Args:
        suites: Cells by suite.
        names: The optimizers, in the order of rows.
        again: Cells with further runs of the baseline and Sobol on some of the problems.
    """
    known = {name: suites[name] for name in SUITES if name in suites}
    cells = list({cell.case: cell for each in known.values() for cell in each}.values())  # some are in two suites
    rows = [row for name in names if name != BASELINE and (row := _row(cells, name))]
    if not rows:
        return
    yield ""
    yield "## All small budgets together"
    yield ""
    yield f"Every problem of {', '.join(known)}, alike: an optimizer's mean score on"
    yield f"those that it has lines on, beside the score of `{BASELINE}`, with all of its runs, on the same ones. The"
    yield "difference is between runs with the same seed."
    yield ""
    yield f"| optimizer | problems | runs | score | interval | `{BASELINE}` there | interval | difference |"
    yield "|---" * 8 + "|"
    yield from rows
    yield ""
    yield f"Where the median of `{BASELINE}` is worse than Sobol's, and by how many decades; bold where the runs rank"
    yield f"so badly as chance alone would bring about less than once in {round(1 / UNLIKELY)} times (Mann and"
    yield f"Whitney's test; each problem by itself: without any difference one in {round(1 / UNLIKELY)} would be bold)."
    yield "In brackets the same from further runs, made because of the first ones and without them; below zero the"
    yield "median is better."
    yield ""
    yield "| suite | problems | worse | bold | which |"
    yield "|---|---|---|---|---|"
    more = {each.case: each for each in against(again)}
    for name, each in known.items():
        compared = against(each)
        worse = behind(compared)
        unlikely = sum(one.chance < UNLIKELY for one in worse)
        which = ", ".join(f"{one.case.problem} {one}{_more(more.get(one.case))}" for one in worse)
        yield f"| {name} | {len(compared)} | {len(worse)} | {unlikely} | {which} |"


def _more(one: Against | None) -> str:
    return f" ({one.runs} more: {one})" if one else ""


def _row(cells: Sequence[Cell], name: str) -> str:
    """One optimizer's row; "" where it shares no problem that has scores with the baseline."""
    shared = [cell for cell in cells if {name, BASELINE} <= cell.lines.keys() and cell.scores(name)]
    if not shared:
        return ""
    parts = [f"`{name}`", str(len(shared)), str(sum(len(cell.lines[name]) for cell in shared))]
    for each in (name, BASELINE):
        scores = [np.array(list(cell.scores(each).values())) for cell in shared]
        low, high = score.interval(scores)
        parts += [f"{np.mean([one.mean() for one in scores]):.3f}", f"[{low:.3f}, {high:.3f}]"]
    return "| " + " | ".join([*parts, score.shown(score.difference(shared, name, BASELINE))]) + " |"
