"""Fitted log posteriors against BoTorch's fit of the same model; carried refits; failures."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_matern_kernel_with_gamma_prior
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood

from gpbo.models import fit as fit_module
from gpbo.models.exact import build_model
from gpbo.models.fit import fit, fit_model
from gpbo.numerics import available

HOST = pytest.param(True, id="host", marks=pytest.mark.skipif(not available(), reason="numba is not there"))
PATHS = [HOST, pytest.param(False, id="torch")]


def data(n, d, seed, noise=0.05):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    Z = X[:, :6]
    y = np.sin(5 * Z[:, 0]) - 2 * ((Z - rng.random(Z.shape[1])) ** 2).sum(1) + noise * rng.standard_normal(n)
    return torch.as_tensor(X), torch.as_tensor(y)[:, None]


def log_posterior(model):
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    with torch.no_grad():
        return len(model.train_targets) * mll(model(*model.train_inputs), model.train_targets).item()


def stock_fit(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return log_posterior(model)


def plain_matern(X, Y):
    """GPyTorch's own defaults: softplus transforms everywhere, no prior at all."""
    return SingleTaskGP(
        X,
        Y,
        likelihood=GaussianLikelihood().double(),
        covar_module=ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=X.shape[-1])),
    )


MODELS = {
    "default": SingleTaskGP,
    "gamma": lambda X, Y: SingleTaskGP(X, Y, covar_module=get_matern_kernel_with_gamma_prior(X.shape[-1])),
    "matern32": lambda X, Y: SingleTaskGP(
        X, Y, covar_module=get_matern_kernel_with_gamma_prior(X.shape[-1]).base_kernel
    ),
    "fixed noise": lambda X, Y: SingleTaskGP(X, Y, train_Yvar=torch.full_like(Y, 2.5e-3)),
    "no priors": plain_matern,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("n", "d"), [(5, 2), (30, 6), (80, 10)])
@pytest.mark.parametrize("name", [*MODELS])
def test_never_below_botorchs_fit(name, n, d, seed):
    X, Y = data(n, d, 10 * seed + n)
    ours, theirs = MODELS[name](X, Y), MODELS[name](X, Y)
    assert fit_model(ours) == "closed form"
    assert not ours.training
    assert log_posterior(ours) >= stock_fit(theirs) - 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "d"), [(20, 60), (50, 20), (150, 20), (200, 6), (200, 40)])
@pytest.mark.parametrize("name", ["default", "gamma", "fixed noise"])
def test_never_below_botorchs_fit_at_every_size(name, n, d, seed):
    X, Y = data(n, d, 100 + 10 * seed + n)
    ours, theirs = MODELS[name](X, Y), MODELS[name](X, Y)
    assert fit_model(ours) == "closed form"
    assert log_posterior(ours) >= stock_fit(theirs) - 1e-3


@pytest.mark.parametrize("compiled", PATHS)
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("kind", ["rbf", "matern52", "matern32", "matern12"])
def test_engine_models_are_never_below_botorchs_fit(kind, infer, compiled, make_problem):
    problem, _ = make_problem(40, 4, kind=kind, infer=infer, seed=3)
    found = fit(problem, compiled=compiled)
    model = build_model(problem, found.theta)
    # GPyTorch's Matern-1/2 knows distances to 1e-8 only, in build_model as well when it computes a diagonal
    assert found.log_posterior == pytest.approx(log_posterior(model), abs=1e-5)
    theirs = build_model(problem, problem.spec.start())
    assert found.log_posterior >= stock_fit(theirs) - 1e-3


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("compiled", PATHS)
def test_few_observations(compiled, n, make_problem):
    problem, _ = make_problem(n, 3)
    found = fit(problem, compiled=compiled)
    assert np.isfinite(found.log_posterior)
    assert np.isfinite(found.theta).all()
    lower, upper = problem.spec.bounds()
    assert (found.theta >= lower).all()
    assert (found.theta <= upper).all()


