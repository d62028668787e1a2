"""One call for everything: whole batches of new points from every regime, the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

import gpbo

CUBE = gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3)
MIXED = gpbo.Space(
    {
        "rate": gpbo.Float(1e-5, 1.0, log=True),
        "x": gpbo.Float(-1, 1),
        "depth": gpbo.Int(1, 40),
        "kind": gpbo.Categorical(["a", "b", "c"]),
        "level": gpbo.Float(0.0, 1.0, step=0.25),
    }
)
WIDE = gpbo.Space(
    {
        **{f"x{i}": gpbo.Float(0, 1) for i in range(400)},
        **{f"r{i}": gpbo.Float(1e-3, 1e3, log=True) for i in range(200)},
        **{f"n{i}": gpbo.Int(0, 5 + i) for i in range(200)},
        **{f"b{i}": gpbo.Categorical([False, True]) for i in range(100)},
        **{f"c{i}": gpbo.Categorical(list("abc")) for i in range(100)},
    }
)
TABLE = gpbo.Space({"m": gpbo.Int(0, 149), "n": gpbo.Int(0, 99)})
SPACES = {"cube": CUBE, "mixed": MIXED, "wide": WIDE, "table": TABLE}
slow = pytest.mark.slow


def outcomes(U):
    return np.sin(6 * U[:, :40]).sum(1) + ((U - 0.4) ** 2).sum(1)


def told(space, n, seed=0, **options):
    """A study of n observations."""
    opt = gpbo.Optimizer(space, seed=seed, n_initial=5, device="cpu", **options)
    if n:
        U = space.sample(np.random.default_rng(1).random((n, space.n_params)))
        opt.add(space.decode(U), outcomes(U))
    return opt


def distinct_and_new(opt, batch, q):
    keys = {opt.space.key(params) for params in batch.params}
    own = set(batch.ids)
    assert len(batch) == len(keys) == q
    assert not keys & {opt.space.key(each.params) for each in (*opt.history, *opt.pending) if each.id not in own}
    assert all(opt.space.contains(params) for params in batch.params)
    assert opt.last_ask.message == ""
    assert (opt.last_ask.q, opt.last_ask.n) == (q, len([each for each in opt.history if each.value is not None]))


# space, observations, points, where they come from
REGIMES = [
    ("cube", 0, 1, "design"),
    ("cube", 3, 40, "design + LogEI"),
    ("cube", 30, 1, "LogEI"),
    ("cube", 30, 12, "local LogEI + LogEI"),
    ("cube", 600, 100, "local LogEI + LogEI + Thompson"),
    ("mixed", 40, 7, "LogEI"),
    ("table", 40, 3, "LogEI"),
    pytest.param("wide", 20, 3, "LogEI", marks=slow),
    pytest.param("cube", 0, 10_000, "design", marks=slow),
    pytest.param("wide", 0, 10_000, "design", marks=slow),
    pytest.param("table", 0, 10_000, "design", marks=slow),
    pytest.param("table", 300, 10_000, "local LogEI + LogEI + Thompson", marks=slow),
    pytest.param("cube", 40, 10_000, "local LogEI + LogEI + Thompson", marks=slow),
    pytest.param("cube", 2500, 1000, "local LogEI + LogEI + Thompson", marks=slow),
    pytest.param("mixed", 300, 2000, "local LogEI + LogEI + Thompson", marks=slow),
    pytest.param("wide", 60, 70, "LogEI + Thompson", marks=slow),
    pytest.param("cube", 4001, 1, "Thompson", marks=slow),
    pytest.param("cube", 4001, 2, "local LogEI + Thompson", marks=slow),
    pytest.param("mixed", 9000, 100, "local LogEI + Thompson", marks=slow),
    pytest.param("cube", 50_000, 1, "Thompson", marks=slow),
    pytest.param("cube", 50_000, 1000, "local LogEI + Thompson", marks=slow),
    pytest.param("mixed", 50_000, 100, "local LogEI + Thompson", marks=slow),
]


@pytest.mark.parametrize(("name", "n", "q", "strategy"), REGIMES)
def test_every_regime_gives_whole_batches_the_same_for_the_same_seed(name, n, q, strategy):
    space = SPACES[name]
    opt = told(space, n)
    batch = opt.ask(q)
    distinct_and_new(opt, batch, q)
    assert opt.last_ask.strategy == strategy
    np.testing.assert_array_equal(told(space, n).ask(q).u, batch.u)


@pytest.mark.parametrize(("name", "n", "q"), [("cube", 0, 1), ("mixed", 40, 7), ("cube", 200, 100)])
def test_another_seed_gives_other_points(name, n, q):
    one, other = (told(SPACES[name], n, seed=seed).ask(q).u for seed in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "n", "pending"),
    [
        ("cube", 30, 500),
        *(pytest.param(*each, 10_000, marks=slow) for each in [("cube", 60), ("mixed", 60), ("cube", 4500)]),
    ],
)
@pytest.mark.parametrize("q", [1, 20, pytest.param(1000, marks=slow)])
def test_batches_know_of_any_number_of_pending_points(name, n, pending, q):
    space = SPACES[name]

    def run():
        opt = told(space, n)
        first = opt.ask(pending)
        return opt, first, opt.ask(q)

    opt, _, batch = run()
    distinct_and_new(opt, batch, q)
    assert opt.last_ask.pending == pending
    np.testing.assert_array_equal(run()[2].u, batch.u)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=slow) for seed in range(1, 5))])
@pytest.mark.parametrize("name", ["cube", "mixed", "table"])
def test_any_part_of_any_batch_is_told_failed_or_forgotten_in_any_order(name, seed):
    space, rng = SPACES[name], np.random.default_rng(seed)

    def run(rng):
        opt = told(space, 20, seed=seed)
        points = []
        for _ in range(6):
            q = int(rng.choice([1, 2, 9, 40, 90]))
            batch = opt.ask(q)
            distinct_and_new(opt, batch, q)
            points.append(np.asarray(batch.u))
            waiting = rng.permutation([trial.id for trial in opt.pending]).tolist()
            count = int(rng.integers(0, len(waiting) + 1))
            for part in np.array_split(np.array(waiting[:count], dtype=int), 3):
                values = outcomes(space.encode([opt.trial(int(i)).params for i in part])) if len(part) else []
                how = int(rng.integers(5))
                if how == 0:
                    opt.fail(part.tolist(), "broken")
                elif how == 1:
                    opt.forget(part.tolist())
                else:
                    opt.tell(part.tolist(), values)
        return np.vstack(points)

    state = rng.bit_generator.state
    first = run(rng)
    rng.bit_generator.state = state
    np.testing.assert_array_equal(run(rng), first)


@slow
def test_a_model_of_all_of_more_observations_where_it_is_asked_for():
    """The public option, one step above what is modelled in whole by itself; on the host a question of patience."""
    opt = told(CUBE, 6000, exact_limit=6000)
    assert opt._strategy._fitted(opt._ledger.data()).posterior.n == 6000
    distinct_and_new(opt, opt.ask(20), 20)


@pytest.mark.parametrize("value", [3999, 50_001, 0, -1])
def test_limits_of_exact_models_that_cannot_be_are_refused_by_name(value):
    with pytest.raises(gpbo.ArgumentError, match="exact_limit"):
        gpbo.Optimizer(CUBE, exact_limit=value)


@pytest.mark.parametrize("value", [None, 1e4, "10000", True])
def test_limits_of_exact_models_of_another_type_are_refused_by_name(value):
    with pytest.raises(gpbo.ArgumentTypeError, match="exact_limit"):
        gpbo.Optimizer(CUBE, exact_limit=value)
