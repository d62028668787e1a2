"""The peers of the optimization benchmark: proposals lie in the space, and TuRBO does what its paper says."""

from __future__ import annotations

import math

import gpytorch
import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP

import gpbo
from benchmarks.optimization.peers import PACKAGES, PROVIDERS, apart, base, gaussian_process, turbo
from benchmarks.optimization.peers.thompson import distinct_minima

BOX = gpbo.Space.from_bounds([-1.0, 0.0], [2.0, 5.0])
MIXED = gpbo.Space(
    {
        "rate": gpbo.Float(1e-4, 1.0, log=True),
        "share": gpbo.Float(0.0, 1.0, step=0.1),
        "depth": gpbo.Int(1, 9),
        "width": gpbo.Int(1, 1000, log=True),
        "kind": gpbo.Categorical(["a", None, (1, 2)]),
        "size": gpbo.Categorical(["s", "m", "l"], ordered=True),
        "constant": gpbo.Int(3, 3),
    }
)
MODULES = {"smac": "smac", "ax": "ax", "cmaes": "cma", "hyperopt": "hyperopt", "skopt": "skopt"}
SLOW = {"ax", "botorch", "botorch_local", "hebo", "nevergrad", "optuna_gp", "skopt", "smac"}
LONG = {("ts", "box"), ("ts", "mixed"), ("turbo_m", "box"), ("turbo_m", "mixed"), ("hyperopt", "box"), ("gpbo", "box")}
CASES = [
    pytest.param(
        name,
        kind,
        marks=[pytest.mark.slow, pytest.mark.integration]
        if name in SLOW
        else [pytest.mark.slow] * ((name, kind) in LONG),
    )
    for name in PROVIDERS
    for kind in ("box", "mixed")
]


def objective(space, params):
    return float(space.encode([params]).sum())


def start(space, n=8):
    params = space.decode(space.sample(np.random.default_rng(0).random((n, space.n_params))))
    return params, [objective(space, each) for each in params]


def require(name):
    if name in ("hebo", "nevergrad"):
        try:
            apart.python()
        except ModuleNotFoundError as error:
            pytest.skip(str(error))
    elif name in MODULES:
        pytest.importorskip(MODULES[name])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_peers_propose_points_of_the_space(name, kind):
    require(name)
    space = {"box": BOX, "mixed": MIXED}[kind]
    for q in (1, 4):
        provider = PROVIDERS[name](space, 2**32 + 1, *start(space))
        for _ in range(2):
            points = provider.ask(q)
            assert len(points) == q
            assert all(space.contains(each) for each in points)
            provider.tell(points, [objective(space, each) for each in points])


@pytest.mark.parametrize("name", ["cmaes", "hyperopt", "optuna_tpe", "random", "sobol", "ts", "turbo", "turbo_m"])
def test_same_seed_same_points(name):
    require(name)
    assert PROVIDERS[name](BOX, 3, *start(BOX)).ask(4) == PROVIDERS[name](BOX, 3, *start(BOX)).ask(4)


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'skopt'", name="skopt")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"need skopt: pip install scikit-optimize\."):
        PROVIDERS["skopt"](BOX, 0, *start(BOX))
    assert set(MODULES) <= set(PACKAGES)


def test_versions_are_those_of_the_environment_apart(tmp_path, monkeypatch):
    monkeypatch.setenv(apart.ENVIRONMENT, str(tmp_path / "none"))
    assert apart.versions() == {}
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "hebo-1.2.dist-info"
    for path in (folder, tmp_path / "bin"):
        path.mkdir(parents=True)
    (tmp_path / "bin" / "python").touch()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: HEBO\nVersion: 1.2\n")
    monkeypatch.setenv(apart.ENVIRONMENT, str(tmp_path))
    assert apart.versions() == {"HEBO": "1.2"}


def test_numbers_lead_back_to_the_point():
    for space in (BOX, MIXED):
        params, _ = start(space)
        assert [base.from_numbers(space, each) for each in base.to_numbers(space, params)] == params


def test_numbers_beyond_the_bounds_are_moved_inside():
    assert base.from_numbers(BOX, {"x0": 2.0000001, "x1": -1e-9}) == {"x0": 2.0, "x1": 0.0}


@pytest.mark.parametrize("q", [1, 4, pytest.param(100, marks=pytest.mark.slow)])
def test_generations_of_cmaes_are_told_whole(q):
    require("cmaes")
    provider = PROVIDERS["cmaes"](BOX, 0, *start(BOX))
    for _ in range(60):
        points = provider.ask(q)
        provider.tell(points, [objective(BOX, each) for each in points])
    assert min(objective(BOX, each) for each in points) < 0.1


def problem(n=30, d=3):
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.random((n, d)))
    y = torch.sin(4 * X[:, 0]) + X[:, 1] ** 2
    return X, (y - y.mean()) / y.std(correction=0)


