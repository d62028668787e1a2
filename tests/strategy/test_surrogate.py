"""The model of a study: current, exact, and independent of how the observations came in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo.models.exact import build_model
from gpbo.strategy.surrogate import Surrogate, refit_period
from gpbo.transforms import OutcomeMap

CPU = torch.device("cpu")


def grow(space, snapshot, X, y, noise, steps):
    """A surrogate that was committed at the first of the given sizes and looked at the others."""
    one = Surrogate(space.dim, ("matern52",))
    fitted = None
    for index, n in enumerate(steps):
        data = snapshot(space, X=X[:n], y=y[:n], noise=None if noise is None else noise[:n])
        fitted = one.get(data, CPU)
        if index == 0:
            one.commit()
    return fitted


@pytest.fixture
def observations(box):
    rng = np.random.default_rng(0)
    X = box.sample(rng.random((420, 3)))
    return X, np.sin(5 * X).sum(1) + 0.1 * rng.standard_normal(420)


NOISE = {
    "inferred": None,
    "known": np.linspace(0.05, 0.2, 420),
    "some": np.where(np.arange(420) % 3 == 0, np.nan, np.linspace(0.05, 0.2, 420)),
}


@pytest.mark.parametrize("noise", NOISE)
def test_the_model_does_not_depend_on_how_observations_were_grouped(box, snapshot, observations, noise):
    X, y = observations
    U = box.sample(np.random.default_rng(1).random((30, 3)))
    steps = [(400, 401, 402, 403), (400, 402, 403), (400, 403)]
    found = [grow(box, snapshot, X, y, NOISE[noise], each).posterior.predict(U) for each in steps]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0][0], other[0])
        np.testing.assert_array_equal(found[0][1], other[1])


@pytest.mark.parametrize("noise", NOISE)
def test_between_refits_the_factor_is_exact(box, snapshot, observations, noise):
    X, y = observations
    fitted = grow(box, snapshot, X, y, NOISE[noise], (400, 401, 403))
    assert not fitted.refitted
    U = box.sample(np.random.default_rng(1).random((30, 3)))
    mean, variance = fitted.posterior.predict(U)
    with torch.no_grad():
        expected = build_model(fitted.problem, fitted.theta).posterior(torch.as_tensor(U))
    np.testing.assert_allclose(mean, expected.mean.numpy()[:, 0], atol=1e-7)
    np.testing.assert_allclose(variance, expected.variance.numpy()[:, 0], atol=1e-7)


def test_refits_come_when_they_pay(box, snapshot, observations):
    X, y = observations
    assert [refit_period(n) for n in (1, 200, 250, 1000)] == [1, 1, 2, 10]
    one = Surrogate(3, ("matern52",))
    refitted = []
    for n in range(300, 310):
        refitted.append(one.get(snapshot(box, X=X[:n], y=y[:n]), CPU).refitted)
        one.commit()
    assert refitted == [True, False, False] * 3 + [True]


def test_noise_given_late_counts_for_its_value_only(box, snapshot, observations):
    X, y = observations
    one = Surrogate(3, ("matern52",))
    assert one.get(snapshot(box, X=X[:250], y=y[:250]), CPU).problem.known is None
    one.commit()
    noise = np.append(np.full(250, np.nan), 0.3)
    fitted = one.get(snapshot(box, X=X[:251], y=y[:251], noise=noise), CPU)
    assert np.isnan(fitted.problem.known[:250]).all()
    inferred = np.exp(fitted.theta[1])
    np.testing.assert_allclose(fitted.posterior.noise[:250], inferred)
    assert fitted.posterior.noise[250] == pytest.approx(fitted.outcome_map.variance(y[250:251], np.array([0.3]))[0])


def test_noise_given_for_all_is_another_model(box, snapshot, observations):
    X, y = observations
    one = Surrogate(3, ("matern52",))
    fitted = one.get(snapshot(box, X=X[:30], y=y[:30], noise=np.full(30, 0.3)), CPU)
    assert not fitted.problem.spec.infer_noise
    one.commit()
    noise = np.append(np.full(30, 0.3), np.nan)
    fitted = one.get(snapshot(box, X=X[:31], y=y[:31], noise=noise), CPU)
    assert fitted.refitted
    assert fitted.problem.spec.infer_noise


def test_one_exact_value_does_not_make_the_others_exact(box, snapshot):
    rng = np.random.default_rng(0)
    X = rng.random((61, 3))
    truth = np.sin(6 * X[:, 0])
    y = truth + np.append(0.2 * rng.standard_normal(60), 0.0)
    noise = np.append(np.full(60, np.nan), 1e-6)
    fitted = Surrogate(3, ("matern52",)).get(snapshot(box, X=X, y=y, noise=noise), CPU)
    mean, _ = fitted.outcome_map.backward(*fitted.posterior.predict(X))
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.3
    assert fitted.posterior.noise[0] > 1e3 * fitted.posterior.noise[60]


def test_the_same_data_give_the_same_object(box, snapshot, observations):
    X, y = observations
    one = Surrogate(3, ("rbf", "matern52"))
    data = snapshot(box, X=X[:30], y=y[:30])
    fitted = one.get(data, CPU)
    fitted.posterior.condition(X[40:45])
    assert one.get(data, CPU) is fitted
    assert fitted.posterior.m == fitted.posterior.n == 30


@pytest.mark.parametrize("stretch", [lambda y: y, lambda y: -np.exp(-3 * y), lambda y: np.sinh(4 * y)])
def test_the_map_and_kernel_with_more_evidence_are_taken(box, snapshot, observations, stretch):
    X, y = observations
    y = stretch(y[:60])
    fitted = Surrogate(3, ("rbf", "matern52")).get(snapshot(box, X=X[:60], y=y), CPU)
    evidence = {
        name: one.log_posterior + OutcomeMap.of(y, name.split("/")[0]).log_derivative(y)
        for name, one in fitted.carry.fits.items()
    }
    assert len(evidence) == 6
    winner = max(evidence, key=evidence.get)
    assert winner == fitted.carry.kind == f"{fitted.outcome_map.kind}/{fitted.problem.spec.kind}"


def test_memory_is_the_data_and_one_factor(box, snapshot, observations):
    X, y = observations
    one = Surrogate(3, ("matern52",))
    for n in range(300, 420):
        fitted = one.get(snapshot(box, X=X[:n], y=y[:n]), CPU)
        one.commit()
        if hasattr(fitted.posterior, "reserve"):
            assert len(fitted.posterior.L) <= 1.2 * n + 16
