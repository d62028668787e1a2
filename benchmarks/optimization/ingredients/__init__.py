"""The recipe of the engine with one ingredient left out, replaced or added: what each of them brings is an experiment.

Ingredients are constants and functions of the engine and no settings of it, so a variant replaces them in the modules
that use them, for as long as its process runs no other variant. ``python -m benchmarks.optimization.recipe`` runs all
of them on the tuning halves of the suites on which they can make a difference, and writes the table.
"""

from __future__ import annotations

from benchmarks.optimization.ingredients.patches import Patches
from benchmarks.optimization.ingredients.table import BATCHES, INGREDIENTS, Ingredient

__all__ = ["BATCHES", "INGREDIENTS", "Ingredient", "use"]

_IN_PLACE = Patches()


def use(name: str | None) -> None:
    """Makes the engine of this process the one with the named change; None for the engine as it is.

    Raises:
        KeyError: If there is no such ingredient.
    """
    _IN_PLACE.undo()
    if name is not None:
        INGREDIENTS[name].change(_IN_PLACE)
