"""The optimizers behind one small interface: each starts from the same evaluated points and proposes one at a time.

Peers run with their defaults, told only what is true of every case: the values carry no noise.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

import gpbo

Params = dict[str, Any]


class Provider(Protocol):
    """Built from a space, a seed and the evaluated initial design; then asked and told in turn."""

    def ask(self) -> Params:
        """The next point to evaluate."""
        ...

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point, to be minimised."""
        ...


class Gpbo:
    """This project; further settings are those of ``gpbo.Optimizer``."""

    def __init__(
        self, space: gpbo.Space, seed: int, params: list[Params], values: list[float], **settings: Any
    ) -> None:
        chosen: dict[str, Any] = {"n_initial": len(params), "device": "cpu", **settings}
        self.optimizer = gpbo.Optimizer(space, direction="minimize", seed=seed, **chosen)
        self.optimizer.add(params, values)

    def ask(self) -> Params:
        """The next point to evaluate."""
        self.batch = self.optimizer.ask()
        return self.batch.params[0]

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point."""
        self.optimizer.tell(self.batch, [value])


class BoTorch:
    """BoTorch as its tutorials use it: ``SingleTaskGP``, ``LogExpectedImprovement``, ``optimize_acqf``.

    Works in the unit cube; integers are relaxed and the proposal is moved to the nearest feasible point.
    """

    def __init__(
        self,
        space: gpbo.Space,
        seed: int,
        params: list[Params],
        values: list[float],
        options: dict[str, Any] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.space, self.options = space, options
        self.params, self.values = list(params), list(values)

    def ask(self) -> Params:
        """The next point to evaluate."""
        from botorch.acquisition import LogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.optim import optimize_acqf
        from gpytorch.mlls import ExactMarginalLogLikelihood

        x = torch.from_numpy(self.space.encode(self.params))
        y = -torch.tensor(self.values, dtype=torch.float64).unsqueeze(-1)
        model = SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, self.space.dim)
        candidate, _ = optimize_acqf(
            LogExpectedImprovement(model, best_f=y.max()),
            bounds,
            q=1,
            num_restarts=10,
            raw_samples=512,
            options=self.options,
        )
        return self.space.decode(self.space.snap(candidate.numpy()))[0]

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point."""
        self.params.append(params)
        self.values.append(value)


class Optuna:
    """Optuna's ``GPSampler`` or ``TPESampler`` through its own ask and tell."""

    def __init__(
        self, space: gpbo.Space, seed: int, params: list[Params], values: list[float], sampler: str = "gp"
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        samplers: dict[str, optuna.samplers.BaseSampler] = {
            "gp": optuna.samplers.GPSampler(seed=seed, n_startup_trials=len(params), deterministic_objective=True),
            "tpe": optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(params)),
        }
        self.distributions = {name: self._distribution(each) for name, each in space.items()}
        self.study = optuna.create_study(sampler=samplers[sampler], direction="minimize")
        for each, value in zip(params, values, strict=True):
            self.study.add_trial(optuna.trial.create_trial(params=each, distributions=self.distributions, value=value))

    def ask(self) -> Params:
        """The next point to evaluate."""
        self.trial = self.study.ask(fixed_distributions=self.distributions)
        return self.trial.params

    def tell(self, params: Params, value: float) -> None:
        """The value of the last point."""
        self.study.tell(self.trial, value)

    @staticmethod
    def _distribution(parameter: gpbo.Float | gpbo.Int | gpbo.Categorical) -> Any:
        from optuna import distributions

        if isinstance(parameter, gpbo.Categorical):
            return distributions.CategoricalDistribution(parameter.choices)
        if isinstance(parameter, gpbo.Int):
            return distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log)
        return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


class Sobol:
    """A scrambled Sobol sequence: what no model at all achieves."""

    def __init__(self, space: gpbo.Space, seed: int, params: list[Params], values: list[float]) -> None:
        from scipy.stats import qmc

        self.space = space
        self.sequence = qmc.Sobol(space.n_params, seed=seed)
        self.sequence.fast_forward(len(params))  # the initial design is its beginning

    def ask(self) -> Params:
        """The next point to evaluate."""
        return self.space.decode(self.space.sample(self.sequence.random(1)))[0]

    def tell(self, params: Params, value: float) -> None:
        """Nothing to learn."""
