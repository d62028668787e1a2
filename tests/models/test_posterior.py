"""Both posteriors against BoTorch's, and bordered updates against a fresh factorisation."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gpbo.models import torch_posterior
from gpbo.models.compiled_fit import maximise_posterior
from gpbo.models.compiled_objective import factorise, solve_factor
from gpbo.models.compiled_posterior import append_rows, whitened_rows
from gpbo.models.exact import Problem, build_model
from gpbo.models.fit import fit
from gpbo.models.host_posterior import NUGGET, HostPosterior
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo.numerics.buckets import bucket
from gpbo_kernels import KINDS, covariance

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
BOTH = [
    pytest.param(HostPosterior, id="host", marks=needs_numba),
    pytest.param(lambda problem, theta: TorchPosterior(problem, theta, CPU), id="torch"),
]


def joint(posterior, kind, theta, U):
    """Posterior covariance of the latent function at U, from whitened rows."""
    if isinstance(posterior, HostPosterior):
        V = posterior.whiten(U)[:, : posterior.m]
    else:
        V = posterior.solve(posterior.covariance(posterior.tensor(U) * posterior.inverse, posterior.Z)[0]).numpy()
    points = torch.as_tensor(U)
    prior = np.exp(theta[2]) * covariance(kind, points, points, torch.as_tensor(np.exp(theta[3:]))[None]).numpy()
    return prior - V @ V.T


def subset(problem, rows):
    known = None if problem.known is None else problem.known[rows]
    return replace(problem, X=problem.X[rows], y=problem.y[rows], known=known)


def assert_same(one, other, U, atol=1e-8):
    for mine, theirs in zip(one.predict(U), other.predict(U), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (30, 4), (150, 20)])
def test_mean_variance_and_covariance_equal_botorch(make, kind, infer, n, d, make_problem, stock_model):
    problem, theta = make_problem(n, d, kind=kind, infer=infer)
    U = np.random.default_rng(1).random((9, d))
    posterior = make(problem, theta)
    mean, variance = posterior.predict(U)
    # GPyTorch's own Matern-1/2 is inexact where points coincide (see test_objective)
    for model, atol in (
        (build_model(problem, theta), 1e-8),
        (stock_model(problem, theta).eval(), 1e-6 if kind == "matern12" else 1e-8),
    ):
        with torch.no_grad():
            expected = model.posterior(torch.as_tensor(U))
        np.testing.assert_allclose(mean, expected.mean.numpy()[:, 0], rtol=0, atol=atol)
        np.testing.assert_allclose(variance, expected.variance.numpy()[:, 0], rtol=0, atol=atol)
        covariance_ = expected.distribution.covariance_matrix.detach().numpy()
        np.testing.assert_allclose(joint(posterior, kind, theta, U), covariance_, rtol=0, atol=atol)


@pytest.mark.parametrize("make", BOTH)
def test_smoothed_is_the_posterior_mean_at_the_observations(make, make_problem):
    problem, theta = make_problem(40, 3, infer=False)
    posterior = make(problem, theta)
    np.testing.assert_allclose(posterior.smoothed(problem.y), posterior.predict(problem.X)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
def test_observed_one_by_one_is_a_fresh_factorisation(make, infer, make_problem):
    problem, theta = make_problem(60, 4, infer=infer)
    grown = make(subset(problem, slice(0, 20)), theta)
    for row in range(20, 60):
        grown.observe(problem.X[: row + 1], problem.noise(theta)[: row + 1], problem.y[: row + 1])
    U = np.random.default_rng(2).random((20, 4))
    assert_same(grown, make(problem, theta), U, 1e-10)
    assert grown.n == grown.m == 60


@pytest.mark.parametrize("make", BOTH)
def test_conditioned_points_are_observations_without_noise(make, make_problem):
    problem, theta = make_problem(25, 3, infer=False)
    rng = np.random.default_rng(3)
    P, U = rng.random((6, 3)), rng.random((20, 3))
    posterior = make(problem, theta)
    at_P = posterior.predict(P)[0]
    before = posterior.predict(U)
    posterior.condition(P)
    mean, variance = posterior.predict(U)
    np.testing.assert_allclose(mean, before[0], rtol=0, atol=1e-12)  # an outcome as believed teaches the mean nothing
    # the floor on known noise stands for none in the model that is built afresh
    known = np.concatenate([problem.known, np.full(6, 1e-6)])
    fresh = make(Problem(problem.spec, np.vstack([problem.X, P]), np.concatenate([problem.y, at_P]), known), theta)
    np.testing.assert_allclose(variance, fresh.predict(U)[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(posterior.predict(P)[1], 0.0, atol=1e-8)


@pytest.mark.parametrize("make", BOTH)
def test_release_restores_the_posterior_exactly(make, make_problem):
    problem, theta = make_problem(25, 3)
    rng = np.random.default_rng(4)
    posterior, U = make(problem, theta), rng.random((20, 3))
    before = posterior.predict(U)
    posterior.condition(rng.random((40, 3)))
    assert posterior.m == 65
    posterior.release()
    assert posterior.m == posterior.n == 25
    for then, now in zip(before, posterior.predict(U), strict=True):
        np.testing.assert_array_equal(then, now)
    noise = np.append(problem.noise(theta), 1e-3)
    posterior.observe(np.vstack([problem.X, problem.X[:1] * 0.5]), noise, np.append(problem.y, 0.3))
    longer = Problem(problem.spec, np.vstack([problem.X, problem.X[:1] * 0.5]), np.append(problem.y, 0.3))
    alike = replace(longer, known=np.append(np.full(25, np.exp(theta[1])), 1e-3))
    assert_same(posterior, make(alike, theta), U, 1e-10)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("log_noise", [-3.0, -12.0])
def test_no_drift_over_500_appended_rows(make, log_noise, make_problem):
    problem, theta = make_problem(520, 3)
    theta[1] = log_noise
    grown = make(subset(problem, slice(0, 20)), theta)
    for row in range(20, 520, 50):
        end = row + 50
        grown.observe(problem.X[:end], np.full(end, np.exp(log_noise)), problem.y[:end])
    U = np.random.default_rng(5).random((50, 3))
    assert_same(grown, make(problem, theta), U, 1e-8)


@pytest.mark.parametrize("make", BOTH)
def test_the_same_point_conditioned_on_again_and_again_stays_finite(make, make_problem):
    problem, theta = make_problem(10, 2)
    posterior = make(problem, theta)
    posterior.condition(np.tile(problem.X[:1], (20, 1)))
    mean, variance = posterior.predict(np.random.default_rng(6).random((30, 2)))
    assert np.isfinite(mean).all()
    assert (variance > 0.0).all()


@pytest.mark.parametrize("make", BOTH)
def test_exact_duplicates_without_noise_are_factorised_with_jitter(make, make_problem):
    problem, theta = make_problem(30, 2, kind="rbf")
    problem.X[15:] = problem.X[:15]
    problem.y[15:] = problem.y[:15]
    theta[1] = -46.0
    mean, _ = make(problem, theta).predict(problem.X)
    np.testing.assert_allclose(mean, problem.y, atol=1e-3)


@needs_numba
def test_near_duplicates_at_the_noise_floor_agree_between_the_twins(make_problem):
    problem, theta = make_problem(60, 2, kind="rbf")
    problem.X[30:] = problem.X[:30] + 1e-7
    problem.y[30:] = problem.y[:30]
    theta[1] = np.log(1e-8)
    U = np.random.default_rng(7).random((40, 2))
    one, other = HostPosterior(problem, theta), TorchPosterior(problem, theta, CPU)
    assert_same(one, other, U, 1e-6)
    with torch.no_grad():
        model = build_model(problem, theta)
        mean = model.posterior(torch.as_tensor(U)).mean.numpy()[:, 0]
    np.testing.assert_allclose(one.predict(U)[0], mean, atol=1e-5)


@needs_numba
def test_read_only_and_one_dimensional_data_are_not_compiled_for_again(make_problem):
    def run(d, writeable):
        problem, theta = make_problem(12, d)
        problem.X.flags.writeable = problem.y.flags.writeable = writeable
        fit(problem)
        posterior = HostPosterior(subset(problem, slice(0, 10)), theta)
        posterior.predict(problem.X)
        posterior.observe(problem.X, np.full(12, 0.1), problem.y)
        posterior.condition(problem.X[:1])
        return [len(f.signatures) for f in (maximise_posterior, factorise, whitened_rows, append_rows, solve_factor)]

    assert run(3, True) == run(3, False) == run(1, True) == run(1, False)


def grown(problem, theta, base, groups, room=0, conditioned=0):
    """A posterior that was factorised with ``base`` observations and told the others in groups."""
    posterior, n = HostPosterior(subset(problem, slice(0, base)), theta, room=room), base
    for group in groups:
        n = min(n + group, len(problem.y))
        posterior.observe(problem.X[:n], problem.noise(theta)[:n], problem.y[:n])
        posterior.condition(0.5 * problem.X[:conditioned])
        posterior.release()
    assert posterior.n == len(problem.y)
    return np.tril(posterior.L[:n, :n]), posterior.beta[:n], posterior.Z[:, :n]


@needs_numba
@pytest.mark.parametrize("base", [1, 20, 64, 131])
@pytest.mark.parametrize("infer", [True, False], ids=["inferred", "known"])
@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_no_bit_of_the_factor_depends_on_how_tells_were_grouped(kind, infer, base, make_problem):
    problem, theta = make_problem(base + 200, 3, kind=kind, infer=infer)
    once = grown(problem, theta, base, [200])
    uneven = np.random.default_rng(1).integers(1, 20, 60)
    for groups in ([1] * 200, [7] * 29, [63] * 4, [64] * 4, [65] * 4, [100, 100], uneven):
        for part, expected in zip(grown(problem, theta, base, groups), once, strict=True):
            np.testing.assert_array_equal(part, expected)


@needs_numba
@pytest.mark.parametrize(("room", "conditioned"), [(1000, 0), (0, 70), (511, 33)])
def test_no_bit_of_the_factor_depends_on_its_room_or_on_points_conditioned_on(room, conditioned, make_problem):
    problem, theta = make_problem(250, 3)
    once = grown(problem, theta, 50, [200])
    for part, expected in zip(grown(problem, theta, 50, [9] * 23, room, conditioned), once, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_no_bit_of_the_torch_factor_depends_on_grouping_or_on_points_conditioned_on(make_problem):
    problem, theta = make_problem(90, 3)
    found = []
    for groups, conditioned in (([60], 0), ([1] * 60, 0), ([7] * 9, 5)):
        posterior, n = TorchPosterior(subset(problem, slice(0, 30)), theta, CPU), 30
        for group in groups:
            posterior.condition(0.5 * problem.X[:conditioned])
            posterior.release()
            n = min(n + group, 90)
            posterior.observe(problem.X[:n], problem.noise(theta)[:n], problem.y[:n])
        found.append((posterior.L.numpy(), posterior.beta.numpy(), *posterior.predict(problem.X[:9] * 0.9)))
    for other in found[1:]:
        for part, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(part, expected)


@needs_numba
@pytest.mark.parametrize("k", [3, 64, 150])
def test_conditioning_at_once_is_conditioning_one_by_one(k, make_problem):
    problem, theta = make_problem(40, 3)
    rng = np.random.default_rng(3)
    P, U = rng.random((k, 3)), rng.random((20, 3))
    together, single = HostPosterior(problem, theta), HostPosterior(problem, theta)
    together.condition(P)
    for u in P:
        single.condition(u[None])
    assert_same(together, single, U, 1e-10)
    np.testing.assert_allclose(together.covariance(U, 40), single.covariance(U, 40), rtol=0, atol=1e-15)


@pytest.mark.parametrize("make", BOTH)
def test_rewinding_keeps_what_came_before(make, make_problem):
    problem, theta = make_problem(30, 3)
    rng = np.random.default_rng(3)
    P, U = rng.random((60, 3)), rng.random((20, 3))
    posterior = make(problem, theta)
    posterior.condition(P[:5])
    before = posterior.predict(U)
    posterior.condition(P[5:])
    posterior.rewind(35)
    assert (posterior.n, posterior.m) == (30, 35)
    for then, now in zip(before, posterior.predict(U), strict=True):
        np.testing.assert_array_equal(then, now)


@pytest.mark.parametrize("make", BOTH)
def test_weights_solve_for_the_residual_of_prior_paths(make, make_problem):
    problem, theta = make_problem(40, 3, infer=False)
    posterior = make(problem, theta)
    prior = torch.randn(7, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = torch.as_tensor(problem.X)
    K = np.exp(theta[2]) * covariance(problem.spec.kind, points, points, torch.as_tensor(np.exp(theta[3:]))[None])
    K = K + torch.diag(torch.as_tensor(problem.noise(theta)))
    expected = torch.linalg.solve(K, (torch.as_tensor(problem.y) - theta[0] - prior).mT).mT
    torch.testing.assert_close(posterior.weights(prior), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.stationary().Z, points * torch.as_tensor(np.exp(-theta[3:])))


@pytest.mark.parametrize("make", BOTH)
def test_thousands_of_conditioned_points_of_a_smooth_function_leave_the_factor_bounded(make, make_problem):
    problem, theta = make_problem(20, 4, kind="rbf")
    theta[1], theta[3:] = np.log(1e-8), np.log(1.5)
    posterior = make(problem, theta)
    rng = np.random.default_rng(0)
    for _ in range(6):
        posterior.condition(rng.random((200, 4)))
    _, variance = posterior.predict(rng.random((50, 4)))
    assert np.isfinite(variance).all()
    rows = np.asarray(posterior.L[: posterior.m, : posterior.m])
    assert np.abs(np.tril(rows)).max() <= 1.1 * np.sqrt(posterior.scale)


# Padding ---------------------------------------------------------------------------------------------------------

BOUNDARIES = [31, 32, 33, 63, 64, 65, 128, 129, 256, 257]


def unpadded(monkeypatch):
    monkeypatch.setattr(torch_posterior, "bucket", lambda n: max(1, n))


def inverse_holds(posterior):
    m = posterior.m
    eye = np.eye(m)
    np.testing.assert_allclose((posterior.Li[:m, :m] @ posterior.L[:m, :m]).numpy(), eye, rtol=0, atol=1e-9)
    assert not posterior.Li[m:].any()
    assert not posterior.Li[:, m:].any()
    assert not posterior.beta[m:].any()
    assert len(posterior.Z) == len(posterior.L) == len(posterior.Li) == len(posterior.beta) == bucket(m)


@pytest.mark.parametrize("n", BOUNDARIES)
@pytest.mark.parametrize("condition", [1e5, 0.0], ids=["inverse", "solves"])
def test_padding_changes_no_more_than_the_last_bits(n, condition, make_problem, monkeypatch):
    problem, theta = make_problem(n + 5, 2, kind="rbf")
    monkeypatch.setattr(torch_posterior, "_WELL_CONDITIONED", condition)
    U, P = np.random.default_rng(1).random((20, 2)), np.random.default_rng(2).random((7, 2))

    def run():
        posterior = TorchPosterior(subset(problem, slice(0, n)), theta, CPU)
        assert (posterior.Li is None) == (condition == 0.0)
        found = [*posterior.predict(U), posterior.smoothed(problem.y[:n])]
        posterior.observe(problem.X, problem.noise(theta), problem.y)
        found += posterior.predict(U)
        posterior.condition(P[:1])
        posterior.condition(P[1:])
        found += posterior.predict(U)
        posterior.rewind(posterior.n + 2)
        found += posterior.predict(U)
        return found

    padded = run()
    with monkeypatch.context() as patch:
        unpadded(patch)
        plain = run()
    for one, other in zip(padded, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", BOUNDARIES)
def test_the_inverse_follows_the_factor_over_every_change(n, make_problem):
    problem, theta = make_problem(n + 3, 3)
    posterior = TorchPosterior(subset(problem, slice(0, n)), theta, CPU)
    inverse_holds(posterior)
    posterior.condition(np.random.default_rng(1).random((70, 3)))
    inverse_holds(posterior)
    posterior.condition(np.random.default_rng(2).random((1, 3)))
    inverse_holds(posterior)
    posterior.rewind(n + 1)
    inverse_holds(posterior)
    posterior.release()
    inverse_holds(posterior)
    posterior.observe(problem.X, problem.noise(theta), problem.y)
    inverse_holds(posterior)
    assert posterior.n == posterior.m == n + 3


@pytest.mark.parametrize("base", [1, 20, 64, 131])
@pytest.mark.parametrize("log_noise", [-3.0, -16.0])
def test_no_bit_on_a_device_depends_on_how_tells_were_grouped(base, log_noise, make_problem):
    problem, theta = make_problem(base + 200, 3)
    theta[1] = log_noise

    def run(groups):
        posterior, n = TorchPosterior(subset(problem, slice(0, base)), theta, CPU), base
        for group in groups:
            n = min(n + group, len(problem.y))
            posterior.observe(problem.X[:n], problem.noise(theta)[:n], problem.y[:n])
            posterior.condition(0.5 * problem.X[:3])
            posterior.release()
        assert posterior.n == len(problem.y)
        return posterior.L, posterior.Li, posterior.beta, posterior.Z

    once = run([200])
    for groups in ([1] * 200, [7] * 29, [63] * 4, [64] * 4, [65] * 4, [100, 100]):
        for part, expected in zip(run(groups), once, strict=True):
            assert part is expected is None or torch.equal(part, expected)


def test_conditioned_points_do_not_reach_what_the_observations_say(make_problem):
    problem, theta = make_problem(40, 3)
    posterior, prior = TorchPosterior(problem, theta, CPU), torch.randn(3, 40, dtype=torch.float64)
    weights, smoothed = posterior.weights(prior), posterior.smoothed(problem.y)
    posterior.condition(np.random.default_rng(1).random((30, 3)))
    posterior.beta[45:50] = -1.0  # points that failed
    torch.testing.assert_close(posterior.weights(prior), weights, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(posterior.smoothed(problem.y), smoothed, rtol=0, atol=1e-10)


def test_without_memory_for_an_inverse_there_are_solves(make_problem, monkeypatch):
    problem, theta = make_problem(100, 3)
    U = np.random.default_rng(1).random((20, 3))
    whole = TorchPosterior(problem, theta, CPU)
    with memory.budget(2 * 8 * bucket(100) ** 2, CPU) as budget:
        limited = TorchPosterior(problem, theta, CPU)
        assert limited.Li is None
        assert not budget.refusals
        assert_same(limited, whole, U, 1e-10)

    def refuse(*_arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch_posterior, "invert_lower", refuse)
    with memory.budget(None, CPU) as budget:
        limited = TorchPosterior(problem, theta, CPU)
        assert_same(limited, whole, U, 1e-10)
    assert budget.refusals == ["triangular solves instead of an inverse"]


def test_a_block_that_rounding_makes_indefinite_is_conditioned_on_row_by_row(make_problem):
    problem, theta = make_problem(10, 2)
    posterior = TorchPosterior(problem, theta, CPU)
    posterior.condition(np.tile(problem.X[:1], (40, 1)) + 1e-12 * np.arange(40)[:, None])
    mean, variance = posterior.predict(np.random.default_rng(6).random((30, 2)))
    assert np.isfinite(mean).all()
    assert (variance > 0.0).all()
    assert (posterior.L.diagonal()[10:50] >= np.sqrt(NUGGET * posterior.scale) * (1.0 - 1e-12)).all()


class LiveBytes(TorchDispatchMode):
    """Counts the memory of the tensors that are alive."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage._cdata)
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, key, size):
        self.live -= size
        self.known.discard(key)


