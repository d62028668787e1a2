"""Blocks of picks: prefixes, rewinding, screens that follow in one product."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo.acquisition.improvement import HostImprovement, base_normals
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


def make(n=30, d=3, kind="matern52", log_noise=-6.0):
    rng = np.random.default_rng(0)
    X = rng.random((n, d))
    y = np.sin(4 * X[:, 0]) - ((X - 0.4) ** 2).sum(1)
    theta = np.zeros(d + 3)
    theta[:3] = 0.1, log_noise, 0.2
    theta[3:] = np.log(0.4 * np.sqrt(d)) + 0.2 * rng.standard_normal(d)
    return Problem(default_spec(kind, d), X, (y - y.mean()) / y.std()), theta


def points(n, d=3, seed=1):
    return np.random.default_rng(seed).random((n, d))


def prepared(twin, problem, theta, best=1.0, normals=None, believed=2):
    """An acquisition with something believed, failed and fantasised before the block."""
    acquisition = twin(problem, theta, best, base_normals(20, 64, 3) if normals is None else normals)
    acquisition.believe(points(believed, seed=5))
    acquisition.disappoint(points(1, seed=6), 0.5)
    acquisition.fantasise(points(2, seed=7))
    return acquisition


def block(acquisition, picks):
    """Marks before each of the picks, all of which are conditioned on."""
    marks = []
    for pick in picks:
        marks.append(acquisition.mark())
        acquisition.fantasise(pick[None])
    return marks


# Prefixes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("best", [1.0, None], ids=["incumbent", "fantasies only"])
@pytest.mark.parametrize("log_noise", [-2.0, -9.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_is_the_acquisition_before_its_pick(twin, kind, log_noise, best):
    problem, theta = make(kind=kind, log_noise=log_noise)
    picks, U = points(9, seed=8), points(9, seed=9)
    acquisition = prepared(twin, problem, theta, best)
    marks = block(acquisition, picks)
    values, gradients = acquisition.at(marks).values_and_gradients(U)
    np.testing.assert_allclose(acquisition.at(marks).values(U), values, rtol=1e-12, atol=1e-12)
    for r in range(9):
        fresh = prepared(twin, problem, theta, best)
        fresh.fantasise(picks[:r])
        value, gradient = fresh.values_and_gradients(U[r][None])
        np.testing.assert_allclose(values[r], value[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(gradients[r], gradient[0], rtol=1e-7, atol=1e-7 * max(1.0, np.abs(gradient).max()))


@pytest.mark.parametrize("twin", TWINS)
def test_the_first_prefix_of_a_study_without_fantasies_is_plain_log_ei(twin):
    problem, theta = make()
    acquisition = twin(problem, theta, 1.0, base_normals(9, 64, 3))
    U = points(1, seed=9)
    expected = acquisition.values_and_gradients(U)
    marks = block(acquisition, points(4, seed=8))
    for found, plain in zip(acquisition.at(marks[:1]).values_and_gradients(U), expected, strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
def test_rows_of_a_prefix_keep_their_ends_and_incumbents(twin):
    problem, theta = make()
    acquisition = prepared(twin, problem, theta)
    prefixes = acquisition.at(block(acquisition, points(5, seed=8)))
    U, rows = points(5, seed=9), np.array([4, 0, 0, 2, 3, 3])
    whole, some = prefixes.values_and_gradients(U), prefixes.of(rows).values_and_gradients(U[rows])
    for all_, part in zip(whole, some, strict=True):
        np.testing.assert_allclose(part, all_[rows], rtol=1e-10, atol=1e-10)
    single = prefixes.of(np.array([3])).values(U[[3]])
    np.testing.assert_allclose(single, whole[0][[3]], rtol=1e-10, atol=1e-10)


@needs_numba
@pytest.mark.parametrize("log_noise", [-2.0, -9.0])
@pytest.mark.parametrize("kind", KINDS)
def test_prefixes_of_the_twins_agree(kind, log_noise):
    problem, theta = make(kind=kind, log_noise=log_noise)
    picks, U, found = points(12, seed=8), points(12, seed=9), []
    for twin in (host, plain_torch):
        acquisition = prepared(twin, problem, theta)
        found.append(acquisition.at(block(acquisition, picks)).values_and_gradients(U))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-8, atol=1e-8 * np.abs(found[0][1]).max())


@pytest.mark.parametrize("twin", TWINS)
def test_gradient_of_prefixes_by_differences(twin):
    problem, theta = make(log_noise=-4.0)
    acquisition = prepared(twin, problem, theta)
    prefixes = acquisition.at(block(acquisition, points(10, seed=8)))
    U = points(10, seed=9)
    gradient = prefixes.values_and_gradients(U)[1]
    steps = 1e-6 * np.eye(3)
    numerical = np.stack([(prefixes.values(U + step) - prefixes.values(U - step)) / 2e-6 for step in steps], -1)
    scale = np.abs(gradient).max(1, keepdims=True)
    assert (np.abs(gradient - numerical) <= 1e-5 * scale + 1e-6).all()


@needs_numba
def test_pieces_of_many_values_keep_their_prefixes():
    problem, theta = make()
    acquisition = prepared(host, problem, theta)
    marks = block(acquisition, points(8, seed=8))
    owner, U = np.arange(200) % 8, points(200, seed=9)
    whole = acquisition.at(marks).of(owner).values(U)
    with memory.budget(None, CPU) as plan:
        plan.piece = 8 * acquisition.posterior.L.shape[0] * 7
        cut = acquisition.at(marks).of(owner).values(U)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=1e-12)


# Rewinding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("before", ["nothing", "fantasies"])
def test_rewinding_restores_every_bit(twin, before):
    problem, theta = make()
    if before == "nothing":
        acquisition = twin(problem, theta, 1.0, base_normals(20, 64, 3))
    else:
        acquisition = prepared(twin, problem, theta)
    U = points(20, seed=9)
    then, mark = acquisition.values_and_gradients(U), acquisition.mark()
    block(acquisition, points(70, seed=8))  # more than there are base samples, and than there is room for
    acquisition.rewind(mark)
    for old, new in zip(then, acquisition.values_and_gradients(U), strict=True):
        np.testing.assert_array_equal(old, new)
    acquisition.fantasise(points(3, seed=11))
    fresh = (
        twin(problem, theta, 1.0, base_normals(20, 64, 3)) if before == "nothing" else prepared(twin, problem, theta)
    )
    fresh.fantasise(points(3, seed=11))
    for one, other in zip(acquisition.values_and_gradients(U), fresh.values_and_gradients(U), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
def test_a_mark_is_not_touched_by_what_follows(twin):
    problem, theta = make()
    acquisition = prepared(twin, problem, theta)
    mark = acquisition.mark()
    best = np.asarray(mark.best).copy()
    block(acquisition, points(6, seed=8))
    np.testing.assert_array_equal(mark.best, best)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("q", [3, 64, 130])
def test_conditioning_in_blocks_is_conditioning_one_by_one(twin, q):
    problem, theta = make()
    U, P = points(15, seed=9), points(q, seed=8)
    normals = base_normals(150, 32, 3)
    together, single = (prepared(twin, problem, theta, normals=normals) for _ in range(2))
    together.fantasise(P)
    for u in P:
        single.fantasise(u[None])
    for one, other in zip(together.values_and_gradients(U), single.values_and_gradients(U), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * max(1.0, np.abs(other).max()))
    np.testing.assert_allclose(together.mark().best, single.mark().best, rtol=0, atol=1e-10)


# Screens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("steps", [(4,), (1, 6), (5, 1, 4), (3, 3, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_screen_that_is_extended_by_blocks_equals_the_acquisition(twin, kind, steps):
    problem, theta = make(kind=kind)
    U = points(50, seed=9)
    acquisition = prepared(twin, problem, theta, normals=base_normals(20, 16, 3))  # all its samples rank candidates
    screen = acquisition.screen(U)
    for index, step in enumerate(steps):
        acquisition.fantasise(points(step, seed=20 + index))
        np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-8, atol=1e-8)


@needs_numba
def test_a_screen_uses_the_first_samples_only():
    problem, theta = make()
    normals, U, P = base_normals(20, 128, 3), points(50, seed=9), points(6, seed=8)
    acquisition, few = (host(problem, theta, 1.0, each) for each in (normals, normals[:, :16]))
    screen = acquisition.screen(U)
    acquisition.fantasise(P)
    few.fantasise(P)
    np.testing.assert_allclose(screen.values(), few.values(U), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("believed", [1, 6])
@pytest.mark.parametrize("fantasised", [0, 1, 6])
def test_a_screen_follows_believed_failed_and_fantasised_points_at_once(twin, believed, fantasised):
    problem, theta = make()
    U = points(50, seed=9)
    acquisition = twin(problem, theta, 1.0, base_normals(20, 16, 3))
    screen = acquisition.screen(U)
    acquisition.believe(points(believed, seed=5))
    acquisition.disappoint(points(2, seed=6), 0.5)
    acquisition.fantasise(points(fantasised, seed=7))
    np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("step", [1, 5])
def test_a_shortlist_is_a_part_of_the_full_set(twin, step):
    problem, theta = make()
    acquisition = prepared(twin, problem, theta)
    screen = acquisition.screen(points(60, seed=9))
    full, rows = screen.values(), np.array([40, 3, 3, 17, 59])
    short = screen.shortlist(rows)
    np.testing.assert_array_equal(short.U, screen.U[rows])
    np.testing.assert_allclose(short.values(), full[rows], rtol=1e-12, atol=1e-12)
    before = acquisition.mark()
    acquisition.fantasise(points(step, seed=8))
    ahead = short.values()
    np.testing.assert_allclose(ahead, acquisition.screen(screen.U).values()[rows], rtol=1e-8, atol=1e-8)
    acquisition.rewind(before)  # the full set was not asked in between and is none the wiser
    np.testing.assert_allclose(screen.values(), full, rtol=1e-12, atol=1e-12)
    acquisition.fantasise(points(step, seed=8))
    np.testing.assert_allclose(screen.values()[rows], ahead, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("twin", TWINS)
def test_a_screen_survives_a_factor_that_outgrows_its_room(twin):
    problem, theta = make()
    acquisition = twin(problem, theta, 1.0, base_normals(100, 16, 3))
    U = points(30, seed=9)
    screen = acquisition.screen(U)
    for seed, count in enumerate((3, 40, 2, 50)):
        acquisition.fantasise(points(count, seed=30 + seed))
        np.testing.assert_allclose(screen.values(), acquisition.values(U), rtol=1e-7, atol=1e-7)
