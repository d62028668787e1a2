"""Tables from the result lines: ``python -m benchmarks.gpu.report`` writes results/REPORT.md."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks import record
from benchmarks.gpu.table import Cell, Table
from benchmarks.gpu.targets import verdicts
from benchmarks.record import Line

RESULTS = Path(__file__).parent / "results"
_SIDES = ("gpbo gpu", "gpbo auto", "gpbo cpu", "botorch gpu", "botorch cpu")
_RIVALS = ("botorch gpu", "botorch cpu", "gpbo cpu")
_GOOD = ("done", "held")
_HEADING = """\
# On a GPU

Made by `python -m benchmarks.gpu.report` from the `.jsonl` files beside it, each left by a run of
`benchmarks/gpu/run.sh`. Wall time of whole calls, the wait for the device included, medians after a first call;
float64. `gpbo` asks through `gpbo.Optimizer(device=...)`: *cold* with nothing known but the data, *next* after the
value of one suggestion, *refit* after so many that hyperparameters are due (up to 200 observations every one is).
Stock BoTorch (`SingleTaskGP`, `fit_gpytorch_mll`, LogEI or sequential qLogEI, `optimize_acqf`) starts anew every time.
*evaluate* is the log posterior of the hyperparameters and its gradient, once. Memory is the most that torch's allocator
held. The floor is the least work, by `counts.py`, over what the device was measured to do. Calls that are cut have “>”,
and so have those that contain one, which are not run. Misses are bold.
"""


def markdown(lines: list[Line], *, smoke: bool = False) -> str:
    """The report's text.

    Args:
        lines: Of any number of devices.
        smoke: Whether to report the lines of smoke runs, and not all others.
    """
    devices: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.get("suite") == "gpu" and line["smoke"] == smoke:
            devices[line["gpu"] or "CPU only"].append(line)
    text = [*_HEADING.splitlines(), *(part for name in sorted(devices) for part in _device(name, devices[name]))]
    if not devices:
        text += ["", "Not measured yet on a GPU."]
    return "\n".join(text) + "\n"


def _device(name: str, lines: list[Line]) -> Iterator[str]:
    last = max(lines, key=lambda line: str(line["time"]))
    versions = last["versions"]
    packages = ", ".join(f"{key} {versions.get(key)}" for key in ("python", "torch", "triton", "botorch", "gpytorch"))
    yield ""
    yield f"## {name}"
    yield ""
    yield f"- driver {last['driver']}, CUDA {last['cuda']}, {packages}, numpy {versions.get('numpy')}"
    host = f"{last['processor']}, {last['cores']} cores, {last['threads']} threads"
    yield f"- host: {host}; CPU path: {last['host_path']}"
    commits = sorted({f"{line['commit'] or 'unknown'}{' with changes' if line['dirty'] else ''}" for line in lines})
    yield f"- commit {', '.join(commits)}; {last['time']}"
    table = Table(lines)
    yield from _check([line for line in lines if line["stage"] == "check"])
    yield from _targets(table)
    yield from _floors([line for line in lines if line["stage"] == "floor"])
    yield from _times(table)
    yield from _thresholds([line for line in lines if line["stage"] == "threshold" and line["outcome"] == "done"])
    yield from _kernels([line for line in lines if line["stage"] == "kernel" and line["outcome"] == "done"])
    yield from _rest(lines)


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _check(lines: list[Line]) -> Iterator[str]:
    made = [line for line in lines if line["outcome"] != "not there"]
    yield f"- check: {sum(line['outcome'] == 'held' for line in made)} of {len(made)} hold"
    for line in made:
        if line["outcome"] != "held":
            error = f", {line['error']:.2g} where {line['tolerance']:g} may be" if "error" in line else ""
            yield f"  - **{line['check']}: {line['outcome']}{error}**"


def _targets(table: Table) -> Iterator[str]:
    yield ""
    yield "### Targets"
    yield ""
    yield _row("target", "found", "")
    yield "|---|---|---|"
    for verdict in verdicts(table):
        yield _row(verdict.target, verdict.found, {True: "met", False: "**missed**", None: "open"}[verdict.met])


def _floors(lines: list[Line]) -> Iterator[str]:
    lines = [line for line in lines if line["outcome"] == "done"]
    for device in sorted({line["device"] for line in lines}, reverse=True):
        yield ""
        yield f"### Floors: {'the GPU' if device != 'cpu' else 'the CPU'}"
        yield ""
        yield _row("", "n", "columns", "float64 ms", "rate", "float32 ms", "rate")
        yield "|---|---|---|---|---|---|---|"
        rows: dict[tuple[str, int, int], dict[str, Line]] = defaultdict(dict)
        for line in lines:
            if line["device"] == device:
                rows[line["floor"], line["sizes"]["n"], line["sizes"]["columns"]][line["dtype"]] = line
        order = {floor: index for index, floor in enumerate(dict.fromkeys(key[0] for key in rows))}
        for key in sorted(rows, key=lambda key: (order[key[0]], key[2], key[1])):
            cells = [part for dtype in ("float64", "float32") for part in _floor(rows[key].get(dtype))]
            yield _row(key[0], key[1] or "", key[2] or "", *cells)


def _floor(line: Line | None) -> tuple[str, str]:
    if line is None:
        return "", ""
    seconds = 1e-3 * line["p50"]
    rate = ""
    if line["flop"]:
        rate = f"{line['flop'] / seconds / 1e12:.3g} TFLOP/s"
    elif line["bytes"]:
        rate = f"{line['bytes'] / seconds / 1e12:.3g} TB/s"
    return f"{line['p50']:.4g}", rate


def _times(table: Table) -> Iterator[str]:
    dimensions = sorted({cell.d for cell, _ in table.cells()})
    for d in dimensions:
        yield ""
        yield f"### Fits and asks, d = {d}"
        yield ""
        sides = [f"`{side.replace(' ', '` ', 1)}" for side in _SIDES]
        rivals = [f"× `{side.replace(' ', '` ', 1)}" for side in _RIVALS]
        yield _row("n", "", "", *sides, *rivals, "× floor", "GB")
        yield "|---" * (5 + len(_SIDES) + len(_RIVALS)) + "|"
        for cell, mode in table.cells():
            if cell.d == d:
                yield _times_row(table, cell, mode)


def _times_row(table: Table, cell: Cell, mode: str) -> str:
    times = [_time(table.line(cell, mode, side)) for side in _SIDES]
    ratios = [table.ratio(cell, mode, side) for side in _RIVALS]
    floor, mine = table.from_floor(cell, mode, "gpbo gpu"), table.line(cell, mode, "gpbo gpu")
    peak = "" if mine is None or not mine.get("peak_bytes") else f"{mine['peak_bytes'] / 1e9:.2f}"
    shown = ["" if ratio is None else str(ratio) for ratio in ratios]
    shown = [f"**{text}**" if ratio is not None and ratio.value < 1.0 and not ratio.least else text
             for text, ratio in zip(shown, ratios, strict=True)]  # fmt: skip
    name = "" if mode == "once" else mode
    return _row(cell.n, cell.what, name, *times, *shown, "" if floor is None else f"{floor:.3g}", peak)


def _time(line: Line | None) -> str:
    if line is None:
        return ""
    if line["outcome"] != "done":
        return f"> {line['seconds']:.3g} s" if "seconds" in line else str(line["outcome"])
    seconds = line["seconds"]
    text = f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
    where = f" ({line['ran_on']})" if line["device"] == "auto" else ""
    return f"{text}{where}{'' if line['warm'] else ', first call'}"


def _thresholds(lines: list[Line]) -> Iterator[str]:
    if not lines:
        return
    yield ""
    yield "### From where on the GPU is faster: tell one + ask q"
    yield ""
    yield _row("q", "d", "n", "host ms", "GPU ms", "host / GPU")
    yield "|---|---|---|---|---|---|"
    pairs: dict[tuple[int, int, int], dict[str, float]] = defaultdict(dict)
    for line in lines:
        where = "host" if line["device"] == "cpu" else "gpu"
        pairs[line["q"], line["d"], line["n"]][where] = 1e3 * line["seconds"]
    for (q, d, n), pair in sorted(pairs.items()):
        if len(pair) == 2:
            yield _row(q, d, n, f"{pair['host']:.4g}", f"{pair['gpu']:.4g}", f"{pair['host'] / pair['gpu']:.3g}")


def _kernels(lines: list[Line]) -> Iterator[str]:
    lines = [line for line in lines if "p50" in line]
    if not lines:
        return
    yield ""
    yield "### Kernels"
    yield ""
    yield _row("", "", "sizes", "dtype", "device", "provider", "p50")
    yield "|---|---|---|---|---|---|---|"
    for line in lines:
        sizes = ", ".join(f"{key} = {value}" for key, value in line.get("sizes", {}).items())
        what = (line.get(key, "") for key in ("case", "metric"))
        more = (line.get(key, "") for key in ("dtype", "device", "provider"))
        yield _row(*what, sizes, *more, f"{line['p50']:.4g} {line.get('unit', '')}")


def _rest(lines: list[Line]) -> Iterator[str]:
    """What was cut, failed or not run; cases that are contained in one that was cut stand in the tables."""
    trouble: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        contained = line["outcome"] == "not run" and "seconds" in line
        if line["outcome"] not in _GOOD and line["stage"] != "check" and not contained:
            trouble[line["outcome"]].append(line)
    if not trouble:
        return
    yield ""
    yield "### Cut, failed, not run"
    yield ""
    for outcome, found in sorted(trouble.items()):
        names = [_name(line) for line in found]
        yield f"- {'the deadline' if outcome == 'deadline' else outcome}, {len(found)}: {', '.join(names)}"
        for message in dict.fromkeys(str(line["message"]) for line in found if line.get("message")):
            yield f"  - {' '.join(message.split())[-300:]}"


def _name(line: Line) -> str:
    what = line.get("case") or line.get("module") or line.get("floor") or line["stage"]
    sizes = line.get("sizes", {})
    return f"{what} {line['dtype']} n={sizes['n']} ({line['device']})" if "floor" in line and sizes else str(what)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--smoke", action="store_true", help="report smoke runs")
    options = parser.parse_args()
    text = markdown(record.read(options.results), smoke=options.smoke)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "REPORT.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
