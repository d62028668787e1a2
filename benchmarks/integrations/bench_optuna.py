"""GPBOSampler against Optuna's GPSampler: whole studies of 100 trials, time and best value, paired by the start.

python -m benchmarks.integrations.bench_optuna --seeds 5`` appends result lines, and ``--report`` makes the table.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpbo
from benchmarks import record
from benchmarks.optimization.report import bootstrap
from benchmarks.record import Line
from gpbo import problems

RESULTS = Path(__file__).parent / "results"
TRIALS = 100
STARTS = 10  # of Optuna's GPSampler; both samplers begin with the same random points
FLOOR = 1e-8  # regrets below this count as this


def _rotated(name: str, values: Callable[[NDArray[np.float64]], float], dim: int) -> problems.Problem:
    """A function of BBOB's kind: z = R (x - optimum) in [-5, 5]^d, with a fixed rotation and optimum."""
    rng = np.random.default_rng(20)
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    optimum = rng.uniform(-4, 4, dim)

    def function(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.apply_along_axis(lambda each: values(rotation @ (each - optimum)), -1, x))

    return problems.Problem(f"{name}{dim}", function, (-5.0,) * dim, (5.0,) * dim, 0.0, (tuple(optimum),))


def _ellipsoid(z: NDArray[np.float64]) -> float:  # BBOB f10, condition 1e4
    return float(np.sum(10 ** (4 * np.arange(len(z)) / (len(z) - 1)) * z**2))


def _powers(z: NDArray[np.float64]) -> float:  # BBOB f14
    return float(np.sqrt(np.sum(np.abs(z) ** (2 + 4 * np.arange(len(z)) / (len(z) - 1)))))


def _mixed(params: dict[str, Any]) -> float:
    """A learning curve's kind of bowl over scales, counts and a choice; its minimum is 0."""
    shift = {"adam": 0.0, "sgd": 0.3, "lion": 0.1, "rms": 0.2}[params["kind"]]
    rate = (np.log10(params["rate"]) + 3 - shift) ** 2 / 4
    return float(rate + (params["depth"] - 7) ** 2 / 60 + (np.log2(params["width"]) - 6) ** 2 / 20 + shift)


MIXED = gpbo.Space(
    {
        "rate": gpbo.Float(1e-6, 1.0, log=True),
        "depth": gpbo.Int(1, 20),
        "width": gpbo.Int(4, 1024, log=True),
        "kind": gpbo.Categorical(["adam", "sgd", "lion", "rms"]),
    }
)

SYNTHETIC = [
    problems.branin(),
    problems.six_hump_camel(),
    problems.hartmann3(),
    problems.hartmann6(),
    problems.ackley(5),
    problems.levy(5),
    problems.rastrigin(4),
    problems.griewank(5),
    problems.rosenbrock(5),
    problems.styblinski_tang(4),
    _rotated("ellipsoid", _ellipsoid, 5),
    _rotated("powers", _powers, 5),
]
CASES: dict[str, tuple[gpbo.Space, Callable[[dict[str, Any]], float], float]] = {
    **{each.name: (each.space, each, each.minimum) for each in SYNTHETIC},
    "mixed": (MIXED, _mixed, 0.0),
}
SAMPLERS = ("gpbo", "optuna_gp")


def run(case: str, sampler: str, seed: int) -> Line:
    """One study, as the line that records it."""
    import optuna
    import torch

    from gpbo.integrations.optuna import GPBOSampler
    from gpbo.integrations.optuna.axes import distribution

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    space, objective, minimum = CASES[case]
    made: optuna.samplers.BaseSampler
    if sampler == "gpbo":
        made = GPBOSampler(seed=seed, n_startup_trials=STARTS, device="cpu")
    else:
        made = optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTS)
    study = optuna.create_study(sampler=made)
    distributions = {name: distribution(parameter) for name, parameter in space.items()}
    start = np.random.default_rng([seed, len(space)])
    for params in space.decode(space.sample(start.random((STARTS, space.n_params)))):
        study.enqueue_trial(params)

    def evaluate(trial: optuna.Trial) -> float:
        for name, each in distributions.items():
            trial._suggest(name, each)
        return objective(trial.params)

    began = time.perf_counter()
    study.optimize(evaluate, n_trials=TRIALS)
    seconds = time.perf_counter() - began
    values = [trial.value for trial in study.trials]
    sizes = {"trials": TRIALS, "shared_start": STARTS, "minimum": minimum, "threads": 1, "device": "cpu"}
    return {
        "suite": "optuna",
        "case": case,
        "provider": sampler,
        "seed": seed,
        **sizes,
        "seconds": round(seconds, 3),
        "values": values,
    }


