"""The model of clipped outcomes: when it guides the search, from what, and the same after a reload."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import gpbo
from gpbo import Space
from gpbo.models.fit import fit
from gpbo.models.leave_one_out import leave_one_out
from gpbo.numerics import available
from gpbo.strategy import Settings, Strategy, clipped
from gpbo.strategy import surrogate as surrogate_module
from gpbo.strategy.fitted import CLIPPED, SUMS
from gpbo.strategy.surrogate import factorised

pytestmark = pytest.mark.skipif(not available(), reason="numba is not there")
CPU = torch.device("cpu")


def cliff(X):
    """Smooth on one side of a line, a thousand times as high and steep on the other; maximised."""
    good = -np.square(X - 0.4).sum(axis=1)
    return np.where(X[:, 0] + 0.3 * X[:, 1] > 0.35, good, -1000.0 * (1.0 + 10.0 * np.abs(X - 0.4).sum(axis=1)))


def smooth(X):
    return -np.square(X - 0.4).sum(axis=1)


@pytest.fixture
def box():
    return Space.from_bounds([0.0] * 2, [1.0] * 2)


@pytest.fixture
def seen(box, snapshot):
    """Observations of a function."""

    def make(of, n=30, **more):
        X = np.random.default_rng(1).random((n, 2))
        return snapshot(box, X=X, y=of(X), **more)

    return make


def strategy(space, **settings):
    return Strategy(space, Settings(**settings), 0)


def guide(space, data):
    surrogate = strategy(space)._surrogate
    fitted = surrogate.get(data, CPU)
    return fitted, surrogate.guide(fitted)


def test_a_cliff_is_searched_by_clipped_outcomes(box, seen):
    fitted, guided = guide(box, seen(cliff))
    assert guided.name.startswith(CLIPPED)
    assert np.sum(guided.problem.y == guided.problem.y.min()) >= 7  # a quarter lies on the level
    order = np.argsort(-fitted.problem.y)
    better = order[:15]
    np.testing.assert_array_equal(np.argsort(-guided.problem.y)[:15], better)


def test_the_better_half_is_predicted_better(box, seen):
    fitted, guided = guide(box, seen(cliff))
    rows = clipped.better(fitted.problem)
    unit = np.ptp(fitted.problem.y[rows]) / np.ptp(guided.problem.y[rows])

    def density(one, scale):
        residuals, variances = leave_one_out(one.posterior)
        residuals, variances = scale * residuals[rows], scale**2 * variances[rows]
        return np.sum(-0.5 * (np.log(variances) + residuals**2 / variances))

    assert density(guided, unit) > density(fitted, 1.0) + clipped.MARGIN


def test_a_smooth_function_is_searched_as_it_is(box, seen):
    fitted, guided = guide(box, seen(smooth))
    assert guided is fitted


def test_what_users_see_is_the_model_of_all(box, seen):
    data, one, other = seen(cliff), strategy(box), strategy(box)
    one.suggest(data, 1, 0)
    np.testing.assert_array_equal(one.predict(data, data.X), other.predict(data, data.X))
    assert one.recommend(data) == other.recommend(data) == int(data.y.argmax())


def test_the_suggestion_comes_from_it(box, seen, monkeypatch):
    data = seen(cliff)
    with_it = strategy(box).suggest(data, 1, 0)[0]
    monkeypatch.setattr(surrogate_module.Surrogate, "guide", lambda self, fitted: fitted)
    assert not np.array_equal(strategy(box).suggest(data, 1, 0)[0], with_it)


@pytest.mark.parametrize("n", [7, 201])
def test_few_observations_and_many_do_without(box, seen, n):
    fitted, guided = guide(box, seen(cliff, n))
    assert guided is fitted


def test_many_parameters_do_without(snapshot):
    space = Space.from_bounds([0.0] * 70, [1.0] * 70)
    X = np.random.default_rng(0).random((30, 70))
    fitted, guided = guide(space, snapshot(space, X=X, y=cliff(X[:, :2])))
    assert guided is fitted


@pytest.mark.parametrize("noise", [np.full(30, 0.1), np.where(np.arange(30) < 3, 0.1, np.nan)], ids=["all", "some"])
def test_told_noise_does_without(box, seen, noise):
    fitted, guided = guide(box, seen(cliff, noise=noise))
    assert guided is fitted


@pytest.mark.parametrize("kind", ["noisy", "tied"])
def test_noisy_outcomes_and_ties_at_the_best_do_without(box, seen, monkeypatch, kind):
    data = seen(cliff)
    if kind == "noisy":
        monkeypatch.setattr(Strategy, "_noisy", lambda *_: True)
    else:
        data = replace(data, y=np.minimum(data.y, np.sort(data.y)[-2]))
    monkeypatch.setattr(surrogate_module.Surrogate, "guide", lambda *_: pytest.fail("looked at"))
    strategy(box).suggest(data, 1, 0)


def test_a_guide_that_takes_outcomes_for_noise_is_none(box, seen, monkeypatch):
    data, one = seen(cliff), strategy(box)

    def noisy(self, fitted):
        theta = fitted.theta.copy()
        theta[1] = theta[2]
        return replace(fitted, theta=theta)

    monkeypatch.setattr(surrogate_module.Surrogate, "guide", noisy)
    fitted = one._surrogate.get(data, CPU)
    assert one._guide(fitted) is None


def test_in_a_hurry_there_is_none(box, seen, monkeypatch):
    monkeypatch.setattr(surrogate_module.Surrogate, "guide", lambda *_: pytest.fail("looked at"))
    strategy(box).suggest(seen(cliff), 2, 0, True)


def test_without_compiled_code_there_is_none(box, seen, monkeypatch):
    monkeypatch.setattr(surrogate_module, "available", lambda: False)
    fitted, guided = guide(box, seen(cliff))
    assert guided is fitted


def test_its_fits_count_as_fitting(box, seen, monkeypatch):
    data, one = seen(cliff), strategy(box)
    monkeypatch.setattr(surrogate_module.Surrogate, "guide", lambda self, fitted: time.sleep(0.2) or fitted)
    one.predict(data, data.X)  # the other model is there
    _, report = one.suggest(data, 1, 0)
    assert 0.2 <= report.fit_seconds <= report.seconds - report.acquisition_seconds


@pytest.mark.parametrize("why", ["singular", "failed"])
def test_a_model_that_cannot_be_had_is_done_without(box, seen, monkeypatch, why):
    data = seen(cliff)
    one = strategy(box)
    fitted = one._surrogate.get(data, CPU)
    if why == "singular":

        def singular(*arguments):
            raise surrogate_module.NotPositiveDefinite

        monkeypatch.setattr(surrogate_module, "factorised", singular)
    else:
        monkeypatch.setattr(clipped, "fit", lambda *_: replace(fit(fitted.problem), log_posterior=-np.inf))
    assert one._surrogate.guide(fitted) is fitted
    rows, report = one.suggest(data, 1, 0)
    assert rows.shape == (1, 2)
    assert not report.message


def test_no_memory_for_it_is_told_and_loses_nothing(box, seen, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(surrogate_module.Surrogate, "guide", refuse)
    rows, report = strategy(box).suggest(seen(cliff), 1, 0)
    assert rows.shape == (1, 2)
    assert "no model of clipped outcomes" in report.message


def test_outcomes_that_are_alike_have_no_level(box, seen):
    fitted, guided = guide(box, seen(lambda X: np.where(X[:, 0] < 0.8, -1.0, X[:, 1])))  # most lie on the worst value
    assert guided is fitted
    assert all(clipped.clipped(fitted.problem, share) is None for share in clipped.LEVELS)


def test_the_level_is_the_share_and_the_unit_the_new_spread(box, seen):
    fitted, _ = guide(box, seen(cliff))
    made = clipped.clipped(fitted.problem, 0.5)
    assert made is not None
    other, unit = made
    raised = np.maximum(fitted.problem.y, np.median(fitted.problem.y))
    np.testing.assert_allclose(other.y, (raised - raised.mean()) / raised.std(ddof=1))
    np.testing.assert_allclose(unit, raised.std(ddof=1))


@pytest.mark.parametrize("share", clipped.LEVELS)
@pytest.mark.parametrize("n", [2, 8, 9, 30])
def test_the_level_is_numpys_quantile(n, share):
    values = np.random.default_rng(n).normal(size=n)
    np.testing.assert_allclose(clipped._quantile(values, share), np.quantile(values, share), rtol=1e-14)


def test_density_of_a_singular_model_is_no_reason(box, seen, monkeypatch):
    fitted, _ = guide(box, seen(cliff))
    posterior = factorised(fitted.problem, fitted.theta, CPU)
    monkeypatch.setattr(clipped, "leave_one_out", lambda _: (np.zeros(30), np.zeros(30)))
    assert clipped.predicted(posterior, clipped.better(fitted.problem)) == -np.inf


def test_a_study_goes_on_bit_for_bit_after_a_reload(box, seen, goes_on_alike):
    one = strategy(box)
    for n in range(20, 29):
        one.suggest(seen(cliff, n), 1, n)
    kept = one._surrogate.carry.aside
    assert {f"{CLIPPED} 0.25", f"{CLIPPED} 0.5"} <= kept.keys()
    assert any(name.startswith(f"{SUMS} {CLIPPED}") for name in kept)
    goes_on_alike(one, strategy(box), [seen(cliff, n) for n in (28, 29, 30)])  # the same once more, and others


def test_with_more_values_refits_become_rare(box, seen, monkeypatch):
    one, fits, original = strategy(box), [], clipped.refitted
    monkeypatch.setattr(clipped, "refitted", lambda *a, **named: fits.append(len(a[0].y)) or original(*a, **named))
    for n in range(88, 96):
        one._surrogate.guide(one._surrogate.get(seen(cliff, n), CPU))
        one._surrogate.commit()
    assert sorted(set(fits)) == [88, 89, 91, 93, 95]


def test_refits_are_rare_where_they_promise_nothing(box, seen, monkeypatch):
    one, fits, original = strategy(box), [], clipped.refitted
    monkeypatch.setattr(clipped, "refitted", lambda *a, **named: fits.append(len(a[0].y)) or original(*a, **named))
    monkeypatch.setattr(surrogate_module, "_judged", lambda *_, **named: (None, -np.inf))
    for n in range(20, 29):
        one._surrogate.guide(one._surrogate.get(seen(cliff, n), CPU))
        one._surrogate.commit()
    assert sorted(set(fits)) == [20, 24, 28]


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_the_unit_of_outcomes_changes_nothing(box, seen, factor):
    data = seen(cliff)
    scaled = replace(data, y=factor * data.y)
    np.testing.assert_array_equal(strategy(box).suggest(data, 1, 0)[0], strategy(box).suggest(scaled, 1, 0)[0])


def test_a_basin_beside_a_cliff_is_found():
    def regret(x):
        return float(-cliff(np.array([x]))[0])

    result = gpbo.minimize(regret, Space.from_bounds([0.0] * 2, [1.0] * 2), n=30, seed=0)
    assert result.fun < 1e-3
