"""The kernel with sums over single coordinates: objective, posterior and acquisition against GPyTorch and BoTorch."""

from __future__ import annotations

import math
from dataclasses import replace

import botorch.settings
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
from torch.distributions import LogNormal

from gpbo.acquisition.improvement import HostImprovement
from gpbo.models.compiled_objective import negative_log_posterior
from gpbo.models.exact import Problem
from gpbo.models.fit import fit, fit_sums
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec, with_sums
from gpbo.numerics import available
from gpbo.numerics.rows import KINDS, SUMS

pytestmark = pytest.mark.skipif(not available(), reason="numba is not there")
PLAIN = np.zeros((0, 1))


def make(kind, n=30, d=3, seed=0):
    """A problem with sums and hyperparameters at which to evaluate it."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    y = np.sin(5 * X).sum(1) + X[:, 0] * X[:, -1]
    theta = np.concatenate([[0.1, math.log(1e-3), -0.2], rng.normal(-0.5, 0.2, d), [0.4], rng.normal(-1.0, 0.2, d)])
    return Problem(with_sums(default_spec(kind, d)), X, (y - y.mean()) / y.std()), theta


def stock(problem, theta):
    """The same model from GPyTorch's parts, in eval mode."""
    d, n = problem.spec.d, len(problem.y)
    orders = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}

    def family(**options):
        kind = problem.spec.kind
        return RBFKernel(**options) if kind == "rbf" else MaternKernel(nu=orders[kind], **options)

    def scaled(kernel, scale, lengthscales):
        kernel = ScaleKernel(kernel).double()
        kernel.outputscale = scale
        kernel.base_kernel.lengthscale = torch.as_tensor(lengthscales)
        return kernel

    kernel = scaled(family(ard_num_dims=d), math.exp(theta[2]), np.exp(theta[3 : 3 + d])[None])
    for i in range(d):
        single = family(ard_num_dims=1, active_dims=[i])
        kernel = kernel + scaled(single, math.exp(theta[3 + d]) / d, np.exp(theta[4 + d + i])[None, None])
    noise = torch.full((n, 1), math.exp(theta[1]), dtype=torch.float64)
    X, Y = torch.as_tensor(problem.X), torch.as_tensor(problem.y)[:, None]
    with botorch.settings.validate_input_scaling(False):
        model = SingleTaskGP(X, Y, noise, covar_module=kernel, outcome_transform=None).double()
    model.mean_module.constant = float(theta[0])
    return model.eval()


def compiled_value(problem, theta):
    n, d = problem.X.shape
    gradient, square = np.zeros(len(theta)), np.empty((n, n))
    inputs = np.array(problem.X.T, order="C"), problem.y, np.full(n, np.nan), True
    scratch = square, square.copy(), np.empty((2 * d, n))
    kind = KINDS[problem.spec.kind] + SUMS
    return negative_log_posterior(theta, gradient, *inputs, kind, problem.spec.priors(), *scratch), gradient


