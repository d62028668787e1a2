"""Which models the closed form takes, and that all others take BoTorch's own fit."""

from __future__ import annotations

import logging

import gpytorch
import numpy as np
import pytest
import torch
from botorch.models import KroneckerMultiTaskGP, MixedSingleTaskGP, MultiTaskGP, SingleTaskGP
from botorch.models.transforms import Normalize, Round, Warp
from botorch.models.utils.gpytorch_modules import get_matern_kernel_with_gamma_prior
from gpytorch.constraints import GreaterThan, Interval
from gpytorch.kernels import LinearKernel, MaternKernel, PeriodicKernel, RBFKernel, ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, StudentTLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import HalfCauchyPrior, LogNormalPrior, NormalPrior

from gpbo.models import fit as fit_module
from gpbo.models.covariance import Matern, make_kernel
from gpbo.models.exact import Unrecognised, build_model, read_model, write_theta
from gpbo.models.fit import fit_model


def points(n=12, d=2):
    X = torch.rand(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return X, (X * 3).sin().sum(-1, keepdim=True)


def with_kernel(kernel):
    return SingleTaskGP(*points(), covar_module=kernel)


class Doubled(RBFKernel):
    """A kernel of the user that happens to inherit from one that is known."""

    def forward(self, x1, x2, diag=False, **params):
        return 2.0 * super().forward(x1, x2, diag=diag, **params)


class Shifted(Matern):
    """A user's kernel on top of the engine's own."""

    def forward(self, x1, x2, diag=False, **params):
        return 0.5 + super().forward(x1, x2, diag=diag, **params)


def warped():
    prior = LogNormalPrior(0.0, 0.75**0.5)
    warp = Warp(d=2, indices=[0, 1], concentration0_prior=prior, concentration1_prior=prior)
    return SingleTaskGP(*points(), input_transform=warp)


def multi_task():
    X, Y = points()
    return MultiTaskGP(torch.cat([X, torch.arange(12).double()[:, None] % 2], -1), Y, task_feature=-1)


def mixed():
    X, Y = points()
    return MixedSingleTaskGP(torch.cat([X, torch.arange(12).double()[:, None] % 3], -1), Y, cat_dims=[2])


def frozen():
    model = SingleTaskGP(*points())
    model.mean_module.raw_constant.requires_grad_(False)
    return model


def learned_extra_noise():
    X, Y = points()
    likelihood = FixedNoiseGaussianLikelihood(torch.full((12,), 1e-3).double(), learn_additional_noise=True).double()
    return SingleTaskGP(X, Y, likelihood=likelihood)


def linear_mean():
    return SingleTaskGP(*points(), mean_module=gpytorch.means.LinearMean(2))


def two_outcomes():
    X, Y = points()
    return SingleTaskGP(X, torch.cat([Y, -Y], -1))


def batch():
    X, Y = points()
    return SingleTaskGP(X.expand(3, 12, 2), Y.expand(3, 12, 1))


def shared_lengthscale_prior():
    kernel = RBFKernel(ard_num_dims=2, lengthscale_prior=LogNormalPrior(0.0, 1.0))
    kernel.register_prior("another", NormalPrior(0.0, 1.0), "raw_lengthscale")
    return with_kernel(kernel)


def uneven_bounds():
    bounds = Interval(torch.tensor([0.01, 0.1]).double(), torch.tensor([10.0, 20.0]).double())
    return with_kernel(RBFKernel(ard_num_dims=2, lengthscale_constraint=bounds))


STRANGERS = {
    "custom kernel": (lambda: with_kernel(Doubled(ard_num_dims=2)), "kernel Doubled"),
    "custom kernel over the engine's": (lambda: with_kernel(Shifted(nu=2.5, ard_num_dims=2)), "kernel Shifted"),
    "periodic kernel": (lambda: with_kernel(ScaleKernel(PeriodicKernel(ard_num_dims=2))), "kernel PeriodicKernel"),
    "additive kernel": (lambda: with_kernel(RBFKernel(ard_num_dims=2) + LinearKernel()), "kernel AdditiveKernel"),
    "product kernel": (
        lambda: with_kernel(RBFKernel(active_dims=[0]) * MaternKernel(active_dims=[1])),
        "kernel ProductKernel",
    ),
    "twice scaled": (lambda: with_kernel(ScaleKernel(ScaleKernel(RBFKernel(ard_num_dims=2)))), "kernel ScaleKernel"),
    "subset of dimensions": (lambda: with_kernel(ScaleKernel(MaternKernel(active_dims=[1], ard_num_dims=1))), "subset"),
    "one lengthscale": (lambda: with_kernel(RBFKernel()), "one lengthscale"),
    "unknown prior": (
        lambda: with_kernel(RBFKernel(ard_num_dims=2, lengthscale_prior=HalfCauchyPrior(1.0))),
        "HalfCauchyPrior",
    ),
    "two priors": (shared_lengthscale_prior, "priors"),
    "uneven bounds": (uneven_bounds, "bounds that differ"),
    "mean": (linear_mean, "mean"),
    "mean prior": (lambda: SingleTaskGP(*points(), mean_module=_mean_with_prior()), "mean"),
    "learned noise on top": (learned_extra_noise, "learned part"),
    "frozen": (frozen, "frozen"),
    "batch": (batch, "batch"),
    "two outcomes": (two_outcomes, "batch"),
    "learned warp": (warped, "learned input transform"),
    "multi-task": (multi_task, "MultiTaskGP"),
    "mixed": (mixed, "MixedSingleTaskGP"),
}


def _mean_with_prior():
    mean = gpytorch.means.ConstantMean()
    mean.register_prior("mean_prior", NormalPrior(0.0, 1.0), "constant")
    return mean


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.filterwarnings("ignore")
def test_strangers_take_botorchs_fit(name, monkeypatch):
    make, reason = STRANGERS[name]
    monkeypatch.setattr(fit_module, "_fit_host", pytest.fail)
    monkeypatch.setattr(fit_module, "_fit_torch", pytest.fail)
    model = make()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    path = fit_model(model)
    assert path.startswith("BoTorch: ")
    assert reason in path
    assert not model.training
    assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))  # fitted
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


