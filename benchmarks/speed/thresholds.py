"""Measures from how many observations on a GPU is faster than the host: ``python -m benchmarks.speed.thresholds``.

The result is where ``device="auto"`` should change sides (``_GPU_FROM`` in ``gpbo/strategy/policy.py``). Every size is
asked on both devices in one run, refit included; wall time, because that is what a user waits for.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="what the host is compared with")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of observations")
    parser.add_argument("--until", type=float, default=math.inf, help="time, in seconds since 1970, to stop at")
    parser.add_argument("--out", type=Path, default=RESULTS / "thresholds.jsonl", help="file of the result lines")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("No CUDA device: there is nothing to compare the host with.")
    name = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    made = record.origin()
    for d in (6, 20):
        for n in options.sizes:
            if time.time() > options.until:
                line = {"suite": "thresholds", "n": n, "d": d, "gpu": name, "outcome": "deadline"}
                record.append(options.out, line | made)
                print(f"n={n:5d} d={d:3d}  not measured: no time is left")
                continue
            times = {device: seconds(n, d, device) for device in ("cpu", options.device)}
            for device, taken in times.items():
                line = {"suite": "thresholds", "n": n, "d": d, "device": device, "gpu": name, "seconds": taken}
                record.append(options.out, line | made)
            host, other = times["cpu"], times[options.device]
            print(f"n={n:5d} d={d:3d}  host {host * 1e3:9.1f} ms   {name} {other * 1e3:9.1f} ms", flush=True)


if __name__ == "__main__":
    main()
