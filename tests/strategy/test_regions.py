"""Models of parts of the space: in the coordinates of the whole, exact, and searched where their points are."""

from __future__ import annotations

import math

import gpytorch
import numpy as np
import pytest
import torch

from gpbo import Categorical, Float, Int, Optimizer, Space
from gpbo.models.host_posterior import HostPosterior
from gpbo.numerics import available, memory
from gpbo.search.candidates import Candidates
from gpbo.search.greedy import Chosen
from gpbo.strategy import regions as regions_module
from gpbo.strategy import surrogate as surrogate_module
from gpbo.strategy.composition import Composer
from gpbo.strategy.regions import centres, enough, region_around, regions_around
from gpbo.strategy.surrogate import Surrogate
from gpbo.transforms import OutcomeMap

CPU = torch.device("cpu")
MIXED = Space({"x": Float(0, 1), "n": Int(0, 30), "c": Categorical(list("abc")), "k": Int(1, 4)})


def whole(space, data):
    return Surrogate(space.dim, ("rbf",)).get(data, CPU)


def around_best(space, data, *, kernel="rbf", noisy=False, turn=False):
    return region_around(data, whole(space, data), int(data.y.argmax()), kernel, noisy=noisy, turn=turn, device=CPU)


def kept_problem(monkeypatch):
    """Receives the problem and hyperparameters of the region that is made next."""
    kept, original = {}, regions_module.factorised

    def factorised(problem, theta, device):
        kept.update(problem=problem, theta=theta)
        return original(problem, theta, device)

    monkeypatch.setattr(regions_module, "factorised", factorised)
    return kept


