"""Ax through its ``Client``, with its default generation strategy."""

from __future__ import annotations

import logging
from typing import Any

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

from benchmarks.optimization.peers.base import Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space


class Ax:
    """``Client.get_next_trials``; the initial design, attached as completed trials, replaces the strategy's own."""

    def __init__(self, space: Space, seed: int, params: list[Params], values: list[float]) -> None:
        for name in [each for each in logging.root.manager.loggerDict if each == "ax" or each.startswith("ax.")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.space = space
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(
            name="benchmark", parameters=[_configuration(name, each) for name, each in variable(space).items()]
        )
        self.client.configure_optimization(objective="-y")
        self.client.configure_generation_strategy(
            initialization_budget=len(params), initialization_random_seed=seed, initialize_with_center=False
        )
        for each, value in zip(to_numbers(space, params), values, strict=True):
            self.client.complete_trial(self.client.attach_trial(parameters=each), raw_data={"y": value})

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self.trials: dict[int, Any] = {}
        while len(self.trials) < q:
            found = self.client.get_next_trials(max_trials=q - len(self.trials))
            if not found:
                raise RuntimeError(f"Ax gave {len(self.trials)} of {q} trials.")
            self.trials |= found
        return [from_numbers(self.space, dict(each)) for each in self.trials.values()]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        for index, value in zip(self.trials, values, strict=True):
            self.client.complete_trial(trial_index=index, raw_data={"y": value})


def _configuration(name: str, parameter: Float | Int | Categorical) -> Any:
    if isinstance(parameter, Categorical):
        return ChoiceParameterConfig(
            name=name, values=list(range(parameter.count)), parameter_type="int", is_ordered=parameter.ordered
        )
    if (count := levels(parameter)) is not None:
        return RangeParameterConfig(name=name, bounds=(0, count - 1), parameter_type="int")
    return RangeParameterConfig(
        name=name,
        bounds=(parameter.low, parameter.high),
        parameter_type="int" if isinstance(parameter, Int) else "float",
        scaling="log" if parameter.log else None,
    )
