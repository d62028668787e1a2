"""Batches of any size: exactly q distinct untaken points, the same whenever the same is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import gpbo
from gpbo.data import Data
from gpbo.models import fit as fit_module
from gpbo.models.exact import Problem
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.numerics import available
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates
from gpbo.strategy import Settings, Strategy
from gpbo.strategy import surrogate as surrogate_module
from gpbo.strategy.composition import Composer
from gpbo.strategy.regions import Region
from gpbo.strategy.surrogate import factorised

SPACES = {
    "continuous": gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3),
    "mixed": gpbo.Space(
        {
            "rate": gpbo.Float(1e-5, 1.0, log=True),
            "x": gpbo.Float(-1, 1),
            "depth": gpbo.Int(1, 40),
            "kind": gpbo.Categorical(["a", "b", "c"]),
            "level": gpbo.Float(0.0, 1.0, step=0.25),
        }
    ),
    "integers": gpbo.Space({"m": gpbo.Int(0, 99), "n": gpbo.Int(0, 99)}),
    "categories": gpbo.Space({name: gpbo.Categorical(list("abcdefgh")) for name in "uvwx"}),
    "one line": gpbo.Space({"x": gpbo.Float(0, 1)}),
}
SIZES = (1, 7, 8, 65, *(pytest.param(q, marks=pytest.mark.slow) for q in (63, 64, 500)))


def outcomes(space, batch):
    U = space.encode(batch.params)
    return ((U - np.linspace(0.2, 0.7, space.dim)) ** 2).sum(1)


def started(space, n=30, seed=0, values=None, **options):
    """A study with n observations; more than the space-filling start."""
    opt = gpbo.Optimizer(space, seed=seed, n_initial=5, **options)
    rng = np.random.default_rng(1)
    U = space.sample(rng.random((n, space.n_params)))
    params = space.decode(U)
    opt.add(params, outcomes_of(space, params) if values is None else values)
    return opt


def outcomes_of(space, params):
    U = space.encode(params)
    return ((U - np.linspace(0.2, 0.7, space.dim)) ** 2).sum(1)


def valid(opt, batch, q):
    space = opt.space
    keys = {space.key(params) for params in batch.params}
    assert len(batch) == len(keys) == q
    assert all(space.contains(params) for params in batch.params)
    known = [opt.trial(i) for i in range(len(opt.history) + len(opt.pending))]
    own = set(batch.ids)
    assert not keys & {space.key(trial.params) for trial in known if trial.id not in own}
    assert opt.last_ask.message == ""
    assert opt.last_ask.q == q


# How many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", SIZES)
@pytest.mark.parametrize("name", SPACES)
def test_a_batch_has_exactly_q_new_points_of_the_space(name, q):
    opt = started(SPACES[name])
    pending = opt.ask(3)
    opt.fail(pending[0], "broken")
    batch = opt.ask(q)
    valid(opt, batch, q)
    assert "design" not in opt.last_ask.strategy


def test_a_small_space_is_used_up_to_the_last_point():
    space = gpbo.Space({"a": gpbo.Int(0, 9), "b": gpbo.Categorical(["x", "y", "z"]), "c": gpbo.Categorical([0, 1])})
    for first in (1, 8, 20, 53):
        opt = gpbo.Optimizer(space, seed=0)
        batch = opt.ask(7)
        opt.tell(batch, outcomes(space, batch))
        valid(opt, opt.ask(first), first)
        if first < 53:
            valid(opt, opt.ask(53 - first), 53 - first)
        with pytest.raises(gpbo.SpaceExhausted):
            opt.ask()


@pytest.mark.slow
def test_a_middling_space_is_used_up_to_the_last_point():
    space = gpbo.Space({"m": gpbo.Int(0, 49), "n": gpbo.Int(0, 49)})  # too many points to evaluate them all
    opt = gpbo.Optimizer(space, seed=0)
    everything = space.decode(np.array([space.point(i) for i in range(2500)]))
    rows = np.random.default_rng(0).permutation(2500)
    opt.add([everything[i] for i in rows[:150]], outcomes_of(space, [everything[i] for i in rows[:150]]))
    taken = opt.ask(100)
    opt.fail(taken, "no")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpbo.FailedTrialWarning)
        opt.add([everything[i] for i in rows[150:2200]], [float("nan")] * 2050)
    left = 2500 - len({space.key(t.params) for t in opt.history})
    batch = opt.ask(left)
    valid(opt, batch, left)
    with pytest.raises(gpbo.SpaceExhausted):
        opt.ask()


def test_a_thousand_points_of_a_fresh_study():
    opt = gpbo.Optimizer(SPACES["mixed"], seed=0)
    valid(opt, opt.ask(1000), 1000)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_a_hundred_points_after_the_first_few_observations(n):
    space = SPACES["continuous"]
    opt = gpbo.Optimizer(space, seed=0, n_initial=2)
    batch = opt.ask(n)
    opt.tell(batch, outcomes(space, batch))
    valid(opt, opt.ask(100), 100)


@pytest.mark.slow
def test_a_batch_while_a_thousand_points_are_pending():
    opt = started(SPACES["continuous"], n=40)
    valid(opt, opt.ask(1000), 1000)
    valid(opt, opt.ask(200), 200)


@pytest.mark.parametrize(
    ("name", "q"),
    [("continuous", 1), ("mixed", 8), ("categories", 8), pytest.param("continuous", 70, marks=pytest.mark.slow)],
)
def test_asks_without_tells_never_repeat(name, q):
    space = SPACES[name]
    opt = started(space)
    keys = [space.key(params) for _ in range(3) for params in opt.ask(q).params]
    assert len(set(keys)) == 3 * q


# Whatever was told -------------------------------------------------------------------------------------------------

OUTCOMES = {
    "constant": np.full(30, 3.0),
    "steps": np.round(np.linspace(0, 3, 30)),
    "ties at the best": np.append(np.zeros(6), np.linspace(1, 2, 24)),
    "one huge outlier": np.append(1e300, np.linspace(1, 2, 29)),
    "one huge outlier, good": np.append(-1e300, np.linspace(1, 2, 29)),
    "float64 limits": 1.7e308 * np.linspace(-1, 1, 30),
    "denormal": np.linspace(0.0, 1e-310, 30),
    "nearly constant": 1e9 + 1e-7 * np.arange(30.0),
}


@pytest.mark.parametrize("q", [8, pytest.param(65, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OUTCOMES)
def test_awkward_outcomes_get_whole_batches(name, q):
    opt = started(SPACES["continuous"], values=OUTCOMES[name])
    batch = opt.ask(q)
    assert len({tuple(x) for x in batch.x}) == q
    assert "design" not in opt.last_ask.strategy
    assert "failed" not in opt.last_ask.message


@pytest.mark.parametrize("q", [8, pytest.param(65, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", [0.1, 0.0, "some"])
def test_noise_told_with_values(q, noise):
    space = SPACES["mixed"]
    opt = started(space)
    batch = opt.ask(10)
    deviations = [None, 0.1] if noise == "some" else [noise]
    for index, trial in enumerate(batch):
        opt.tell(trial, outcomes(space, batch)[index], noise=deviations[index % len(deviations)])
    valid(opt, opt.ask(q), q)


@pytest.mark.parametrize("q", [8, 70])
def test_many_identical_points(q):
    opt = gpbo.Optimizer(SPACES["continuous"], seed=0, n_initial=2)
    opt.add(np.tile([0.3, 0.4, 0.5], (40, 1)), np.linspace(0, 1, 40))
    opt.add([[0.1, 0.1, 0.1], [0.9, 0.2, 0.4]], [2.0, 3.0])
    batch = opt.ask(q)
    assert len({tuple(x) for x in batch.x}) == q
    assert "design" not in opt.last_ask.strategy


# What a batch depends on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("continuous", 8),
        pytest.param("categories", 8, marks=pytest.mark.slow),
        pytest.param("continuous", 70, marks=pytest.mark.slow),
        pytest.param("mixed", 70, marks=pytest.mark.slow),
    ],
)
def test_same_seed_same_batches(name, q):
    space = SPACES[name]

    def run(seed):
        opt = started(space, seed=seed)
        points = []
        for _ in range(3):
            batch = opt.ask(q)
            points += batch.params
            opt.tell(batch[: q // 2], outcomes(space, batch)[: q // 2])
        return points

    one = run(3)
    assert run(3) == one
    assert run(4) != one


def test_tells_in_any_order_and_number():
    space = SPACES["continuous"]
    opt, rng = started(space), np.random.default_rng(0)
    told = 30
    for q in (70, 9, 64):
        batch = opt.ask(q)
        values = outcomes(space, batch)
        order = rng.permutation(q)[: int(rng.integers(q // 2, q))]
        for part in np.array_split(order, 3):
            opt.tell([batch[int(i)] for i in part], values[part])
        told += len(order)
        assert len(opt.history) == told
    valid(opt, opt.ask(20), 20)


@pytest.mark.parametrize("q", [8, pytest.param(70, marks=pytest.mark.slow)])
def test_how_tells_are_grouped_changes_no_bit(q):
    space = SPACES["continuous"]

    def run(groups):
        opt = started(space, n=230)
        points = []
        for _ in range(3):
            batch = opt.ask(q)
            values = outcomes(space, batch)
            points += batch.params
            for part in np.array_split(np.arange(q), groups):
                opt.tell([batch[int(i)] for i in part], values[part])
                if groups > 1:
                    opt.predict(points[:1])  # a look at the model in between
        return points

    assert run(1) == run(5)


@pytest.mark.parametrize(
    ("name", "torch_path"),
    [
        ("continuous", False),
        pytest.param("mixed", False, marks=pytest.mark.slow),
        pytest.param("continuous", True, marks=pytest.mark.slow),
        pytest.param("mixed", True, marks=pytest.mark.slow),
    ],
)
def test_a_stored_study_goes_on_in_the_middle_of_large_batches(name, torch_path, tmp_path, monkeypatch):
    if torch_path:
        monkeypatch.setattr(surrogate_module, "available", lambda: False)
        monkeypatch.setattr(fit_module, "available", lambda: False)
    space, q = SPACES[name], 70
    path = tmp_path / "study.db"

    def run(reopen):
        opt = started(space, n=25, seed=5, **({"storage": path} if reopen else {}))
        points = []
        for turn in range(3):
            batch = opt.ask(q)
            points += batch.params
            values = outcomes(space, batch)
            for part in (range(25), range(25, 50)):
                opt.tell([batch[i] for i in part], values[list(part)])
                if reopen:
                    opt.close()
                    opt = gpbo.Optimizer.open(path)
            if turn == 1:
                points += opt.ask(9).params  # no news in between
                if reopen:
                    opt = gpbo.Optimizer.open(path)
                points += opt.ask(9).params
        return points

    assert run(reopen=True) == run(reopen=False)


def test_a_look_at_the_model_changes_no_batch():
    space = SPACES["continuous"]

    def run(look):
        opt = started(space, n=40)
        points = []
        for _ in range(2):
            if look:
                opt.predict(np.full((3, 3), 0.5))
                opt.recommend()
                opt.leave_one_out()
            batch = opt.ask(70)
            points += batch.params
            opt.tell(batch, outcomes(space, batch))
        return points

    assert run(True) == run(False)


# Scale and sign ------------------------------------------------------------------------------------------------------


def suggested(space, data, q, **settings):
    return Strategy(space, Settings(**settings), 0).suggest(data, q, 3)[0]


@pytest.mark.parametrize(("exponent", "q"), [(-900, 20), (40, 20), (900, 70)])
def test_powers_of_two_change_no_bit_of_a_batch(box, snapshot, exponent, q):
    data = snapshot(box, 30)
    scaled = snapshot(box, X=data.X, y=np.ldexp(data.y, exponent))
    np.testing.assert_array_equal(suggested(box, data, q), suggested(box, scaled, q))


@pytest.mark.parametrize("noise", [None, np.full(30, 0.1)], ids=["no noise", "noise"])
def test_powers_of_two_change_no_bit_with_noise_and_pending_points(box, snapshot, noise):
    pending = np.random.default_rng(4).random((50, 3))
    data = snapshot(box, 30, noise=noise, pending=pending)
    scaled = snapshot(
        box, X=data.X, y=1024.0 * data.y, noise=None if noise is None else 1024.0 * noise, pending=pending
    )
    np.testing.assert_array_equal(suggested(box, data, 20), suggested(box, scaled, 20))


def reached(space, data, found):
    """How good a batch is on the model of the data it came from."""
    return np.sort(Strategy(space, Settings(), 0).predict(data, found)[0])


@pytest.mark.parametrize("change", [lambda y: 3.0 * y + 1e3, lambda y: 1e-30 * y, lambda y: 7.0 * y - 5.0])
def test_scale_and_offset_hardly_change_a_batch(box, snapshot, change):
    data = snapshot(box, 30)
    one, other = suggested(box, data, 20), suggested(box, snapshot(box, X=data.X, y=change(data.y)), 20)
    np.testing.assert_allclose(one[0], other[0], atol=1e-3)
    spread = np.ptp(data.y)
    np.testing.assert_allclose(reached(box, data, one), reached(box, data, other), atol=0.1 * spread)


@pytest.mark.parametrize("q", [20, pytest.param(70, marks=pytest.mark.slow)])
def test_minimizing_is_maximizing_the_negative(q):
    space = SPACES["mixed"]

    def run(direction, sign):
        opt = gpbo.Optimizer(space, direction, seed=2, n_initial=5)
        params = space.decode(space.sample(np.random.default_rng(1).random((30, 5))))
        opt.add(params, sign * outcomes_of(space, params))
        points = []
        for _ in range(2):
            batch = opt.ask(q)
            points += batch.params
            opt.tell(batch, sign * outcomes(space, batch))
        return points

    assert run("minimize", 1.0) == run("maximize", -1.0)


def test_hurried_asks_take_sample_paths_alone():
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3), seed=0)
    first = opt.ask(20)
    opt.tell(first, (first.x**2).sum(1))
    batch = opt.ask(30, hurry=True)
    assert opt.last_ask.strategy == "Thompson"
    assert len({tuple(x) for x in batch.x}) == 30
    opt.ask(1, hurry=True)
    assert opt.last_ask.strategy == "LogEI"  # a single point costs little anyhow


def test_preparing_changes_nothing():
    def suggestions(prepare):
        opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3), seed=0)
        if prepare:
            opt._prepare(100)
        for _ in range(3):
            batch = opt.ask(5)
            opt.tell(batch, (batch.x**2).sum(1))
        return opt.ask(3).x

    np.testing.assert_array_equal(suggestions(True), suggestions(False))


def test_a_region_knows_all_pending_points_in_its_box():
    """Of very many pending points those in the box count, not those far away of which its model knows nothing."""
    box = Box(np.full(2, 0.4), np.full(2, 0.6))
    rng = np.random.default_rng(0)
    pending = np.vstack([rng.random((5000, 2)), 0.4 + 0.2 * rng.random((300, 2))])
    space = gpbo.Space.from_bounds([0.0] * 2, [1.0] * 2)
    X = 0.4 + 0.2 * rng.random((30, 2))
    y = -((X - 0.5) ** 2).sum(1)
    data = Data(X, y, None, pending, X[:0], 0, set(), 0)
    y = (y - y.mean()) / y.std()
    problem = Problem(default_spec("rbf", 2), X, y)
    posterior = factorised(problem, fit_module.fit(problem).theta, torch.device("cpu"))
    seen = []
    condition = posterior.condition
    posterior.condition = lambda U: (seen.append(len(U)), condition(U))[1]
    composer = Composer(space, Candidates(space), data, X[:0], set(), rng)
    composer.in_region(Region(posterior, X, float(y.max()), box, None), 1, 64)
    assert sum(seen) >= box.contains(pending).sum() > 300


@pytest.mark.skipif(not available(), reason="numba is not there")
def test_many_failed_points_are_capped():
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * 2, [1.0] * 2), seed=0)
    batch = opt.ask(20)
    opt.tell(batch, (batch.x**2).sum(1))
    opt.fail(opt.ask(1500))
    sizes = []
    reserve = HostPosterior.reserve
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostPosterior, "reserve", lambda self, room: (sizes.append(room), reserve(self, room))[1])
        opt.ask()
    assert max(sizes) < 600