def gpytorch_model(X, y, at):
    kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=X.shape[1])).double()
    model = SingleTaskGP(X, y[:, None], covar_module=kernel, outcome_transform=None).double()
    kernel.base_kernel.lengthscale = at.lengthscale
    kernel.outputscale = at.scale
    model.likelihood.noise = at.noise
    return model


def test_likelihood_is_that_of_gpytorch():
    X, y = problem()
    at = gaussian_process.Hyperparameters(torch.tensor([0.3, 0.8, 1.5], dtype=torch.float64), 2.0, 0.01)
    model = gpytorch_model(X, y, at)
    K = model.covar_module(X).to_dense() + at.noise * torch.eye(len(y), dtype=torch.float64)
    ones = torch.ones_like(y)
    mean = (ones @ torch.linalg.solve(K, y)) / (ones @ torch.linalg.solve(K, ones))
    expected = -torch.distributions.MultivariateNormal(mean * ones, K).log_prob(y) / len(y)
    value, _ = gaussian_process.negative_log_likelihood(at.theta, X, y)
    assert value == pytest.approx(expected.item(), abs=1e-10)


def test_gradient_of_the_likelihood_is_its_difference():
    X, y = problem()
    theta = np.log([0.3, 0.8, 1.5, 2.0, 0.01])
    _, gradient = gaussian_process.negative_log_likelihood(theta, X, y)
    for i, step in enumerate(np.eye(5) * 1e-5):
        up, down = (gaussian_process.negative_log_likelihood(theta + sign * step, X, y)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_samples_have_the_posterior_of_gpytorch():
    X, y = problem()
    at = gaussian_process.Hyperparameters(torch.tensor([0.3, 0.8, 1.5], dtype=torch.float64), 2.0, 0.01)
    model = gpytorch_model(X, y, at)
    K = model.covar_module(X).to_dense() + at.noise * torch.eye(len(y), dtype=torch.float64)
    ones = torch.ones_like(y)
    model.mean_module.constant = (ones @ torch.linalg.solve(K, y)) / (ones @ torch.linalg.solve(K, ones))
    at_points = torch.from_numpy(np.random.default_rng(1).random((4, 3)))
    expected = model.posterior(at_points)
    drawn = gaussian_process.draw(X, y, at, at_points, 100_000, np.random.default_rng(2))
    assert torch.allclose(drawn.mean(1), expected.mean[:, 0], atol=0.01)
    assert torch.allclose(torch.cov(drawn), expected.distribution.covariance_matrix, atol=0.01)


def test_no_candidate_is_taken_twice():
    samples = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
    assert distinct_minima(samples) == [0, 1, 2]


def region(d=6, q=1):
    space = gpbo.Space.from_bounds([0.0] * d, [1.0] * d)
    rng = np.random.default_rng(0)
    U = rng.random((8, d))
    return turbo.Region(space, U, list(range(8)), 8, rng), U[:q]


@pytest.mark.parametrize(("d", "q"), [(6, 1), (6, 4), (2, 1), (20, 100)])
def test_a_region_halves_after_the_failures_of_the_paper(d, q):
    trust, U = region(d, q)
    tolerance = math.ceil(max(4 / q, d / q))
    U = np.resize(U, (q, d))
    for _ in range(tolerance - 1):
        trust.learn(U, [9.0] * q)
    assert trust.length == turbo.START
    trust.learn(U, [9.0] * q)
    assert trust.length == turbo.START / 2


def test_a_region_doubles_after_three_successes_up_to_its_limit():
    trust, U = region()
    for value in range(-1, -4, -1):
        assert trust.length == turbo.START
        trust.learn(U, [float(value)])
    assert trust.length == turbo.LONGEST


def test_a_region_that_collapses_starts_again():
    trust, U = region(d=4, q=4)
    for _ in range(7):
        trust.learn(U, [9.0] * 4)
    assert not trust.ready
    assert (len(trust.design), len(trust.values), trust.length) == (8, 0, turbo.START)
    for _ in range(2):
        trust.learn(U, [9.0] * 4)
    assert trust.ready


def test_candidates_lie_in_a_box_about_the_best_point():
    trust, _ = region()
    trust.length = 0.1
    lengthscale = trust.candidates(1)
    sides = trust.length * trust.fitted.lengthscale / trust.fitted.lengthscale.log().mean().exp()
    assert lengthscale.shape == (600, 6)
    assert np.all(np.abs(lengthscale - trust.U[0]) <= sides.numpy() / 2 + 1e-12)


@pytest.mark.parametrize(
    ("name", "q"), [("turbo", 1), *(pytest.param(name, 10, marks=pytest.mark.slow) for name in ("turbo", "turbo_m"))]
)
def test_turbo_keeps_going_through_restarts(name, q):
    provider = PROVIDERS[name](BOX, 0, *start(BOX, 5))
    for _ in range(60):
        points = provider.ask(q)
        assert len(points) == q
        provider.tell(points, [objective(BOX, each) for each in points])
    assert any(len(each.values) < 60 * q for each in provider.inner.regions)
