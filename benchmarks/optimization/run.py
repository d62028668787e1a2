"""Runs optimizers over cases and seeds and appends one JSON line a run; runs that have a line are skipped.

python -m benchmarks.optimization.run --providers gpbo botorch --cases branin --seeds 10 --jobs 2``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from benchmarks import record
from benchmarks.record import Line

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def read(folder: Path = RESULTS) -> list[Line]:
    """All result lines of a folder; of runs that were repeated, the last."""
    return list({(line["case"], line["provider"], line["seed"]): line for line in record.read(folder)}.values())


def run(case_name: str, provider_name: str, seed: int) -> Line:
    """One run, as the line that records it.

    The line holds every value in order of evaluation, the seconds of every suggestion after the initial design (asking
    and telling), and what made them.
    """
    import torch

    from benchmarks.optimization.registry import CASES, PROVIDERS

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # peers warn about their own affairs
    case = CASES[case_name]
    params = case.design(seed, case.n_initial)
    values = [case.objective(each) for each in params]
    seconds = []
    start = time.perf_counter()
    provider = PROVIDERS[provider_name](case.space, case.seed(seed), params, values)
    for _ in range(case.budget - case.n_initial):
        point = provider.ask()
        asked = time.perf_counter() - start
        values.append(case.objective(point))
        start = time.perf_counter()
        provider.tell(point, values[-1])
        seconds.append(round(asked, 5))
    return {
        "suite": "optimization",
        "case": case_name,
        "provider": provider_name,
        "seed": seed,
        "budget": case.budget,
        "n_initial": case.n_initial,
        "values": values,
        "suggestion_seconds": seconds,
        "threads": 1,
        "device": "cpu",
    }


def run_all(tasks: list[tuple[str, str, int]], jobs: int) -> Iterator[Line]:
    """Lines of the tasks as they finish, from ``jobs`` processes with one thread each."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *task) for task in tasks]):
            yield future.result()


def main() -> None:
    """The command line."""
    from benchmarks.optimization.registry import CASES, PROVIDERS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--providers", nargs="+", choices=PROVIDERS, default=list(PROVIDERS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to SEEDS - 1")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result lines")
    parser.add_argument("--redo", action="store_true", help="run again what has a line; the later line counts")
    options = parser.parse_args()

    known = set() if options.redo else {(each["case"], each["provider"], each["seed"]) for each in read(options.out)}
    tasks = [
        (case, provider, seed)
        for seed in range(options.seeds)
        for case in options.cases
        for provider in options.providers
        if (case, provider, seed) not in known
    ]
    made = record.origin()
    for line in tqdm(run_all(tasks, options.jobs), total=len(tasks), desc="runs"):
        record.append(options.out / f"{line['provider']}.jsonl", line | made)


if __name__ == "__main__":
    main()
