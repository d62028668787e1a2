"""What is compared: the classic cases and the optimizers, as data. Drawn cases: ``suites.py``, ``families``."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.optimization import providers
from benchmarks.optimization.batched import Gpbo, OneByOne, Provider, Sobol
from benchmarks.optimization.member import Case

CASES = (
    Case("branin", 30, 5),
    Case("hartmann6", 60, 7),
    Case("ackley10", 80, 11),
    Case("levy10", 80, 11),
    Case("forest_digits", 30, 5),
    Case("forest_iris", 30, 5),
)

BASELINE = "gpbo"
PEERS = "benchmarks.optimization.peers"


def _peers() -> dict[str, Callable[..., Provider]]:
    if importlib.util.find_spec(PEERS) is None:
        return {}
    found: dict[str, Callable[..., Provider]] = importlib.import_module(PEERS).PROVIDERS
    return found


def _one_by_one(make: Callable[..., Any]) -> Callable[..., Provider]:
    return partial(OneByOne, make)


# each is called with a space, a seed, and the points and values of the initial design that all share
PROVIDERS: dict[str, Callable[..., Provider]] = {
    "gpbo": Gpbo,
    "botorch": _one_by_one(providers.BoTorch),
    "botorch_local": _one_by_one(partial(providers.BoTorch, options={"sample_around_best": True})),
    "optuna_gp": _one_by_one(partial(providers.Optuna, sampler="gp")),
    "optuna_tpe": _one_by_one(partial(providers.Optuna, sampler="tpe")),
    "sobol": Sobol,
    **_peers(),
}
