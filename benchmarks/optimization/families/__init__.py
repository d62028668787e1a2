"""Families of problems; each has many members, drawn by index, so that nothing is tuned to one famous function."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.optimization.families import (
    bbob,
    classic,
    conditioned,
    control,
    embedded,
    high,
    mixed,
    noisy,
    plateaus,
    rover,
    rugged,
    scaled,
    smooth,
    tuning,
)
from benchmarks.optimization.member import Member, Recipe

__all__ = ["RECIPES", "member", "recipe"]

MODULES = (
    smooth, conditioned, rugged, plateaus, scaled, noisy, mixed, tuning, control, embedded, rover, high, bbob
)  # fmt: skip
RECIPES: dict[str, Recipe] = {
    each.key: each for module in MODULES for each in module.RECIPES
}  # with a # in their names
CLASSICS: dict[str, Recipe] = {each.key: each for each in classic.RECIPES}  # without


def recipe(name: str) -> Recipe:
    """What the problem of a name is made from.

    Raises:
        KeyError: If there is none.
    """
    key, separator, _ = name.partition("#")
    known = RECIPES if separator else CLASSICS
    if key not in known:
        raise KeyError(f"There is no problem {name!r}; benchmarks.optimization.families.RECIPES has all.")
    return known[key]


@lru_cache(maxsize=1024)
def member(name: str) -> Member:
    """The problem of a name such as ``"levy10#3"``, or ``"branin"`` for a classic, which has one member."""
    return recipe(name).make(int(name.partition("#")[2] or 0))