NOISE = {
    "inferred": None,
    "known": np.linspace(0.01, 0.2, 90),
    "some": np.append(np.full(45, np.nan), np.full(45, 0.1)),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("kernel", ["rbf", "matern52"])
def test_predictions_equal_a_stock_model_with_the_same_hyperparameters(box, snapshot, kernel, noise, monkeypatch):
    data = snapshot(box, 90, noise=NOISE[noise])
    kept = kept_problem(monkeypatch)
    region = around_best(box, data, kernel=kernel, noisy=NOISE[noise] is not None)
    problem, theta = kept["problem"], kept["theta"]
    X, U = torch.as_tensor(problem.X), np.random.default_rng(1).random((20, 3))
    stock = {"rbf": gpytorch.kernels.RBFKernel, "matern52": gpytorch.kernels.MaternKernel}[kernel]
    base = stock(ard_num_dims=3)
    covariance = gpytorch.kernels.ScaleKernel(base).double()
    base.lengthscale, covariance.outputscale = torch.as_tensor(np.exp(theta[3:])), math.exp(theta[2])
    with torch.no_grad():
        K = covariance(X).to_dense() + torch.diag(torch.as_tensor(problem.noise(theta)))
        k, prior = covariance(torch.as_tensor(U), X).to_dense(), covariance(torch.as_tensor(U)).to_dense()
        mean = theta[0] + k @ torch.linalg.solve(K, torch.as_tensor(problem.y) - theta[0])
        variance = (prior - k @ torch.linalg.solve(K, k.mT)).diagonal()
    found = region.posterior.predict(U)
    np.testing.assert_allclose(found[0], mean.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], variance.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_points_of_a_region_are_observations_and_lie_in_its_box(box, snapshot, noisy):
    data = snapshot(box, 90, noise=np.full(90, 0.1) if noisy else None)
    region = around_best(box, data, noisy=noisy)
    rows = [int(np.flatnonzero((u == data.X).all(1))[0]) for u in region.ranked]
    assert len(set(rows)) == len(rows) < 90
    assert int(data.y.argmax()) == rows[0]
    assert (np.diff(data.y[rows]) <= 0.0).all()
    assert region.box.contains(region.ranked).all()
    assert (region.box.lower >= 0.0).all()
    assert (region.box.upper <= 1.0).all()
    assert (region.box.lower < region.box.upper).all()


def test_the_best_of_a_region_is_on_its_own_scale(box, snapshot):
    data = snapshot(box, 90)
    region = around_best(box, data)
    outcomes = np.array([data.y[(u == data.X).all(1)][0] for u in region.ranked])
    outcome_map = OutcomeMap.of(outcomes)
    assert region.best == pytest.approx(outcome_map.forward(outcomes).max())
    np.testing.assert_allclose(region.posterior.predict(region.ranked[:1])[0], region.best, atol=0.05)


def test_a_region_knows_more_of_its_neighbourhood_than_the_whole(box, snapshot):
    """A narrow peak on a wide slope: near the peak the region predicts better."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.random((60, 3)), 0.5 + 0.03 * rng.standard_normal((60, 3))])

    def f(U):
        return 50.0 * U[:, 0] - 1e3 * ((U - 0.5) ** 2).sum(1) + 0.5 * np.sin(60.0 * U[:, 1])

    data = snapshot(box, X=X, y=f(X))
    U = 0.5 + 0.02 * rng.standard_normal((200, 3))
    fitted = whole(box, data)
    centre = int(np.abs(X - 0.5).sum(1).argmin())
    region = region_around(data, fitted, centre, "rbf", noisy=False, turn=False, device=CPU)
    inside = np.array([data.y[(u == data.X).all(1)][0] for u in region.ranked])
    local = OutcomeMap.of(inside).backward(*region.posterior.predict(U))[0]
    at_large = fitted.outcome_map.backward(*fitted.posterior.predict(U))[0]
    assert np.abs(local - f(U)).mean() <= 1.1 * np.abs(at_large - f(U)).mean()


@pytest.mark.parametrize("value", [0.0, 3.0, -1e300])
def test_constant_outcomes_make_no_region(box, snapshot, value):
    data = snapshot(box, 60, y=np.full(60, value))
    assert around_best(box, data) is None


def test_outcomes_alike_nearby_make_no_region(box, snapshot):
    rng = np.random.default_rng(0)
    X = np.vstack([0.5 + 1e-3 * rng.random((40, 3)), rng.random((40, 3))])
    data = snapshot(box, X=X, y=np.append(np.full(40, 1.0), -rng.random(40)))
    fitted = whole(box, data)
    assert region_around(data, fitted, 0, "rbf", noisy=False, turn=False, device=CPU) is None


@pytest.mark.parametrize(
    "change",
    [
        {"X": np.tile([[0.2, 0.4, 0.6]], (60, 1)), "y": np.arange(60.0)},
        {"X": 0.5 + 1e-9 * np.arange(180.0).reshape(60, 3), "y": np.arange(60.0)},
        {"X": np.linspace(0, 1, 60)[:, None] * np.array([1.0, 0.0, 0.0]) + np.array([0.0, 0.5, 1.0])},
        {"y": np.append(np.zeros(59), 1e300)},
        {"y": 1.7e308 * np.linspace(-1, 1, 60)},
    ],
    ids=["identical points", "near duplicates", "two frozen coordinates", "outlier", "float64 limits"],
)
def test_awkward_regions_are_finite_or_none(box, snapshot, change):
    data = snapshot(box, 60, **change)
    region = around_best(box, data)
    if region is not None:
        mean, variance = region.posterior.predict(np.random.default_rng(1).random((9, 3)))
        assert np.isfinite(mean).all()
        assert np.isfinite(variance).all()
        assert (region.box.lower <= region.box.upper).all()
        assert region.box.contains(region.ranked).all()


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_centres_are_distinct_and_the_best_comes_first(box, snapshot, count):
    data = snapshot(box, 200)
    rows = centres(data, whole(box, data), count, data.y)
    assert rows[0] == data.y.argmax()
    assert 1 <= len(rows) <= count
    assert len(set(rows.tolist())) == len(rows)


def test_centres_of_a_single_place_are_one(box, snapshot):
    data = snapshot(box, X=np.tile([[0.2, 0.4, 0.6]], (30, 1)), y=np.arange(30.0))
    assert centres(data, whole(box, data), 4, data.y).tolist() == [29]


def test_small_studies_have_no_regions():
    assert not enough(11, 1)
    assert not enough(3 * 20 - 1, 20)
    assert enough(1000, 20)


@pytest.mark.parametrize("seed", range(3))
def test_points_of_a_region_in_a_mixed_space_are_feasible(snapshot, seed):
    data = snapshot(MIXED, 60, seed=seed)
    region = around_best(MIXED, data)
    rng = np.random.default_rng(seed)
    composer = Composer(MIXED, Candidates(MIXED), data, np.empty((0, MIXED.dim)), data.taken, rng)
    assert isinstance(composer.chosen, Chosen)
    composer.in_region(region, 20, 512)
    found = np.array(composer.chosen.points)
    np.testing.assert_array_equal(MIXED.snap(found), found)
    keys = set(MIXED.keys(found))
    assert len(keys) == 20
    assert not keys & data.taken
    assert region.posterior.m == region.posterior.n


def test_continuous_points_of_a_region_stay_in_its_box_and_away_from_pending_ones(box, snapshot):
    data = snapshot(box, 60)
    region = around_best(box, data)

    def picks(data, seed=0):
        composer = Composer(box, Candidates(box), data, np.empty((0, 3)), data.taken, np.random.default_rng(seed))
        composer.in_region(region, 5, 512)
        return np.array(composer.chosen.points)

    first = picks(data)
    assert region.box.contains(first).all()
    again = picks(snapshot(box, X=data.X, y=data.y, pending=first), seed=1)
    gaps = np.abs(first[:, None] - again[None]).max(-1)
    assert gaps.min() > 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_points_of_a_region_keep_away_from_pending_ones_whatever_their_categories(snapshot, seed):
    space = Space({"x": Float(0, 1), "c": Categorical(list("abc")), "k": Int(1, 4), "y": Float(0, 1)})
    X, pending = space.sample(np.random.default_rng(seed).random((60, 4))), np.empty((0, space.dim))
    y = -((X - 0.3) ** 2).sum(1) - 3.0 * X[:, 2]
    region, candidates = around_best(space, snapshot(space, X=X, y=y)), Candidates(space)
    box = region.box.of_points(space)
    for turn in range(2):
        seen = snapshot(space, X=X, y=y, pending=pending)
        rng = np.random.default_rng(10 * seed + turn)
        composer = Composer(space, candidates, seen, np.empty((0, space.dim)), seen.taken, rng)
        composer.in_region(region, 10, 1024)
        found = np.array(composer.chosen.points)
        assert box.contains(found).all()
        if turn:
            assert np.abs(found[:, None] - pending[None]).max(-1).min() > 1e-3
        pending = found


@pytest.mark.skipif(not available(), reason="numba is not there")
def test_a_region_has_the_best_posterior_there_is(box, snapshot):
    assert isinstance(around_best(box, snapshot(box, 60)).posterior, HostPosterior)


# Several at once ---------------------------------------------------------------------------------------------------


def several(data, box, monkeypatch, *, compiled, threads):
    """Regions around four centres, made together, and one by one."""
    monkeypatch.setattr(regions_module, "_size", lambda n, dim: min(n, 25))
    monkeypatch.setattr(regions_module, "_threads", lambda: threads)
    fitted = whole(box, data)
    rows = centres(data, fitted, 4, data.y).tolist()
    assert len(rows) == 4
    single = [region_around(data, fitted, row, "rbf", noisy=False, turn=False, device=CPU) for row in rows]
    if not compiled:
        for module in (regions_module, surrogate_module):
            monkeypatch.setattr(module, "available", lambda: False)
    together = list(regions_around(data, fitted, rows, "rbf", noisy=False, turn=False, device=CPU))
    return together, single


@pytest.mark.skipif(not available(), reason="numba is not there")
@pytest.mark.parametrize("threads", [1, 3])
def test_regions_made_in_threads_are_those_made_one_by_one(box, snapshot, threads, monkeypatch):
    together, single = several(snapshot(box, 200), box, monkeypatch, compiled=True, threads=threads)
    for one, other in zip(together, single, strict=True):
        n = one.posterior.n
        np.testing.assert_array_equal(np.tril(one.posterior.L[:n, :n]), np.tril(other.posterior.L[:n, :n]))
        np.testing.assert_array_equal(one.ranked, other.ranked)
        assert one.best == other.best


def test_regions_factorised_in_one_batch_predict_like_those_made_one_by_one(box, snapshot, monkeypatch):
    together, single = several(snapshot(box, 200), box, monkeypatch, compiled=False, threads=2)
    U = np.random.default_rng(1).random((9, 3))
    for one, other in zip(together, single, strict=True):
        np.testing.assert_array_equal(one.ranked, other.ranked)
        for found, expected in zip(one.posterior.predict(U), other.posterior.predict(U), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(not available(), reason="numba is not there")
@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_refused_in_a_thread_is_reported_and_the_others_are_there(box, snapshot, threads, monkeypatch):
    original, failed = regions_module.factorised, []

    def factorised(problem, theta, device):
        if len(problem.y) == 25 and not failed:
            failed.append(len(problem.y))
            raise MemoryError
        return original(problem, theta, device)

    monkeypatch.setattr(regions_module, "_size", lambda n, dim: min(n, 25))
    monkeypatch.setattr(regions_module, "_threads", lambda: threads)
    data = snapshot(box, 200)
    fitted = whole(box, data)
    rows = centres(data, fitted, 4, data.y).tolist()
    monkeypatch.setattr(regions_module, "factorised", factorised)
    with memory.budget(None, CPU) as budget:
        found = list(regions_around(data, fitted, rows, "rbf", noisy=False, turn=False, device=CPU))
    assert sorted(region.posterior.n for region in found) == [12, 25, 25, 25]
    assert budget.refusals == ["a region of 12 observations"]


def test_under_a_limit_regions_are_made_a_few_at_a_time(box, snapshot, monkeypatch):
    made, original = [], regions_module.region_around

    def counted(*arguments, **options):
        made.append(None)
        return original(*arguments, **options)

    monkeypatch.setattr(regions_module, "_size", lambda n, dim: min(n, 25))
    monkeypatch.setattr(regions_module, "_COPIES", 1500)  # as if regions were large
    data = snapshot(box, 200)
    fitted = whole(box, data)
    rows = centres(data, fitted, 4, data.y).tolist()
    monkeypatch.setattr(regions_module, "region_around", counted)
    monkeypatch.setattr(regions_module, "_threads", lambda: 4)
    with memory.budget(64 * 10**6, CPU):
        models = regions_around(data, fitted, rows, "rbf", noisy=False, turn=False, device=CPU)
        next(models)
        assert len(made) == (2 if available() else 0)
        assert len(list(models)) == 3


def tilted(U):
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]
    return -np.square((U - 0.45) @ turn) @ np.array([1e4, 30.0, 1.0])


@pytest.mark.parametrize("kernel", ["rbf", "matern52"])
def test_along_the_curvature_a_region_predicts_what_mixes_parameters(box, snapshot, kernel):
    X = np.random.default_rng(0).random((150, 3))
    data = snapshot(box, X=X, y=tilted(X))
    plain, turned = (around_best(box, data, kernel=kernel, turn=turn) for turn in (False, True))
    assert plain.axes is None
    probe = turned.axes.turned(X) if turned.axes else X
    inside = turned.box.contains(probe)
    near = turned.axes.back(
        turned.box.lower + (turned.box.upper - turned.box.lower) * np.random.default_rng(1).random((64, 3))
    )
    truth = tilted(near)
    errors = []
    for region, points in ((plain, near), (turned, turned.axes.turned(near))):
        mean = region.posterior.predict(points)[0]
        fitted = np.polyfit(mean, truth, 1)
        errors.append(np.sqrt(np.mean((np.polyval(fitted, mean) - truth) ** 2)) / truth.std())
    assert inside.sum() >= 3
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("q", [1, 12])
def test_points_of_a_turned_region_are_feasible_and_apart(box, q):
    opt = Optimizer(box, seed=1)
    X = np.random.default_rng(2).random((120, 3))
    opt.add(X, -tilted(X))
    found = []
    for _ in range(3):
        batch = opt.ask(q)
        found.append(opt.last_ask.strategy)
        assert ((batch.x >= 0) & (batch.x <= 1)).all()
        assert len(np.unique(batch.x, axis=0)) == q
    assert any("local LogEI" in each for each in found)


def test_turned_regions_close_in_on_a_tilted_valley(box):
    opt = Optimizer(box, seed=0)
    for _ in range(110):
        batch = opt.ask()
        opt.tell(batch, -tilted(batch.x))
    assert opt.best().value < 1e-6


@pytest.mark.parametrize("constant", [Int(2, 2), Categorical(["x"])])
def test_constants_do_not_hinder_turned_regions(constant):
    space = Space({"x": Float(0, 1), "z": Float(0, 1), "c": constant})
    opt = Optimizer(space, seed=0)
    found = set()
    for _ in range(36):
        batch = opt.ask()
        params = batch[0].params
        opt.tell(batch, [(params["x"] - 0.3) ** 2 + 3 * (params["z"] - params["x"]) ** 2])
        found.add(opt.last_ask.strategy)
    assert "local LogEI" in found
