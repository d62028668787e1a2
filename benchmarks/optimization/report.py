"""Tables and pictures from the result lines: ``python -m benchmarks.optimization.report`` writes results/REPORT.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.optimization import overall, places, score
from benchmarks.optimization.member import Array, Case
from benchmarks.optimization.registry import BASELINE, PROVIDERS
from benchmarks.optimization.run import RESULTS, key, read
from benchmarks.optimization.score import Cell
from benchmarks.optimization.score import bootstrap as bootstrap  # used by other benchmarks
from benchmarks.optimization.suites import HALVES, SUITES, select
from benchmarks.record import Line

FRACTIONS = np.linspace(0, 1, 101)[1:]
FRONT = "convergence.png"
AGAIN = "behind"  # folder of further runs, where Sobol's median is ahead with those that all have


@dataclass(frozen=True)
class Standing:
    """What the cells of a suite say about one provider.

    Attributes:
        problems: Number of cases with its lines.
        runs: Number of its lines.
        score: Mean over cases of the mean score over seeds.
        low: Lower end of the score's 90 % interval.
        high: Its upper end.
        rank: Mean over cases of the rank of its median regret among those that ran there.
        places: How often it came first, second and last by median regret; shared first places count for all.
        difference: Mean clipped difference of log10 regret against the baseline, paired by seed, with its interval;
            None where no run is in both.
        seconds: Median seconds of an ask.
        unfinished: Runs that stopped early.
    """

    problems: int
    runs: int
    score: float
    low: float
    high: float
    rank: float
    places: tuple[int, int, int]
    difference: tuple[float, float, float] | None
    seconds: float
    unfinished: int


def providers(cells: Iterable[Cell]) -> list[str]:
    """Names in lines: those of the registry in its order, then variants."""
    return in_order({name for cell in cells for name in cell.lines})


def in_order(names: set[str]) -> list[str]:
    """Names of the registry in its order, then variants."""
    return [*(name for name in PROVIDERS if name in names), *sorted(names - PROVIDERS.keys())]


def medians(cell: Cell) -> dict[str, float]:
    """Median log10 regret by provider, rounded so that ties are ties."""
    return {name: round(float(np.median(list(cell.log_regret(name).values()))), 6) for name in cell.lines}


def ranks(values: dict[str, float]) -> dict[str, float]:
    """Ranks from 1, ties shared."""
    from scipy.stats import rankdata

    return dict(zip(values, rankdata(list(values.values())).tolist(), strict=True))


def standing(cells: Sequence[Cell], name: str) -> Standing:
    """What the cells say about a provider."""
    mine = [cell for cell in cells if name in cell.lines]
    scores = [np.array(list(found.values())) for cell in mine if (found := cell.scores(name))]
    low, high = score.interval(scores) if scores else (float("nan"), float("nan"))
    order = [ranks(medians(cell)) for cell in mine if len(cell.lines) > 1]
    places = (
        sum(each[name] == min(each.values()) for each in order),
        sum(each[name] == sorted(set(each.values()))[1] for each in order if len(set(each.values())) > 1),
        sum(each[name] == max(each.values()) > min(each.values()) for each in order),
    )
    lines = [line for cell in mine for line in cell.lines[name].values()]
    seconds = [each for cell in mine if not np.isnan(each := cell.seconds(name))]
    return Standing(
        problems=len(mine),
        runs=len(lines),
        score=float(np.mean([each.mean() for each in scores])) if scores else float("nan"),
        low=low,
        high=high,
        rank=float(np.mean([each[name] for each in order])) if order else float("nan"),
        places=places,
        difference=score.difference(mine, name, BASELINE),
        seconds=float(np.median(seconds)) if seconds else float("nan"),
        unfinished=sum(not line.get("finished", True) for line in lines),
    )


def markdown(suites: dict[str, list[Cell]], lines: Sequence[Line], again: Sequence[Cell] = ()) -> str:
    """The report's text; ``again`` are cells with further runs on some problems (``overall``)."""
    compared = {name: cells for name, cells in suites.items() if len(providers(cells)) > 1}
    parts = [*_heading(lines), *_summary(compared)]
    if others := [f"`{name}`" for name in suites if name not in compared]:
        parts += ["", f"Suites with lines of one optimizer so far: {', '.join(others)}."]
    parts += overall.table(compared, providers([cell for cells in compared.values() for cell in cells]), again)
    for name, cells in compared.items():
        parts += _suite(name, cells)
    return "\n".join(parts) + "\n"


def _summary(suites: dict[str, list[Cell]]) -> Iterator[str]:
    names = providers([cell for cells in suites.values() for cell in cells])
    yield ""
    yield "Mean score by suite, and in brackets on how many of its problems:"
    yield ""
    yield "| optimizer | " + " | ".join(suites) + " |"
    yield "|---" * (1 + len(suites)) + "|"
    for name in names:
        row = []
        for cells in suites.values():
            each = standing(cells, name) if any(name in cell.lines for cell in cells) else None
            row.append(f"{each.score:.2f} ({each.problems})" if each else "")
        yield f"| `{name}` | " + " | ".join(row) + " |"


