"""Tables and a picture from the result lines: ``python -m benchmarks.optimization.report`` writes results/REPORT.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.optimization.registry import BASELINE, CASES, PROVIDERS, Case
from benchmarks.optimization.run import RESULTS, read
from benchmarks.record import Line

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """All runs of one provider on one case.

    Attributes:
        seeds: Seeds in ascending order, shape (s,).
        regret: Best value so far less the minimum, shape (s, budget), never below the case's floor.
        seconds: Median seconds of a suggestion.
    """

    seeds: Array
    regret: Array
    seconds: float


def collect(lines: list[Line]) -> dict[str, dict[str, Runs]]:
    """Runs by case and provider, in the order of the registry."""
    table: dict[str, dict[str, Runs]] = {}
    for name, case in CASES.items():
        of_case = [line for line in lines if line["case"] == name and line["budget"] == case.budget]
        if not of_case:
            continue
        minimum = case.minimum if case.minimum is not None else min(min(line["values"]) for line in of_case)
        table[name] = {
            provider: _runs(case, minimum, sorted(group, key=lambda line: int(line["seed"])))
            for provider in PROVIDERS
            if (group := [line for line in of_case if line["provider"] == provider])
        }
    return table


def _runs(case: Case, minimum: float, lines: list[Line]) -> Runs:
    best = np.minimum.accumulate([line["values"] for line in lines], axis=1)
    seconds = np.concatenate([line["suggestion_seconds"] for line in lines])
    seeds = np.array([line["seed"] for line in lines])
    return Runs(seeds, np.maximum(best - minimum, case.floor), float(np.median(seconds)))


@dataclass(frozen=True)
class Comparison:
    """Paired difference of log10 final regret, provider less baseline, over common seeds; negative is better."""

    mean: float
    low: float
    high: float
    better: int
    tied: int
    worse: int

    @property
    def verdict(self) -> str:
        """Whether the 95 % interval excludes zero."""
        return "better" if self.high < 0 else "worse" if self.low > 0 else "level"


def compare(runs: Runs, baseline: Runs) -> Comparison | None:
    """The comparison over the seeds that both have, None without any."""
    common, mine, theirs = np.intersect1d(runs.seeds, baseline.seeds, return_indices=True)
    if not len(common):
        return None
    difference = np.log10(runs.regret[mine, -1]) - np.log10(baseline.regret[theirs, -1])
    low, high = bootstrap(difference)
    tied = np.abs(difference) < 1e-6
    better, worse = (difference < 0) & ~tied, (difference > 0) & ~tied
    return Comparison(float(difference.mean()), low, high, int(better.sum()), int(tied.sum()), int(worse.sum()))


def bootstrap(values: Array, samples: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean, with a fixed seed."""
    picks = np.random.default_rng(0).integers(len(values), size=(samples, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def markdown(table: dict[str, dict[str, Runs]], lines: list[Line], baseline: str) -> str:
    """The report's text."""
    return "\n".join([*_heading(lines, baseline), *_summary(table, baseline), *_cases(table, baseline)]) + "\n"


def _heading(lines: list[Line], baseline: str) -> Iterator[str]:
    yield "# Quality per evaluation"
    yield ""
    yield "Made by `python -m benchmarks.optimization.report` from the `.jsonl` files beside it."
    yield ""
    yield "Every optimizer gets the same budget, one thread, and for each seed the same initial design. Regret is the"
    yield "best value found less the minimum (for the forests, less the best value of all runs). *Difference* is the"
    yield f"mean paired difference of log10 final regret against `{baseline}`, with its 95 % bootstrap interval over"
    yield "seeds; below zero is better. *Won/tied/lost* counts seeds. Suggestion times are from shared cores."
    yield ""
    for provider in PROVIDERS:
        mine = [line for line in lines if line["provider"] == provider]
        package = _package(provider)
        origins = sorted({(line["versions"][package], line["commit"]) for line in mine})
        if origins:
            made = "; ".join(f"{package} {version}, commit {commit}" for version, commit in origins)
            yield f"- `{provider}`: {made}"


def _package(provider: str) -> str:
    return {"sobol": "scipy"}.get(provider, provider.split("_")[0])


def _summary(table: dict[str, dict[str, Runs]], baseline: str) -> Iterator[str]:
    yield ""
    yield f"## Against `{baseline}`"
    yield ""
    yield "| optimizer | cases better | level | worse | won/tied/lost |"
    yield "|---|---|---|---|---|"
    for provider in PROVIDERS:
        all_of_it = [
            result
            for runs in table.values()
            if provider != baseline and {provider, baseline} <= runs.keys()
            if (result := compare(runs[provider], runs[baseline]))
        ]
        if all_of_it:
            verdicts = [each.verdict for each in all_of_it]
            counts = " | ".join(str(verdicts.count(word)) for word in ("better", "level", "worse"))
            sums = "/".join(str(sum(getattr(each, word) for each in all_of_it)) for word in ("better", "tied", "worse"))
            yield f"| `{provider}` | {counts} | {sums} |"
    yield ""
    yield "![best regret against evaluations](convergence.png)"


def _cases(table: dict[str, dict[str, Runs]], baseline: str) -> Iterator[str]:
    for name, runs in table.items():
        case = CASES[name]
        yield ""
        yield f"## {name}"
        yield ""
        yield f"{case.space.n_params} parameters; {case.budget} evaluations, the first {case.n_initial} shared by all."
        yield ""
        yield "| optimizer | seeds | median regret | at half | difference | won/tied/lost | verdict | s/suggestion |"
        yield "|---|---|---|---|---|---|---|---|"
        for provider, each in runs.items():
            final, half = np.median(each.regret[:, -1]), np.median(each.regret[:, case.budget // 2 - 1])
            cells = [f"`{provider}`", str(len(each.seeds)), _regret(final, case), _regret(half, case)]
            result = compare(each, runs[baseline]) if baseline in runs and provider != baseline else None
            if result:
                cells.append(f"{result.mean:+.2f} [{result.low:+.2f}, {result.high:+.2f}]")
                cells += [f"{result.better}/{result.tied}/{result.worse}", result.verdict]
            else:
                cells += ["", "", ""]
            yield "| " + " | ".join([*cells, f"{each.seconds:.2g}"]) + " |"


def _regret(value: float, case: Case) -> str:
    return "0" if value <= case.floor else f"{value:.2g}"


def picture(table: dict[str, dict[str, Runs]], path: Path) -> None:
    """Median regret against evaluations with the middle half of the runs shaded, one panel a case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = 3
    rows = -(-len(table) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(table) :]:
        ax.remove()
    for ax, (name, runs) in zip(axes.flat, table.items(), strict=False):
        for index, provider in enumerate(PROVIDERS):
            if provider not in runs:
                continue
            low, middle, high = np.percentile(runs[provider].regret, [25, 50, 75], axis=0)
            x = np.arange(1, len(middle) + 1)
            width = 2.2 if provider == "gpbo" else 1.3
            ax.plot(x, middle, color=f"C{index}", label=provider, linewidth=width, zorder=3 if index == 0 else 2)
            ax.fill_between(x, low, high, color=f"C{index}", alpha=0.12, linewidth=0)
        ax.axvline(CASES[name].n_initial, color="0.6", linestyle=":", linewidth=1)
        ax.set(title=name, yscale="log", xlabel="evaluations", ylabel="regret")
        ax.grid(alpha=0.25)
    axes.flat[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--baseline", choices=PROVIDERS, default=BASELINE)
    options = parser.parse_args()
    lines = read(options.results)
    table = collect(lines)
    text = markdown(table, lines, options.baseline)
    (options.results / "REPORT.md").write_text(text)
    picture(table, options.results / "convergence.png")
    print(text)


if __name__ == "__main__":
    main()
