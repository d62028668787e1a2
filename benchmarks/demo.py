"""Tunes a random forest on two data sets with gpbo, beside grid search and random search.

``python -m benchmarks.demo`` gives each of the three the same number of evaluations, in batches that run in parallel on
all cores, and ends with a table and a picture.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

import gpbo
from benchmarks import forest

Params = dict[str, Any]

BATCH, BATCHES = 8, 5
GRID = {"max_depth": [4, 8, 12, 16, 20], "n_estimators": [25, 50, 100, 200], "max_leaf_nodes": [32, 256]}
SHOWN = "max_leaf_nodes"
PICTURE = Path("demo.png")


class Search(Protocol):
    """Proposes batches and learns their scores."""

    def ask(self) -> list[Params]:
        """The next batch."""
        ...

    def tell(self, scores: list[float]) -> None:
        """The scores of the last batch."""
        ...


class BayesSearch:
    """gpbo: every batch is chosen by what all earlier ones taught."""

    def __init__(self, space: gpbo.Space) -> None:
        self.optimizer = gpbo.Optimizer(space, direction="maximize", seed=0)

    def ask(self) -> list[Params]:
        """The next batch."""
        self.batch = self.optimizer.ask(BATCH)
        return self.batch.params

    def tell(self, scores: list[float]) -> None:
        """The scores of the last batch."""
        self.optimizer.tell(self.batch, scores)


class GridSearch:
    """The points of the grid, in random order because the order decides what is found early."""

    def __init__(self) -> None:
        self.points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
        random.Random(0).shuffle(self.points)

    def ask(self) -> list[Params]:
        """The next batch."""
        return [self.points.pop() for _ in range(BATCH)]

    def tell(self, scores: list[float]) -> None:
        """Nothing to learn."""


class RandomSearch:
    """Points drawn uniformly, on the same scales that gpbo uses."""

    def __init__(self, space: gpbo.Space) -> None:
        self.space, self.rng = space, np.random.default_rng(0)

    def ask(self) -> list[Params]:
        """The next batch."""
        return self.space.decode(self.space.sample(self.rng.random((BATCH, self.space.n_params))))

    def tell(self, scores: list[float]) -> None:
        """Nothing to learn."""


@dataclass
class Run:
    """What one search did: the score of every evaluation, and where the wall time went."""

    scores: list[float] = field(default_factory=list)
    objective_seconds: float = 0.0
    suggestion_seconds: float = 0.0


def run(search: Search, dataset: str, pool: Executor, label: str) -> Run:
    """Drives a search for its batches, with a progress bar that moves as evaluations end."""
    record = Run()
    best = 0.0
    with tqdm(total=BATCH * BATCHES, desc=f"{dataset:<6} {label:<13}", unit="fit") as bar:
        for _ in range(BATCHES):
            start = time.perf_counter()
            batch = search.ask()
            asked = time.perf_counter()
            futures = [pool.submit(forest.accuracy, dataset, params) for params in batch]
            for future in as_completed(futures):
                best = max(best, future.result())
                bar.set_postfix(best=f"{best:.4f}", refresh=False)
                bar.update()
            evaluated = time.perf_counter()
            scores = [future.result() for future in futures]
            search.tell(scores)
            record.scores += scores
            record.objective_seconds += evaluated - asked
            record.suggestion_seconds += asked - start + time.perf_counter() - evaluated
    return record


def table(results: dict[str, dict[str, Run]]) -> str:
    """The figures of all runs as aligned text."""
    titles = f"{'evaluations':>13}{'s in objective':>16}{'s in suggestions':>18}"
    head = f"{'data':<8}{'search':<15}{'best accuracy':>14}{titles}"
    rows = [head, "-" * len(head)]
    for dataset, runs in results.items():
        for label, each in runs.items():
            seconds = f"{each.objective_seconds:>16.1f}{each.suggestion_seconds:>18.3f}"
            rows.append(f"{dataset:<8}{label:<15}{max(each.scores):>14.4f}{len(each.scores):>13}{seconds}")
    return "\n".join(rows)


def picture(results: dict[str, dict[str, Run]], optimizers: dict[str, gpbo.Optimizer], path: Path) -> None:
    """One row a data set: convergence of all searches, and what gpbo learnt along one parameter."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    import gpbo.plot

    figure, axes = plt.subplots(len(results), 2, figsize=(11, 4 * len(results)), squeeze=False, layout="constrained")
    for (left, right), (dataset, runs) in zip(axes, results.items(), strict=True):
        scores = {label: each.scores for label, each in runs.items()}
        gpbo.plot.convergence(scores, direction="maximize", ax=left)
        best = max(max(each.scores) for each in runs.values())
        start = min(max(each.scores[:BATCH]) for each in runs.values())
        bottom = start - 0.3 * (best - start)  # below it lies the luck of the first points
        left.set(title=f"{dataset}: best accuracy so far", ylabel="cross-validated accuracy")
        left.set_ylim(bottom, best + 0.1 * (best - bottom))
        gpbo.plot.posterior(optimizers[dataset], SHOWN, ax=right)
        fixed = ", ".join(f"{k}={v}" for k, v in optimizers[dataset].best().params.items() if k != SHOWN)
        right.set_xlabel(f"{SHOWN}   (at {fixed})")
        right.set(title=f"{dataset}: what gpbo learnt along {SHOWN}", ylabel="cross-validated accuracy")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def compile_engine() -> float:
    """Seconds of a first suggestion: on a new installation the engine is compiled then, later it is read from disk."""
    start = time.perf_counter()
    space = forest.space()
    opt = gpbo.Optimizer(space, seed=0)
    points = space.decode(space.sample(np.random.default_rng(0).random((8, space.n_params))))
    opt.add(points, np.linspace(0, 1, len(points)) ** 2)
    opt.ask(2)
    return time.perf_counter() - start


def main() -> None:
    """Runs everything and says where the picture is."""
    start = time.perf_counter()
    print(f"Engine ready after {compile_engine():.1f} s (compiled once per installation)", flush=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(
        f"RandomForestClassifier over {', '.join(GRID)}: {BATCH * BATCHES} evaluations each, {cores} in parallel",
        flush=True,
    )
    results: dict[str, dict[str, Run]] = {}
    optimizers: dict[str, gpbo.Optimizer] = {}
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        for dataset in forest.FOLDS:
            warm = [{"max_depth": 1, "n_estimators": 10, "max_leaf_nodes": 2}] * cores
            list(pool.map(forest.accuracy, [dataset] * cores, warm))  # starting workers is nobody's time
            bayes = BayesSearch(forest.space())
            searches: dict[str, Search] = {
                "gpbo": bayes,
                "grid search": GridSearch(),
                "random search": RandomSearch(forest.space()),
            }
            results[dataset] = {label: run(search, dataset, pool, label) for label, search in searches.items()}
            optimizers[dataset] = bayes.optimizer
    picture(results, optimizers, PICTURE)
    print(f"\n{table(results)}\n\nPicture: {PICTURE.resolve()} ({time.perf_counter() - start:.0f} s in all)")


if __name__ == "__main__":
    main()
