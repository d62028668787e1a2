"""The acquisition, both twins, against high-precision arithmetic, BoTorch's LogEI and direct quasi-Monte Carlo."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from scipy.stats import norm

from gpbo.acquisition.improvement import HostImprovement, base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem, build_model
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available
from gpbo.numerics.rows import log_improvement as host_log_improvement
from gpbo_kernels.improvement import log_improvement as torch_log_improvement

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


def host(problem, theta, best, normals):
    return HostImprovement(HostPosterior(problem, theta), best, normals)


def plain_torch(problem, theta, best, normals):
    return TorchImprovement(TorchPosterior(problem, theta, CPU), best, normals)


TWINS = [pytest.param(host, id="host", marks=needs_numba), pytest.param(plain_torch, id="torch")]
PLAIN = np.zeros((0, 1))


def make(n=25, d=3, kind="matern52", log_noise=-6.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    y = np.sin(4 * X[:, 0]) - ((X - 0.4) ** 2).sum(1) + 0.05 * rng.standard_normal(n)
    theta = np.zeros(d + 3)
    theta[:3] = 0.1, log_noise, 0.2
    theta[3:] = math.log(0.4 * math.sqrt(d)) + 0.2 * rng.standard_normal(d)
    return Problem(default_spec(kind, d), X, (y - y.mean()) / y.std()), theta


def numerical_gradient(values, U, h=1e-6):
    steps = h * np.eye(U.shape[1])
    return np.stack([(values(U + step) - values(U - step)) / (2 * h) for step in steps], -1)


# The function of one variable ------------------------------------------------------------------------------------


def reference(u):
    """log h(u), Phi/h and phi/h in 60 digits and more, as Python floats."""
    mpmath.mp.dps = 80 if abs(u) < 1e3 else 40
    u = mpmath.mpf(u)
    if u < -1000:  # erfc underflows even here; asymptotic series of Mills' ratio, the next term is below 1e-30
        v = 1 / (u * u)
        series = [mpmath.mpf(1)]
        for k in range(1, 12):
            series.append(-series[-1] * (2 * k - 1) * v)
        mills = sum(series) / -u
        ratio = -sum(series[1:])
        log_density = -u * u / 2 - mpmath.log(2 * mpmath.pi) / 2
        return float(log_density + mpmath.log(ratio)), float(mills / ratio), float(1 / ratio)
    pdf, cdf = mpmath.npdf(u), mpmath.erfc(-u / mpmath.sqrt(2)) / 2
    h = pdf + u * cdf
    return float(mpmath.log(h)), float(cdf / h), float(pdf / h)


POINTS = [
    *(0.0, 1e-3, 0.5, 1.0, 3.0, 8.0, 38.0, 1e3, 1e8),
    *(-1e-3, -0.5, -0.999, -1.0, -1.001, -2.0, -4.0, -5.99, -6.0, -6.01, -9.0, -15.0, -29.9, -30.0, -30.1),
    *(-37.0, -60.0, -100.0, -900.0, -1e4, -1e6, -1e8),
]


@pytest.mark.parametrize("u", POINTS)
def test_log_improvement_of_the_host_is_exact(u):
    for found, expected in zip(host_log_improvement(u), reference(u), strict=True):
        assert found == pytest.approx(expected, rel=2e-12, abs=1e-300)


@pytest.mark.parametrize("u", POINTS)
def test_log_improvement_in_torch_is_exact(u):
    for found, expected in zip(
        torch_log_improvement(torch.tensor([u], dtype=torch.float64)), reference(u), strict=True
    ):
        assert found.item() == pytest.approx(expected, rel=2e-12, abs=1e-300)


def test_log_improvement_is_increasing_without_jumps():
    u = np.sort(
        np.concatenate(
            [np.linspace(-40, 5, 4001), -6 + np.linspace(-1e-6, 1e-6, 11), -30 + np.linspace(-1e-6, 1e-6, 11)]
        )
    )
    ours = np.array([host_log_improvement(float(v))[0] for v in u])
    theirs = torch_log_improvement(torch.as_tensor(u))[0].numpy()
    assert (np.diff(ours) > 0.0).all()
    assert (np.diff(theirs) > 0.0).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


# LogEI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("best", [-1.0, 1.0, 3.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("kind", ["rbf", "matern52", "matern32"])
def test_log_ei_equals_botorch_where_ei_underflows_too(twin, kind, best):
    problem, theta = make(kind=kind)
    acquisition = twin(problem, theta, best, PLAIN)
    rng = np.random.default_rng(1)
    # anywhere, close to an observation, and at the corners
    U = np.vstack([rng.random((20, 3)), problem.X[:5] + 1e-3, rng.integers(0, 2, (5, 3)).astype(float)])
    X = torch.as_tensor(U).requires_grad_()
    stock = LogExpectedImprovement(build_model(problem, theta), best_f=best)(X[:, None])
    (gradient_,) = torch.autograd.grad(stock.sum(), X)
    if best >= 30.0:
        assert stock.max() < -100.0
    values, gradient = acquisition.values_and_gradients(U)
    np.testing.assert_allclose(values, stock.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(acquisition.values(U), values, rtol=1e-12)
    scale = np.abs(gradient_.numpy()).max(1, keepdims=True)
    assert (np.abs(gradient - gradient_.numpy()) <= 1e-6 * scale).all()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("log_noise", [-3.0, math.log(1e-8)])
@pytest.mark.parametrize("kind", ["rbf", "matern52", "matern32", "matern12"])
def test_gradient_by_differences(twin, kind, log_noise):
    problem, theta = make(kind=kind, log_noise=log_noise)
    acquisition = twin(problem, theta, 1.0, PLAIN)
    U = np.random.default_rng(2).random((15, 3))
    gradient = acquisition.values_and_gradients(U)[1]
    scale = np.abs(gradient).max(1, keepdims=True)
    assert (np.abs(gradient - numerical_gradient(acquisition.values, U)) <= 1e-4 * scale + 1e-6).all()


@pytest.mark.parametrize("twin", TWINS)
def test_at_an_observation_without_noise_all_is_finite(twin):
    problem, theta = make(log_noise=-46.0)
    values, gradient = twin(problem, theta, float(problem.y.max()), PLAIN).values_and_gradients(problem.X)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()


# Fantasies -------------------------------------------------------------------------------------------------------


def direct(problem, theta, best, believed, points, normals, U):
    """Log of the mean over fantasies of EI at U, with the joint posterior of BoTorch's model and numpy alone."""
    rows = torch.as_tensor(np.vstack([believed, points, U]))
    with torch.no_grad():
        joint = build_model(problem, theta).posterior(rows).distribution
    mean, C = joint.mean.numpy(), joint.covariance_matrix.numpy()
    b, j = len(believed), len(points)
    known = b + j
    # the outcome of a believed point is its mean; the fantasies of the others are sampled given those
    C = C + 1e-12 * np.eye(len(C))
    L = np.linalg.cholesky(C[:known, :known])
    z = np.vstack([np.zeros((b, normals.shape[1])), normals[:j]])
    fantasies = mean[:known, None] + L @ z
    W = np.linalg.solve(L, C[:known, known:])
    means = mean[known:, None] + W.T @ z
    sd = np.sqrt(np.diag(C)[known:] - (W**2).sum(0))[:, None]
    incumbent = np.maximum(best, fantasies.max(0))
    u = (means - incumbent) / sd
    return np.log((sd * (norm.pdf(u) + u * norm.cdf(u))).mean(1))


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("b", "j"), [(0, 1), (0, 4), (3, 0), (2, 3)])
@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_fantasies_equal_direct_computation(twin, kind, b, j):
    problem, theta = make(kind=kind, log_noise=-3.0)
    rng = np.random.default_rng(3)
    believed, points, U = rng.random((b, 3)), rng.random((j, 3)), rng.random((12, 3))
    normals = base_normals(5, 64, 7)
    acquisition = twin(problem, theta, 0.8, normals)
    acquisition.believe(believed)
    acquisition.fantasise(points)
    expected = direct(problem, theta, 0.8, believed, points, normals, U)
    np.testing.assert_allclose(acquisition.values(U), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("b", "j"), [(0, 1), (3, 0), (2, 5)])
