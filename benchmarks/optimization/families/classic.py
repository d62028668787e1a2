"""Single problems that everyone knows; their results are read by people, not used to choose defaults."""

from __future__ import annotations

from functools import partial

from benchmarks import forest
from benchmarks.optimization.member import Member, Recipe
from gpbo import problems

FAMILY = "classic"


def _standard(problem: problems.Problem, _: int) -> Member:
    return Member(problem.name, FAMILY, problem.space, problem, problem.minimum)


def _forest(dataset: str, floor: float, _: int) -> Member:
    return Member(f"forest_{dataset}", FAMILY, forest.space(), partial(forest.cached_error, dataset), None, floor)


RECIPES = [
    *(
        Recipe(problem.name, FAMILY, problem.dim, partial(_standard, problem))
        for problem in (problems.branin(), problems.hartmann6(), problems.ackley(10), problems.levy(10))
    ),
    # floors: less than one sample
    Recipe("forest_digits", FAMILY, 3, partial(_forest, "digits", 1e-4)),
    Recipe("forest_iris", FAMILY, 3, partial(_forest, "iris", 1e-3)),
]