FRIENDS = {
    "default": lambda X, Y: SingleTaskGP(X, Y),
    "known noise": lambda X, Y: SingleTaskGP(X, Y, train_Yvar=torch.full_like(Y, 0.01)),
    "no outcome transform": lambda X, Y: SingleTaskGP(X, (Y - Y.mean()) / Y.std(), outcome_transform=None),
    "scaled Matern": lambda X, Y: SingleTaskGP(X, Y, covar_module=get_matern_kernel_with_gamma_prior(2)),
    "Matern-1/2": lambda X, Y: SingleTaskGP(X, Y, covar_module=ScaleKernel(MaternKernel(nu=0.5, ard_num_dims=2))),
    "the engine's kernel": lambda X, Y: SingleTaskGP(X, Y, covar_module=make_kernel("matern32", ard_num_dims=2)),
    "normalised inputs": lambda X, Y: SingleTaskGP(7 * X - 2, Y, input_transform=Normalize(2)),
    "rounded inputs": lambda X, Y: SingleTaskGP(5 * X, Y, input_transform=Round(integer_indices=[1])),
}


@pytest.mark.parametrize("name", FRIENDS)
@pytest.mark.filterwarnings("ignore::botorch.exceptions.warnings.InputDataWarning")
def test_friends_take_the_closed_form(name, monkeypatch):
    monkeypatch.setattr(fit_module, "_fit_stock", pytest.fail)
    X, Y = points()
    model = FRIENDS[name](X, Y)
    assert fit_model(model) == "closed form"
    theirs = FRIENDS[name](X, Y)
    assert _log_posterior(model) >= _stock(theirs) - 1e-3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore::botorch.exceptions.warnings.InputDataWarning")
def test_inputs_are_read_as_the_kernel_sees_them(training):
    X, Y = points()
    model = SingleTaskGP(
        7 * X - 2, Y, input_transform=Normalize(2, bounds=torch.tensor([[-2.0] * 2, [5.0] * 2]).double())
    )
    model.train(training)
    np.testing.assert_allclose(read_model(model)[0].X, X.numpy(), atol=1e-14)


def _log_posterior(model):
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    with torch.no_grad():
        return len(model.train_targets) * mll(model(*model.train_inputs), model.train_targets).item()


def _stock(model):
    from botorch.fit import fit_gpytorch_mll

    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return _log_posterior(model)


@pytest.mark.parametrize("priors", ["lognormal", "gamma", "none"])
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "unscaled"])
def test_what_is_built_is_read_back(priors, infer, scaled, make_problem):
    problem, theta = make_problem(10, 3, kind="matern32", priors=priors, infer=infer, scaled=scaled)
    read, theta_ = read_model(build_model(problem, theta))
    np.testing.assert_allclose(theta_[[0, 2, 3, 4, 5]], theta[[0, 2, 3, 4, 5]], atol=1e-12)
    if infer:
        assert theta_[1] == pytest.approx(theta[1], abs=1e-12)
    np.testing.assert_array_equal(read.X, problem.X)
    np.testing.assert_array_equal(read.y, problem.y)
    used = slice(0 if infer else 1, None)
    np.testing.assert_allclose(read.spec.priors()[used], problem.spec.priors()[used], atol=1e-15)
    for one, other in zip(read.spec.bounds(), problem.spec.bounds(), strict=True):
        np.testing.assert_allclose(one[2:], other[2:], atol=1e-9)


def test_written_hyperparameters_drop_the_cached_posterior(make_problem):
    problem, theta = make_problem(10, 2)
    model = build_model(problem, theta)
    U = torch.rand(5, 2, dtype=torch.float64)
    with torch.no_grad():
        model.posterior(U).mean  # noqa: B018 - fills the cache
        moved = theta + 0.3
        write_theta(model, moved)
        again = model.eval().posterior(U).mean
        fresh = build_model(problem, moved).posterior(U).mean
    torch.testing.assert_close(again, fresh, rtol=0, atol=1e-12)


def test_kronecker_and_robust_models_are_not_mistaken():
    X, Y = points()
    with pytest.raises(Unrecognised, match="Kronecker"):
        read_model(KroneckerMultiTaskGP(X, torch.cat([Y, -Y], -1)))
    model = SingleTaskGP(X, Y)
    model.likelihood = StudentTLikelihood()
    with pytest.raises(Unrecognised, match="StudentT"):
        read_model(model)


@pytest.mark.filterwarnings("ignore")
def test_a_stock_fit_that_fails_is_said_and_leaves_the_hyperparameters(monkeypatch, caplog):
    from botorch.exceptions.errors import ModelFittingError

    def fail(*_, **__):
        raise ModelFittingError("all attempts failed")

    monkeypatch.setattr(fit_module, "fit_gpytorch_mll", fail)
    model = with_kernel(Doubled(ard_num_dims=2))
    before = model.state_dict()
    with caplog.at_level(logging.WARNING):
        assert fit_model(model).startswith("BoTorch")
    assert "all attempts failed" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_softplus_bounds_are_natural_bounds():
    model = with_kernel(RBFKernel(ard_num_dims=2, lengthscale_constraint=GreaterThan(0.05)))
    assert read_model(model)[0].spec.lengthscale_bounds == pytest.approx((0.05, np.inf))
