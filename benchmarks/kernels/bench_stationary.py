"""Covariance and its lengthscale gradient, against GPyTorch's: ``python -m benchmarks.kernels.bench_stationary``.

Checks that both give the same numbers, then times them and appends one JSON line per measurement.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import MaternKernel, RBFKernel
from torch import Tensor

from benchmarks import record
from gpbo_kernels import KINDS, covariance

RESULTS = Path(__file__).parent / "results" / "stationary.jsonl"
SIZES = ((50, 6), (200, 6), (500, 20), (2000, 20))
Step = Callable[[], tuple[Tensor, Tensor]]  # gives the covariance and the gradient of its weighted sum


def ours(kind: str, X: Tensor, weights: Tensor) -> Step:
    """``gpbo_kernels``."""
    lengthscale = torch.full((1, X.shape[-1]), 0.5, dtype=X.dtype, requires_grad=True)

    def step() -> tuple[Tensor, Tensor]:
        K = covariance(kind, X, X, lengthscale)
        return K.detach(), torch.autograd.grad((weights * K).sum(), lengthscale)[0]

    return step


def gpytorchs(kind: str, X: Tensor, weights: Tensor) -> Step:
    """GPyTorch's kernel, its lengthscales without a transform."""
    options = {"ard_num_dims": X.shape[-1], "lengthscale_constraint": Positive(transform=None)}
    order = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
    kernel = (RBFKernel(**options) if kind == "rbf" else MaternKernel(order[kind], **options)).to(X)
    kernel.lengthscale = 0.5

    def step() -> tuple[Tensor, Tensor]:
        K = kernel(X, X).to_dense()
        return K.detach(), torch.autograd.grad((weights * K).sum(), kernel.raw_lengthscale)[0]

    return step


PROVIDERS = {"gpbo_kernels": ours, "gpytorch": gpytorchs}


def measure(step: Step, repeats: int) -> tuple[float, float, float]:
    """20th, 50th and 80th percentile of a step's milliseconds, after a warm-up."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    p20, p50, p80 = np.percentile(times, [20, 50, 80])
    return float(p20), float(p50), float(p80)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=math.inf, help="no size is begun after so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made, began = record.origin(), time.monotonic()
    for kind, (n, d) in itertools.product(KINDS, SIZES):
        if time.monotonic() - began > options.seconds:
            print(f"Stopped after {options.seconds:g} s, before {kind} at n={n}, d={d}.")
            return
        generator = torch.Generator().manual_seed(0)
        X = torch.rand(n, d, dtype=torch.float64, generator=generator)
        weights = torch.randn(n, n, dtype=torch.float64, generator=generator)
        steps = {name: make(kind, X, weights) for name, make in PROVIDERS.items()}
        (K, g), (K_stock, g_stock) = (step() for step in steps.values())
        tolerance = 1e-6 if kind == "matern12" else 1e-9  # GPyTorch's distances err where points coincide, and it shows
        torch.testing.assert_close(K, K_stock, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(g, g_stock, rtol=tolerance, atol=tolerance * float(g_stock.abs().max()))
        shown = f"{kind:<9} n={n:<5} d={d:<3}"
        for name, step in steps.items():
            p20, p50, p80 = measure(step, options.repeats)
            line = {
                "suite": "kernels",
                "case": f"stationary/{kind}",
                "provider": name,
                "sizes": {"n": n, "d": d},
                "dtype": "float64",
                "seed": 0,
                "metric": "covariance and lengthscale gradient",
                "unit": "ms",
                "p20": p20,
                "p50": p50,
                "p80": p80,
                "repeats": options.repeats,
                "device": "cpu",
                "threads": 1,
            }
            record.append(options.out, line | made)
            shown += f"  {name} {p50:9.3f} ms"
        print(shown)


if __name__ == "__main__":
    main()
