"""Paired comparison of two variants over the runs that both have.

``python -m benchmarks.optimization.compare before after --suite sequential --half tune``

D is log10 regret of B less that of A with the same problem, seed and start, clipped to [-1, 1]; negative means that B
is better. Means weigh problems alike; intervals are 90 %, by drawing problems and, in each, seeds again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.optimization import score
from benchmarks.optimization.member import Array, Case
from benchmarks.optimization.run import RESULTS, read
from benchmarks.optimization.suites import HALVES, SUITES, select
from benchmarks.record import Line

FRACTIONS = (0.5, 1.0)
LEVEL = 0.02  # decades: a problem's mean difference below this is a tie
HEADER = (
    "| | problems | runs | D clipped | 90 % interval | D | median | B won/tied/lost | of runs | verdict |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
ENOUGH = 10  # runs; fewer get no verdict


@dataclass(frozen=True)
class Pairs:
    """Differences of one problem.

    Attributes:
        case: The case.
        differences: By fraction of the budget, decades by seed, not clipped.
        seconds: Median seconds of an ask, of A and of B.
    """

    case: Case
    differences: dict[float, Array]
    seconds: tuple[float, float]

    def clipped(self, fraction: float) -> Array:
        """Differences within a decade."""
        return np.clip(self.differences[fraction], -1.0, 1.0)


def pair(a: Sequence[Line], b: Sequence[Line], also: Sequence[Line] = ()) -> list[Pairs]:
    """Differences B - A of all problems and seeds that both have; ``also`` adds to what is known of unknown minima."""
    marked = [line | {"provider": "a"} for line in a] + [line | {"provider": "b"} for line in b]
    pairs = []
    for cell in score.collect(marked, also):
        if not {"a", "b"} <= cell.lines.keys():
            continue
        seeds = sorted(cell.lines["a"].keys() & cell.lines["b"].keys())
        if not seeds:
            continue
        differences = {}
        for fraction in FRACTIONS:
            of_a, of_b = cell.log_regret("a", fraction), cell.log_regret("b", fraction)
            differences[fraction] = np.array([of_b[seed] - of_a[seed] for seed in seeds])
        pairs.append(Pairs(cell.case, differences, (cell.seconds("a"), cell.seconds("b"))))
    return pairs


@dataclass(frozen=True)
class Effect:
    """What pairs say together, in decades; negative: B is better.

    Attributes:
        runs: Number of pairs.
        mean, low, high: Mean over problems of clipped differences, and its 90 % interval.
        plain: Mean of differences that are not clipped.
        median: Of the problems' means.
        problems: Problems that B won, tied and lost.
        of_runs: The same of runs.
    """

    runs: int
    mean: float
    low: float
    high: float
    plain: float
    median: float
    problems: str
    of_runs: str


def effect(pairs: Sequence[Pairs], fraction: float) -> Effect:
    """The mean difference at a fraction of the budget, and how sure it is."""
    clipped = [each.clipped(fraction) for each in pairs]
    means = np.array([each.mean() for each in clipped])
    low, high = score.interval(clipped)
    runs = np.concatenate(clipped)
    return Effect(
        runs=len(runs),
        mean=float(means.mean()),
        low=low,
        high=high,
        plain=float(np.mean([each.differences[fraction].mean() for each in pairs])),
        median=float(np.median(means)),
        problems=_record(means, LEVEL),
        of_runs=_record(runs, 1e-6),
    )


def row(name: str, pairs: Sequence[Pairs], fraction: float) -> str:
    """A row of the table: what the pairs say together."""
    found = effect(pairs, fraction)
    verdict = "" if found.runs < ENOUGH else "B better" if found.high < 0 else "B worse" if found.low > 0 else ""
    cells = [
        name,
        str(len(pairs)),
        str(found.runs),
        f"{found.mean:+.3f}",
        f"[{found.low:+.3f}, {found.high:+.3f}]",
        f"{found.plain:+.3f}",
        f"{found.median:+.3f}",
        found.problems,
        found.of_runs,
        verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def _record(values: Array, level: float) -> str:
    won, lost = int((values < -level).sum()), int((values > level).sum())
    return f"{won}/{len(values) - won - lost}/{lost}"


GROUPS: dict[str, Callable[[Case], str]] = {
    "family": score.family,
    "dimension": lambda case: f"{score.dimension(case)} parameters",
    "batch": lambda case: f"batches of {case.batch}, {case.budget} evaluations",
    "problem": lambda case: case.problem.partition("#")[0],
}


def grouped(pairs: Sequence[Pairs], group: str) -> Iterator[tuple[str, list[Pairs]]]:
    """The pairs by family, dimension, batch or problem, in order of the groups' names."""
    for name in sorted({GROUPS[group](each.case) for each in pairs}, key=_natural):
        yield name, [each for each in pairs if GROUPS[group](each.case) == name]


