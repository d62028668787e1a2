"""A table from the result lines: ``python -m benchmarks.scale.report`` writes results/REPORT.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks import record
from benchmarks.record import Line
from benchmarks.scale.cases import CASES, GROUPS, Case
from benchmarks.scale.limits import GIGA, LINEAR, growth, stock_ratio
from benchmarks.scale.run import RESULTS

Lines = dict[tuple[str, int], Line]  # by name of the case and index of the step


def collect(folder: Path) -> Lines:
    """The lines; of repeated measurements, the last."""
    return {(line["case"], line["step"]): line for line in record.read(folder) if line["suite"] == "scale"}


def markdown(lines: Lines) -> str:
    """The report's text."""
    return "\n".join([*_heading(lines), *(text for group in GROUPS for text in _group(lines, group))]) + "\n"


def _heading(lines: Lines) -> Iterator[str]:
    yield "# Large studies and large batches"
    yield ""
    yield "Made by `python -m benchmarks.scale.report` from the `.jsonl` files beside it. Wall time of `Optimizer.ask`"
    yield "on the host, each case in a process of its own that is confined to as many cores as there are threads;"
    yield "in parentheses, CPU time. Memory is the largest resident size of the process; in parentheses, what data and"
    yield "asks added to imports. Data: half Sobol points, half steps about the best so far, of a rotated Ackley"
    yield "function with Levy's bowl. Every ask must give points that are distinct and new. Misses are bold."
    yield ""
    made = sorted(
        {f"commit {line['commit']}, {line['processor']}, {line['threads']} threads" for line in lines.values()}
    )
    yield from (f"- {text}" for text in made)


def _group(lines: Lines, group: str) -> Iterator[str]:
    cases = [case for case in CASES if case.group == group and any((case.name, i) in lines for i in _indices(case))]
    if not cases:
        return
    yield ""
    yield f"## {group.capitalize()}: {GROUPS[group]}"
    yield ""
    yield "| n | d | pending | q | | seconds | limit | GB | limit | refitted | points new, distinct |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for case in cases:
        yield from (
            _row(case, index, lines[case.name, index]) for index in _indices(case) if (case.name, index) in lines
        )
    for case in cases:
        if case.stock:
            yield ""
            yield _against_stock(case, lines)
    if group == "growth":
        grown = growth([lines[case.name, 0] for case in cases if (case.name, 0) in lines])
        shown = ", ".join(_growth(value) for value in grown)
        yield ""
        yield f"Seconds per point must not grow with q; {LINEAR:g} times is level. From each q to the next: {shown}."


def _against_stock(case: Case, lines: Lines) -> str:
    ratio = stock_ratio(lines.get((case.name, 0)), lines.get((case.name, len(case.steps))))
    rule = f"BoTorch's {case.stock} points must take longer than our {case.steps[0].q}"
    if ratio is None:
        return f"{rule}: **not both measured**."
    return f"{rule}: {_marked(f'{ratio:.3g} times', ratio > 1)}."


def _indices(case: Case) -> range:
    return range(len(case.steps) + bool(case.stock))


def _row(case: Case, index: int, line: Line) -> str:
    sizes, limits, held = line["sizes"], line.get("limits", {}), line.get("holds", {})
    done = line["outcome"] == "done"
    seconds = f"{line['seconds']:.3g} ({line['cpu_seconds']:.3g})" if done else _trouble(line)
    memory = ""
    if "peak_bytes" in line:
        memory = f"{line['peak_bytes'] / GIGA:.2f} ({line['added_bytes'] / GIGA:.2f})"
    refitted = ""
    if "ask" in line:
        refitted = ("yes" if line["ask"]["refitted"] else "no") + (", must" if "refitted" in limits else "")
        refitted = refitted.replace(", must", " (must)" if limits.get("refitted") else " (must not)")
    what = "`botorch`" if line["provider"] == "botorch" else ""
    if index and not what:
        what = f"{case.steps[index].told} told"
    told = sum(step.told for step in case.steps[: index + 1]) if line["provider"] == "gpbo" else 0
    cells = [
        str(sizes["n"] + told),
        str(sizes["d"]),
        str(sizes["pending"] or ""),
        str(sizes["q"]),
        what,
        _marked(seconds, held.get("seconds", done)),
        str(limits.get("seconds", "")),
        _marked(memory, held.get("gigabytes", True)),
        str(limits.get("gigabytes", "")),
        _marked(refitted, held.get("refitted", True)),
        _marked({True: "yes", False: "no", None: ""}[line.get("distinct")], held.get("distinct", True)),
    ]
    return "| " + " | ".join(cells) + " |"


def _trouble(line: Line) -> str:
    if line["outcome"] == "timeout":
        return f"more than {line['seconds']:g}"
    return str(line["outcome"])


def _growth(value: float | None) -> str:
    return "**not measured**" if value is None else _marked(f"{value:.2f}", value <= LINEAR)


def _marked(text: str, held: bool) -> str:
    return text if held or not text else f"**{text}**"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    text = markdown(collect(options.results))
    (options.results / "REPORT.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
