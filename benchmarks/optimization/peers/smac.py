"""SMAC: its black-box facade on continuous spaces, its random forest on others, as its documentation advises."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import ConfigSpace
from smac import BlackBoxFacade, HyperparameterOptimizationFacade, Scenario
from smac.runhistory.dataclasses import TrialInfo, TrialValue

from benchmarks.optimization.peers.base import Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space


class Smac:
    """Ask and tell of SMAC; a batch is as many running trials."""

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float]) -> None:
        self.space = space
        kept = variable(space)
        domain = ConfigSpace.ConfigurationSpace(seed=seed % 2**31)
        domain.add([_hyperparameter(name, each) for name, each in kept.items()])
        continuous = all(each.count is None for each in kept.values())
        facade = BlackBoxFacade if continuous else HyperparameterOptimizationFacade
        folder = tempfile.mkdtemp(prefix="smac")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        scenario = Scenario(
            domain, deterministic=True, n_trials=1_000_000, seed=seed % 2**31, output_directory=Path(folder)
        )
        known = [ConfigSpace.Configuration(domain, values=dict(each)) for each in to_numbers(space, params)]
        self.facade = facade(
            scenario,
            lambda config, seed=0: 0.0,
            initial_design=facade.get_initial_design(scenario, n_configs=0, additional_configs=known),
            logging_level=False,
            overwrite=True,
        )
        for config, value in zip(known, values, strict=True):
            self.facade.tell(TrialInfo(config, seed=0), TrialValue(value), save=False)  # the seed of all its trials

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self.trials = [self.facade.ask() for _ in range(q)]
        return [from_numbers(self.space, dict(each.config)) for each in self.trials]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        for trial, value in zip(self.trials, values, strict=True):
            self.facade.tell(trial, TrialValue(value), save=False)


def _hyperparameter(name: str, parameter: Float | Int | Categorical) -> Any:
    if isinstance(parameter, Categorical) and not parameter.ordered:
        return ConfigSpace.CategoricalHyperparameter(name, list(range(parameter.count)))
    if (count := levels(parameter)) is not None:
        return ConfigSpace.UniformIntegerHyperparameter(name, 0, count - 1)
    assert not isinstance(parameter, Categorical)
    if isinstance(parameter, Int):
        return ConfigSpace.UniformIntegerHyperparameter(name, parameter.low, parameter.high, log=parameter.log)
    return ConfigSpace.UniformFloatHyperparameter(name, parameter.low, parameter.high, log=parameter.log)
