"""Ax and scikit-optimize behind the interface of ``benchmarks.optimization``; each in an environment of its own."""

from __future__ import annotations

import logging
from typing import Any

import gpbo

Params = dict[str, Any]


class Ax:
    """Ax's ``Client`` with its defaults, on a box."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        from ax.api.client import Client  # type: ignore[import-not-found, unused-ignore]
        from ax.api.configs import RangeParameterConfig  # type: ignore[import-not-found, unused-ignore]

        logging.disable(logging.CRITICAL)
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(
            name="speed",
            parameters=[RangeParameterConfig(name=name, parameter_type="float", bounds=(0.0, 1.0)) for name in space],
        )
        self.client.configure_optimization(objective="-y")
        for each, value in zip(params, values, strict=True):
            index = self.client.attach_trial(parameters=each)
            self.client.complete_trial(trial_index=index, raw_data={"y": value})

    def ask(self) -> Params:
        """The next point to evaluate."""
        ((self.index, found),) = self.client.get_next_trials(max_trials=1).items()
        return dict(found)

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point."""
        self.client.complete_trial(trial_index=self.index, raw_data={"y": value})


class Skopt:
    """scikit-optimize's ``Optimizer`` with a Gaussian process and expected improvement."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        from skopt import Optimizer  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self.names = list(space)
        bounds = [(0.0, 1.0)] * len(self.names)
        self.optimizer = Optimizer(bounds, base_estimator="GP", n_initial_points=0, random_state=seed, acq_func="EI")
        points = [[each[name] for name in self.names] for each in params]
        self.optimizer.tell(points, values)

    def ask(self) -> Params:
        """The next point to evaluate."""
        return dict(zip(self.names, self.optimizer.ask(), strict=True))

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point."""
        self.optimizer.tell([params[name] for name in self.names], value)
