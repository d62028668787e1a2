"""What each ingredient of the engine's recipe brings: runs every change of ``ingredients`` and writes the table.

``python -m benchmarks.optimization.recipe --jobs 4`` runs what has no line yet, on the tuning halves of the suites;
``--only report`` writes results/recipe/REPORT.md from the lines that are there. An engine that has changed much gets a
folder of its own, so that every row is paired with the engine that it changes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.optimization import compare, run
from benchmarks.optimization.ingredients import BATCHES, INGREDIENTS
from benchmarks.optimization.registry import BASELINE
from benchmarks.optimization.suites import select
from benchmarks.record import Line

FOLDER = run.RESULTS / "recipe"
ENGINES = {  # the last is where new lines go
    FOLDER: "the engine before the longer start and the narrower prior of lengthscales",
    FOLDER / "second": "the engine with these, before sums over single parameters",
    FOLDER / "third": "the engine with sums, before these were limited to 100 values and 12 dimensions",
    FOLDER / "fourth": "the engine with clipped outcomes",
    FOLDER / "fifth": "the engine with sums in batches",
}
SEEDS = {"sequential": 3, "bbob": 1, "mixed": 3, "noisy": 3, "tuning": 3, "long": 1} | dict.fromkeys(BATCHES, 5)


def run_all(names: Sequence[str], suites: Sequence[str], jobs: int, seeds: int | None) -> None:
    """Runs the variants that are to be tried on each suite, and the engine as it is."""
    for suite in suites:
        variants = [f"{name}=ingredient:{name}" for name in names if suite in INGREDIENTS[name].suites]
        count = str(seeds or SEEDS[suite])
        options = [
            "--suite",
            suite,
            "--half",
            "tune",
            "--seeds",
            count,
            "--jobs",
            str(jobs),
            "--out",
            str([*ENGINES][-1]),
        ]
        run.main([*options, "--providers", BASELINE, "--variant", *variants] if variants else options)


def markdown(engines: Mapping[str, Sequence[Line]]) -> str:
    """The text of the report.

    Args:
        engines: The lines that belong to each engine, by what it is.
    """
    return "\n".join(_report(engines)) + "\n"


def _report(engines: Mapping[str, Sequence[Line]]) -> Iterator[str]:
    yield "# What the ingredients of the recipe bring"
    yield ""
    yield "Made by `python -m benchmarks.optimization.recipe` from the lines beside it, all on members for tuning. Each"
    yield "row is the engine with one change, paired by problem and seed with the engine as it is: the mean difference"
    yield "of log10 final regret, clipped to a decade either way, and its 90 % interval (problems and seeds drawn"
    yield "again). **Above zero: the change is worse**, so what is in the engine helps. *Half* is the same after half"
    yield "of the budget; *families* names those in which the interval leaves zero out. What is marked as in the engine"
    yield "since went in because of its row here and is not in the engine that the rows are paired with."
    for what, lines in engines.items():
        commits = sorted({line["commit"] for line in lines if line["provider"] == BASELINE})
        yield ""
        yield f"## Paired with {what}"
        yield ""
        yield f"Commit {', '.join(commits)}; {len(lines)} runs in all."
        yield ""
        yield from _table(lines)


def _table(lines: Sequence[Line]) -> Iterator[str]:
    baseline = [line for line in lines if line["provider"] == BASELINE]
    yield "| ingredient | change | suite | problems | runs | D | 90 % interval | half | won/tied/lost | families |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, ingredient in INGREDIENTS.items():
        variant = [line for line in lines if line["provider"] == name]
        for suite in ingredient.suites:
            cases = set(select(suite))
            pairs = [each for each in compare.pair(baseline, variant, lines) if each.case in cases]
            if pairs:
                yield _row(f"{ingredient.group} | {ingredient.what}", suite, pairs)


def _row(what: str, suite: str, pairs: Sequence[compare.Pairs]) -> str:
    end, half = (compare.effect(pairs, fraction) for fraction in (1.0, 0.5))
    families = []
    for family, some in compare.grouped(pairs, "family"):
        each = compare.effect(some, 1.0)
        if each.runs >= compare.ENOUGH and each.low * each.high > 0:
            families.append(f"{family} {each.mean:+.2f}")
    return (
        f"| {what} | {suite} | {len(pairs)} | {end.runs} | {end.mean:+.3f} | [{end.low:+.2f}, {end.high:+.2f}] "
        f"| {half.mean:+.2f} | {end.problems} | {', '.join(families)} |"
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("run", "report"))
    parser.add_argument("--ingredients", nargs="+", choices=INGREDIENTS, default=list(INGREDIENTS), metavar="NAME")
    parser.add_argument("--suites", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.only != "report":
        run_all(options.ingredients, options.suites, options.jobs, options.seeds)
    if options.only != "run":
        path: Path = FOLDER / "REPORT.md"
        path.write_text(markdown({what: run.read(folder) for folder, what in ENGINES.items()}))
        print(path)


if __name__ == "__main__":
    main()
