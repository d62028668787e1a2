"""Named sets of cases. A suite is data: problems, how many evaluations each may take, and how many at a time.

To add one, write a function that returns its cases and name it in SUITES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from benchmarks.optimization import families
from benchmarks.optimization.member import Case
from benchmarks.optimization.registry import CASES

HALVES = ("all", "tune", "report")
MEMBERS = 4  # by index: half of them for tuning, half for reporting

SEQUENTIAL = [
    *("levy2", "levy5", "levy10", "griewank5", "styblinski5", "hartmann_like6", "branin_like2"),
    *("wells2", "wells4", "wells6", "wells10"),
    *("ellipsoid5", "ellipsoid10", "bent_cigar5", "rosenbrock2", "rosenbrock5", "rosenbrock10"),
    *("ackley2", "ackley5", "ackley10", "rastrigin2", "rastrigin5", "schwefel2", "schwefel5"),
    *("rounded2", "rounded5", "terraces5", "cliffs2", "cliffs5"),
    *("exponential4", "cubed4", "logarithm6", "million6", "billionth4"),
    *("regulator12", "cart_pole4", "swing_up12", "pendulum8", "hartmann6_in25", "branin_in25"),
]
LARGE_BATCH = [
    *("ackley20", "levy20", "rastrigin10", "hartmann6_in50", "rover60", "regulator24"),
    *("bbob_f8_d20", "bbob_f10_d20", "bbob_f15_d20", "bbob_f21_d20"),
]
SMALL_BATCH = [
    *("levy5", "wells6", "wells10", "rosenbrock5", "ellipsoid10", "ackley10", "rastrigin5", "schwefel5", "cliffs5"),
    *("exponential6", "branches6", "hartmann6_in25", "swing_up12", "pendulum8", "bbob_f8_d10", "bbob_f15_d10"),
    *("bbob_f21_d10",),
]
HIGH = [f"{prefix}{name}100" for prefix in ("", "sparse_") for name in ("ackley", "levy", "ellipsoid", "rosenbrock")]
HIGHER = ["ackley300", "rosenbrock300", "sparse_ackley300", "sparse_levy300"]
UNIMODAL = (1, 2, 5, 6, 8, 9, 10, 11, 12, 13, 14)  # of BBOB's functions, those with one basin
NOISE = ("gaussian", "growing", "outliers", "proportional", "sided")


def budget(dimension: int) -> int:
    """Evaluations of a sequential run: 25 for one or two parameters, 100 for more than ten."""
    return next((n for limit, n in ((2, 25), (4, 40), (6, 60), (10, 80)) if dimension <= limit), 100)


def single(problem: str, evaluations: int | None = None) -> Case:
    """One at a time, after a short space-filling start."""
    dimension = families.recipe(problem).dimension
    evaluations = evaluations or budget(dimension)
    return Case(problem, evaluations, min(max(5, dimension + 1), evaluations // 4))


def rounds(problem: str, batch: int, n: int) -> Case:
    """Rounds of equal size, the first of them space-filling."""
    return Case(problem, batch * n, batch, batch)


def _named(keys: Iterable[str], members: int = MEMBERS) -> list[str]:
    return [f"{key}#{index}" for key in keys for index in range(members)]


def _bbob() -> list[Case]:
    spent = {2: 30, 5: 60, 10: 100}
    return [
        single(name, spent[d]) for d in spent for name in _named([f"bbob_f{f}_d{d}" for f in range(1, 25)], members=6)
    ]


def _bbob_batches() -> list[Case]:
    names = {d: _named([f"bbob_f{f}_d{d}" for f in range(1, 25)]) for d in (5, 10)}
    return [rounds(name, 10, count) for d, count in ((5, 6), (10, 10)) for name in names[d]]


def _long() -> list[Case]:
    """COCO's 100 evaluations a dimension, where CMA-ES has found its metric and closes in."""
    everything = {f"bbob_f{f}_d{d}": 100 * d for d in (2, 5) for f in range(1, 25)}
    everything |= {f"bbob_f{f}_d10": 1000 for f in UNIMODAL}
    return [single(name, spent) for key, spent in everything.items() for name in _named([key])]


def _noisy() -> list[Case]:
    made = [f"{kind}_noise{d}" for kind in NOISE for d in (2, 6)]
    coco = [f"bbob_{model}_f{f}_d5" for model in ("gauss", "uniform", "cauchy") for f in (1, 8, 21)]
    return [single(name, 60) for name in _named(made + coco)]


def _mixed() -> list[Case]:
    made = ["branches3", "branches6", "latent4", "latent6", "latent_wide", "switches12", "integers5", "integers10"]
    coco = [f"mixint_f{f}_d{d}" for f in (1, 2, 8, 10, 15, 20, 21) for d in (5, 10)]
    return [single(name) for name in _named(made + coco)]


def _high() -> list[Case]:
    problems = _named(HIGH + HIGHER)
    return [rounds(name, 100, 10) for name in problems] + [Case(name, 200, 20) for name in problems]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "classic": lambda: list(CASES),
    "sequential": lambda: [single(name) for name in _named(SEQUENTIAL)],
    "batch5": lambda: [rounds(name, 5, budget(families.recipe(name).dimension) // 5) for name in _named(SEQUENTIAL)],
    "batch10": lambda: [rounds(name, 10, 10) for name in _named(SMALL_BATCH)],
    "batch100": lambda: [rounds(name, 100, 10) for name in _named(LARGE_BATCH)],
    "batch1000": lambda: [rounds(name, 1000, 5) for name in _named(LARGE_BATCH)],
    "high_dimensional": _high,
    "bbob": _bbob,
    "bbob_batch10": _bbob_batches,
    "long": _long,
    "noisy": _noisy,
    "mixed": _mixed,
    "tuning": lambda: [single(name, 30) for name in _named([*families.tuning.MODELS, "network_digits"], members=8)],
}


@cache
def suite(name: str) -> tuple[Case, ...]:
    """The cases of a suite."""
    return tuple(SUITES[name]())


def select(name: str, half: str = "all", pattern: str = "") -> list[Case]:
    """The cases of a suite in one half, or "all", whose problem's name contains a match of a regular expression."""
    import re

    return [case for case in suite(name) if half in ("all", case.half) and re.search(pattern, case.problem)]
