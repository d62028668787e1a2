"""Where an ask's milliseconds go: ``python -m benchmarks.speed.profile --n 200 --d 6 --q 1``.

Runs tell one + ask one in a loop at about n observations, and times the engine's stages inside it.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gpbo
from benchmarks.speed.cases import objective, observations
from benchmarks.speed.measures import one_thread

STAGES = {
    "fit": [("gpbo.strategy.surrogate", "fit")],
    "factor": [("gpbo.strategy.surrogate", "_factorised"), ("gpbo.models.host_posterior.HostPosterior", "observe")],
    "raw candidates": [("gpbo.search.candidates.Candidates", "draw")],
    "fantasies": [
        ("gpbo.strategy.policy", "base_normals"),
        ("gpbo.acquisition.improvement.HostImprovement", "fantasise"),
        ("gpbo.acquisition.improvement.HostImprovement", "believe"),
    ],
    "screening": [
        ("gpbo.acquisition.improvement.HostImprovement", "screen"),
        ("gpbo.acquisition.improvement.HostScreen", "values"),
    ],
    "local search": [("gpbo.search.greedy", "maximise")],
    "encoding": [
        ("gpbo.space.Space", "decode_codes"),
        ("gpbo.space.Space", "encode_codes"),
        ("gpbo.space.Space", "keys"),
        ("gpbo.space.Space", "x_of_codes"),
    ],
}


def _owner(path: str) -> Any:
    """A module, or a class in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


@contextmanager
def watched(seconds: dict[str, float]) -> Iterator[None]:
    """Adds the time of every stage, nested stages counted once, while the block runs."""
    inside: list[str] = []

    def timer(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if inside:
                return function(*args, **kwargs)
            inside.append(stage)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[stage] += time.process_time() - start
                inside.pop()

        return call

    replaced = []
    for stage, places in STAGES.items():
        for path, name in places:
            owner = _owner(path)
            replaced.append((owner, name, getattr(owner, name)))
            setattr(owner, name, timer(stage, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in replaced:
            setattr(owner, name, function)


def profile(n: int, d: int, q: int, steps: int) -> dict[str, float]:
    """CPU milliseconds of each stage in one tell + ask of q points, on average over some steps."""
    X, y = observations(n, d, 0)
    optimizer = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * d, [1.0] * d), seed=0)
    optimizer.add(X, y)
    batch = optimizer.ask(q)
    seconds: dict[str, float] = defaultdict(float)
    with watched(seconds):
        start = time.process_time()
        for _ in range(steps):
            optimizer.tell(batch, objective(batch.x))
            batch = optimizer.ask(q)
        total = time.process_time() - start
    found = {stage: 1e3 * seconds[stage] / steps for stage in STAGES}
    found["bookkeeping"] = 1e3 * total / steps - sum(found.values())
    return found | {"all": 1e3 * total / steps}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--d", type=int, default=6)
    parser.add_argument("--q", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    one_thread()
    profile(12, 2, 2, 2)
    columns = {n: profile(n, options.d, options.q, options.steps) for n in options.n}
    print(f"CPU ms of one tell + ask, d = {options.d}, q = {options.q}, mean of {options.steps} steps\n")
    print(f"{'':16}" + "".join(f"{f'n = {n}':>12}" for n in columns))
    for stage in (*STAGES, "bookkeeping", "all"):
        print(f"{stage:16}" + "".join(f"{column[stage]:12.3f}" for column in columns.values()))


if __name__ == "__main__":
    main()