def test_a_model_of_thirty_thousand_takes_less_than_forty_gigabytes(make_problem):
    """Counted in matrices, for a smaller one: factor, inverse, and what they take while they are made and grow."""
    problem, theta = make_problem(1500, 6)
    with memory.budget(None, CPU) as budget, LiveBytes() as count:
        budget.piece = 2**20  # pieces are small beside the matrices at 30,000
        posterior = TorchPosterior(problem, theta, CPU)
        size = bucket(1500)
        posterior.condition(np.random.default_rng(1).random((size - 1500 + 1, 6)))
        assert len(posterior.Z) > size
    assert posterior.Li is not None
    assert count.peak / (8 * size**2) * 8 * bucket(30_000) ** 2 < 40e9


# On a GPU --------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("n", [33, 500, 2000])
def test_a_gpu_predicts_as_the_cpu_does(n, make_problem):
    problem, theta = make_problem(n + 3, 6)
    U = np.random.default_rng(1).random((50, 6))

    def run(device):
        posterior = TorchPosterior(subset(problem, slice(0, n)), theta, device)
        posterior.observe(problem.X, problem.noise(theta), problem.y)
        posterior.condition(U[:5])
        return posterior

    assert_same(run(torch.device("cuda")), run(CPU), U, 1e-9)
