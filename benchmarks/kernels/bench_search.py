"""Fused kernels of the search against plain torch and the floor: ``python -m benchmarks.kernels.bench_search``.

Log expected improvement with its gradient for a few restarts, a block of greedy picks, and sample paths with their
gradients, in float64 and at sizes of a real ask. The floor is that of ``bench_fused``; a cosine, exponential or
logarithm counts as one operation, so that no kernel full of them in float64 comes near it. Checks that both
implementations give the same numbers, then times them and appends one JSON line per measurement. Where no fused kernel
runs, as on a CPU, only the reference has lines. No case is begun after ``--seconds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.kernels.bench_fused import Case, compare, parser
from gpbo_kernels import covariance_and_slope
from gpbo_kernels.greedy import pick
from gpbo_kernels.improvement import log_expected_improvement
from gpbo_kernels.paths import PathSet, path_gradients, prepared

RESULTS = Path(__file__).parent / "results" / "search.jsonl"
SIZES = {"cuda": ("200x6", "1000x20", "4000x20", "10000x20", "4000x100"), "cpu": ("200x6", "1000x20")}
SCALE, NOISE, NUGGET = 1.3, 1e-2, 1e-10
FEATURES = 1024
_PROFILE = 10  # operations of a covariance and its slope at a squared distance
_TAIL = 45  # operations of the logarithm of an improvement and its ratios


class Draws:
    """Random float64 tensors on a device, the same in every run."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator().manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        """Standard normals."""
        drawn: Tensor = torch.randn(*shape, dtype=torch.float64, generator=self._generator)
        return drawn.to(self._device)

    def points(self, n: int, d: int) -> Tensor:
        """Points of a cube on whose side covariances are neither all nor nothing, one coordinate after another."""
        cube: Tensor = torch.rand(d, n, dtype=torch.float64, generator=self._generator) / (0.3 * d**0.5)
        return cube.to(self._device).mT


def factor(kind: str, Z: Tensor) -> Tensor:
    """Cholesky factor of the covariance of points with some noise."""
    K, _ = covariance_and_slope(kind, Z, scale=SCALE, diagonal=NOISE, want=(True, False))
    assert K is not None
    L: Tensor = torch.linalg.cholesky(K)
    return L


def improvement(kind: str, n: int, d: int, device: torch.device, small: bool) -> Iterator[Case]:
    """Values and gradients for one search: R restarts, j points with S fantasies."""
    draws = Draws(device)
    j, S = (2, 8) if small else (16, 128)
    j = min(j, n)
    Z = draws.points(n, d)
    Li = torch.linalg.inv(factor(kind, Z)).tril()
    beta = draws.normal(n)
    beta[n - j :] = 0.0
    normals, best = draws.normal(j, S), draws.normal(S).abs()
    scale, constant = torch.full_like(beta[0], SCALE), torch.zeros_like(beta[0])
    for R in (3,) if small else (16, 64):
        z = draws.points(R, d).contiguous()

        def run(z: Tensor = z) -> tuple[Tensor, ...]:
            return log_expected_improvement(
                kind, z, Z, Li, beta, normals, best, scale=scale, constant=constant, first=n - j
            )

        yield Case(
            f"log expected improvement/{R} restarts",
            8.0 * (n * n / 2 + n * (d + 1) + j * S + R * (2 * d + 1)),
            2.0 * R * n * n + R * n * (6 * d + _PROFILE + 8) + R * S * (4 * j + _TAIL),
            run,
            1e-6,  # the inverse amplifies rounding by the condition of the factor
        )


def picks(kind: str, n: int, d: int, device: torch.device, small: bool) -> Iterator[Case]:
    """A block of picks from a shortlist of N."""
    draws = Draws(device)
    N, S, q = (20, 8, 3) if small else (1024, 128, 64)
    Z, z = draws.points(n, d), draws.points(N, d).contiguous()
    k, _ = covariance_and_slope(kind, Z, z, scale=SCALE, want=(True, False))
    v = torch.linalg.solve_triangular(factor(kind, Z), k, upper=False).mT
    V = z.new_empty(N, n + q - 1)
    V[:, :n] = v
    mean, variance, shifts = draws.normal(N), SCALE - v.square().sum(-1), z.new_zeros(N, S)
    normals, best, scale = draws.normal(q - 1, S), draws.normal(S).abs() + 2.0, torch.full_like(mean[0], SCALE)

    def run() -> tuple[Tensor, ...]:
        return pick(kind, z, V, n, mean, variance, shifts, normals, best, q, scale=scale, nugget=NUGGET)

    columns = float(sum(range(n, n + q - 1)))  # of the whitened rows, over all picks
    moments = q * N * (2.0 * S + 4)
    work = 2 * N * columns + q * N * (3 * d + S * _TAIL)
    yield Case(f"picks/{q} of {N}", 8.0 * (N * columns + moments), work, run, 1e-6)


def paths(kind: str, n: int, d: int, device: torch.device, small: bool) -> Iterator[Case]:
    """Two searches on every sample path."""
    draws = Draws(device)
    P, F = (3, 20) if small else (1024, FEATURES)
    waves = (math.sqrt(2.0 * SCALE / F), draws.normal(F, d), draws.normal(F))
    drawn = prepared(PathSet(kind, SCALE, 0.0, *waves, draws.points(n, d), draws.normal(P, F), draws.normal(P, n)))
    owner = torch.arange(P, device=device).repeat_interleave(2)
    R, z = 2 * P, draws.points(2 * P, d).contiguous()
    moved = P * (F + n) + (F + n) * d + R * (2 * d + 1)
    yield Case(
        f"path gradients/{R} points",
        8.0 * moved,
        R * (F * (4.0 * d + 7) + n * (6.0 * d + _PROFILE + 4)),
        lambda: path_gradients(drawn, z, owner),
        1e-9,
    )


OPERATIONS = {"improvement": improvement, "picks": picks, "paths": paths}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    made = parser(__doc__, RESULTS, ["matern52"])
    made.add_argument("--operations", nargs="+", default=list(OPERATIONS), choices=OPERATIONS)
    made.add_argument("--small", action="store_true", help="few restarts, candidates and paths: does it run at all?")
    options = made.parse_args(arguments)
    device = torch.device(options.device)

    def cases(kind: str, n: int, d: int) -> Iterator[Case]:
        for operation in options.operations:
            yield from OPERATIONS[operation](kind, n, d, device, options.small)

    compare(options, "float64", SIZES[device.type], cases)


if __name__ == "__main__":
    main()
