"""Times all participants of a case in turn, in one process on one thread, and appends one JSON line for each.

``python -m benchmarks.speed.run``; Ax and scikit-optimize, of the extra ``peers``, run in a process of their own, with
``--providers ax`` and ``--providers skopt``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks import record
from benchmarks.record import Line
from benchmarks.speed.cases import CASES, ROWS, Case
from benchmarks.speed.measures import MEASURES, one_thread

RESULTS = Path(__file__).parent / "results"
PROVIDERS = ("gpbo", "botorch", "botorch_local", "optuna_gp", "ax", "skopt", "gpbo_first_use", "torch")
DEFAULT = ("gpbo", "botorch", "botorch_local", "optuna_gp", "gpbo_first_use", "torch")
_BUDGET = 20.0  # seconds of a participant in a case, after which it is not repeated


def measure(case: Case, names: list[str]) -> dict[str, list[float]]:
    """CPU seconds of every participant's steps; the participants take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in names if (case.row, name) in MEASURES}
    for seed in range(case.repeats):
        for name, times in seconds.items():
            if sum(times) < _BUDGET:
                times += MEASURES[case.row, name](case, seed)
    return seconds


def lines(case: Case, seconds: dict[str, list[float]]) -> list[Line]:
    """One line a participant."""
    found = []
    for name, times in seconds.items():
        p20, p50, p80 = np.percentile(times, [20, 50, 80]) * 1e3
        found.append(
            {
                "suite": "speed",
                "case": case.row,
                "provider": name,
                "sizes": {"n": case.n, "d": case.d, "q": case.q},
                "dtype": "float64",
                "metric": "CPU time",
                "unit": "ms",
                "p20": round(p20, 3),
                "p50": round(p50, 3),
                "p80": round(p80, 3),
                "mean": round(1e3 * float(np.mean(times)), 3),
                "repeats": len(times),
                "device": "cpu",
                "processor": record.processor(),
                "threads": 1,
            }
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--providers", nargs="+", choices=PROVIDERS, default=list(DEFAULT))
    parser.add_argument("--largest", type=int, default=1000, help="leave out cases with more observations")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result lines")
    options = parser.parse_args()
    one_thread()
    for name in options.providers:  # compilation, lazy imports
        for row in options.rows:
            if (row, name) in MEASURES and row != "import":
                MEASURES[row, name](Case(row, 12, 2, q=2 if row.startswith("greedy") else 1), 0)
    made = record.origin()
    for case in CASES:
        if case.row not in options.rows or case.n > options.largest:
            continue
        for line in lines(case, measure(case, options.providers)):
            record.append(options.out / f"{line['provider']}.jsonl", line | made)
            shown = f"{case.row:14} n={case.n:<5} d={case.d:<3} q={case.q:<3} {line['provider']:14}"
            print(f"{shown} {line['p50']:10.2f} ms", flush=True)


if __name__ == "__main__":
    main()
