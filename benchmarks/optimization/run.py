"""Runs optimizers over the cases of suites and appends one JSON line a run; runs that have a line are skipped.

``python -m benchmarks.optimization.run --suite batch100 --providers gpbo sobol --seeds 10 --jobs 2``.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import math
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks import record
from benchmarks.record import Line

if TYPE_CHECKING:
    from benchmarks.optimization.member import Case, Member, Params

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Key = tuple[str, int, int, int, str, int]


@dataclass(frozen=True)
class Variant:
    """A provider under a name of its own.

    Attributes:
        name: Name in result lines.
        provider: Name in the registry.
        settings: Keyword settings for the provider.
    """

    name: str
    provider: str
    settings: dict[str, Any] = field(default_factory=dict)


class OutOfTimeError(BaseException):
    """The run's limit was reached; no ``Exception``, so that no optimizer swallows it."""


def key(line: Line) -> Key:
    """What identifies a run: problem, budget, initial points, batch size, provider and seed."""
    return (line["case"], line["budget"], line["n_initial"], line.get("batch", 1), line["provider"], line["seed"])


def read(folder: Path = RESULTS) -> list[Line]:
    """All result lines of a folder and of the suites' folders in it; of runs that were repeated, the last.

    Other folders are experiments, of which ``experiment.py`` makes tables.
    """
    from benchmarks.optimization.suites import SUITES

    paths = sorted(path for name in ("", *SUITES) for path in (folder / name).glob("*.jsonl"))
    lines = [json.loads(text) for path in paths for text in path.read_text().splitlines() if text.strip()]
    return list({key(line): line for line in lines}.values())


def run(case: Case, variant: Variant, seed: int, limit_seconds: float | None = None) -> Line:
    """One run, as the line that records it.

    With single points, the line holds every value in order of evaluation (``values``; with noise the measurements, and
    ``true`` the true values). With batches it holds, after each round, the best value so far (with noise, the true
    value of the best measurement) and, at the end, the best measurement. Where there is noise and the provider
    recommends points, ``recommended`` holds the true values of what it recommends after half of the budget and at the
    end. The seconds are those of asking and telling. A run that fails or reaches its limit keeps what it did.
    """
    import torch

    from benchmarks.optimization.families import member
    from benchmarks.optimization.registry import PROVIDERS

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # peers warn about their own affairs
    problem = member(case.problem)
    history = _History(problem, problem.seed(seed))
    params = problem.design(seed, case.n_initial)
    values = history.measure(params)
    seconds: list[float] = []
    recommended: dict[str, float] = {}
    error = ""
    begin = time.perf_counter()
    try:
        with _limited(limit_seconds):
            start = time.perf_counter()
            provider = PROVIDERS[variant.provider](
                problem.space, problem.seed(seed), params, values, **variant.settings
            )
            while len(history.true) < case.budget:
                q = min(case.batch, case.budget - len(history.true))
                points = provider.ask(q)
                seconds.append(time.perf_counter() - start)
                if len(points) != q:
                    raise ValueError(f"{variant.name} was asked for {q} points and gave {len(points)}.")
                values = history.measure(points)
                start = time.perf_counter()
                provider.tell(points, values)
                done = len(history.true)
                if problem.observe and hasattr(provider, "recommend"):
                    before = done - q
                    if done == case.budget or before < case.budget / 2 <= done:
                        recommended[str(done)] = problem.objective(provider.recommend())
                if limit_seconds and time.perf_counter() - begin > limit_seconds:
                    raise OutOfTimeError
    except (OutOfTimeError, Exception) as failure:  # a peer that fails is a result; the reason is in the line
        if limit_seconds and time.perf_counter() - begin >= limit_seconds:  # compiled code turns the one into the other
            error = "" if len(history.true) == case.budget else f"reached the limit of {limit_seconds:g} s"
        else:
            error = f"{type(failure).__name__}: {failure}"[:300]
    line: Line = {
        "suite": "optimization",
        "case": case.problem,
        "provider": variant.name,
        "seed": seed,
        "budget": case.budget,
        "n_initial": case.n_initial,
        "batch": case.batch,
        **history.line(case),
        "seconds": _summary(seconds),
        "finished": len(history.true) == case.budget,
        "threads": 1,
        "device": str(variant.settings.get("device", "cpu")),
    }
    if variant.settings:
        line["settings"] = variant.settings
    if recommended:
        line["recommended"] = {n: _short(value) for n, value in recommended.items()}
    if error:
        line["error"] = error
    return line


