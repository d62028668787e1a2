"""Tables and a picture from the result lines: ``python -m benchmarks.speed.report`` writes results/REPORT.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks import record
from benchmarks.record import Line
from benchmarks.speed.cases import ROWS, Row
from benchmarks.speed.run import PROVIDERS, RESULTS

Sizes = tuple[int, int, int]
Times = dict[tuple[str, Sizes, str], Line]  # by row, sizes (n, d, q) and provider


def collect(folder: Path) -> Times:
    """The lines; of repeated measurements, the last."""
    return {
        (line["case"], (line["sizes"]["n"], line["sizes"]["d"], line["sizes"]["q"]), line["provider"]): line
        for line in record.read(folder)
        if line["suite"] == "speed"
    }


def milliseconds(line: Line) -> float:
    """A loop's mean, because not every step refits; else the median."""
    return float(line["mean" if line["case"].startswith("loop") else "p50"])


def ratios(times: Times, row: str, rival: str) -> dict[Sizes, float]:
    """How many times longer the rival takes, by sizes."""
    return {
        sizes: milliseconds(line) / milliseconds(times[row, sizes, "gpbo"])
        for (name, sizes, provider), line in times.items()
        if (name, provider) == (row, rival) and (row, sizes, "gpbo") in times
    }


def markdown(times: Times) -> str:
    """The report's text."""
    return "\n".join([*_heading(times), *_goals(times), *_rows(times)]) + "\n"


def _heading(times: Times) -> Iterator[str]:
    yield "# Speed of suggestions"
    yield ""
    yield "Made by `python -m benchmarks.speed.report` from the `.jsonl` files beside it. CPU time on one thread,"
    yield "float64; participants take turns in one process (Ax and scikit-optimize in one of their own). Times are"
    yield "medians; of loops, means, because not every step refits. Our side of asks and loops is `gpbo.Optimizer` with"
    yield "its defaults; `botorch_local` is `SingleTaskGP`, `fit_gpytorch_mll`, LogEI and `optimize_acqf` with"
    yield "`sample_around_best`."
    yield ""
    for provider in PROVIDERS:
        mine = [line for (_, _, name), line in times.items() if name == provider]
        made = sorted({f"commit {line['commit']}, {line['processor']}" for line in mine})
        if made:
            names = {"gpbo_first_use": "gpbo", "ax": "ax-platform", "skopt": "scikit-optimize"}
            package = names.get(provider, provider.split("_")[0])
            versions = sorted({str(line["versions"].get(package)) for line in mine} - {"None"})
            yield f"- `{provider}` {' '.join(versions)}: {'; '.join(made)}"


def _goals(times: Times) -> Iterator[str]:
    yield ""
    yield "## Goals"
    yield ""
    yield "| at | against | at least | aim | measured, smallest to largest | cells at least / aim |"
    yield "|---|---|---|---|---|---|"
    for row in ROWS.values():
        for rival, (least, aim) in row.goals.items():
            found = list(ratios(times, row.name, rival).values())
            if not found:
                continue
            shown = f"{_times(min(found))} – {_times(max(found))}" if len(found) > 1 else _times(found[0])
            reached = [sum(value >= goal for value in found) for goal in (least, aim)]
            cells = [row.title, f"`{rival}`", f"{round(least, 2):g}×", f"{round(aim, 2):g}×", shown]
            yield "| " + " | ".join([*cells, f"{reached[0]} / {reached[1]} of {len(found)}"]) + " |"
    yield ""
    yield "![milliseconds of tell one + ask one against n](loop.png)"


def _rows(times: Times) -> Iterator[str]:
    for row in ROWS.values():
        providers = [name for name in PROVIDERS if any(key[0] == row.name and key[2] == name for key in times)]
        sizes = sorted({key[1] for key in times if key[0] == row.name}, key=lambda size: (size[1], size[0], size[2]))
        if not sizes:
            continue
        yield ""
        yield f"## {row.title}"
        yield ""
        yield "| n | d | q | " + " | ".join(f"`{name}` ms" for name in providers) + " | ratio |"
        yield "|---" * (len(providers) + 4) + "|"
        for size in sizes:
            cells = [_cell(times.get((row.name, size, name))) for name in providers]
            yield "| " + " | ".join([*map(str, size), *cells, _ratio(times, row, size)]) + " |"


def _cell(line: Line | None) -> str:
    return "" if line is None else f"{milliseconds(line):.4g}"


def _ratio(times: Times, row: Row, size: Sizes) -> str:
    found = {rival: ratios(times, row.name, rival).get(size) for rival in row.goals}
    return ", ".join(_times(value) for value in found.values() if value is not None)


def _times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 99.5 else f"{ratio:.3g}×"


def picture(times: Times, path: Path) -> None:
    """Time of tell one + ask one against n, one panel a dimension."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = [line for line in times.values() if line["case"].startswith("loop")]
    dimensions = sorted({line["sizes"]["d"] for line in lines})
    figure, axes = plt.subplots(1, len(dimensions), figsize=(5.2 * len(dimensions), 4), squeeze=False, sharey=True)
    for ax, d in zip(axes[0], dimensions, strict=True):
        for index, provider in enumerate(PROVIDERS):
            mine = [line for line in lines if (line["provider"], line["sizes"]["d"]) == (provider, d)]
            points = sorted((line["sizes"]["n"], milliseconds(line)) for line in mine)
            if points:
                n, ms = zip(*points, strict=True)
                ax.plot(n, ms, "o-", color=f"C{index}", label=provider, linewidth=2.2 if provider == "gpbo" else 1.3)
        ax.set(title=f"d = {d}", xscale="log", yscale="log", xlabel="observations")
        ax.grid(alpha=0.25, which="both")
    axes[0][0].set_ylabel("CPU ms of tell one + ask one")
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    times = collect(options.results)
    text = markdown(times)
    (options.results / "REPORT.md").write_text(text)
    picture(times, options.results / "loop.png")
    print(text)


if __name__ == "__main__":
    main()