@pytest.mark.parametrize("compiled", PATHS)
@pytest.mark.parametrize("y", ["constant", "contradictory", "outlier"])
def test_awkward_outcomes(compiled, y, make_problem):
    problem, _ = make_problem(20, 2)
    if y == "constant":
        problem.y[:] = 0.0
    elif y == "contradictory":
        problem.X[10:] = problem.X[:10]
        problem.y[10:] = -problem.y[:10]
    else:
        problem.y[0] = 1e6
    found = fit(problem, compiled=compiled)
    assert np.isfinite(found.log_posterior)
    assert np.isfinite(found.theta).all()
    assert np.isfinite(found.curvature).all()


def grown(make_problem, n, d, **options):
    """A problem and the same one without its last observation."""
    problem, _ = make_problem(n, d, **options)
    known = None if problem.known is None else problem.known[:-1]
    return replace(problem, X=problem.X[:-1], y=problem.y[:-1], known=known), problem


@pytest.mark.parametrize("compiled", PATHS)
@pytest.mark.parametrize("kind", ["rbf", "matern52"])
@pytest.mark.parametrize(("n", "d"), [(30, 2), (51, 6), (150, 6)])
def test_carried_curvature_reaches_the_same_value_in_fewer_evaluations(compiled, kind, n, d, make_problem):
    counts = {"cold": 0, "carried": 0, "point": 0}
    for seed in range(4):
        before, after = grown(make_problem, n, d, kind=kind, seed=seed)
        previous = fit(before, compiled=compiled)
        cold, carried = fit(after, compiled=compiled), fit(after, previous, compiled=compiled)
        point = fit(after, replace(previous, curvature=np.eye(d + 3)), compiled=compiled)
        assert carried.log_posterior >= max(cold.log_posterior, point.log_posterior) - 1e-3
        for name, one in zip(counts, (cold, carried, point), strict=True):
            counts[name] += one.evaluations
    assert counts["carried"] < 0.6 * counts["cold"]
    assert counts["carried"] < counts["point"]


@pytest.mark.parametrize("compiled", PATHS)
@pytest.mark.parametrize("factor", [-1.0, 1e8, math.nan])
def test_bad_curvature_still_ends_in_a_maximum(compiled, factor, make_problem):
    problem, _ = make_problem(80, 3)
    cold = fit(problem, compiled=compiled)
    found = fit(problem, replace(cold, theta=problem.spec.start(), curvature=factor * np.eye(6)), compiled=compiled)
    assert found.log_posterior == pytest.approx(cold.log_posterior, abs=1e-3)
    assert np.isfinite(found.curvature).all()


def test_both_paths_reach_the_same_maximum(make_problem):
    for kind in ("rbf", "matern52"):
        problem, _ = make_problem(60, 5, kind=kind)
        values = [fit(problem, compiled=compiled).log_posterior for compiled in (False, available())]
        assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_raw_parameters_of_a_fitted_model_are_finite():
    X, Y = data(30, 2, 0, noise=0.0)
    model = plain_matern(X, Y)  # its noise ends at its lower bound, where the softplus has no finite inverse
    assert fit_model(model) == "closed form"
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_fit_without_numba_is_the_torch_one(monkeypatch):
    X, Y = data(20, 2, 0)
    ours, theirs = SingleTaskGP(X, Y), SingleTaskGP(X, Y)
    monkeypatch.setattr(fit_module, "available", lambda: False)
    assert fit_model(ours) == "closed form"
    assert log_posterior(ours) >= stock_fit(theirs) - 1e-3


def test_fitting_leaves_data_and_transforms_alone():
    X, Y = data(20, 2, 0)
    model = SingleTaskGP(X, Y)
    before = [part.clone() for part in (*model.train_inputs, model.train_targets, model.outcome_transform.means)]
    fit_model(model)
    after = (*model.train_inputs, model.train_targets, model.outcome_transform.means)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        assert (model.posterior(X).mean - Y).abs().max() < 0.5
