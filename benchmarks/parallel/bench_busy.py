"""How busy ``minimize`` keeps a pool: the share of the workers' time that is spent in evaluations.

    python -m benchmarks.parallel.bench_busy [--workers 256] [--evaluation 1.0] [--rounds 8]

Measured between the first evaluation's start and the moment from which on no further point is to be started, in the
space-filling phase ("design") and in the model's ("model").
"""

from __future__ import annotations

import argparse
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import gpbo
from benchmarks.record import append, origin

RESULTS = Path(__file__).parent / "results" / "busy.jsonl"
SPACE = gpbo.Space.from_bounds([0] * 4, [1] * 4)


def measure(workers: int, evaluation: float, rounds: int, n_initial: int | None, jitter: float) -> dict[str, float]:
    """One run of ``rounds`` evaluations per worker."""
    spans: list[tuple[float, float]] = []
    lock = threading.Lock()
    rng = np.random.default_rng(0)

    def f(x: np.ndarray) -> float:
        start = time.monotonic()
        with lock:
            pause = evaluation * (1 + jitter * (2 * rng.random() - 1))
        time.sleep(pause)
        with lock:
            spans.append((start, time.monotonic()))
        return float(((x - 0.4) ** 2).sum())

    n = workers * rounds
    with ThreadPoolExecutor(workers) as pool:
        result = gpbo.minimize(f, SPACE, n=n, batch=workers, executor=pool, seed=0, n_initial=n_initial)
    starts = sorted(start for start, _ in spans)
    first, last = starts[workers - 1], starts[-1]  # from a full pool to the last start
    busy = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
    return {"busy": busy / (workers * (last - first)), "seconds": last - starts[0], "suggest": result.seconds_suggest}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--evaluation", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--jitter", type=float, default=0.2, help="spread of the evaluation time, as a share of it")
    parser.add_argument("--phases", nargs="*", default=["design", "model"])
    options = parser.parse_args()
    gpbo.Optimizer(SPACE, seed=0).ask()
    for phase in options.phases:
        n_initial = 1_000_000 if phase == "design" else None
        found = measure(options.workers, options.evaluation, options.rounds, n_initial, options.jitter)
        print(f"{options.workers} workers, {options.evaluation} s, {phase}: {found}", flush=True)
        case = {"case": f"busy/{phase}", "workers": options.workers, "evaluation": options.evaluation}
        append(RESULTS, {**case, "rounds": options.rounds, "jitter": options.jitter, **found, **origin()})


if __name__ == "__main__":
    main()
