"""Does all of it, within a number of seconds, and leaves one file of JSON lines and a report: see ``run.sh``.

First the check, because figures of an engine that is wrong are not worth a look; then floors, kernels, cases in the
order of their importance, and the sizes from which a GPU is faster. Whatever fails, or finds no time, has a line that
says so.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch

from benchmarks import record
from benchmarks.gpu import cases, measure, report, stages
from benchmarks.gpu.device import description, file_name
from benchmarks.record import Line

RESULTS = Path(__file__).parent / "results"
SMOKE = record.ROOT / ".cache" / "gpu"
SECONDS = 530.0
_TINY_BUDGET = 0.05
_AGAIN = ("deadline", "not run", "failed")  # outcomes of what a later run measures again


@dataclass(frozen=True)
class Shares:
    """Of the whole time, what each stage may take; cases get what is left.

    Attributes:
        check: For the checks, compilation included.
        tests: For the kernels' own tests.
        floors: For those of the accelerator; those of the host get half of it.
        kernels: For the benchmarks of single kernels together.
        thresholds: For the comparison of devices.
        closing: For the report.
    """

    check: float = 0.3
    tests: float = 0.12
    floors: float = 0.12
    kernels: float = 0.08
    thresholds: float = 0.07
    closing: float = 0.02


class Results:
    """The file of the lines, to which each is added as it comes."""

    def __init__(self, path: Path, made: Line, kept: list[Line]) -> None:
        self.path, self.made = path, made
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def add(self, lines: Iterable[Line]) -> list[Line]:
        """Writes and shows lines; all of them."""
        found = []
        for line in lines:
            record.append(self.path, line | {"suite": "gpu"} | self.made)
            print(shown(line), flush=True)
            found.append(line)
        return found


def shown(line: Line) -> str:
    """A line in short, for who looks on."""
    sizes = line.get("sizes", {})
    what = line.get("case") or line.get("check") or line.get("floor") or line.get("module") or ""
    if "floor" in line:
        what += f" {line.get('dtype', '')} n={sizes.get('n', '')}" + (
            f" x{sizes['columns']}" if sizes.get("columns") else ""
        )
    if line["stage"] == "threshold":
        what = f"n={line.get('n')} d={line.get('d')} {line.get('device')}"
    figure = ""
    if "p50" in line:
        figure = f"{line['p50']:.4g} {line['unit']}"
    elif "error" in line:
        figure = f"{line['error']:.2g} of {line['tolerance']:g}"
    elif "seconds" in line:
        figure = f"{line['seconds']:.4g} s"
    outcome = line.get("outcome", "")
    trouble = line.get("message", "")[-200:].replace("\n", " ") if outcome not in ("done", "held") else ""
    return f"{line['stage']:9} {what:44} {line.get('mode', ''):6} {outcome:10} {figure} {trouble}".rstrip()


def run(options: argparse.Namespace) -> int:
    """All stages; the exit status, which is 1 if the engine did not pass all of its check."""
    began: float = options.began or time.time()
    smoke = options.smoke
    accelerator = "cpu" if smoke else "cuda"
    made = {"smoke": smoke, **description(torch.device(accelerator)), **record.origin()}
    total: float = options.seconds
    until = began + total
    shares = Shares()

    def for_(share: float) -> float:
        return min(until, time.time() + share * total)

    before = [json.loads(text) for text in options.resume.read_text().splitlines()] if options.resume else []
    late = {line["stage"] for line in before if line["outcome"] == "deadline"} - {"case"}  # stages that go together
    again = {line.get("case") for line in before if line["outcome"] in _AGAIN}
    kept = [line for line in before if line["stage"] not in {"check", *late} and line["outcome"] not in _AGAIN]
    kept = [line for line in kept if line["stage"] != "case" or line["case"] not in again]
    out = options.out or (SMOKE if smoke else RESULTS)
    results = Results(out / file_name(made), made, kept)
    print(f"{made['gpu'] or 'CPU only'}, driver {made['driver']}, CUDA {made['cuda']}, {made['versions']['torch']}")
    checked = results.add(stages.check(accelerator, smoke, for_(shares.check)))
    checked += results.add(stages.kernel_tests(accelerator, for_(shares.tests)))
    # A kernel test that fails, or a check without time, is in the report; only wrong results make figures worthless.
    checked = [line for line in checked if line["check"] != stages.KERNEL_TESTS]
    right = all(line["outcome"] != "failed" for line in checked)
    sure = all(line["outcome"] == "held" for line in checked)
    done = {line["stage"] for line in kept}
    if "floor" not in done:
        results.add(stages.floors(accelerator, "tiny" if smoke else "full", for_(shares.floors)))
        if not smoke:
            results.add(stages.floors("cpu", "host", for_(shares.floors / 2)))
    if not right:
        message = {"outcome": "not run", "message": stages.NOT_RIGHT}
        results.add({"stage": stage, **message} for stage in ("kernel", "threshold"))
    elif "kernel" not in done:
        results.add(stages.kernels(shares.kernels * total / 3, for_(shares.kernels)))
    last = until - shares.closing * total
    closing = 0.0 if "threshold" in done or not right else shares.thresholds * total
    measured = stages.Cases(accelerator, last - closing, right, _TINY_BUDGET if smoke else measure.BUDGET)
    matrix = cases.TINY if smoke else cases.Matrix()
    results.add(measured.measure(matrix, [line for line in kept if line["stage"] == "case"]))
    if closing:
        results.add(stages.thresholds(accelerator, (24,) if smoke else (), last))
    text = report.markdown(record.read(out), smoke=smoke)
    (out / "REPORT.md").write_text(text)
    print(f"\n{text}\n{results.path}: {time.time() - began:.0f} s of {total:g}")
    if not right:
        print("The engine did not pass its check: nothing of it was timed.")
    elif not sure:
        print("The check of the engine did not end: its figures are to be taken with care.")
    return 0 if sure else 1


def _terminate(number: int, frame: object) -> NoReturn:
    sys.exit(f"ended by signal {number}; what was measured by then is in the file")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="everything, tiny and on the CPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for everything")
    parser.add_argument("--began", type=float, help="when it began, in seconds since 1970; now if not given")
    parser.add_argument("--out", type=Path, help=f"folder of result file and report; {RESULTS}, {SMOKE} of --smoke")
    parser.add_argument("--resume", type=Path, help="an earlier result file, whose measurements are not made again")
    options = parser.parse_args()
    if not options.smoke and not torch.cuda.is_available():
        sys.exit("No CUDA device. --smoke runs everything on the CPU, with tiny sizes.")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(options))


if __name__ == "__main__":
    main()
