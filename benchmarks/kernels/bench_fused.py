"""Fused kernels against their reference and against the floor: ``python -m benchmarks.kernels.bench_fused``.

The floor of an operation is the longer of two times: to move what it must read and write at the bandwidth of a large
copy, and to do its arithmetic at the rate of a large matrix product, both measured beforehand on the same device. (The
product uses tensor cores where the device has them for the dtype, which distances by differences cannot.) A square
root and an exponential count as one operation. Checks that both implementations give the same numbers, then times them
and appends one JSON line per measurement. Where no fused kernel runs, as on a CPU, only the reference has lines.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import record
from gpbo_kernels import KINDS, backend, covariance_and_slope, lengthscale_gradients, use

RESULTS = Path(__file__).parent / "results" / "fused.jsonl"
SIZES = {"cuda": ("1000x6", "1000x20", "4000x20", "16000x20", "4000x300", "30000x20"), "cpu": ("500x6", "2000x20")}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
CHOICES: tuple[backend.Choice, ...] = ("reference", "fused")
_PROFILE = 10  # operations of a covariance and its slope at a squared distance


@dataclass(frozen=True)
class Case:
    """One operation on one input: what it must move and compute, and how to run it."""

    name: str
    bytes: float
    flop: float
    run: Callable[[], tuple[Tensor, ...]]
    tolerance: float  # of the largest number


def cases(kind: str, n: int, d: int, dtype: torch.dtype, device: torch.device) -> Iterator[Case]:
    """The operations on n points in d dimensions."""
    generator = torch.Generator().manual_seed(0)
    Z = (torch.rand(n, d, dtype=torch.float64, generator=generator) / (0.3 * d**0.5)).to(device, dtype)
    size, tolerance = Z.element_size(), 1e-12 if dtype == torch.float64 else 1e-4
    matrix, points, pairs = float(n * n * size), float(n * d * size), n * (n + 1) / 2
    k, slope = torch.empty(2, n, n, dtype=dtype, device=device)
    half = Z[: n // 2]

    def filled(*buffers: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(buffer for buffer in buffers if buffer is not None)

    yield Case(
        "covariance/symmetric",
        matrix + points,
        pairs * (3 * d + _PROFILE),
        lambda: filled(*covariance_and_slope(kind, Z, diagonal=0.1, out=(k, None))),
        tolerance,
    )
    yield Case(
        "covariance and slope/symmetric",
        2 * matrix + points,
        pairs * (3 * d + _PROFILE),
        lambda: filled(*covariance_and_slope(kind, Z, diagonal=0.1, out=(k, slope))),
        tolerance,
    )
    yield Case(
        "covariance and slope/cross",
        2 * (n // 2) * n * size + 1.5 * points,
        (n // 2) * n * (3 * d + _PROFILE),
        lambda: filled(*covariance_and_slope(kind, half, Z, out=(k[: n // 2], slope[: n // 2]))),
        tolerance,
    )
    a = torch.randn(n, dtype=torch.float64, generator=generator).to(device, dtype)
    yield Case(
        "lengthscale gradients",
        matrix / 2 + points,
        pairs * (7 * d + _PROFILE + 3),
        lambda: (lengthscale_gradients(kind, Z, a, k, lower=True),),  # any matrix does: what counts is that it is read
        100 * tolerance,
    )


def measure(run: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, float, float]:
    """20th, 50th and 80th percentile of a call's milliseconds, after two warm-ups; on CUDA, of the device's time."""
    times = []
    for attempt in range(repeats + 2):
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(device)
            taken = start.elapsed_time(end)
        else:
            begun = time.perf_counter()
            run()
            taken = 1e3 * (time.perf_counter() - begun)
        if attempt >= 2:
            times.append(taken)
    p20, p50, p80 = np.percentile(times, [20, 50, 80])
    return float(p20), float(p50), float(p80)


def speed(dtype: torch.dtype, device: torch.device, repeats: int) -> tuple[float, float]:
    """Bytes a second of a copy, read and written, and operations a second of a matrix product."""
    large = device.type == "cuda"
    source = torch.zeros(2**27 if large else 2**23, dtype=dtype, device=device)
    target = torch.empty_like(source)
    _, copy, _ = measure(lambda: target.copy_(source), device, repeats)
    n = 8192 if large else 512
    A = torch.rand(n, n, dtype=dtype, device=device)
    product = torch.empty_like(A)
    _, multiply, _ = measure(lambda: torch.mm(A, A, out=product), device, repeats)
    return 2e3 * source.nbytes / copy, 2e3 * n**3 / multiply


def runs_fused(like: Tensor) -> bool:
    """Whether the kernels run compiled on this device; interpreted ones are not worth a measurement."""
    return like.is_cuda and backend.fused(like)


def check(case: Case) -> bool:
    """False where the reference needs more memory than there is; ``AssertionError`` where the two differ."""
    try:
        with use("reference"):
            right = [result.clone() for result in case.run()]
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return False
    with use("fused"):
        results = case.run()
    for result, wanted in zip(results, right, strict=True):
        atol = case.tolerance * float(wanted.abs().max())
        torch.testing.assert_close(result, wanted, rtol=case.tolerance, atol=atol)
    return True


def timed(case: Case, choice: backend.Choice, device: torch.device, repeats: int) -> record.Line:
    """Percentiles and peak memory, or why there are none."""
    try:
        with use(choice):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
            p20, p50, p80 = measure(case.run, device, repeats)
            peak = (torch.cuda.max_memory_allocated(device) - before) / 1e6 if device.type == "cuda" else None
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"failed": "out of memory"}
    return {"p20": p20, "p50": p50, "p80": p80, "extra_mb": peak}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cuda", "cpu"))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--sizes", nargs="+", help="points x dimensions, like 4000x20")
    parser.add_argument("--kinds", nargs="+", default=["matern52", "rbf"], choices=KINDS)
    parser.add_argument("--dtypes", nargs="+", default=["float64"], choices=DTYPES)
    options = parser.parse_args(arguments)
    device, made = torch.device(options.device), record.origin()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else record.processor()
    for dtype in options.dtypes:
        bandwidth, rate = speed(DTYPES[dtype], device, options.repeats)
        print(f"{name}, {dtype}: {bandwidth / 1e9:.0f} GB/s, {rate / 1e12:.2f} TFLOP/s")
        fused = runs_fused(torch.zeros(1, dtype=DTYPES[dtype], device=device))
        for size, kind in itertools.product(options.sizes or SIZES[device.type], options.kinds):
            n, d = (int(part) for part in size.split("x"))
            for case in cases(kind, n, d, DTYPES[dtype], device):
                floor = 1e3 * max(case.bytes / bandwidth, case.flop / rate)
                checked = fused and check(case)
                shown = f"{case.name:<31}{kind:<9} n={n:<6} d={d:<5} floor {floor:9.3f} ms"
                for choice in CHOICES if fused else CHOICES[:1]:
                    line = {
                        "suite": "kernels",
                        "case": f"{case.name}/{kind}",
                        "provider": choice,
                        "sizes": {"n": n, "d": d},
                        "dtype": dtype,
                        "seed": 0,
                        "metric": "time of a call",
                        "unit": "ms",
                        **timed(case, choice, device, options.repeats),
                        "checked": checked,
                        "floor": floor,
                        "bytes": case.bytes,
                        "flop": case.flop,
                        "bandwidth": bandwidth,
                        "rate": rate,
                        "repeats": options.repeats,
                        "device": name,
                        "threads": torch.get_num_threads(),
                    }
                    record.append(options.out, line | made)
                    shown += f"  {choice} {line.get('p50', float('nan')):9.3f} ms"
                print(shown)


if __name__ == "__main__":
    main()
