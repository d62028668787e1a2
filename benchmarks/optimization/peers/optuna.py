"""Samplers of Optuna through its own ask and tell."""

from __future__ import annotations

import optuna
from optuna import distributions

from benchmarks.optimization.peers.base import Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space


class Optuna:
    """``GPSampler`` or ``TPESampler``; a batch is as many running trials, which each treats by its own means.

    Args:
        space: Search space.
        seed: Seed of the sampler.
        params: Initial points.
        values: Their values.
        sampler: "gp" or "tpe".
        deterministic: Whether values carry no noise; only "gp" can be told.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        params: list[Params],
        values: list[float],
        sampler: str = "gp",
        deterministic: bool = True,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.seed, self.sampler, self.start = space, seed, sampler, len(params)
        self.deterministic = deterministic
        self.distributions = {name: _distribution(each) for name, each in variable(space).items()}
        self.study: optuna.Study | None = None
        self.known = [
            optuna.trial.create_trial(params=each, distributions=self.distributions, value=value)
            for each, value in zip(to_numbers(space, params), values, strict=True)
        ]

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        if self.study is None:
            self.study = optuna.create_study(sampler=self._sampler(q), direction="minimize")
            self.study.add_trials(self.known)
        self.trials = [self.study.ask(fixed_distributions=self.distributions) for _ in range(q)]
        return [from_numbers(self.space, trial.params) for trial in self.trials]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        assert self.study is not None
        for trial, value in zip(self.trials, values, strict=True):
            self.study.tell(trial, value)

    def _sampler(self, q: int) -> optuna.samplers.BaseSampler:
        if self.sampler == "gp":
            return optuna.samplers.GPSampler(
                seed=self.seed, n_startup_trials=self.start, deterministic_objective=self.deterministic
            )
        return optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=self.start, constant_liar=q > 1)


def _distribution(parameter: Float | Int | Categorical) -> distributions.BaseDistribution:
    if isinstance(parameter, Categorical) and not parameter.ordered:
        return distributions.CategoricalDistribution(range(parameter.count))
    if (count := levels(parameter)) is not None:
        return distributions.IntDistribution(0, count - 1)
    assert not isinstance(parameter, Categorical)
    if isinstance(parameter, Int):
        return distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