def report(lines: list[Line]) -> str:
    """Markdown of the paired comparison."""
    runs = {(line["case"], line["seed"], line["provider"]): line for line in lines}
    versions = sorted({(line["versions"]["optuna"], line["commit"]) for line in lines})
    text = [
        "# GPBOSampler against Optuna's GPSampler",
        "",
        "Made by `python -m benchmarks.integrations.bench_optuna --report` from the lines beside it. Studies of",
        f"{TRIALS} trials, of which the first {STARTS} are the same random points for both; one thread. Regret is the",
        "best value less the minimum. *Difference*: mean paired difference of log10 regret, with its 95 % bootstrap",
        "interval over seeds; below zero, GPBOSampler is better. Seconds are of a whole study, median over seeds.",
        "",
        *(f"Optuna {version}, commit {commit}." for version, commit in versions),
        "",
        "| problem | seeds | regret gpbo | regret GPSampler | difference | won/lost | s gpbo | s GPSampler |",
        "|---|---|---|---|---|---|---|---|",
    ]
    everything, ratios = [], []
    for case in CASES:
        seeds = sorted(
            {seed for name, seed, _ in runs if name == case and all((case, seed, s) in runs for s in SAMPLERS)}
        )
        if not seeds:
            continue
        pairs = [[runs[case, seed, sampler] for sampler in SAMPLERS] for seed in seeds]
        regret = np.maximum([[min(line["values"]) - line["minimum"] for line in pair] for pair in pairs], FLOOR)
        seconds = np.array([[line["seconds"] for line in pair] for pair in pairs])
        difference = np.log10(regret[:, 0]) - np.log10(regret[:, 1])
        low, high = bootstrap(difference)
        won, lost = int((difference < -1e-6).sum()), int((difference > 1e-6).sum())
        middle, time_of = np.median(regret, axis=0), np.median(seconds, axis=0)
        everything.append(difference.mean())
        ratios.append(time_of[1] / time_of[0])
        text.append(
            f"| {case} | {len(seeds)} | {middle[0]:.2g} | {middle[1]:.2g} | {difference.mean():+.2f} "
            f"[{low:+.2f}, {high:+.2f}] | {won}/{lost} | {time_of[0]:.1f} | {time_of[1]:.1f} |"
        )
    low, high = bootstrap(np.array(everything))
    text += [
        "",
        f"Over {len(everything)} problems: mean difference {np.mean(everything):+.2f} [{low:+.2f}, {high:+.2f}] of the",
        f"log10 regret; GPSampler takes {np.median(ratios):.1f} times as long (median), {min(ratios):.1f} at least.",
    ]
    longest = max(line["seconds"] for line in lines if line["provider"] == "gpbo")
    text += [
        "",
        f"The longest of gpbo's studies took {longest:.1f} s: the first run in a new environment compiles, and keeps",
        "the result on disk for all later processes.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="GPBOSampler against Optuna's GPSampler")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="only write REPORT.md from the lines")
    options = parser.parse_args()
    if not options.report:
        made = record.origin()
        known = {(line["case"], line["provider"], line["seed"]) for line in record.read(options.out)}
        for seed in range(options.seeds):
            for case in options.cases:
                for sampler in options.samplers:
                    if (case, sampler, seed) not in known:
                        record.append(options.out / f"optuna_{sampler}.jsonl", run(case, sampler, seed) | made)
    text = report(record.read(options.out))
    (options.out / "REPORT.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
