"""COCO's functions: BBOB, BBOB with the noise of its noisy suite, and its mixed-integer suite; instance = index + 1.

Needs the package ``coco-experiment``. The noisy suite itself draws from a hidden global stream and hides true values,
so that its three noise models (Hansen et al. 2009, RR-6869, section 2) are applied here to functions of BBOB.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.optimization.member import Array, Member, Params, Recipe, Rng
from gpbo import Float, Int, Space

DIMENSIONS = (2, 3, 5, 10, 20, 40)
NOISY_FUNCTIONS = (1, 8, 7, 10, 14, 17, 19, 21)  # those that the noisy suite is made of
GROUPS = {
    **dict.fromkeys(range(1, 6), "separable"),
    **dict.fromkeys(range(6, 10), "moderate"),
    **dict.fromkeys(range(10, 15), "ill-conditioned"),
    **dict.fromkeys(range(15, 20), "multimodal"),
    **dict.fromkeys(range(20, 25), "weakly structured"),
}


@cache
def _coco() -> ModuleType:
    return importlib.import_module("cocoex")


def _plain(number: int, dimension: int, index: int) -> Member:
    problem = _coco().BareProblem("bbob", number, dimension, index + 1)
    names = [f"x{i}" for i in range(dimension)]

    def objective(params: Params) -> float:
        return float(problem([params[name] for name in names]))

    return Member(
        name=f"bbob_f{number}_d{dimension}#{index}",
        family=f"bbob {GROUPS[number]}",
        space=Space.from_bounds([-5.0] * dimension, [5.0] * dimension),
        objective=objective,
        minimum=float(problem.best_value()),
        floor=1e-6 * _typical_regret(problem, dimension),
        minimiser=dict(zip(names, map(float, np.clip(_best_of_plain(problem), -5, 5)), strict=True)),
    )


def _typical_regret(problem: Any, dimension: int) -> float:
    """Of a median random point."""
    points = np.random.default_rng(0).uniform(-5, 5, (256, dimension))
    return float(np.median([problem(point) for point in points]) - problem.best_value())


def noise(model: str, regret: float, dimension: int, rng: Rng) -> float:
    """A measurement of the regret under the severe noise model "gauss", "uniform" or "cauchy" of the noisy suite."""
    if regret < 1e-8:
        return regret
    if model == "gauss":
        return regret * float(np.exp(rng.standard_normal()))
    if model == "uniform":
        alpha = 0.49 + 1 / dimension
        return regret * float(rng.random()) * max(1.0, float((1e9 / regret) ** (alpha * float(rng.random()))))
    spike = float(rng.standard_normal()) / (abs(float(rng.standard_normal())) + 1e-199)
    return regret + max(0.0, 1000.0 + spike) if rng.random() < 0.2 else regret


def _noisy(model: str, number: int, dimension: int, index: int) -> Member:
    plain = _plain(number, dimension, index)
    assert plain.minimum is not None
    minimum, floor = plain.minimum, 100 * plain.floor

    def observe(params: Params, rng: Rng) -> float:
        return noise(model, plain.objective(params) - minimum, dimension, rng) + minimum

    name = f"bbob_{model}_f{number}_d{dimension}#{index}"
    return Member(name, "bbob noisy", plain.space, plain.objective, minimum, floor, plain.minimiser, observe)


def _mixed(number: int, dimension: int, index: int) -> Member:
    suite = _coco().Suite("bbob-mixint", f"instances:{index + 1}", f"dimensions:{dimension}")
    problem = suite.get_problem_by_function_dimension_instance(number, dimension, index + 1)
    whole = problem.number_of_integer_variables
    bounds = list(zip(problem.lower_bounds.tolist(), problem.upper_bounds.tolist(), strict=True))
    names = [f"x{i}" for i in range(dimension)]
    best = _best_parameter(problem)

    def objective(params: Params, alive: Any = suite) -> float:  # a problem dies with its suite
        return float(problem([float(params[name]) for name in names]))

    draws = np.random.default_rng(0).random((256, dimension))
    typical = float(np.median([problem(row) for row in problem.lower_bounds + draws * np.ptp(bounds, axis=1)]))
    minimiser = [round(x) if i < whole else float(x) for i, x in enumerate(best)]
    # values of the suite are those of BBOB times a power of ten; the stored minimiser has few digits
    value, plain = float(problem(best)), float(_coco().BareProblem("bbob", number, dimension, index + 1).best_value())
    exact = abs(plain) > 1e-3 and value / plain > 0
    minimum = plain * 10.0 ** round(float(np.log10(value / plain))) if exact else value
    return Member(
        name=f"mixint_f{number}_d{dimension}#{index}",
        family="bbob mixed-integer",
        space=Space(
            {
                n: Int(int(a), int(b)) if i < whole else Float(a, b)
                for i, (n, (a, b)) in enumerate(zip(names, bounds, strict=True))
            }
        ),
        objective=objective,
        minimum=minimum,
        floor=1e-6 * (typical - minimum),
        minimiser=dict(zip(names, minimiser, strict=True)),
    )


def _best_of_plain(problem: Any) -> Array:
    with _aside():
        return np.asarray(problem.best_parameter(), dtype=np.float64)


def _best_parameter(problem: Any) -> Array:
    with _aside():
        problem._best_parameter("print")
        return np.atleast_1d(np.loadtxt(Path("._bbob_problem_best_parameter.txt")))


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """COCO tells minimisers through a file that it leaves in the working directory: one that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


RECIPES = [
    *(
        Recipe(f"bbob_f{f}_d{d}", f"bbob {GROUPS[f]}", d, partial(_plain, f, d))
        for f in range(1, 25)
        for d in DIMENSIONS
    ),
    *(
        Recipe(f"bbob_{model}_f{f}_d{d}", "bbob noisy", d, partial(_noisy, model, f, d))
        for model in ("gauss", "uniform", "cauchy")
        for f in NOISY_FUNCTIONS
        for d in DIMENSIONS
    ),
    *(
        Recipe(f"mixint_f{f}_d{d}", "bbob mixed-integer", d, partial(_mixed, f, d))
        for f in range(1, 25)
        for d in (5, 10, 20, 40)
    ),
]
