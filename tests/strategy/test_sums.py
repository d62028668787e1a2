"""Points from a model with sums over single parameters: when, which, and the same after a reload."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from gpbo import Space
from gpbo.models.host_posterior import HostPosterior
from gpbo.numerics import available
from gpbo.numerics.rows import SUMS
from gpbo.strategy import Settings, Strategy, sums
from gpbo.strategy import surrogate as surrogate_module
from gpbo.strategy.composition import Composer

pytestmark = pytest.mark.skipif(not available(), reason="numba is not there")
CPU = torch.device("cpu")
NONE = np.empty((0, 3))


def strategy(space, **settings):
    return Strategy(space, Settings(**settings), 0)


@pytest.fixture
def used(monkeypatch):
    """The models with sums that a suggestion came from."""
    models = []
    original = surrogate_module.Surrogate.summed

    def summed(*arguments):
        models.append(original(*arguments))
        return models[-1]

    monkeypatch.setattr(surrogate_module.Surrogate, "summed", summed)
    return models


@pytest.fixture
def searched(monkeypatch):
    """Whether sums were searched on the whole space, and for how many points."""
    searches = []
    original = Composer.in_whole

    def in_whole(self, posterior, *, q, **named):
        searches.append((posterior.kind >= SUMS, q))
        return original(self, posterior, q=q, **named)

    monkeypatch.setattr(Composer, "in_whole", in_whole)
    return searches


@pytest.mark.parametrize(("n", "expected"), [(19, False), (20, True), (100, True), (101, False)])
def test_sums_need_values_enough_and_not_too_many(box, snapshot, n, expected):
    surrogate = strategy(box)._surrogate
    model = surrogate.summed(surrogate.get(snapshot(box, n), CPU), NONE)
    assert (model is not None) == expected
    assert model is None or (isinstance(model, HostPosterior) and model.kind >= SUMS)


def test_a_single_point_comes_from_sums(box, snapshot, used):
    strategy(box).suggest(snapshot(box), 1, 0)
    assert len(used) == 1
    assert used[0] is not None


def test_its_fit_counts_as_fitting(box, snapshot, monkeypatch):
    data, one = snapshot(box), strategy(box)
    monkeypatch.setattr(surrogate_module.Surrogate, "summed", lambda *_: time.sleep(0.2))
    one.predict(data, data.X)  # the other model is there
    _, report = one.suggest(data, 1, 0)
    assert 0.2 <= report.fit_seconds <= report.seconds - report.acquisition_seconds


@pytest.mark.parametrize(
    ("q", "expected"),
    [(1, [(True, 1)]), (2, [(False, 1), (True, 1)]), (5, [(False, 3), (True, 2)]), (8, [(False, 3), (True, 3)])],
)
def test_half_of_a_batch_does(box, snapshot, searched, q, expected):
    rows, _ = strategy(box).suggest(snapshot(box), q, 0)
    assert len(np.unique(rows, axis=0)) == q
    assert searched == expected  # of eight, two are from a region


def test_points_refused_to_the_sums_come_from_the_other_model(box, snapshot, searched, monkeypatch):
    original = Composer.in_whole

    def refused(self, posterior, *, q, **named):
        return q if posterior.kind >= SUMS else original(self, posterior, q=q, **named)

    monkeypatch.setattr(Composer, "in_whole", refused)
    rows, report = strategy(box).suggest(snapshot(box), 3, 0)
    assert searched == [(False, 2), (False, 1)]
    assert rows.shape == (3, 3)
    assert report.strategy == "LogEI"


def test_hurried_asks_do_without(box, snapshot, used):
    strategy(box).suggest(snapshot(box), 2, 0, True)
    assert not used


@pytest.mark.parametrize("noise", [np.full(20, 0.1), np.where(np.arange(20) < 3, 0.1, np.nan)], ids=["all", "some"])
def test_told_noise_does_without(box, snapshot, used, noise):
    strategy(box).suggest(snapshot(box, noise=noise), 1, 0)
    assert all(model is None for model in used)


def test_one_parameter_does_without(snapshot, used):
    line = Space.from_bounds([0.0], [1.0])
    X = np.random.default_rng(0).random((20, 1))
    strategy(line).suggest(snapshot(line, X=X, y=np.sin(5 * X[:, 0])), 1, 0)
    assert used == [None]


def test_without_compiled_code_there_are_none(box, snapshot, used, monkeypatch):
    monkeypatch.setattr(surrogate_module, "available", lambda: False)
    strategy(box).suggest(snapshot(box), 1, 0)
    assert used == [None]


def test_an_outcome_that_is_known_for_sure_keeps_nothing_away(box, snapshot):
    one = strategy(box)
    data = snapshot(box, 25)  # a sum, and without noise
    fitted = one._surrogate.get(data, CPU)
    near = data.X[:1] + 1e-6
    assert one._surrogate.summed(fitted, near) is None
    assert one._surrogate.summed(fitted, NONE) is not None


def test_a_study_goes_on_bit_for_bit_after_a_reload(box, snapshot, goes_on_alike):
    one = strategy(box)
    for n in range(20, 30):
        one.suggest(snapshot(box, n), 1, n)
    assert "sums" in one._surrogate.carry.aside
    goes_on_alike(one, strategy(box), [snapshot(box, n) for n in (29, 30, 31)])  # the same once more, and others


def test_looks_at_the_model_change_nothing(box, snapshot):
    one, other = strategy(box), strategy(box)
    for n in (21, 25):
        data = snapshot(box, n)
        one.predict(data, data.X)
        one.suggest(data, 2, n)
        other.suggest(data, 2, n)
        np.testing.assert_array_equal(one.suggest(data, 1, 9)[0], other.suggest(data, 1, 9)[0])


def test_a_singular_model_with_sums_is_done_without(box, snapshot, used, monkeypatch):
    def singular(*arguments, **named):
        raise sums.NotPositiveDefinite

    monkeypatch.setattr(sums, "HostPosterior", singular)
    rows, report = strategy(box).suggest(snapshot(box), 1, 0)
    assert used == [None]
    assert rows.shape == (1, 3)
    assert report.strategy == "LogEI"


def test_with_more_values_every_second_refit_brings_one_of_the_sums(box, snapshot, monkeypatch):
    one, fits = strategy(box), []
    original = sums.refitted
    monkeypatch.setattr(sums, "refitted", lambda *a, **named: fits.append(len(a[0].y)) or original(*a, **named))
    for n in (58, 59, 60, 61, 62, 63, 64):
        one._surrogate.summed(one._surrogate.get(snapshot(box, n), CPU), NONE)
        one._surrogate.commit()
    assert fits == [58, 59, 60, 62, 64]