def _heading(lines: Sequence[Line]) -> Iterator[str]:
    yield "# Quality per evaluation"
    yield ""
    yield "Made by `python -m benchmarks.optimization.report` from the `.jsonl` files beside it."
    yield ""
    yield "Every optimizer gets the same budget, one thread, and for each seed the same initial design. *Score*: 0"
    yield "is the median of Sobol's runs on a problem, 1 the best final value of all runs on it, in between linear"
    yield "in log10 of the regret, or in the value where the minimum is not known (marked *); clipped to [-1, 1],"
    yield "averaged over seeds, then over problems. Intervals are 90 %, by drawing problems and, in each, seeds"
    yield "again. *Rank* is that of the median regret among those who ran on the problem; *first/second/last*"
    yield f"counts problems. *Difference* is the mean paired difference of log10 final regret against `{BASELINE}`,"
    yield f"clipped to [-1, 1]; above zero is worse than `{BASELINE}`. *Cut* counts runs that failed or hit a limit."
    yield "Pictures show the share of targets reached against evaluations; targets are even in score, and numbers"
    yield "in brackets count problems."
    yield "Times are from shared cores. What each ingredient of gpbo brings: [recipe](recipe/REPORT.md); what a large"
    yield "batch is made of: [portfolio](portfolio/REPORT.md); where gpbo loses, and why: [losses](LOSSES.md)."
    yield ""
    for name in in_order({line["provider"] for line in lines}):
        package = _package(name)
        mine = [line for line in lines if line["provider"] == name]
        versions = sorted({line["versions"].get(package) or "" for line in mine} - {""})
        commits = sorted({line["commit"] for line in mine})
        more = f" and {len(commits) - 4} more" if len(commits) > 4 else ""
        made = f"{package} {', '.join(versions)}, " if versions else ""
        yield f"- `{name}`: {made}commit {', '.join(commits[:4])}{more}"


PACKAGES = {
    **{"sobol": "scipy", "random": "numpy", "turbo": "torch", "ts": "torch", "hebo": "HEBO"},
    **{"ax": "ax-platform", "cmaes": "cma", "skopt": "scikit-optimize"},
}


def _package(provider: str) -> str:
    first = provider.split("_")[0]
    return PACKAGES.get(first, first)


def _suite(suite: str, cells: Sequence[Cell]) -> Iterator[str]:
    names = providers(cells)
    found = {name: standing(cells, name) for name in names}
    order = sorted(names, key=lambda name: -np.nan_to_num(found[name].score, nan=-2.0))
    yield ""
    yield f"## {suite}"
    yield ""
    yield "| optimizer | problems | runs | score | interval | rank | first/second/last | difference | s/ask | cut |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name in order:
        each = found[name]
        difference = score.shown(each.difference)
        row = [
            f"`{name}`",
            str(each.problems),
            str(each.runs),
            f"{each.score:.3f}",
            f"[{each.low:.3f}, {each.high:.3f}]",
        ]
        row += [f"{each.rank:.2f}", "/".join(map(str, each.places)), difference, f"{each.seconds:.2g}"]
        yield (
            ("| " + " | ".join([*row, str(each.unfinished or "")]) + " |").replace("[nan, nan]", "").replace("nan", "")
        )
    yield ""
    yield f"![share of targets reached against share of the budget]({suite}.png)"
    if suite in places.SUITES:
        yield from places.table(cells, order)
    for title, group in GROUPS.items():
        yield from _grouped(title, group, cells, order)
    yield ""
    yield "Median final regret (at half of the budget):"
    yield ""
    yield "| problem | evaluations | batch | " + " | ".join(f"`{name}`" for name in order) + " |"
    yield "|---" * (3 + len(order)) + "|"
    for cell in sorted(cells, key=lambda cell: (cell.case.batch, score.family(cell.case))):
        yield _row(cell, order)


GROUPS: dict[str, Callable[[Case], str]] = {
    "family": score.family,
    "parameters": lambda case: str(score.dimension(case)),
    "evaluations (batch)": lambda case: f"{case.budget} ({case.batch})",
}


def _grouped(title: str, group: Callable[[Case], str], cells: Sequence[Cell], order: Sequence[str]) -> Iterator[str]:
    labels = sorted({group(cell.case) for cell in cells}, key=lambda text: (int(_digits(text) or 0), text))
    if len(labels) < 2:
        return
    yield ""
    yield f"Mean score by {title}:"
    yield ""
    yield f"| {title} | problems | " + " | ".join(f"`{name}`" for name in order) + " |"
    yield "|---" * (2 + len(order)) + "|"
    for label in labels:
        inside = [cell for cell in cells if group(cell.case) == label]
        row = []
        for name in order:
            means = [np.mean(list(s.values())) for cell in inside if name in cell.lines and (s := cell.scores(name))]
            row.append(f"{np.mean(means):.2f}" if means else "")
        yield f"| {label} | {len(inside)} | " + " | ".join(row) + " |"