class _History:
    """Measurements and true values in order of evaluation."""

    def __init__(self, problem: Member, seed: int) -> None:
        self.problem = problem
        self.rng = np.random.default_rng([seed, 1])  # not the numbers that an optimizer may draw
        self.observed: list[float] = []
        self.true: list[float] = []

    def measure(self, params: list[Params]) -> list[float]:
        """Values as the optimizer sees them."""
        true = [self.problem.objective(each) for each in params]
        observe = self.problem.observe
        seen = true if observe is None else [observe(each, self.rng) for each in params]
        self.true += true
        self.observed += seen
        return seen

    def line(self, case: Case) -> Line:
        """What the result line keeps."""
        if case.batch == 1:
            kept: Line = {"values": [_short(value) for value in self.observed]}
            if self.problem.observe:
                kept["true"] = [_short(value) for value in self.true]
            return kept
        best = incumbents(self.observed, self.true)
        ends = [*range(case.n_initial, len(best), case.batch), len(best)]
        kept = {"evaluations": ends, "best": [_short(best[n - 1]) for n in ends]}
        if self.problem.observe:
            kept["best_observed"] = _short(min(self.observed))
        return kept


def incumbents(observed: list[float], true: list[float]) -> list[float]:
    """After every evaluation, the true value of the point with the best measurement so far."""
    best: list[float] = []
    at = 0
    for i, value in enumerate(observed):
        if value < observed[at]:
            at = i
        best.append(true[at])
    return best


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def _summary(seconds: list[float]) -> Line:
    if not seconds:
        return {"asks": 0}
    low, middle, high = np.percentile(seconds, [20, 50, 80])
    return {
        "asks": len(seconds),
        "p20": float(f"{low:.3g}"),
        "p50": float(f"{middle:.3g}"),
        "p80": float(f"{high:.3g}"),
        "total": float(f"{math.fsum(seconds):.4g}"),
    }


@contextlib.contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raises ``OutOfTimeError`` inside after the seconds, where the system has such a timer."""
    if not seconds or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


Task = tuple["Case", Variant, int, float | None]


def run_all(tasks: list[tuple[str, Task]], jobs: int) -> Iterator[tuple[str, Line]]:
    """Lines of the tasks with their suites as they finish, from ``jobs`` processes with one thread each."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    while tasks:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(run, *task): (suite, task) for suite, task in tasks}
            try:
                for future in as_completed(list(futures)):
                    line = future.result()
                    yield futures.pop(future)[0], line
                return
            except BrokenProcessPool:
                tasks = list(futures.values())
        # tasks start in order: the one whose process died is among the first
        for suite, (case, variant, seed, _) in tasks[: jobs + 1]:
            print(f"A process died: no line for {variant.name} on {case.problem} of {suite}, seed {seed}.")
        tasks = tasks[jobs + 1 :]


def parse_variant(text: str) -> Variant:
    """``name=key:value,...`` of gpbo, or ``name=provider/key:value,...``; values are Python literals or plain words."""
    name, separator, rest = text.partition("=")
    provider, slash, settings = rest.partition("/")
    if not slash:
        provider, settings = "gpbo", rest
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=key:value,... .")
    parsed: dict[str, Any] = {}
    for pair in filter(None, settings.split(",")):
        setting, colon, value = pair.partition(":")
        if not colon:
            raise argparse.ArgumentTypeError(f"{pair!r} in {text!r} is not key:value.")
        try:
            parsed[setting] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[setting] = value
    return Variant(name, provider, parsed)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    from benchmarks.optimization.peers import apart
    from benchmarks.optimization.registry import PROVIDERS
    from benchmarks.optimization.suites import HALVES, SUITES, select

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=["classic"])
    parser.add_argument("--providers", nargs="*", choices=PROVIDERS, metavar="NAME", help=", ".join(PROVIDERS))
    parser.add_argument(
        "--variant",
        nargs="+",
        type=parse_variant,
        default=[],
        metavar="NAME=KEY:VALUE,...",
        help="gpbo with keyword settings under a name of its own; NAME=PROVIDER/KEY:VALUE,... for another provider",
    )
    parser.add_argument("--members", default="", metavar="REGEX", help="only problems whose name contains a match")
    parser.add_argument("--half", choices=HALVES, default="all", help="members for tuning (even index) or reporting")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result lines")
    parser.add_argument("--redo", action="store_true", help="run again what has a line; the later line counts")
    parser.add_argument("--limit-seconds", type=float, help="wall clock of one run; what it did by then counts")
    options = parser.parse_args(arguments)

    names = options.providers
    if names is None:
        names = [] if options.variant else ["gpbo", "botorch", "botorch_local", "optuna_gp", "optuna_tpe", "sobol"]
    variants = [*(Variant(name, name) for name in names), *options.variant]
    known = set() if options.redo else {key(line) for line in read(options.out)}
    tasks: list[tuple[str, Task]] = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for suite in options.suite:
            for case in select(suite, options.half, options.members):
                for variant in variants:
                    run_key = (case.problem, case.budget, case.n_initial, case.batch, variant.name, seed)
                    if run_key not in known:
                        known.add(run_key)
                        tasks.append((suite, (case, variant, seed, options.limit_seconds)))
    if not tasks:
        print("Nothing to run: all runs have lines.")
        return
    made = record.origin()
    made["versions"] |= apart.versions()
    for suite, line in tqdm(run_all(tasks, options.jobs), total=len(tasks), desc="runs", mininterval=5):
        folder = options.out if suite == "classic" else options.out / suite
        record.append(folder / f"{line['provider']}.jsonl", line | made)


if __name__ == "__main__":
    main()