@pytest.mark.parametrize("d", [2, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_is_gpytorchs(kind, d):
    problem, theta = make(kind, d=d)
    spec = problem.spec
    model = stock(problem, theta)
    covariance = model.covar_module(torch.as_tensor(problem.X)).to_dense().detach()
    covariance = covariance + math.exp(theta[1]) * torch.eye(len(problem.y), dtype=torch.float64)
    mean = torch.full((len(problem.y),), theta[0], dtype=torch.float64)
    density = torch.distributions.MultivariateNormal(mean, covariance).log_prob(torch.as_tensor(problem.y)).item()
    parts = (spec.noise, theta[1:2]), (spec.scale, theta[[2, 3 + d]]), (spec.lengthscale, theta[3 : 3 + d])
    for prior, logs in (*parts, (spec.sum_lengthscale, theta[4 + d :])):
        mean, deviation = torch.tensor([prior.a, prior.b], dtype=torch.float64)
        density += LogNormal(mean, deviation).log_prob(torch.as_tensor(np.exp(logs))).sum().item()
    value, gradient = compiled_value(problem, theta)
    np.testing.assert_allclose(-value * len(problem.y), density, rtol=1e-6)
    for i, step in enumerate(1e-5 * np.eye(len(theta))):
        slope = (compiled_value(problem, theta + step)[0] - compiled_value(problem, theta - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_is_gpytorchs(kind):
    problem, theta = make(kind)
    posterior, U = HostPosterior(problem, theta), np.random.default_rng(1).random((9, 3))
    predicted = stock(problem, theta).posterior(torch.as_tensor(U))
    mean, variance = posterior.predict(U)
    np.testing.assert_allclose(mean, predicted.mean.detach().numpy()[:, 0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(variance, predicted.variance.detach().numpy()[:, 0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_bordering_gives_the_posterior_of_all_observations(kind):
    problem, theta = make(kind, n=40)
    few = replace(problem, X=problem.X[:25], y=problem.y[:25])
    posterior, whole = HostPosterior(few, theta), HostPosterior(problem, theta)
    posterior.observe(problem.X, problem.noise(theta), problem.y)
    U = np.random.default_rng(2).random((9, 3))
    np.testing.assert_allclose(posterior.predict(U), whole.predict(U), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(posterior.covariance(U, 25), whole.covariance(U, 0)[:, 25:], rtol=1e-12)


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_the_acquisition_is_botorchs_with_its_gradient(kind):
    problem, theta = make(kind)
    best = float(problem.y.max())
    acquisition = HostImprovement(HostPosterior(problem, theta), best, PLAIN)
    U = np.random.default_rng(3).random((9, 3))
    points = torch.tensor(U[:, None], requires_grad=True)
    expected = LogExpectedImprovement(stock(problem, theta), best_f=best)(points)
    (slopes,) = torch.autograd.grad(expected.sum(), points)
    values, gradients = acquisition.values_and_gradients(U)
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(gradients, slopes.numpy()[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(acquisition.values(U), values)


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_a_screen_follows_what_is_conditioned_on(kind):
    problem, theta = make(kind)
    acquisition = HostImprovement(HostPosterior(problem, theta), float(problem.y.max()), np.zeros((8, 4)))
    U, points = np.random.default_rng(4).random((2, 7, 3))
    screen = acquisition.screen(U)
    for point in points[:3]:
        acquisition.fantasise(point[None])
        np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-6)


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_a_fit_is_a_maximum_above_that_without_sums(kind):
    problem, _ = make(kind, n=40)
    without = fit(replace(problem, spec=replace(problem.spec, sums=False)))
    found = fit_sums(problem, without.theta)
    lower, upper = problem.spec.bounds()
    inside = (found.theta > lower + 1e-3) & (found.theta < upper - 1e-3)
    assert np.abs(compiled_value(problem, found.theta)[1][inside]).max() < 1e-3
    assert found.log_posterior > without.log_posterior
    again = fit_sums(problem, without.theta, found)
    assert again.log_posterior >= found.log_posterior - 1e-6
    assert again.evaluations < found.evaluations


def test_sums_of_many_parameters_are_learnt_from_few_values():
    problem, _ = make("rbf", n=40, d=8)
    rng = np.random.default_rng(5)
    U, X = rng.random((200, 8)), rng.random((40, 8))
    truth, y = (np.sin(6 * Z).sum(1) for Z in (U, X))
    problem = replace(problem, X=X, y=(y - y.mean()) / y.std())
    plain = replace(problem, spec=replace(problem.spec, sums=False))
    without = fit(plain)
    errors = [
        np.square(HostPosterior(one, theta).predict(U)[0] * y.std() + y.mean() - truth).mean()
        for one, theta in ((plain, without.theta), (problem, fit_sums(problem, without.theta).theta))
    ]
    assert errors[1] < 0.3 * errors[0]


def test_no_sample_paths_of_sums():
    with pytest.raises(AssertionError):
        HostPosterior(*make("rbf")).stationary()
