"""Other ways to choose points, behind the same interface as the engine, so that a comparison is a loop over names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gpbo.errors import ArgumentError

if TYPE_CHECKING:
    from gpbo.strategy.baselines.base import Baseline

_CLASSES = {
    "grid": "Grid",
    "random": "Random",
    "sobol": "Sobol",
    "cmaes": "Cmaes",
    "genetic": "Genetic",
    "tpe": "Tpe",
}
NAMES = tuple(_CLASSES)
_EXTRAS = {"cmaes": "cmaes", "genetic": "pymoo", "tpe": "optuna"}  # the package each needs


def baseline(name: str) -> type[Baseline]:
    """The class of a baseline.

    Raises:
        ArgumentError: If the package it needs is not installed; says how to install it.
    """
    package = _EXTRAS.get(name)
    try:
        if package is not None:
            importlib.import_module(package)
        found: type[Baseline] = getattr(importlib.import_module(f"gpbo.strategy.baselines.{name}"), _CLASSES[name])
    except ImportError as error:
        extra = "optuna" if name == "tpe" else name
        cure = f"install it with: pip install 'gpbo[{extra}]'"
        raise ArgumentError(
            f"strategy={name!r} needs the package {package!r}, which fails to import; {cure}."
        ) from error
    return found
