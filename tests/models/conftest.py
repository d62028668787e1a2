"""Problems to solve, and the same models built from GPyTorch's and BoTorch's own parts."""

from __future__ import annotations

import math
from dataclasses import replace

import botorch.settings
import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior

from gpbo.models.exact import Problem
from gpbo.models.spec import Prior, default_spec

PRIORS = {
    "lognormal": {},
    "gamma": {
        "noise": Prior("gamma", 1.1, 0.05),
        "scale": Prior("gamma", 2.0, 0.15),
        "lengthscale": Prior("gamma", 3.0, 6.0),
    },
    "none": {"noise": Prior(), "scale": Prior(), "lengthscale": Prior()},
}


def outcomes(X, rng):
    """Standardized values of a smooth function of the first few coordinates, with a little noise."""
    Z = X[:, :6]
    y = np.sin(4 * Z[:, 0]) - ((Z - 0.4) ** 2).sum(1) + 0.2 * np.cos(5 * Z).mean(1)
    y = y + 0.05 * rng.standard_normal(len(y))
    return (y - y.mean()) / (y.std() or 1.0)


@pytest.fixture
def make_problem():
    """A problem and hyperparameters at which to evaluate it."""

    def make(n, d, *, kind="matern52", scaled=True, infer=True, priors="lognormal", seed=0):
        rng = np.random.default_rng(seed)
        X = rng.random((n, d))
        spec = replace(default_spec(kind, d, infer_noise=infer), scaled=scaled, **PRIORS[priors])
        theta = np.zeros(d + 3)
        theta[0] = 0.1 * rng.standard_normal()
        theta[1] = rng.uniform(-6.0, -2.0) if infer else 0.0
        theta[2] = rng.uniform(-0.5, 0.5) if scaled else 0.0
        theta[3:] = math.log(0.4 * math.sqrt(d)) + 0.3 * rng.standard_normal(d)
        known = None if infer else rng.uniform(1e-4, 0.1, n)
        return Problem(spec, X, outcomes(X, rng), known), theta

    return make


def _doubles(*values):
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


def _prior(prior):
    if prior.family == "none":
        return None
    return {"lognormal": LogNormalPrior, "gamma": GammaPrior}[prior.family](*_doubles(prior.a, prior.b))


@pytest.fixture
def stock_model():
    """The same model with GPyTorch's kernels, hyperparameters on their natural scale, in training mode."""

    def make(problem, theta):
        spec = problem.spec
        plain = GreaterThan(1e-12, transform=None)
        options = {
            "ard_num_dims": spec.d,
            "lengthscale_prior": _prior(spec.lengthscale),
            "lengthscale_constraint": plain,
        }
        orders = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
        base = RBFKernel(**options) if spec.kind == "rbf" else MaternKernel(nu=orders[spec.kind], **options)
        kernel = base
        if spec.scaled:
            kernel = ScaleKernel(base, outputscale_prior=_prior(spec.scale), outputscale_constraint=plain)
        if spec.infer_noise:
            likelihood = GaussianLikelihood(noise_prior=_prior(spec.noise), noise_constraint=plain)
        else:
            likelihood = FixedNoiseGaussianLikelihood(torch.as_tensor(problem.known))
        X, Y = torch.as_tensor(problem.X), torch.as_tensor(problem.y)[:, None]
        with botorch.settings.validate_input_scaling(False):
            model = SingleTaskGP(X, Y, likelihood=likelihood, covar_module=kernel, outcome_transform=None).double()
        model.mean_module.constant = float(theta[0])
        if spec.infer_noise:
            likelihood.noise = _doubles(math.exp(theta[1]))[0]
        if spec.scaled:
            kernel.outputscale = _doubles(math.exp(theta[2]))[0]
        base.lengthscale = torch.as_tensor(np.exp(theta[3:]))[None]
        return model

    return make
