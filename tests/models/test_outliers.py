"""Accidents among the outcomes: found where they are, not seen where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gpbo.models import outliers
from gpbo.models.exact import Problem
from gpbo.models.fit import fit
from gpbo.models.objective import log_posterior
from gpbo.models.spec import default_spec
from gpbo.strategy.surrogate import factorised as factorised_on

N, D = 60, 4


def factorised(problem, theta):
    return factorised_on(problem, theta, torch.device("cpu"))


def bowl(X):
    return -np.square(X - 0.4).sum(1)


def make(X, y):
    return Problem(default_spec("rbf", X.shape[1]), X, (y - y.mean()) / y.std())


@pytest.fixture
def X():
    return np.random.default_rng(3).random((N, D))


@pytest.fixture
def spoilt(X):
    """A smooth function of which every sixth outcome is an accident."""
    accidents = np.random.default_rng(4).random(N) < 1 / 6
    y = bowl(X) - np.where(accidents, 20.0 + 5.0 * np.random.default_rng(5).random(N), 0.0)
    return make(X, y), accidents


def test_accidents_are_found_with_the_square_of_what_they_are_off_by(spoilt):
    problem, accidents = spoilt
    division = outliers.divide(problem, np.arange(N), factorised)
    np.testing.assert_array_equal(~np.isnan(division.variances), accidents)
    smooth = (bowl(problem.X) - bowl(problem.X)[~accidents][0]) / (bowl(problem.X)[~accidents].std())
    scale = problem.y[~accidents].std()
    expected = problem.y[~accidents][0] + smooth * scale
    off = problem.y[accidents] - expected[accidents]
    np.testing.assert_allclose(division.variances[accidents], np.square(off), rtol=1e-2)
    plain = fit(problem)
    assert not outliers.explained(problem, plain.theta, factorised)
    assert outliers.worthwhile(division, plain.log_posterior)


def test_of_many_observations_those_that_models_are_not_fitted_to_are_divided_too():
    rng = np.random.default_rng(6)
    X, accidents = rng.random((200, D)), rng.random(200) < 1 / 6
    problem = make(X, bowl(X) - np.where(accidents, 20.0 + 5.0 * rng.random(200), 0.0))
    division = outliers.divide(problem, np.arange(0, 200, 3), factorised)
    np.testing.assert_array_equal(~np.isnan(division.variances), accidents)


def test_known_outliers_are_a_start(spoilt):
    problem, accidents = spoilt
    some = accidents.copy()
    some[np.flatnonzero(accidents)[:3]] = False
    division = outliers.divide(problem, np.arange(N), factorised, some)
    np.testing.assert_array_equal(~np.isnan(division.variances), accidents)


def test_the_variance_is_the_one_of_greatest_likelihood(spoilt):
    """The closed form r^2 - v against the engine's own marginal likelihood with one known noise variance."""
    problem, accidents = spoilt
    row = int(np.flatnonzero(accidents)[0])
    keep = ~accidents
    keep[row] = True
    one = replace(problem, X=problem.X[keep], y=problem.y[keep])
    at = int(keep[:row].sum())
    rest = replace(one, X=np.delete(one.X, at, 0), y=np.delete(one.y, at))
    theta = fit(rest).theta
    mean, variance = factorised(rest, theta).predict(one.X[at : at + 1])
    best = float((one.y[at] - mean[0]) ** 2 - variance[0])

    def value(known):
        noise = np.full(len(one.y), np.nan)
        noise[at] = known
        tensors = (torch.as_tensor(each) for each in (one.X, one.y, noise))
        return float(log_posterior(one.spec, *tensors, torch.as_tensor(theta)[None])[0])

    assert value(best) > max(value(best * 0.99), value(best * 1.01))


def test_a_cliff_is_no_accident(X):
    """Bad outcomes side by side are a part of the function."""
    problem = make(X, bowl(X) - 20.0 * (X[:, 0] > 0.8))
    assert outliers.divide(problem, np.arange(N), factorised) is None


def test_good_outcomes_are_not_doubted(X):
    y = bowl(X)
    y[[5, 20, 40]] += 20.0
    division = outliers.divide(make(X, y), np.arange(N), factorised)
    assert division is None or not np.isfinite(division.variances[[5, 20, 40]]).any()


def test_a_smooth_function_is_explained(X):
    problem = make(X, bowl(X))
    assert outliers.explained(problem, fit(problem).theta, factorised)


@pytest.mark.parametrize("seed", range(5))
def test_heavy_noise_on_both_sides_pays_for_no_outliers(X, seed):
    problem = make(X, np.random.default_rng(seed).standard_normal(N))
    division = outliers.divide(problem, np.arange(N), factorised)
    assert division is None or not outliers.worthwhile(division, fit(problem).log_posterior)


def test_outcomes_that_are_nearly_all_alike_have_no_scale_to_stick_out_of(X):
    y = np.zeros(N)
    y[:3] = [-1.0, -5.0, -2.0]
    assert outliers.divide(make(X, y), np.arange(N), factorised) is None