def test_gradient_with_fantasies_by_differences(twin, b, j):
    problem, theta = make(log_noise=-4.0)
    rng = np.random.default_rng(4)
    acquisition = twin(problem, theta, 0.8, base_normals(5, 32, 1))
    acquisition.believe(rng.random((b, 3)))
    acquisition.fantasise(rng.random((j, 3)))
    U = rng.random((10, 3))
    gradient = acquisition.values_and_gradients(U)[1]
    scale = np.abs(gradient).max(1, keepdims=True)
    assert (np.abs(gradient - numerical_gradient(acquisition.values, U)) <= 1e-5 * scale + 1e-6).all()


@pytest.mark.parametrize("twin", TWINS)
def test_without_an_incumbent_the_fantasies_define_it(twin):
    problem, theta = make(log_noise=-2.0)
    rng = np.random.default_rng(5)
    baseline, U = problem.X[:4], rng.random((8, 3))
    normals = base_normals(4, 128, 2)
    acquisition = twin(problem, theta, None, normals)
    acquisition.fantasise(baseline)
    expected = direct(problem, theta, -np.inf, baseline[:0], baseline, normals, U)
    np.testing.assert_allclose(acquisition.values(U), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("twin", TWINS)
def test_points_beyond_the_base_samples_are_believed(twin):
    problem, theta = make()
    points = np.random.default_rng(6).random((4, 3))
    U = np.random.default_rng(7).random((8, 3))
    short = base_normals(2, 32, 3)
    acquisition = twin(problem, theta, 1.0, short)
    acquisition.fantasise(points)
    padded = np.vstack([short, np.zeros((2, 32))])
    np.testing.assert_allclose(
        acquisition.values(U), direct(problem, theta, 1.0, points[:0], points, padded, U), rtol=1e-6, atol=1e-6
    )


@needs_numba
@pytest.mark.parametrize("log_noise", [-2.0, -9.0])
@pytest.mark.parametrize("kind", ["rbf", "matern52", "matern32", "matern12"])
@pytest.mark.parametrize(("b", "j", "S"), [(0, 0, 1), (0, 0, 16), (3, 0, 1), (0, 6, 128), (2, 3, 33)])
def test_twins_agree(kind, log_noise, b, j, S):
    problem, theta = make(40, 4, kind=kind, log_noise=log_noise)
    rng = np.random.default_rng(8)
    believed, points, U = rng.random((b, 4)), rng.random((j, 4)), rng.random((20, 4))
    found = []
    for twin in (host, plain_torch):
        acquisition = twin(problem, theta, 1.2, base_normals(j, S, 9) if j else np.zeros((0, S)))
        acquisition.believe(believed)
        acquisition.fantasise(points)
        found.append(acquisition.values_and_gradients(U))
    (value, gradient), (value_, gradient_) = found
    np.testing.assert_allclose(value, value_, rtol=1e-9, atol=1e-9)
    assert np.abs(gradient - gradient_).max() <= 1e-9 * max(1.0, np.abs(gradient_).max()) * (
        1e3 if log_noise < -8 else 1.0  # the condition number of the covariance shows
    )


@pytest.mark.parametrize("twin", TWINS)
def test_screen_follows_the_points_conditioned_on(twin):
    problem, theta = make()
    rng = np.random.default_rng(10)
    U = rng.random((30, 3))
    acquisition = twin(problem, theta, 1.0, base_normals(8, 16, 4))
    screen = acquisition.screen(U)
    np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-9, atol=1e-9)
    acquisition.believe(rng.random((3, 3)))
    np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-8, atol=1e-8)
    for _ in range(5):
        acquisition.fantasise(rng.random((1, 3)))
        np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-8, atol=1e-8)


def test_base_normals_are_reproducible_and_normal():
    one, other = base_normals(8, 256, 1), base_normals(8, 256, 1)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (8, 256)
    assert not np.array_equal(one, base_normals(8, 256, 2))
    assert np.abs(one.mean(1)).max() < 0.02
    assert np.abs(one.std(1) - 1.0).max() < 0.05
    assert np.isfinite(base_normals(500, 128, 3)).all()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("best", [0.2, None])
def test_what_was_expected_of_failed_points_is_taken_back(twin, best):
    problem, theta = make()
    acquisition = twin(problem, theta, best, PLAIN)
    promising = problem.X[np.argsort(-problem.y)[:3]] + 1e-3
    before, _ = twin(problem, theta, best, PLAIN).posterior.predict(promising)
    acquisition.disappoint(promising, 0.2)
    mean, _ = acquisition.posterior.predict(promising)
    assert (np.asarray(mean) < np.asarray(before)).all()
    assert float(acquisition.best[0]) <= max(0.2, float(np.max(before)))
