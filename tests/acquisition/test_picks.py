"""Picks from a screen and conditioning in sequence: on the device as one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo.acquisition import torch_picks
from gpbo.acquisition.improvement import HostImprovement, base_normals
from gpbo.acquisition.picks import follow_one_by_one, pick_one_by_one
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo_kernels import KINDS

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")


def host(problem, theta, best, normals):
    return HostImprovement(HostPosterior(problem, theta), best, normals)


def plain_torch(problem, theta, best, normals):
    return TorchImprovement(TorchPosterior(problem, theta, CPU), best, normals)


TWINS = [pytest.param(host, id="host", marks=needs_numba), pytest.param(plain_torch, id="torch")]


def points(n, d=3, seed=1):
    return np.random.default_rng(seed).random((n, d))


def make(twin, kind="matern52", log_noise=-6.0, best=1.0, before=2, rows=12):
    """An acquisition with something believed, failed and, if ``before``, fantasised."""
    rng = np.random.default_rng(0)
    X = rng.random((30, 3))
    y = np.sin(4 * X[:, 0]) - ((X - 0.4) ** 2).sum(1)
    theta = np.zeros(6)
    theta[:3] = 0.1, log_noise, 0.2
    theta[3:] = np.log(0.4 * np.sqrt(3)) + 0.2 * rng.standard_normal(3)
    problem = Problem(default_spec(kind, 3), X, (y - y.mean()) / y.std())
    acquisition = twin(problem, theta, best, base_normals(rows, 64, 3))
    acquisition.believe(points(2, seed=5))
    acquisition.disappoint(points(1, seed=6), 0.5)
    acquisition.fantasise(points(before, seed=7))
    return acquisition


def assert_same_marks(found, expected, tolerance=1e-10):
    assert [mark.m for mark in found] == [mark.m for mark in expected]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.broadcast_to(mine.best, theirs.best.shape), theirs.best, rtol=0, atol=tolerance)


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("log_noise", [-2.0, -9.0])
@pytest.mark.parametrize("kind", KINDS)
def test_picks_on_the_device_are_those_one_by_one(kind, log_noise, before):
    U, found, V = points(60, seed=9), [], points(20, seed=10)
    for method in (torch_picks.pick_on_device, pick_one_by_one):
        acquisition = make(plain_torch, kind, log_noise, before=before)
        screen = acquisition.screen(U)
        rows, marks = method(acquisition, screen, screen.values(), 15)  # more than there are base samples for
        found.append((rows, marks, acquisition.values(V)))
    assert found[0][0] == found[1][0]
    assert_same_marks(found[0][1], found[1][1])
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("twin", TWINS)
def test_all_picks_but_the_last_are_conditioned_on(twin):
    acquisition, U, V = make(twin), points(40, seed=9), points(20, seed=10)
    screen, m = acquisition.screen(U), acquisition.posterior.m
    values = screen.values()
    rows, marks = acquisition.pick(screen, values, 6)
    assert len(set(rows)) == 6
    assert rows[0] == values.argmax()
    assert [mark.m for mark in marks] == [m + i for i in range(6)]
    assert acquisition.posterior.m == m + 5
    fresh = make(twin)
    fresh.fantasise(U[rows[:-1]])
    np.testing.assert_allclose(acquisition.values(V), fresh.values(V), rtol=1e-8, atol=1e-8)
    acquisition.rewind(marks[2])
    fresh.rewind(marks[0])
    fresh.fantasise(U[rows[:2]])
    np.testing.assert_allclose(acquisition.values(V), fresh.values(V), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("twin", TWINS)
def test_one_pick_is_the_best_value_and_conditions_on_nothing(twin):
    acquisition = make(twin)
    screen, m = acquisition.screen(points(40, seed=9)), acquisition.posterior.m
    rows, marks = acquisition.pick(screen, screen.values(), 1)
    assert rows == [screen.values().argmax()]
    assert marks[0].m == acquisition.posterior.m == m


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("twin", TWINS)
def test_following_is_conditioning_one_by_one(twin, count):
    U, V, found = points(count, seed=9), points(20, seed=10), []
    for method in ("follow", None):
        acquisition = make(twin)
        marks = acquisition.follow(U) if method else follow_one_by_one(acquisition, U)
        found.append((marks, acquisition.values(V), acquisition.mark()))
    assert_same_marks(found[0][0], found[1][0])
    assert_same_marks([found[0][2]], [found[1][2]])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-8, atol=1e-8)


def test_following_nothing_is_nothing():
    acquisition = make(plain_torch)
    before = acquisition.mark()
    assert acquisition.follow(points(0)) == []
    assert_same_marks([acquisition.mark()], [before])


def picks_in(acquisition, q=5):
    screen = acquisition.screen(points(40, seed=9))
    return acquisition.pick(screen, screen.values(), q)[0]


def test_little_memory_gives_the_same_picks(monkeypatch):
    expected, calls = picks_in(make(plain_torch)), []
    original = torch_picks.pick_one_by_one
    monkeypatch.setattr(torch_picks, "pick_one_by_one", lambda *given: calls.append(1) or original(*given))
    with memory.budget(20_000, CPU):
        assert picks_in(make(plain_torch)) == expected
    assert len(calls) == 1

    def refuse(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch_picks, "_picked", refuse)
    assert picks_in(make(plain_torch)) == expected
    assert len(calls) == 2


def test_an_undefined_acquisition_is_refused():
    acquisition = make(plain_torch)
    acquisition.best[:] = np.nan
    with pytest.raises(ArithmeticError, match="undefined"):
        picks_in(acquisition)


def test_another_acquisition_picks_by_its_own_values():
    class Lowest(TorchImprovement):
        def values(self, U):
            return -super().values(U)

    def lowest(problem, theta, best, normals):
        return Lowest(TorchPosterior(problem, theta, CPU), best, normals)

    acquisition = make(lowest)
    screen = acquisition.screen(points(40, seed=9))
    values = screen.values()
    assert acquisition.pick(screen, values, 2)[0][0] == values.argmax()
    assert acquisition.pick(screen, values, 2)[0] != picks_in(make(plain_torch), 2)


@pytest.mark.gpu
def test_picks_on_a_gpu_are_those_on_the_host():
    def on_gpu(problem, theta, best, normals):
        return TorchImprovement(TorchPosterior(problem, theta, torch.device("cuda")), best, normals)

    U, found = points(300, seed=9), []
    for twin in (on_gpu, plain_torch):
        acquisition = make(twin)
        screen = acquisition.screen(U)
        found.append(acquisition.pick(screen, screen.values(), 20))
    assert found[0][0] == found[1][0]
    assert_same_marks(found[0][1], found[1][1], 1e-8)
