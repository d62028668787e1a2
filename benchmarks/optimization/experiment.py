"""Tables of an experiment: variants of one optimizer, in a folder of their own that the report leaves out.

``python -m benchmarks.optimization.experiment portfolio`` reads results/portfolio and writes REPORT.md there. A folder
in results that is not named like a suite is an experiment; ``run --out`` fills it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.optimization import compare, report, score
from benchmarks.optimization.registry import BASELINE
from benchmarks.optimization.run import RESULTS, read
from benchmarks.optimization.score import Cell
from benchmarks.record import Line


def markdown(name: str, lines: Sequence[Line], also: Sequence[Line] = (), baseline: str = BASELINE) -> str:
    """The text of an experiment's report.

    Args:
        name: Name of the experiment.
        lines: Its lines.
        also: More lines, for minima that are not known.
        baseline: The variant that the others are compared with.

    Raises:
        SystemExit: If the baseline has no line, or no other variant has one.
    """
    names = [each for each in report.in_order({line["provider"] for line in lines}) if each != baseline]
    if not names or not any(line["provider"] == baseline for line in lines):
        raise SystemExit(f"There are no variants to compare with {baseline}.")
    return "\n".join([*_heading(name, lines, baseline), *_paired(lines, also, names, baseline), *_ratios(
        score.collect(lines, also), names, baseline)]) + "\n"  # fmt: skip


def _heading(name: str, lines: Sequence[Line], baseline: str) -> Iterator[str]:
    yield f"# Experiment: {name}"
    yield ""
    yield f"Made by `python -m benchmarks.optimization.experiment {name}` from the lines beside it. Every variant is"
    yield f"paired by problem and seed with `{baseline}`, over the runs that both have."
    yield ""
    for provider in report.in_order({line["provider"] for line in lines}):
        mine = [line for line in lines if line["provider"] == provider]
        settings = sorted({", ".join(f"{k}={v}" for k, v in line.get("settings", {}).items()) for line in mine})
        commits = sorted({line["commit"] for line in mine})
        told = "; ".join(each or "defaults" for each in settings)
        yield f"- `{provider}`: {told}; runs: {len(mine)}, commit {', '.join(commits)}"


def _paired(lines: Sequence[Line], also: Sequence[Line], names: Sequence[str], baseline: str) -> Iterator[str]:
    a = [line for line in lines if line["provider"] == baseline]
    pairs = {
        name: compare.pair(a, [line for line in lines if line["provider"] == name], [*lines, *also]) for name in names
    }
    for fraction in reversed(compare.FRACTIONS):
        yield ""
        yield f"## Paired differences after {fraction:.0%} of the budget"
        yield ""
        yield f"A is `{baseline}`, B the variant. D = B - A in decades of regret, negative: B is better; the interval"
        yield "is of D clipped to [-1, 1]."
        yield ""
        yield from compare.HEADER
        for name in names:
            if pairs[name]:
                yield compare.row(f"`{name}`", pairs[name], fraction)


def _ratios(cells: Sequence[Cell], names: Sequence[str], baseline: str) -> Iterator[str]:
    yield ""
    yield "## Median final regret, relative"
    yield ""
    yield f"The variant's median over seeds, divided by that of `{baseline}`; below 1 is better. Over the members of a"
    yield "problem: the geometric mean, and in brackets their number. *: regret is above the best value of all lines."
    yield ""
    yield "| problem | evaluations | batch | " + " | ".join(f"`{name}`" for name in names) + " |"
    yield "|---" * (3 + len(names)) + "|"
    grouped: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        key = (cell.case.problem.partition("#")[0], cell.case.budget, cell.case.batch)
        grouped.setdefault(key, []).append(cell)
    for (problem, budget, batch), members in sorted(grouped.items()):
        texts = []
        for name in names:
            logs = [ratio for cell in members if (ratio := log_ratio(cell, name, baseline)) is not None]
            texts.append(f"{10 ** np.mean(logs):.3g} ({len(logs)})" if logs else "")
        mark = "" if all(cell.exact for cell in members) else "*"
        yield f"| {problem}{mark} | {budget} | {batch} | " + " | ".join(texts) + " |"


def log_ratio(cell: Cell, name: str, baseline: str) -> float | None:
    """log10 of the ratio of median regrets, over the seeds that both have."""
    if not {name, baseline} <= cell.lines.keys():
        return None
    mine, theirs = cell.log_regret(name), cell.log_regret(baseline)
    common = mine.keys() & theirs.keys()
    if not common:
        return None
    return float(np.median([mine[seed] for seed in common]) - np.median([theirs[seed] for seed in common]))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="name of its folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the folder is")
    parser.add_argument("--baseline", default=BASELINE)
    options = parser.parse_args(arguments)
    folder: Path = options.results / options.name
    lines = read(folder)
    text = markdown(options.name, lines, read(options.results), options.baseline)
    (folder / "REPORT.md").write_text(text)
    print(f"{folder / 'REPORT.md'}: {len(lines)} runs")


if __name__ == "__main__":
    main()
