"""Measures from how many observations on a GPU is faster than the host: ``python -m benchmarks.speed.thresholds``.

The result is where ``device="auto"`` should change sides (``_GPU_FROM`` in ``gpbo/strategy/policy.py``). Every size is
asked on both devices in one run, refit included; wall time, because that is what a user waits for.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

import gpbo
from benchmarks import record
from benchmarks.speed.cases import objective, observations
from benchmarks.speed.run import RESULTS

SIZES = (100, 200, 500, 1000, 2000, 4000)
_STEPS = 3


def seconds(n: int, d: int, device: str) -> float:
    """Median seconds of tell one + ask one, with n observations."""
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * d, [1.0] * d), seed=0, device=device)
    opt.add(*observations(n, d, 0, 0.0))
    batch = opt.ask()
    times = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        opt.tell(batch, objective(batch.x))
        batch = opt.ask()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Prints a row per size, and appends a line per measurement to the results."""
    if not torch.cuda.is_available():
        sys.exit("No CUDA device: there is nothing to compare the host with.")
    device_name = torch.cuda.get_device_name()
    for d in (6, 20):
        for n in SIZES:
            times = {device: seconds(n, d, device) for device in ("cpu", "cuda")}
            for device, taken in times.items():
                line = {"suite": "thresholds", "n": n, "d": d, "device": device, "gpu": device_name, "seconds": taken}
                record.append(RESULTS / "thresholds.jsonl", {**line, **record.origin()})
            print(f"n={n:5d} d={d:3d}  host {times['cpu'] * 1e3:9.1f} ms   {device_name} {times['cuda'] * 1e3:9.1f} ms")


if __name__ == "__main__":
    main()
