"""Measures from how many observations on a GPU is faster than the host: ``python -m benchmarks.speed.thresholds``.

The result is where ``device="auto"`` should change sides (``SWITCHES`` in ``gpbo/strategy/devices.py``), for single
points and for large batches. Every size is asked on both devices in one run, refit included; wall time, because that is
what a user waits for.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch

import gpbo
from benchmarks import record
from benchmarks.speed.cases import objective, observations
from benchmarks.speed.run import RESULTS
from gpbo.strategy.devices import SWITCHES

SIZES = (100, 200, 500, 1000, 2000, 4000)
_STEPS = 3


def seconds(n: int, d: int, q: int, device: str) -> float:
    """Median seconds of tell + ask of q points, from n observations on."""
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * d, [1.0] * d), seed=0, device=device)
    opt.add(*observations(n, d, 0, 0.0))
    batch = opt.ask(q)
    times = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        opt.tell(batch[0], objective(batch.x[:1]))
        opt.forget(batch[1:])
        batch = opt.ask(q)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def switch(faster: dict[int, bool]) -> str:
    """From which size on the GPU is faster at every size that was measured."""
    slower = [n for n, is_ in faster.items() if not is_]
    left = [n for n in faster if n > max(slower, default=0)]
    return str(min(left)) if left else f"beyond {max(faster)}"


def main() -> None:
    """Prints a row per size and where to switch, and appends a line per measurement to the results."""
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
    faster: dict[tuple[int, int], dict[int, bool]] = defaultdict(dict)
    for n, present, d in itertools.product(options.sizes, SWITCHES, (6, 20)):  # small ones first: time may be short
        case = {"suite": "thresholds", "n": n, "d": d, "q": present.points, "gpu": name}
        if time.time() > options.until:
            record.append(options.out, {**case, "outcome": "deadline", **made})
            print(f"n={n:5d} d={d:3d} q={present.points:4d}  not measured: no time is left")
            continue
        host, other = (seconds(n, d, present.points, device) for device in ("cpu", options.device))
        faster[present.points, d][n] = other < host
        for device, taken in (("cpu", host), (options.device, other)):
            record.append(options.out, {**case, "device": device, "seconds": taken, **made})
        shown = f"n={n:5d} d={d:3d} q={present.points:4d}  host {1e3 * host:9.1f} ms   {name} {1e3 * other:9.1f} ms"
        print(shown, flush=True)
    for present, d in itertools.product(SWITCHES, (6, 20)):
        if found := faster[present.points, d]:
            print(f"d={d} q={present.points}: from n = {switch(found)} on; the table says {present.observations}")


if __name__ == "__main__":
    main()
