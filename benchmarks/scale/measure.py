"""Measures one case in this process, and prints a JSON line as soon as a measurement is done.

Started by ``benchmarks.scale.run``, so that each case has a process, and a peak resident size, of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

import gpbo
from benchmarks import stock
from benchmarks.record import Line
from benchmarks.scale.cases import CASES, Array, Case, Objective, observations


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measurements(case: Case) -> Iterator[Line]:
    """First a line that says that all is prepared, then a line per measurement."""
    space = gpbo.Space.from_bounds([0.0] * case.d, [1.0] * case.d)
    _warm_up(bool(case.stock))
    baseline = peak()
    objective = Objective(case.d)
    X, y = observations(case.n, case.d, objective)
    opt = gpbo.Optimizer(space, seed=0, device="cpu")
    known = [X]
    if case.pending:
        known.append(opt.ask(case.pending).x)
    if case.n:
        opt.add(X, y)
    yield {"ready": True}
    batch = None
    for step in case.steps:
        if batch is not None and step.told:
            opt.tell(batch[: step.told], objective(batch.x[: step.told]))
        wall, cpu = time.perf_counter(), time.process_time()
        batch = opt.ask(step.q)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        highest = peak()
        yield {"provider": "gpbo", "outcome": "done", "seconds": wall, "cpu_seconds": cpu} | {
            "peak_bytes": highest,
            "baseline_bytes": baseline,
            "added_bytes": highest - baseline,
            "distinct": distinct(batch.x, np.vstack(known), step.q),
            "ask": asdict(opt.last_ask) if opt.last_ask is not None else None,
        }
        known.append(batch.x)
    if case.stock:
        wall, cpu = time.perf_counter(), time.process_time()
        found = _stock(X, y, case.stock)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        yield {"provider": "botorch", "outcome": "done", "seconds": wall, "cpu_seconds": cpu} | {
            "distinct": distinct(found, X, case.stock)
        }


def distinct(batch: Array, known: Array, q: int) -> bool:
    """Whether there are q points, no two of them the same, and none of them known."""
    seen = {row.tobytes() for row in np.ascontiguousarray(known + 0.0)}  # + 0.0: there is one zero
    asked = {row.tobytes() for row in np.ascontiguousarray(batch + 0.0)}
    return len(batch) == q and len(asked) == q and not asked & seen


def _warm_up(compared: bool) -> None:
    """Imports, and compiles or loads what is compiled."""
    X, y = observations(60, 3, Objective(3))
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3), seed=0, device="cpu")
    opt.add(X, y)
    opt.ask()
    opt.ask(20)
    if compared:
        _stock(X[:12], y[:12], 2)


def _stock(X: Array, y: Array, q: int) -> Array:
    """BoTorch's ask."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points: Array = stock.ask(torch.as_tensor(X), -torch.as_tensor(y), q).numpy()
    return points


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=[case.name for case in CASES])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    if hasattr(os, "sched_setaffinity"):  # holds for whatever starts threads of its own, too
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    (case,) = (case for case in CASES if case.name == options.case)
    for line in measurements(case):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
