"""Outcome maps: increasing, invertible in distribution, independent of the outcome's scale."""

import numpy as np
import pytest
from scipy.stats import lognorm

from gpbo.transforms import MAPS, OutcomeMap, _median


@pytest.fixture
def outcomes() -> np.ndarray:
    return np.random.default_rng(0).standard_t(2, 50)


@pytest.mark.parametrize("kind", MAPS)
def test_targets_are_standardized_and_keep_the_order(kind, outcomes):
    t = OutcomeMap.of(outcomes, kind).forward(outcomes)
    assert t.mean() == pytest.approx(0.0, abs=1e-12)
    assert t.std(ddof=1) == pytest.approx(1.0)
    assert np.array_equal(np.argsort(t), np.argsort(outcomes))


@pytest.mark.parametrize("kind", MAPS)
def test_log_derivative_is_that_of_the_map(kind, outcomes):
    one = OutcomeMap.of(outcomes, kind)
    inner = np.sort(outcomes)[1:-1]
    inner = inner[np.abs(inner - np.median(outcomes)) > 1e-3]  # bilog has a kink in its second derivative there
    step = 1e-6
    slopes = (one.forward(inner + step) - one.forward(inner - step)) / (2 * step)
    exact = one.log_derivative(inner) - len(inner) * one.exponent * np.log(2.0)
    assert exact == pytest.approx(np.log(slopes).sum(), rel=1e-6)


@pytest.mark.parametrize("kind", MAPS)
def test_noise_is_carried_over_to_first_order(kind, outcomes):
    one = OutcomeMap.of(outcomes, kind)
    y, std = outcomes[5:8], np.full(3, 1e-4)
    change = (one.forward(y + std) - one.forward(y - std)) / 2
    np.testing.assert_allclose(np.sqrt(one.variance(y, std)), change, rtol=1e-3)


@pytest.mark.parametrize("kind", MAPS)
def test_a_certain_target_goes_back_to_its_outcome(kind, outcomes):
    one = OutcomeMap.of(outcomes, kind)
    mean, std = one.backward(one.forward(outcomes), np.zeros(50))
    np.testing.assert_allclose(mean, outcomes, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(std, 0.0, atol=1e-10)


def test_an_uncertain_target_of_the_logarithm_is_log_normal(outcomes):
    one = OutcomeMap.of(outcomes, "log")
    mean, std = one.backward(np.array([0.3]), np.array([0.2]))
    inner = lognorm(s=np.sqrt(0.2) * one.scale, scale=np.exp(-(0.3 * one.scale + one.shift)))
    expected = -(one.centre + one.width * (inner.mean() - 1.0)) * 2.0**one.exponent
    assert mean[0] == pytest.approx(expected, rel=1e-10)
    assert std[0] == pytest.approx(one.width * inner.std() * 2.0**one.exponent, rel=1e-6)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("factor", [2.0**-900, 2.0**40, 1e300])
def test_the_scale_of_the_outcome_does_not_matter(kind, factor, outcomes):
    one, other = OutcomeMap.of(outcomes, kind), OutcomeMap.of(outcomes * factor, kind)
    exact = factor != 1e300
    np.testing.assert_allclose(other.forward(outcomes * factor), one.forward(outcomes), rtol=0 if exact else 1e-9)
    plain, scaled = OutcomeMap.of(outcomes), OutcomeMap.of(outcomes * factor)
    advantage = one.log_derivative(outcomes) - plain.log_derivative(outcomes)  # what the evidence compares
    assert other.log_derivative(outcomes * factor) - scaled.log_derivative(outcomes * factor) == pytest.approx(
        advantage
    )


@pytest.mark.parametrize("y", [[3.0, 3.0, 3.0], [0.0, 0.0], [7.0], [-1e308, -1e308]])
def test_outcomes_without_spread_have_the_identity_only(y):
    y = np.array(y)
    assert OutcomeMap.of(y, "log") is None
    assert OutcomeMap.of(y, "bilog") is None
    np.testing.assert_array_equal(OutcomeMap.of(y).forward(y), 0.0)


def test_mostly_equal_outcomes_have_no_nonlinear_map():
    y = np.array([0.0, 0.0, 0.0, 0.0, -1.0])  # the median is the best: no width
    assert OutcomeMap.of(y, "log") is None
    assert OutcomeMap.of(y, "bilog") is None


def test_beyond_the_end_of_the_logarithm_nothing_is_finite():
    one = OutcomeMap.of(np.array([0.0, -1.0, -2.0]), "log")
    assert not np.isfinite(one.forward(np.array([1.5]))).any()


@pytest.mark.parametrize("n", [1, 2, 5, 8, 101])
def test_the_median_is_numpys(n):
    values = np.random.default_rng(n).normal(size=n)
    assert _median(values) == np.median(values)
