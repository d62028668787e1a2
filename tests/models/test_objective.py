"""The log posterior and its gradient, both twins, against GPyTorch's autograd and against 50-digit arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from gpytorch.mlls import ExactMarginalLogLikelihood

from gpbo.models.compiled_objective import negative_log_posterior
from gpbo.models.exact import Problem
from gpbo.models.objective import log_posterior, log_prior
from gpbo.models.spec import default_spec
from gpbo.numerics import available
from gpbo.numerics.rows import KINDS

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


def torch_twin(problem, theta):
    known = None if problem.known is None else torch.as_tensor(problem.known)
    value, gradient = log_posterior(
        problem.spec, torch.as_tensor(problem.X), torch.as_tensor(problem.y), known, torch.as_tensor(theta)[None]
    )
    return value.item(), gradient[0].numpy()


def host_twin(problem, theta):
    (n, d), spec = problem.X.shape, problem.spec
    gradient, A, G, Z = np.empty(d + 3), np.empty((n, n)), np.empty((n, n)), np.empty((d, n))
    known = np.full(n, np.nan) if problem.known is None else problem.known
    X = np.ascontiguousarray(problem.X.T)
    value = negative_log_posterior(
        theta, gradient, X, problem.y, known, spec.infer_noise, KINDS[spec.kind], spec.priors(), A, G, Z
    )
    return -value * n, -gradient * n


def differences(twin, problem, theta, step=1e-5):
    """Gradient by central differences."""
    shifts = step * np.eye(len(theta))
    return np.array([(twin(problem, theta + s)[0] - twin(problem, theta - s)[0]) / (2 * step) for s in shifts])


TWINS = [pytest.param(host_twin, id="host", marks=needs_numba), pytest.param(torch_twin, id="torch")]


def stock(model, problem):
    """Value in nats and gradient in theta by autograd."""
    n = len(problem.y)
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    value = n * mll(model(*model.train_inputs), model.train_targets)
    value.backward()
    kernel = model.covar_module
    base = kernel.base_kernel if problem.spec.scaled else kernel
    gradient = np.zeros(problem.spec.d + 3)
    gradient[0] = model.mean_module.raw_constant.grad.item()
    if problem.spec.infer_noise:
        raw = model.likelihood.noise_covar.raw_noise
        gradient[1] = (raw.grad * raw).item()
    if problem.spec.scaled:
        gradient[2] = (kernel.raw_outputscale.grad * kernel.raw_outputscale).item()
    gradient[3:] = (base.raw_lengthscale.grad * base.raw_lengthscale).detach().numpy().reshape(-1)
    return value.item(), gradient


def assert_equal(problem, found, expected, tolerance=1e-8):
    (value, gradient), (value_, gradient_) = found, expected
    free = np.array([True, problem.spec.infer_noise, problem.spec.scaled] + [True] * problem.spec.d)
    assert value == pytest.approx(value_, rel=tolerance, abs=tolerance)
    assert np.abs(gradient - gradient_)[free].max() <= tolerance * max(1.0, np.abs(gradient_).max())


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("priors", ["lognormal", "gamma", "none"])
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_gpytorch(twin, kind, scaled, infer, priors, make_problem, stock_model):
    problem, theta = make_problem(20, 3, kind=kind, scaled=scaled, infer=infer, priors=priors)
    # GPyTorch's distance of a point from itself is 1e-8 off, which Matern-1/2 feels; its exact test is further down
    tolerance = 1e-6 if kind == "matern12" else 1e-8
    assert_equal(problem, twin(problem, theta), stock(stock_model(problem, theta), problem), tolerance)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", ["rbf", "matern52"])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 1), (5, 60), (50, 6), (120, 20), (200, 2), (200, 60)])
def test_equals_gpytorch_at_every_size(twin, kind, n, d, make_problem, stock_model):
    problem, theta = make_problem(n, d, kind=kind, seed=n)
    assert_equal(problem, twin(problem, theta), stock(stock_model(problem, theta), problem))


@pytest.mark.parametrize("twin", TWINS)
def test_many_hyperparameters_at_once_are_each_alone(twin, make_problem):
    problem, theta = make_problem(12, 2)
    if twin is torch_twin:
        thetas = torch.as_tensor(theta) + 0.1 * torch.arange(3).double()[:, None]
        values, gradients = log_posterior(
            problem.spec, torch.as_tensor(problem.X), torch.as_tensor(problem.y), None, thetas
        )
        for one, value, gradient in zip(thetas.numpy(), values, gradients, strict=True):
            assert_equal(problem, (value.item(), gradient.numpy()), twin(problem, one), 1e-12)
    else:  # the scratch arrays carry nothing from one evaluation to the next
        assert_equal(problem, twin(problem, theta), torch_twin(problem, theta), 1e-10)


def exact(problem, theta):
    """The log marginal likelihood and its gradient by central differences, in 60-digit arithmetic (no priors)."""
    mpmath.mp.dps = 60
    step = mpmath.mpf(10) ** -18
    n, d = problem.X.shape
    X = [[mpmath.mpf(float(v)) for v in row] for row in problem.X]
    y = [mpmath.mpf(float(v)) for v in problem.y]

    def value(t):
        scale, noise = mpmath.exp(t[2]), mpmath.exp(t[1])
        inverse = [mpmath.exp(-t[3 + k]) for k in range(d)]
        K = mpmath.matrix(n)
        for i in range(n):
            for j in range(n):
                squared = mpmath.fsum(((X[i][k] - X[j][k]) * inverse[k]) ** 2 for k in range(d))
                r = mpmath.sqrt(squared)
                s5, s3 = mpmath.sqrt(5) * r, mpmath.sqrt(3) * r
                K[i, j] = (
                    scale
                    * {
                        "rbf": lambda q=squared: mpmath.exp(-q / 2),
                        "matern52": lambda s=s5: (1 + s + s * s / 3) * mpmath.exp(-s),
                        "matern32": lambda s=s3: (1 + s) * mpmath.exp(-s),
                        "matern12": lambda r=r: mpmath.exp(-r),
                    }[problem.spec.kind]()
                )
            K[i, i] += noise
        L = mpmath.cholesky(K)
        half = []  # forward substitution
        for i in range(n):
            half.append((y[i] - t[0] - mpmath.fsum(L[i, j] * half[j] for j in range(i))) / L[i, i])
        logs = mpmath.fsum(mpmath.log(L[i, i]) for i in range(n))
        return -mpmath.fsum(h * h for h in half) / 2 - logs - n * mpmath.log(2 * mpmath.pi) / 2

    base = [mpmath.mpf(float(v)) for v in theta]
    gradient = []
    for k in range(d + 3):
        up, down = list(base), list(base)
        up[k] += step
        down[k] -= step
        gradient.append(float((value(up) - value(down)) / (2 * step)))
    return float(value(base)), np.array(gradient)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_exact_arithmetic(twin, kind, make_problem):
    problem, theta = make_problem(9, 3, kind=kind, priors="none")
    assert_equal(problem, twin(problem, theta), exact(problem, theta), 1e-11)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("log_noise", [-2.0, -9.0, math.log(1e-8)])
@pytest.mark.parametrize("kind", KINDS)
def test_near_duplicates_are_as_exact_as_their_conditioning_allows(twin, kind, log_noise, make_problem):
    problem, theta = make_problem(8, 2, kind=kind, priors="none")
    problem.X[1], problem.X[3] = problem.X[0] + 1e-9, problem.X[2] + 1e-5
    problem.X[5] = problem.X[4]
    problem.y[[1, 3, 5]] = problem.y[[0, 2, 4]] + 1e-4
    theta[1] = log_noise
    condition = len(problem.y) * math.exp(theta[2] - log_noise)
    expected = exact(problem, theta)
    # a backward stable algorithm errs by about eps * condition in the residuals; 1e-8 wherever float64 permits it
    assert_equal(problem, twin(problem, theta), expected, max(1e-8, 1e-15 * condition))


@pytest.mark.parametrize("twin", TWINS)
def test_noise_at_the_floor_in_a_smooth_model(twin, make_problem):
    problem, theta = make_problem(12, 1, kind="rbf", priors="none")
    theta[1], theta[3:] = math.log(1e-8), 0.0  # smallest eigenvalues are the noise
    problem.y[:] = np.sin(3 * problem.X[:, 0])
    condition = 12 * math.exp(theta[2]) / 1e-8
    assert_equal(problem, twin(problem, theta), exact(problem, theta), max(1e-8, 1e-15 * condition))


@pytest.mark.parametrize("twin", TWINS)
def test_singular_covariance_is_a_value_and_not_an_exception(twin, make_problem):
    problem, theta = make_problem(6, 2, infer=False, kind="rbf", priors="none")
    problem.X[:] = problem.X[0]
    problem = replace(problem, known=np.full(6, -1e-3))  # a negative eigenvalue for certain
    value, gradient = twin(problem, theta)
    assert value < -1e200
    assert (gradient == 0.0).all()


@pytest.mark.parametrize("twin", TWINS)
def test_extreme_hyperparameters_stay_finite_or_fail_cleanly(twin, make_problem):
    problem, theta = make_problem(10, 2)
    for log_value in (-46.0, 46.0):
        for entry in range(1, 5):
            moved = theta.copy()
            moved[entry] = log_value
            value, gradient = twin(problem, moved)
            assert not math.isnan(value)
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("twin", TWINS)
def test_noise_known_for_some_observations_only(twin):
    rng = np.random.default_rng(0)
    X, y = rng.random((25, 2)), rng.standard_normal(25)
    known = np.where(rng.random(25) < 0.5, np.nan, 0.1 + rng.random(25))
    problem = Problem(default_spec("matern52", 2), X, y, known)
    theta = np.array([0.1, -2.0, 0.2, -0.5, 0.3])
    filled = Problem(default_spec("matern52", 2, infer_noise=False), X, y, problem.noise(theta))
    density = log_prior(problem.spec.noise, torch.tensor(theta[1]))[0].item()
    assert twin(problem, theta)[0] == pytest.approx(twin(filled, theta)[0] + density)
    np.testing.assert_allclose(twin(problem, theta)[1], differences(twin, problem, theta), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "padding"), [(20, 12), (32, 32), (33, 31), (1, 31)])
def test_padding_is_not_seen(n, padding, kind, infer, make_problem):
    problem, theta = make_problem(n, 3, kind=kind, infer=infer)
    thetas = torch.as_tensor(theta) + 0.1 * torch.arange(2).double()[:, None]

    def tensor(values, room):
        return torch.as_tensor(np.pad(values, [(0, room), *[(0, 0)] * (values.ndim - 1)]))

    def run(room):
        known = None if problem.known is None else tensor(problem.known, room)
        there = torch.arange(n + room) < n
        return log_posterior(problem.spec, tensor(problem.X, room), tensor(problem.y, room), known, thetas, there)

    for padded, plain in zip(run(padding), run(0), strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [30, 500])
def test_the_gpu_computes_the_objective_of_the_cpu(n, kind, make_problem):
    problem, theta = make_problem(n, 6, kind=kind)
    found = []
    for device in ("cpu", "cuda"):
        X, y, t = (torch.as_tensor(each).to(device) for each in (problem.X, problem.y, theta[None]))
        found.append([part.cpu() for part in log_posterior(problem.spec, X, y, None, t)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
