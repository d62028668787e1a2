"""Time of short operations: CUDA events on a GPU, ``perf_counter`` on the CPU; after a warm-up, the inputs rotating."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from benchmarks.gpu.device import l2_bytes, synchronise
from benchmarks.record import Line

T = TypeVar("T")
_WARM_UP, _FEWEST, _MOST = 2, 3, 100
_ROTATING = 4  # times the last cache that the inputs take together
_COPIES = 64


def copies(bytes_each: int, device: torch.device) -> int:
    """How many inputs to rotate among, so that none is still in the cache when its turn comes again."""
    return max(1, min(_COPIES, -(-_ROTATING * l2_bytes(device) // max(1, bytes_each))))


def milliseconds(step: Callable[[T], object], inputs: Sequence[T], device: torch.device, seconds: float) -> Line:
    """Percentiles of a step's time.

    Args:
        step: What is timed; must not wait for the device, and must not change its input.
        inputs: One of them is handed to each call, in turn.
        device: Where it runs.
        seconds: How long to go on; at least three calls are timed.

    Returns:
        ``p20``, ``p50``, ``p80`` in milliseconds, and ``repeats``.
    """
    turn = itertools.cycle(inputs)
    for _ in range(_WARM_UP):
        step(next(turn))
    synchronise(device)
    start = time.perf_counter()
    step(next(turn))
    synchronise(device)
    once = max(1e-7, time.perf_counter() - start)
    repeats = max(_FEWEST, min(_MOST, int(seconds / once)))
    taken = (_on_gpu if device.type == "cuda" else _on_host)(step, [next(turn) for _ in range(repeats)])
    p20, p50, p80 = np.percentile(taken, [20, 50, 80])
    return {"p20": float(p20), "p50": float(p50), "p80": float(p80), "repeats": repeats}


def _on_gpu(step: Callable[[T], object], inputs: list[T]) -> list[float]:
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in inputs]  # type: ignore[no-untyped-call]
    for (before, after), one in zip(events, inputs, strict=True):
        before.record()
        step(one)
        after.record()
    torch.cuda.synchronize()
    return [float(before.elapsed_time(after)) for before, after in events]


def _on_host(step: Callable[[T], object], inputs: list[T]) -> list[float]:
    taken = []
    for one in inputs:
        start = time.perf_counter()
        step(one)
        taken.append(1e3 * (time.perf_counter() - start))
    return taken
