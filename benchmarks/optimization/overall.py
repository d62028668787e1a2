"""All suites of small budgets together: each optimizer on the problems it has lines on, and where Sobol is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.optimization import score
from benchmarks.optimization.registry import BASELINE
from benchmarks.optimization.score import Cell

SUITES = ("sequential", "batch10", "bbob", "noisy", "mixed", "tuning")
UNLIKELY = 0.05  # one-sided probability of a difference by chance


@dataclass(frozen=True)
class Behind:
    """A problem on which the baseline's median is worse than Sobol's.

    Attributes:
        problem: Its name.
        decades: By how much, in log10 of the regret.
        chance: Probability of such ranks, or clearer ones, if both were equally good (Mann and Whitney).
    """

    problem: str
    decades: float
    chance: float


def behind(cells: Sequence[Cell]) -> tuple[int, list[Behind]]:
    """On how many problems both have lines, and those where the baseline is behind, the farthest first."""
    from scipy.stats import mannwhitneyu

    both = [cell for cell in cells if {BASELINE, score.REFERENCE} <= cell.lines.keys()]
    found = []
    for cell in both:
        mine, theirs = (np.array(list(cell.log_regret(name).values())) for name in (BASELINE, score.REFERENCE))
        decades = float(np.median(mine) - np.median(theirs))
        if decades > 1e-9:
            chance = float(mannwhitneyu(mine, theirs, alternative="greater").pvalue)
            found.append(Behind(cell.case.problem, decades, chance))
    return len(both), sorted(found, key=lambda each: -each.decades)


def table(suites: Mapping[str, Sequence[Cell]], names: Sequence[str]) -> Iterator[str]:
    """The report's lines.

    Args:
        suites: Cells by suite.
        names: The optimizers, in the order of rows.
    """
    known = {name: suites[name] for name in SUITES if name in suites}
    cells = [cell for each in known.values() for cell in each]
    rows = [row for name in names if name != BASELINE and (row := _row(cells, name))]
    if not rows:
        return
    yield ""
    yield "## All small budgets together"
    yield ""
    yield f"Every problem of {', '.join(known)}, alike: an optimizer's mean score on"
    yield f"those that it has lines on, beside the score of `{BASELINE}` on the same ones."
    yield ""
    yield f"| optimizer | problems | runs | score | interval | `{BASELINE}` there | interval | difference |"
    yield "|---" * 8 + "|"
    yield from rows
    yield ""
    yield f"Where the median of `{BASELINE}` is worse than Sobol's, and by how many decades; *unlikely* are those that"
    yield f"chance alone would bring about less than once in {round(1 / UNLIKELY)} times (Mann and Whitney's test, on"
    yield "each problem by itself)."
    yield ""
    yield "| suite | problems | worse | unlikely | which |"
    yield "|---|---|---|---|---|"
    for name, each in known.items():
        total, found = behind(each)
        unlikely = sum(one.chance < UNLIKELY for one in found)
        which = ", ".join(
            f"{'**' * (one.chance < UNLIKELY)}{one.problem}{'**' * (one.chance < UNLIKELY)} {one.decades:.2f}"
            for one in found
        )
        yield f"| {name} | {total} | {len(found)} | {unlikely} | {which} |"


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
