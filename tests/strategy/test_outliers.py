"""What accidents among the outcomes do to a study: nothing that lasts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import gpbo
from gpbo.insight import findings
from gpbo.strategy.regions import centres
from gpbo.strategy.state import dump, load
from gpbo.strategy.surrogate import Surrogate

CPU = torch.device("cpu")


@pytest.fixture
def space():
    return gpbo.Space.from_bounds([0.0] * 4, [1.0] * 4)


def bowl(X):
    return -np.square(X - 0.4).sum(1)


def spoilt(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 4))
    accidents = rng.random(n) < 0.15
    return X, bowl(X) - np.where(accidents, 30.0 + 10.0 * rng.random(n), 0.0), accidents


@pytest.mark.parametrize("seed", range(3))
def test_crashes_do_not_keep_a_study_from_its_optimum(space, seed):
    opt = gpbo.Optimizer(space, seed=seed, direction="minimize")
    rng = np.random.default_rng(seed)
    true = []
    for _ in range(50):
        (trial,) = opt.ask(1)
        x = np.array([trial.params[f"x{i}"] for i in range(4)])
        true.append(float(np.square(x - 0.4).sum()))
        opt.tell(trial, true[-1] + (1000.0 if rng.random() < 0.15 else 0.0))
    assert min(true) < 1e-3
    assert "taken for outliers" in opt.last_ask.message
    x = np.array(list(opt.recommend().params.values()))
    assert np.square(x - 0.4).sum() < 1e-3


@pytest.mark.parametrize("n", [60, 150, 260])
def test_a_model_knows_its_outliers_and_the_noise_of_no_other(space, snapshot, n):
    X, y, accidents = spoilt(n)
    fitted = Surrogate(4, ("matern52", "rbf")).get(snapshot(space, X=X, y=y), CPU)
    np.testing.assert_array_equal(fitted.outliers, np.flatnonzero(accidents))
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(fitted.problem.known)), fitted.outliers)
    U = np.random.default_rng(1).random((50, 4))
    mean, _ = fitted.outcome_map.backward(*fitted.posterior.predict(U))
    np.testing.assert_allclose(mean, bowl(U), atol=0.02)


def test_outcomes_and_their_scale_do_not_matter(space, snapshot):
    X, y, accidents = spoilt(60)
    for factor in (2.0**-300, 1.0, 2.0**300):
        fitted = Surrogate(4, ("rbf",)).get(snapshot(space, X=X, y=factor * y), CPU)
        np.testing.assert_array_equal(fitted.outliers, np.flatnonzero(accidents))


def test_between_refits_the_factor_keeps_the_noise_of_outliers(space, snapshot):
    X, y, _ = spoilt(304)
    one = Surrogate(4, ("rbf",))
    one.get(snapshot(space, X=X[:300], y=y[:300]), CPU)
    one.commit()
    grown = one.get(snapshot(space, X=X[:302], y=y[:302]), CPU)
    assert not grown.refitted
    again = Surrogate(4, ("rbf",))
    again.restore(one.carry)
    whole = again.get(snapshot(space, X=X[:302], y=y[:302]), CPU)
    U = np.random.default_rng(1).random((20, 4))
    for a, b in zip(grown.posterior.predict(U), whole.posterior.predict(U), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_study_is_stored_with_its_outliers(space, snapshot):
    X, y, _ = spoilt(60)
    one = Surrogate(4, ("rbf",))
    one.get(snapshot(space, X=X, y=y), CPU)
    one.commit()
    assert one.carry.outliers
    again = load(json.loads(json.dumps(dump(one.carry))), ("rbf",), 4)
    assert again.same_as(one.carry)


def test_regions_leave_outliers_out(space):
    X, y, _ = spoilt(200)
    opt = gpbo.Optimizer(space, seed=0, direction="maximize")
    opt.add(X, y)
    batch = opt.ask(16)
    assert "local" in opt.last_ask.strategy
    assert np.square(np.asarray(batch.u) - 0.4).sum(1).min() < 1e-2


def test_all_outcomes_but_a_few_alike(space):
    opt = gpbo.Optimizer(space, seed=0)
    opt.add(np.random.default_rng(0).random((20, 4)), np.r_[np.zeros(17), 5.0, 6.0, 9.0])
    opt.ask()
    assert "outliers" not in opt.last_ask.message


@pytest.mark.parametrize(("n", "hurry", "spoils"), [(300, False, True), (300, False, False), (60, True, True)])
def test_a_crash_between_refits_leads_to_a_refit(space, snapshot, n, hurry, spoils):
    X, y, _ = spoilt(n + 1, seed=1)
    y = y if spoils else bowl(X)
    y[n] = bowl(X[n:])[0] - 35.0
    one = Surrogate(4, ("rbf",))
    one.get(snapshot(space, X=X[:n], y=y[:n]), CPU, hurry)
    one.commit()
    fitted = one.get(snapshot(space, X=X, y=y), CPU, hurry)
    assert fitted.refitted
    assert n in fitted.outliers
    mean, _ = fitted.outcome_map.backward(*fitted.posterior.predict(X))
    np.testing.assert_allclose(mean, bowl(X), atol=0.02)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e6])
def test_outliers_lie_outside_of_what_is_predicted_for_them(space, size):
    X, _, accidents = spoilt(60)
    y = bowl(X) - np.where(accidents, size * (1 + np.arange(60) / 60), 0.0)
    opt = gpbo.Optimizer(space, seed=0, direction="maximize")
    opt.add(X, y)
    mean, std, z = opt.leave_one_out()
    np.testing.assert_allclose(mean, bowl(X), atol=0.1)
    assert (z[accidents] < -10).all()
    assert std.max() < 1.0
    (noise,) = (each for each in findings(opt) if each.topic == "Noise")
    assert noise.verdict != "warning"


def test_no_outlier_is_recommended(space):
    rng = np.random.default_rng(0)
    X = np.clip(0.4 + 0.15 * rng.standard_normal((60, 4)), 0, 1)
    y = bowl(X) + 0.01 * rng.standard_normal(60)
    X, y = np.vstack([X, [0.4] * 4]), np.append(y, -1000.0)
    y[[3, 30]] -= 1000.0
    opt = gpbo.Optimizer(space, seed=0, direction="maximize")
    opt.add(X, y)
    assert opt.recommend().value > -1.0
    assert set(opt._strategy._fitted(opt._ledger.data()).outliers) == {3, 30, 60}


def test_no_region_is_around_an_outlier(space, snapshot):
    X, y, accidents = spoilt(600)
    data = snapshot(space, X=X, y=y)
    fitted = Surrogate(4, ("rbf",)).get(data, CPU)
    found = centres(data, fitted, 8, np.where(accidents, 9.0, y))
    assert not accidents[found].any()
    assert len(np.unique(found)) == len(found)


def test_noise_told_later_counts(space, snapshot):
    X, y, _ = spoilt(302)
    one = Surrogate(4, ("rbf",))
    one.get(snapshot(space, X=X[:300], y=y[:300]), CPU)
    one.commit()
    noise = np.r_[np.full(300, np.nan), 5.0, 5.0]
    fitted = one.get(snapshot(space, X=X, y=y, noise=noise), CPU)
    assert (fitted.known_noise[300:] > 0).all()


@pytest.mark.parametrize("sd", [0.0, 0.1])
def test_told_noise_is_believed(space, snapshot, sd):
    X, y, _ = spoilt(60)
    assert not len(Surrogate(4, ("rbf",)).get(snapshot(space, X=X, y=y, noise=np.full(60, sd)), CPU).outliers)


@pytest.mark.filterwarnings("error")
def test_models_of_studies_with_outliers_are_used_without_a_warning(space):
    X, y, _ = spoilt(60)
    opt = gpbo.Optimizer(space, seed=0, direction="maximize")
    opt.add(X, y)
    posterior = opt.model.posterior(torch.as_tensor(X[:3]))
    assert np.isfinite(posterior.mean.detach().numpy()).all()
    opt.add([[0.1, 0.2, 0.3, 0.4]], [-1.7e308])
    opt.ask()