def table(pairs: Sequence[Pairs], groups: Sequence[str] = ("family", "batch")) -> Iterator[str]:
    """The report's lines."""
    for fraction in FRACTIONS:
        yield f"### After {fraction:.0%} of the budget"
        yield ""
        yield from HEADER
        yield row("**all**", pairs, fraction)
        for group in groups:
            parts = list(grouped(pairs, group))
            if len(parts) > 1:
                for name, some in parts:
                    yield row(name, some, fraction)
        yield ""
    seconds = np.array([each.seconds for each in pairs])
    a, b = np.nanmedian(seconds, axis=0) if np.isfinite(seconds).any(axis=0).all() else (np.nan, np.nan)
    yield f"Median seconds of an ask, over problems: A {a:.3g}, B {b:.3g}."


def _natural(name: str) -> tuple[int, str]:
    digits = "".join(c if c.isdigit() else " " for c in name).split()
    return (int(digits[0]) if digits and name[0].isdigit() else 0, name)


def of_provider(lines: Sequence[Line], wanted: str | None, folder: Path) -> list[Line]:
    """Lines of one provider: the one wanted, the only one, or gpbo.

    Raises:
        SystemExit: If there is no such line, or the choice is not clear.
    """
    names = sorted({line["provider"] for line in lines})
    name = wanted or (names[0] if len(names) == 1 else "gpbo")
    if name not in names:
        raise SystemExit(f"{folder} has lines of {', '.join(names) or 'no provider'}; choose with --a or --b.")
    return [line for line in lines if line["provider"] == name]


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("a", type=Path, metavar="A_FOLDER")
    parser.add_argument("b", type=Path, metavar="B_FOLDER")
    parser.add_argument("--a", dest="provider_a", help="provider or variant in A; by default the only one, or gpbo")
    parser.add_argument("--b", dest="provider_b", help="the same of B")
    parser.add_argument("--suite", nargs="+", choices=SUITES, help="only runs of these suites")
    parser.add_argument("--half", choices=HALVES, default="all")
    parser.add_argument("--members", default="", metavar="REGEX")
    parser.add_argument("--by", nargs="*", choices=GROUPS, default=["family", "batch"])
    parser.add_argument("--known", type=Path, default=RESULTS, help="more lines, for minima that are not known")
    options = parser.parse_args(arguments)
    wanted = {case for name in options.suite or SUITES for case in select(name, options.half, options.members)}

    def kept(folder: Path) -> list[Line]:
        if not folder.is_dir():
            raise SystemExit(f"{folder} is no folder.")
        return [line for line in read(folder) if score.case_of(line) in wanted]

    in_a, in_b = kept(options.a), kept(options.b)
    if not (options.suite or options.members or options.half != "all"):
        for folder, lines in ((options.a, in_a), (options.b, in_b)):
            if others := len(read(folder)) - len(lines):
                print(f"{others} lines in {folder} are of no case of today's suites and are left out.")
    a = of_provider(in_a, options.provider_a, options.a)
    b = of_provider(in_b, options.provider_b, options.b)
    pairs = pair(a, b, [*in_a, *in_b, *(read(options.known) if options.known.is_dir() else [])])
    if not pairs:
        raise SystemExit(f"No run is in both: {len(a)} lines in {options.a}, {len(b)} in {options.b}.")
    print(
        f"A = {a[0]['provider']} in {options.a}, B = {b[0]['provider']} in {options.b}; "
        "D = B - A in decades of regret, negative: B is better.\n"
    )
    print("\n".join(table(pairs, options.by)))


if __name__ == "__main__":
    main()
