"""Sample paths: their distribution, their gradients, and that neither the twin nor the pieces matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gpbo.acquisition.paths import Paths
from gpbo.models.exact import Problem
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo_kernels import KINDS

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


def plain_torch(problem, theta):
    return TorchPosterior(problem, theta, CPU)


TWINS = [pytest.param(HostPosterior, id="host", marks=needs_numba), pytest.param(plain_torch, id="torch")]


def make(n=25, d=3, kind="matern52", log_noise=-6.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    y = np.sin(4 * X[:, 0]) - ((X - 0.4) ** 2).sum(1)
    theta = np.zeros(d + 3)
    theta[:3] = 0.1, log_noise, 0.2
    theta[3:] = math.log(0.4 * math.sqrt(d)) + 0.2 * rng.standard_normal(d)
    return Problem(default_spec(kind, d), X, (y - y.mean()) / max(y.std(), 1e-9)), theta


def draw(twin, problem, theta, deviation, seed=0):
    return Paths(twin(problem, theta), np.asarray(deviation, dtype=float), np.random.default_rng(seed))


def points(d=3, n=6, seed=1):
    return np.random.default_rng(seed).random((n, d))


def covariance(problem, theta, U):
    """Posterior covariance of the latent function at U."""
    posterior = TorchPosterior(problem, theta, CPU)
    z = posterior.tensor(U) * posterior.inverse
    V = posterior.solve(posterior.covariance(z, posterior.Z)[0])
    return (posterior.covariance(z, z)[0] - V @ V.mT).numpy()


# Distribution ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("log_noise", [-2.0, -12.0])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_many_paths_are_those_of_the_posterior(twin, kind, log_noise):
    problem, theta = make(kind=kind, log_noise=log_noise)
    U, rounds, P = points(), 4, 500  # the cosines are shared by the paths of one draw
    tables = [draw(twin, problem, theta, np.ones(P), seed).table(U, slice(None)) for seed in range(rounds)]
    table = np.hstack(tables)
    mean, expected = twin(problem, theta).predict(U)[0], covariance(problem, theta, U)
    sd = np.sqrt(np.diag(expected))
    assert (np.abs(table.mean(1) - mean) <= 5.0 * sd / math.sqrt(rounds * P)).all()
    # 1,024 cosines a draw add an error of their own to that of the Monte Carlo estimate
    tolerance = 5.0 * (math.sqrt(2.0 / (rounds * P)) * np.outer(sd, sd) + np.exp(theta[2]) / math.sqrt(1024 * rounds))
    assert (np.abs(np.cov(table) - expected) <= tolerance).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_prior_of_a_path_is_the_kernel(kind):
    """Far from all data a path is a draw of the prior: outputscale, lengthscales and spectral density are right."""
    problem, theta = make(n=3, kind=kind)
    problem = Problem(problem.spec, problem.X + 1e3, problem.y)
    U, P = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.9, 0.2]]), 1000
    table = np.hstack([draw(plain_torch, problem, theta, np.ones(P), seed).table(U, slice(None)) for seed in range(10)])
    expected = covariance(problem, theta, U)
    np.testing.assert_allclose(np.diag(expected), math.exp(theta[2]), rtol=1e-9)
    np.testing.assert_allclose(np.cov(table), expected, rtol=0, atol=0.08)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_deviation_a_path_is_the_posterior_mean(twin, kind):
    problem, theta = make(kind=kind)
    paths, U = draw(twin, problem, theta, np.zeros(3)), points(n=40)
    mean = twin(problem, theta).predict(U)[0]
    np.testing.assert_allclose(paths.table(U, slice(None)), np.tile(mean[:, None], 3), rtol=0, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
def test_a_factor_of_a_half_halves_the_deviation_of_the_very_same_path(twin):
    problem, theta = make(log_noise=-2.0)
    U = points(n=30)
    mean = twin(problem, theta).predict(U)[0][:, None]
    whole, half, mixed = (
        draw(twin, problem, theta, each).table(U, slice(None))
        for each in (np.ones(7), np.full(7, 0.5), np.linspace(0, 1, 7))
    )
    np.testing.assert_allclose(half - mean, 0.5 * (whole - mean), rtol=0, atol=1e-10)
    np.testing.assert_allclose(mixed - mean, np.linspace(0, 1, 7) * (whole - mean), rtol=0, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", KINDS)
def test_with_hardly_any_noise_paths_pass_through_the_data(twin, kind):
    problem, theta = make(kind=kind, log_noise=-18.0)
    table = draw(twin, problem, theta, np.ones(50)).table(problem.X, slice(None))
    np.testing.assert_allclose(table, np.tile(problem.y[:, None], 50), rtol=0, atol=5e-3)


def test_noise_of_its_own_at_every_observation():
    problem, theta = make()
    known = np.where(np.arange(25) < 12, 1e-6, 4.0)
    problem = Problem(default_spec("matern52", 3, infer_noise=False), problem.X, problem.y, known)
    theta[1] = 0.0
    table = np.hstack(
        [draw(plain_torch, problem, theta, np.ones(500), seed).table(problem.X, slice(None)) for seed in range(4)]
    )
    expected = covariance(problem, theta, problem.X)
    assert np.abs(table - problem.y[:, None])[:12].max() < 0.02
    np.testing.assert_allclose(table[12:].std(1), np.sqrt(np.diag(expected))[12:], rtol=0.15)


@pytest.mark.parametrize("twin", TWINS)
def test_points_conditioned_on_are_not_looked_at(twin):
    problem, theta = make()
    U, posterior = points(), twin(problem, theta)
    before = Paths(posterior, np.ones(4), np.random.default_rng(0)).table(U, slice(None))
    posterior.condition(points(seed=5))
    after = Paths(posterior, np.ones(4), np.random.default_rng(0)).table(U, slice(None))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


# Gradients and pieces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("log_noise", [-3.0, -12.0])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_differences(twin, kind, log_noise):
    problem, theta = make(kind=kind, log_noise=log_noise)
    paths = draw(twin, problem, theta, np.ones(5))
    U, owner = points(n=15), np.arange(15) % 5
    path = paths.assigned(owner)
    values, gradient = path.values_and_gradients(U)
    np.testing.assert_allclose(values, path.values(U), rtol=0, atol=1e-12)
    np.testing.assert_allclose(values, paths.table(U, slice(None))[np.arange(15), owner], rtol=0, atol=1e-9)
    steps = 1e-6 * np.eye(3)
    numerical = np.stack([(path.values(U + step) - path.values(U - step)) / 2e-6 for step in steps], -1)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def test_rows_of_a_restriction_keep_their_paths():
    problem, theta = make()
    path = draw(plain_torch, problem, theta, np.ones(5)).assigned(np.array([4, 1, 1, 0]))
    U, rows = points(n=4), np.array([2, 0, 0, 3])
    np.testing.assert_allclose(path.of(rows).values(U[rows]), path.values(U)[rows], rtol=0, atol=1e-12)


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
def test_both_posteriors_give_the_same_paths_from_the_same_seed(kind):
    problem, theta = make(kind=kind)
    U, owner = points(n=12), np.arange(12) % 4
    one, other = (draw(twin, problem, theta, np.ones(4), 7) for twin in (HostPosterior, plain_torch))
    np.testing.assert_allclose(one.table(U, slice(None)), other.table(U, slice(None)), rtol=0, atol=1e-9)
    for mine, theirs in zip(
        one.assigned(owner).values_and_gradients(U), other.assigned(owner).values_and_gradients(U), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)


def results(twin, problem, theta):
    paths = draw(twin, problem, theta, np.ones(9))
    U, owner = points(n=40), np.arange(40) % 9
    tables = [paths.table(U, slice(None)), paths.table(U, slice(2, 5))]
    return [*tables, *paths.assigned(owner).values_and_gradients(U)]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("piece", [1, 200_000], ids=["one by one", "a few at a time"])
def test_pieces_make_no_difference(twin, piece, monkeypatch):
    problem, theta = make()
    whole = results(twin, problem, theta)
    sizes, original = [], memory.in_pieces

    def counted(step, total, bytes_each, name):
        def noted(start, stop):
            sizes.append(stop - start)
            step(start, stop)

        original(noted, total, bytes_each, name)

    with memory.budget(None, CPU) as plan:
        plan.piece = piece
        monkeypatch.setattr(memory, "in_pieces", counted)
        cut = results(twin, problem, theta)
    assert max(sizes) < 40
    np.testing.assert_allclose(whole[1], whole[0][:, 2:5], rtol=0, atol=1e-12)
    for mine, theirs in zip(cut, whole, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
def test_one_observation_and_one_path(twin):
    problem, theta = make(n=1, d=1)
    paths = draw(twin, problem, theta, np.ones(1))
    values, gradient = paths.assigned(np.zeros(3, dtype=np.int64)).values_and_gradients(points(1, 3))
    assert len(paths) == 1
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()


def test_the_seed_decides():
    problem, theta = make()
    U = points()
    one, same, other = (draw(plain_torch, problem, theta, np.ones(4), seed).table(U, slice(None)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
