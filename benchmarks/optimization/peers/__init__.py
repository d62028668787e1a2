"""Other optimizers behind one interface: each starts from the same evaluated points and proposes batches of q.

Peers run with their own defaults, told only what is true of every case; the shared initial design stands in for their
own. A package is imported when its peer is built, and what it warns about stays inside the adapter.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.optimization.peers.base import Params, Provider
from gpbo import Space

__all__ = ["PACKAGES", "PROVIDERS", "Params", "Provider"]


class _Quiet:
    """A provider whose warnings are not shown: peers warn about their own affairs."""

    def __init__(self, make: Callable[..., Provider], *arguments: Any, **settings: Any) -> None:
        with warnings.catch_warnings(action="ignore"):
            self.inner = make(*arguments, **settings)

    def ask(self, q: int) -> list[Params]:
        """The next q points to evaluate."""
        with warnings.catch_warnings(action="ignore"):
            return self.inner.ask(q)

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the points of the last ask."""
        with warnings.catch_warnings(action="ignore"):
            self.inner.tell(params, values)


def _lazy(module: str, name: str, **fixed: Any) -> Callable[..., Provider]:
    """Imports a peer's module when the peer is built; settings of the call go before the fixed ones."""

    def build(space: Space, seed: int, params: list[Params], values: list[float], **settings: Any) -> Provider:
        with warnings.catch_warnings(action="ignore"):
            try:
                make = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            except ModuleNotFoundError as error:
                package = PACKAGES.get(module)
                if package is None:
                    raise
                message = f"The peers of {module}.py need {error.name}: pip install {package}."
                raise ModuleNotFoundError(message, name=error.name) from error
        arguments = (space, seed % 2**32, params, values)
        if module == "own":
            provider: Provider = make(*arguments, **(fixed | settings))
            return provider
        return _Quiet(make, *arguments, **(fixed | settings))

    return build


# by module: the name that pip knows
PACKAGES = {
    "ax": "ax-platform",
    "cmaes": "cma",
    "hyperopt": "hyperopt",
    "optuna": "optuna",
    "skopt": "scikit-optimize",
    "smac": "smac",
}

# each is called with a space, a seed, and the points and values of the initial design that all share
PROVIDERS: dict[str, Callable[..., Provider]] = {
    "gpbo": _lazy("own", "Gpbo"),
    "botorch": _lazy("botorch", "BoTorch"),
    "botorch_local": _lazy("botorch", "BoTorch", options={"sample_around_best": True}),
    "ax": _lazy("ax", "Ax"),
    "hebo": _lazy("apart", "Apart", worker="hebo_worker.py"),
    "turbo": _lazy("turbo", "Turbo"),
    "turbo_m": _lazy("turbo", "Turbo", regions=5),
    "ts": _lazy("thompson", "Thompson"),
    "optuna_gp": _lazy("optuna", "Optuna", sampler="gp"),
    "optuna_tpe": _lazy("optuna", "Optuna", sampler="tpe"),
    "skopt": _lazy("skopt", "Skopt"),
    "smac": _lazy("smac", "Smac"),
    "hyperopt": _lazy("hyperopt", "Hyperopt"),
    "nevergrad": _lazy("apart", "Apart", worker="nevergrad_worker.py", budget=100),
    "cmaes": _lazy("cmaes", "Cmaes"),
    "sobol": _lazy("own", "Sobol"),
    "random": _lazy("own", "Random"),
}