def _digits(text: str) -> str:
    first = text.split()[0]
    return first if first.isdigit() else ""


def _row(cell: Cell, order: Sequence[str]) -> str:
    values = medians(cell)
    texts = []
    for name in order:
        if name not in cell.lines:
            texts.append("")
            continue
        text = _regret(10 ** values[name], cell)
        if len(values) > 1 and values[name] == min(values.values()):
            text = f"**{text}**"
        half = float(np.median(list(cell.log_regret(name, 0.5).values())))
        texts.append(f"{text} ({_regret(10**half, cell)})")
    mark = "" if cell.exact else "*"
    return f"| {cell.case.problem}{mark} | {cell.case.budget} | {cell.case.batch} | " + " | ".join(texts) + " |"


def _regret(value: float, cell: Cell) -> str:
    return "0" if value <= cell.floor * 1.0001 else f"{value:.2g}"


def profile(cells: Sequence[Cell], name: str) -> Array | None:
    """Mean share of targets reached against the share of the budget, cases alike; None without scores."""
    rows = [found.mean(0) for cell in cells if name in cell.lines and len(found := cell.profile(name, FRACTIONS))]
    return np.mean(rows, axis=0) if rows else None


def profiles(cells: Sequence[Cell], path: Path, title: str) -> None:
    """The data profile of a suite: one line an optimizer, with how many of its problems it stands for."""
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for index, name in enumerate(providers(cells)):
        shares = profile(cells, name)
        if shares is None:
            continue
        n = sum(name in cell.lines for cell in cells)
        width = 2.4 if name == BASELINE else 1.3
        style = ("-", "--", ":")[index // 10 % 3]
        label = f"{name} ({n})"
        ax.plot(100 * FRACTIONS, shares, color=f"C{index % 10}", linestyle=style, linewidth=width, label=label)
    ax.set(title=title, xlabel="evaluations, % of the budget", ylabel="share of targets reached", ylim=(0, None))
    ax.grid(alpha=0.25)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def convergence(cells: Sequence[Cell], path: Path) -> None:
    """Median regret against evaluations with the middle half of the runs shaded, one panel a case."""
    from matplotlib import pyplot as plt

    columns = 3
    rows = -(-len(cells) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(cells) :]:
        ax.remove()
    names = providers(cells)
    for ax, cell in zip(axes.flat, cells, strict=False):
        for name in names:
            runs = [score.curve(line) for line in cell.lines.get(name, {}).values() if line.get("finished", True)]
            if not runs:
                continue
            regret = np.maximum(np.array([best for _, best in runs]) - cell.minimum, cell.floor)
            low, middle, high = np.percentile(regret, [25, 50, 75], axis=0)
            color = f"C{names.index(name) % 10}"
            ax.plot(runs[0][0], middle, color=color, label=name, linewidth=2.2 if name == BASELINE else 1.3)
            ax.fill_between(runs[0][0], low, high, color=color, alpha=0.12, linewidth=0)
        ax.axvline(cell.case.n_initial, color="0.6", linestyle=":", linewidth=1)
        ax.set(title=cell.case.problem, yscale="log", xlabel="evaluations", ylabel="regret")
        ax.grid(alpha=0.25)
    axes.flat[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def by_suite(lines: Sequence[Line], half: str = "all", also: Sequence[Line] = ()) -> dict[str, list[Cell]]:
    """The cells of each suite that has lines, in the order of the suites; ``also`` only adds to known minima."""
    cells = {cell.case: cell for cell in score.collect(lines, also)}
    table = {name: [cells[case] for case in select(name, half) if case in cells] for name in SUITES}
    return {name: found for name, found in table.items() if found}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    import matplotlib

    matplotlib.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--half", choices=HALVES, default="all")
    options = parser.parse_args(arguments)
    lines = read(options.results)
    known = {key(line) for line in lines}
    again = [line for line in read(options.results / AGAIN) if key(line) not in known]
    suites = by_suite(lines, options.half, again)
    (options.results / "REPORT.md").write_text(markdown(suites, lines, score.collect(again, lines)))
    for name, cells in suites.items():
        if len(providers(cells)) == 1:
            continue
        profiles(cells, options.results / f"{name}.png", name)
        if name == "classic":
            convergence(cells, options.results / FRONT)
    print(f"{options.results / 'REPORT.md'}: {len(lines)} runs in {', '.join(suites) or 'no suite'}")


if __name__ == "__main__":
    main()
