"""Runs each case in a process of its own, and appends one JSON line per measurement.

``python -m benchmarks.scale.run``. The first run of a new installation compiles, and keeps what it compiled on disk; a
case that was its first to use something is to be run again, and the later line counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import record
from benchmarks.processes import Lines
from benchmarks.record import Line
from benchmarks.scale.cases import CASES, Case
from benchmarks.scale.limits import holds, limits

RESULTS = Path(__file__).parent / "results"
_PREPARATION = 600.0  # seconds for imports, compilation and data, which are not measured
_ENDING = 60.0  # seconds that a process may take to end after its last line


def watched(command: list[str], expected: int, timeout: float, environment: dict[str, str]) -> Iterator[Line]:
    """The lines that a process prints, ``expected`` of them after one that says that it is ready.

    For one that took too long, or ended before it was there, a line says so; for those after it, "not reached".
    """
    done, trouble, message = 0, "", ""
    with Lines(command, environment) as process:
        allowed, ready = _PREPARATION, False
        while done < expected and not trouble:
            try:
                text = process.next(allowed)
            except TimeoutError:
                trouble = "timeout"
                break
            if text is None:
                trouble = "failed"
            elif not ready:
                ready = json.loads(text).get("ready", False)
            else:
                done += 1
                yield json.loads(text)
            allowed = timeout
        message = process.end(0.0 if trouble == "timeout" else _ENDING)
    for index in range(done, expected):
        if index > done:
            yield {"outcome": "not reached"}
        elif trouble == "timeout":
            yield {"outcome": "timeout", "seconds": allowed}
        else:
            yield {"outcome": "failed", "message": message}


def measure(case: Case, threads: int, timeout: float) -> Iterator[Line]:
    """The lines of one case, as they come."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
    command = [sys.executable, "-m", "benchmarks.scale.measure", case.name, "--threads", str(threads)]
    expected = len(case.steps) + bool(case.stock)
    for index, found in enumerate(watched(command, expected, timeout, environment)):
        ours = index < len(case.steps)
        step = case.steps[index] if ours else None
        sizes = {"n": case.n, "d": case.d, "q": step.q if step else case.stock, "pending": case.pending}
        line = {"suite": "scale", "case": case.name, "step": index, "sizes": sizes, "metric": "wall time", "unit": "s"}
        line |= {"provider": "gpbo" if ours else "botorch", "dtype": "float64", "threads": threads, "timeout": timeout}
        line |= {**found, "device": "cpu", "processor": record.processor()}
        if step is not None:
            line |= {"limits": limits(case, step), "holds": holds(case, step, found)}
        yield line


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [case.name for case in CASES]
    groups = list(dict.fromkeys(case.group for case in CASES))
    parser.add_argument("--cases", nargs="+", choices=[*groups, *names], default=groups, metavar="CASE",
                        help=f"groups ({', '.join(groups)}) or names ({', '.join(names)})")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds after which a measurement is ended")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result lines")
    options = parser.parse_args()
    made = record.origin()
    for case in CASES:
        if not {case.group, case.name} & set(options.cases):
            continue
        for line in measure(case, options.threads, options.timeout):
            record.append(options.out / f"{line['provider']}.jsonl", line | made)
            memory = f"{line['peak_bytes'] / 1e9:6.2f} GB" if "peak_bytes" in line else ""
            missed = ", ".join(key for key, held in line.get("holds", {}).items() if not held)
            shown = f"{case.name:30} q={line['sizes']['q']:<6} {line['provider']:8} {line['outcome']:12}"
            print(f"{shown} {line.get('seconds', float('nan')):10.3f} s {memory} {missed and f'missed: {missed}'}")


if __name__ == "__main__":
    main()
