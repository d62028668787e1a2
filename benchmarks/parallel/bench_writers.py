"""Trials per second of several processes on one study, each of which asks for one point and tells its value.

    python -m benchmarks.parallel.bench_writers [--writers 4] [--seconds 10] [--storage URL]

The space-filling phase is measured ("design"), in which a suggestion costs next to nothing, and the model's ("model").
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import gpbo
from benchmarks.record import append, origin

RESULTS = Path(__file__).parent / "results" / "writers.jsonl"
SPACE = gpbo.Space.from_bounds([0] * 4, [1] * 4)


def write(storage: str, n_initial: int | None, seconds: float, ready: Any, start: Any, counts: Any) -> None:
    """One writer."""
    opt = gpbo.Optimizer(SPACE, seed=0, n_initial=n_initial, storage=storage, study=f"n{n_initial}")
    ready.release()
    start.wait()
    count, slowest = 0, 0.0
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        batch = opt.ask()
        opt.tell(batch, ((batch.x - 0.4) ** 2).sum(1))
        count, slowest = count + 1, max(slowest, time.monotonic() - now)
    counts.put((count, slowest))


def measure(storage: str, writers: int, n_initial: int | None, seconds: float) -> dict[str, float]:
    """All writers together."""
    gpbo.Optimizer(SPACE, seed=0, n_initial=n_initial, storage=storage, study=f"n{n_initial}").close()
    context = multiprocessing.get_context("fork")
    ready, start, counts = context.Semaphore(0), context.Event(), context.SimpleQueue()
    arguments = (storage, n_initial, seconds, ready, start, counts)
    processes = [context.Process(target=write, args=arguments) for _ in range(writers)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start.set()
    found = [counts.get() for _ in processes]
    for process in processes:
        process.join()
    opt = gpbo.Optimizer.open(storage, f"n{n_initial}")
    total = sum(count for count, _ in found)
    assert sorted(opt.history.ids) == list(range(total)), "a trial was lost or doubled"
    return {"trials_per_second": total / seconds, "slowest_seconds": max(slowest for _, slowest in found)}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--storage", help="a PostgreSQL URL; an SQLite file in a temporary directory if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = options.storage or f"{folder}/study.db"
        kind = "postgresql" if options.storage else "sqlite"
        for phase, n_initial in (("design", 1_000_000), ("model", None)):
            found = measure(storage, options.writers, n_initial, options.seconds)
            print(f"{kind}, {options.writers} writers, {phase}: {found}")
            case = {"case": f"writers/{kind}/{phase}", "writers": options.writers, "seconds": options.seconds}
            append(RESULTS, {**case, **found, **origin()})


if __name__ == "__main__":
    main()
