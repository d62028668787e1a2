"""The rules that make the optimizer trustworthy; bad input is in test_bad_input.py."""

import copy
import os
import pickle
import random
import signal
import warnings

import numpy as np
import pytest
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.models import SingleTaskGP

import gpbo

BOX = gpbo.Space({"x": gpbo.Float(-5, 10), "y": gpbo.Float(1e-3, 1e2, log=True)})
MIXED = gpbo.Space(
    {
        "x": gpbo.Float(-1, 1),
        "k": gpbo.Int(1, 20),
        "c": gpbo.Categorical(["a", "b", "c"]),
        "b": gpbo.Categorical([0, 1]),
    }
)


def bowl(params):
    return (params["x"] - 0.3) ** 2 + 0.01 * sum(
        len(str(value)) for name, value in params.items() if name != "x" and not isinstance(value, float)
    )


def random_start(space=BOX, **arguments):
    """An optimizer that stays in its space-filling phase: fast."""
    return gpbo.Optimizer(space, **{"seed": 0, "n_initial": 100_000, **arguments})


def drive(opt, rounds=8, f=bowl, q=1):
    """All points of a run of ask and tell."""
    points = []
    for _ in range(rounds):
        batch = opt.ask(q)
        points += batch.params
        opt.tell(batch, [f(params) for params in batch.params])
    return points


@pytest.mark.parametrize("space", [BOX, MIXED])
@pytest.mark.parametrize("q", [1, 2, 7])
def test_ask_returns_exactly_q_distinct_points_of_the_space(space, q):
    opt = gpbo.Optimizer(space, seed=0)
    drive(opt, 6, q=2)
    batch = opt.ask(q)
    assert len({space.key(params) for params in batch.params}) == len(batch) == q
    assert all(space.contains(params) for params in batch.params)


def test_asks_without_tells_never_repeat_a_point():
    opt = gpbo.Optimizer(MIXED, seed=0)
    drive(opt, 8)
    keys = [MIXED.key(params) for _ in range(12) for params in opt.ask(2).params]
    assert len(set(keys)) == 24


def test_a_finite_space_is_used_up_exactly_then_exhausted():
    space = gpbo.Space({"k": gpbo.Int(0, 4), "c": gpbo.Categorical(["a", "b"])})
    opt = gpbo.Optimizer(space, seed=0)
    points = drive(opt, 10, lambda p: float(p["k"]))
    assert len({space.key(p) for p in points}) == 10
    with pytest.raises(gpbo.SpaceExhausted, match="but 0 of the space's 10 are left"):
        opt.ask()


def test_exhausted_says_how_many_are_left_and_changes_nothing():
    opt = random_start(gpbo.Space({"k": gpbo.Int(0, 4)}))
    opt.tell(opt.ask(2), [1.0, 2.0])
    with pytest.raises(gpbo.SpaceExhausted, match="but 3 of the space's 5 are left") as info:
        opt.ask(4)
    assert info.value.left == 3
    assert (len(opt.pending), len(opt.history)) == (0, 2)
    assert len(opt.ask(3)) == 3


def test_failed_points_are_never_proposed_again_and_forgotten_ones_may_be():
    space = gpbo.Space({"k": gpbo.Int(0, 4)})
    opt = random_start(space)
    batch = opt.ask(5)
    opt.fail(batch[:2])
    opt.forget(batch[2:])
    assert {p["k"] for p in opt.ask(3).params} == {t["k"] for t in batch[2:]}
    with pytest.raises(gpbo.SpaceExhausted):
        opt.ask()


def test_a_space_of_one_point_is_asked_once():
    opt = random_start(gpbo.Space({"k": gpbo.Int(3, 3), "c": gpbo.Categorical(["a"])}))
    assert opt.ask().params == [{"k": 3, "c": "a"}]
    with pytest.raises(gpbo.SpaceExhausted):
        opt.ask()


def test_suggestions_after_failures_only():
    opt = gpbo.Optimizer(BOX, seed=0)
    for _ in range(12):
        opt.fail(opt.ask(), "crash")
    assert len(opt.ask(3)) == 3


def test_suggestions_after_a_single_value():
    opt = gpbo.Optimizer(BOX, seed=0, n_initial=1)
    opt.tell(opt.ask(), 1.0)
    assert len(opt.ask(2)) == 2


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, -3.5])
def test_suggestions_for_a_constant_objective(value):
    opt = gpbo.Optimizer(BOX, seed=0)
    points = drive(opt, 9, lambda p: value)
    assert len({BOX.key(p) for p in points}) == 9


def test_suggestions_after_many_measurements_of_one_point():
    opt = gpbo.Optimizer(BOX, seed=0, n_initial=1)
    opt.add([{"x": 1.0, "y": 1.0}] * 12, np.linspace(0, 1, 12))
    assert len(opt.ask(2)) == 2


def test_suggestions_with_a_thousand_pending():
    opt = gpbo.Optimizer(BOX, seed=0, n_initial=4)
    opt.tell(opt.ask(4), [1.0, 2.0, 3.0, 4.0])
    rows = np.random.default_rng(0).random((1000, 2))
    opt._ledger.apply({"kind": "ask", "codes": BOX.decode_codes(rows)})
    assert len(opt.pending) == 1000
    assert len(opt.ask()) == 1


def test_last_ask_says_what_was_done():
    opt = gpbo.Optimizer(BOX, seed=0)
    assert opt.last_ask is None
    drive(opt, 8)
    report = opt.last_ask
    assert (report.n, report.q, report.pending) == (7, 1, 0)
    assert report.seconds >= 0


def test_the_same_seed_gives_the_same_suggestions():
    assert drive(gpbo.Optimizer(MIXED, seed=3), 9) == drive(gpbo.Optimizer(MIXED, seed=3), 9)


def test_other_seeds_give_other_suggestions():
    assert drive(gpbo.Optimizer(BOX, seed=3), 2) != drive(gpbo.Optimizer(BOX, seed=4), 2)


def test_a_drawn_seed_is_exposed_and_reproduces_the_run():
    opt = gpbo.Optimizer(BOX)
    assert drive(opt, 3) == drive(gpbo.Optimizer(BOX, seed=opt.seed), 3)


def test_replaying_the_events_gives_the_same_next_suggestion():
    first, second = gpbo.Optimizer(MIXED, seed=1), gpbo.Optimizer(MIXED, seed=1)
    for opt in (first, second):
        for _ in range(8):
            (trial,) = opt.ask()
            if opt is second:
                opt.predict({"x": 0, "k": 1, "c": "a", "b": 0}) if opt.history else None
            opt.tell(trial, bowl(trial.params))
    assert first.ask(2).params == second.ask(2).params


def test_suggestions_do_not_depend_on_global_random_state():
    def run(state):
        random.seed(state), np.random.seed(state), torch.manual_seed(state)  # noqa: NPY002
        return drive(gpbo.Optimizer(BOX, seed=0), 8)

    assert run(1) == run(2)


def test_the_process_is_left_as_it_was():
    def settings():
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
            torch.get_rng_state().tolist(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            np.geterr(),
            list(warnings.filters),
            dict(os.environ),
            signal.getsignal(signal.SIGINT),
            torch.is_grad_enabled(),
        )

    drive(gpbo.Optimizer(MIXED, seed=0), 1)  # loads what is loaded on first use
    before = settings()
    opt = gpbo.Optimizer(MIXED, seed=0)
    drive(opt, 8)
    opt.ask(3)
    opt.predict({"x": 0, "k": 1, "c": "a", "b": 0})
    assert settings() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_default_dtype_does_not_matter(dtype):
    expected = drive(gpbo.Optimizer(BOX, seed=0), 8)
    old = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert drive(gpbo.Optimizer(BOX, seed=0), 8) == expected
    finally:
        torch.set_default_dtype(old)


@pytest.mark.parametrize(
    "transform",
    [lambda y: 1e-30 * y, lambda y: 1e30 * y, lambda y: 2.0**100 * y, lambda y: y + 1e9],
    ids=["1e-30 y", "1e30 y", "2^100 y", "y + 1e9"],
)
def test_suggestions_do_not_depend_on_the_scale_of_values(transform):
    expected = BOX.encode(drive(gpbo.Optimizer(BOX, seed=0), 9))
    found = BOX.encode(drive(gpbo.Optimizer(BOX, seed=0), 9, lambda p: transform(bowl(p))))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_minimizing_equals_maximizing_the_negative():
    low = drive(gpbo.Optimizer(BOX, "minimize", seed=0), 9)
    assert low == drive(gpbo.Optimizer(BOX, "maximize", seed=0), 9, lambda p: -bowl(p))


@pytest.mark.parametrize(("direction", "best"), [("minimize", -2.0), ("maximize", 5.0)])
def test_best_follows_the_direction(direction, best):
    opt = random_start(direction=direction)
    opt.tell(opt.ask(4), [1.0, 5.0, -2.0, float(np.float32(0.5))])
    assert opt.best().value == best


def test_the_first_of_equal_values_is_best():
    opt = random_start()
    opt.tell(opt.ask(3), [1.0, 0.0, 0.0])
    assert opt.best().id == 1


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.0, np.float32(3)],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype=np.int8),
        np.array([[1.0], [2.0], [3.0]]),
        torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
        torch.tensor([[1], [2], [3]], dtype=torch.bfloat16),
        [torch.tensor(1.0), np.array(2.0), [3.0]],
        range(1, 4),
        (float(i) for i in (1, 2, 3)),
    ],
    ids=lambda values: type(values).__name__,
)
def test_values_of_any_make_are_taken(values):
    opt = random_start()
    opt.tell(opt.ask(3), values)
    assert [trial.value for trial in opt.history] == [1.0, 2.0, 3.0]
    assert {type(trial.value) for trial in opt.history} == {float}


def test_a_pandas_series_is_taken_as_values():
    pd = pytest.importorskip("pandas")
    opt = random_start()
    opt.tell(opt.ask(2), pd.Series([1, 2], index=[5, 6]))
    assert [trial.value for trial in opt.history] == [1.0, 2.0]


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2), np.array([[2.0]]), torch.tensor(2), [2], (2.0,)])
def test_a_bare_number_serves_for_one_trial(value):
    opt = random_start()
    opt.tell(opt.ask(), value)
    assert opt.history[0].value == 2.0


@pytest.mark.parametrize(
    "select",
    [
        lambda batch: batch[1:],
        lambda batch: [1, 2],
        lambda batch: (batch[1], 2),
        lambda batch: np.array([1, 2]),
        lambda batch: torch.tensor([1, 2]),
        lambda batch: range(1, 3),
        lambda batch: list(batch)[1:],
    ],
    ids=["slice", "ids", "mixed", "numpy", "torch", "range", "trials"],
)
def test_trials_are_named_in_many_ways(select):
    opt = random_start()
    opt.tell(select(opt.ask(3)), [1.0, 2.0])
    assert [(trial.id, trial.value) for trial in opt.history] == [(1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("name", [lambda trial: trial, lambda trial: trial.id, lambda trial: np.int64(trial.id)])
def test_one_trial_is_named_by_itself_or_its_id(name):
    opt = random_start()
    opt.tell(name(opt.ask(3)[1]), 1.0)
    assert opt.history.ids == [1]


def test_the_pending_sequence_can_be_told():
    opt = random_start()
    opt.ask(2)
    opt.tell(opt.pending, [1.0, 2.0])
    assert opt.history.ids == [0, 1]


@pytest.mark.parametrize("noise", [0.5, [0.5, 0.5], np.float32(0.5), torch.tensor([[0.5], [0.5]])])
def test_noise_is_given_per_value_or_for_all(noise):
    opt = random_start()
    opt.tell(opt.ask(2), [1.0, 2.0], noise=noise)
    assert [trial.noise for trial in opt.history] == [0.5, 0.5]


def test_noise_of_failed_values_is_of_no_interest():
    opt = random_start()
    with pytest.warns(gpbo.FailedTrialWarning):
        opt.tell(opt.ask(2), [1.0, np.nan], noise=[0.1, np.nan])
    assert [trial.noise for trial in opt.history] == [0.1, None]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_a_failed_trial(value):
    opt = random_start()
    with pytest.warns(gpbo.FailedTrialWarning, match="trial 0"):
        opt.tell(opt.ask(), value)
    assert (opt.history[0].state, opt.history[0].value) == ("failed", None)
    assert str(value) in opt.history[0].reason


@pytest.mark.filterwarnings("ignore::gpbo.FailedTrialWarning")
@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1.0, 5.0, 3.0], mask=[False, True, False]),
        np.ma.array([[1], [5], [3]], mask=[[False], [True], [False]]),
        [1.0, np.ma.masked, 3.0],
        [np.ma.array([1.0]), np.ma.array([5.0], mask=[True]), 3.0],
    ],
    ids=["floats", "column of ints", "list", "rows"],
)
def test_masked_values_are_failed_trials(values):
    opt = random_start()
    opt.tell(opt.ask(3), values, noise=np.ma.array([0.1, 0.2, 0.3], mask=[False, True, False]))
    assert [(trial.state, trial.value, trial.noise) for trial in opt.history] == [
        ("complete", 1.0, 0.1),
        ("failed", None, None),
        ("complete", 3.0, 0.3),
    ]


def test_one_call_warns_once_at_the_line_of_the_caller():
    opt = random_start()
    with pytest.warns(gpbo.FailedTrialWarning) as caught:
        opt.tell(opt.ask(9), [1.0] + [np.nan] * 8)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "and 3 more" in str(caught[0].message)


def test_outcomes_are_recorded_even_where_the_warning_is_an_error():
    opt = random_start()
    with pytest.raises(gpbo.FailedTrialWarning):
        opt.tell(opt.ask(2), [np.nan, 2.0])
    assert [trial.state for trial in opt.history] == ["failed", "complete"]


@pytest.mark.parametrize("end", ["tell", "fail", "forget"])
@pytest.mark.parametrize("state", ["complete", "failed", "forgotten"])
def test_a_trial_ends_once(end, state):
    opt = random_start()
    (trial,) = opt.ask()
    {
        "complete": lambda: opt.tell(trial, 1.0),
        "failed": lambda: opt.fail(trial),
        "forgotten": lambda: opt.forget(trial),
    }[state]()
    with pytest.raises(gpbo.TrialStateError, match=f"trial 0 .* is {state}"):
        opt.tell(0, 2.0) if end == "tell" else getattr(opt, end)(0)
    assert opt.trial(0).state == state


def test_a_call_that_fails_changes_nothing():
    opt = random_start()
    batch = opt.ask(3)
    opt.tell(batch[2], 1.0)
    before = (opt.pending.ids, opt.history.ids, opt._ledger.data().version)
    with pytest.raises(gpbo.TrialStateError):
        opt.tell(batch, [1.0, 2.0, 3.0])
    with pytest.raises(gpbo.TellTypeError):
        opt.tell(batch[:2], [1.0, "x"])
    assert (opt.pending.ids, opt.history.ids, opt._ledger.data().version) == before


@pytest.mark.parametrize("call", [lambda o: o.tell([], []), lambda o: o.fail([]), lambda o: o.forget([])])
def test_nothing_to_say_is_no_mistake(call):
    opt = random_start()
    opt.ask(2)
    call(opt)
    assert len(opt.pending) == 2


@pytest.mark.parametrize(
    "points",
    [
        [{"x": 1.0, "y": 2.0}, {"y": 3.0, "x": 0}],
        np.array([[1.0, 2.0], [0.0, 3.0]]),
        torch.tensor([[1.0, 2.0], [0.0, 3.0]]),
        [[1, 2], [0, 3]],
    ],
    ids=["dicts", "numpy", "torch", "lists"],
)
def test_points_of_any_make_can_be_added(points):
    opt = random_start()
    batch = opt.add(points, [5.0, 6.0], noise=0.1)
    assert batch.params == [{"x": 1.0, "y": 2.0}, {"x": 0.0, "y": 3.0}]
    assert [(t.id, t.state, t.value, t.noise) for t in batch] == [(0, "complete", 5.0, 0.1), (1, "complete", 6.0, 0.1)]
    assert opt.best().id == 0


@pytest.mark.parametrize("point", [{"x": 1.0, "y": 2.0}, np.array([1.0, 2.0]), [1.0, 2.0]])
def test_a_single_point_can_be_added(point):
    opt = random_start()
    opt.add(point, 5.0)
    assert [t.value for t in opt.history] == [5.0]


def test_a_data_frame_is_added_by_the_names_of_its_columns():
    pd = pytest.importorskip("pandas")
    opt = random_start()
    opt.add(pd.DataFrame({"y": [2.0], "x": [1.0]}), [5.0])
    assert opt.history[0].params == {"x": 1.0, "y": 2.0}


def test_trials_of_another_study_can_be_added():
    other, opt = random_start(seed=9), random_start()
    batch = other.ask(3)
    opt.add(batch, [1.0, 2.0, 3.0])
    assert [t.params for t in opt.history] == batch.params


def test_replicates_can_be_added():
    opt = random_start()
    batch = opt.ask()
    opt.tell(batch, 1.0)
    opt.add(batch.params * 2, [1.1, 0.9])
    assert [t.value for t in opt.history] == [1.0, 1.1, 0.9]


def test_added_values_that_are_not_finite_are_failed_trials():
    opt = random_start()
    with pytest.warns(gpbo.FailedTrialWarning):
        batch = opt.add([{"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 2.0}], [np.nan, 1.0])
    assert [t.state for t in batch] == ["failed", "complete"]


def test_added_points_are_not_proposed():
    opt = random_start(gpbo.Space({"k": gpbo.Int(0, 4)}))
    opt.add([{"k": 1}, {"k": 3}], [1.0, 2.0])
    assert {p["k"] for p in opt.ask(3).params} == {0, 2, 4}


def test_adding_nothing_gives_an_empty_batch():
    assert len(random_start().add([], [])) == 0


def test_input_arrays_are_copied():
    opt = random_start()
    x, values, noise = np.array([[1.0, 2.0]]), np.array([3.0]), np.array([0.5])
    opt.add(x, values, noise)
    x[:], values[:], noise[:] = 0, 0, 0
    (trial,) = opt.history
    assert (trial.params, trial.value, trial.noise) == ({"x": 1.0, "y": 2.0}, 3.0, 0.5)


def test_ids_count_over_asks_and_adds():
    opt = random_start()
    opt.ask(2)
    assert opt.add({"x": 1.0, "y": 2.0}, 1.0).ids == [2]
    assert opt.ask().ids == [3]


def test_predict_speaks_in_the_users_units_and_direction():
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        opt = gpbo.Optimizer(BOX, direction, seed=0)
        batch = opt.ask(6)
        opt.tell(batch, [1000 + 50 * sign * bowl(p) for p in batch.params])
        mean, std = opt.predict(batch)
        np.testing.assert_allclose(mean, [t.value for t in opt.history], rtol=0.05)
        assert mean.shape == std.shape == (6,)
        assert (std >= 0).all()


@pytest.mark.parametrize("points", [{"x": 0, "y": 1}, [{"x": 0, "y": 1}], np.array([[0.0, 1.0]]), [0, 1]])
def test_predict_takes_points_of_any_make(points):
    opt = gpbo.Optimizer(BOX, seed=0)
    drive(opt, 4)
    mean, std = opt.predict(points)
    assert (mean.shape, std.shape) == ((1,), (1,))


def test_predict_of_no_points_is_empty():
    opt = random_start()
    opt.tell(opt.ask(3), [1.0, 2.0, 3.0])
    assert [part.shape for part in opt.predict([])] == [(0,), (0,)]


def test_model_is_a_botorch_gaussian_process():
    opt = gpbo.Optimizer(MIXED, seed=0)
    drive(opt, 7)
    assert isinstance(opt.model, SingleTaskGP)
    posterior = opt.model.posterior(torch.full((3, MIXED.dim), 0.5, dtype=torch.float64))
    assert posterior.mean.shape == (3, 1)


@pytest.mark.parametrize("q", [1, 3])
def test_acquisition_is_a_botorch_function_on_the_unit_cube(q):
    opt = gpbo.Optimizer(BOX, seed=0)
    drive(opt, 7)
    acquisition = opt.acquisition(q)
    assert isinstance(acquisition, AcquisitionFunction)
    assert acquisition(torch.rand(4, q, BOX.dim, dtype=torch.float64)).shape == (4,)


def test_recommend_is_a_complete_trial():
    opt = gpbo.Optimizer(BOX, seed=0)
    drive(opt, 8)
    assert opt.recommend().state == "complete"


@pytest.mark.parametrize("failed", [0, 2])
@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.best(),
        lambda o: o.recommend(),
        lambda o: o.predict({"x": 1, "y": 1}),
        lambda o: o.model,
        lambda o: o.acquisition(),
    ],
    ids=["best", "recommend", "predict", "model", "acquisition"],
)
def test_answers_that_need_values_say_so(call, failed):
    opt = random_start()
    if failed:
        opt.fail(opt.ask(failed))
    with pytest.raises(gpbo.NotReadyError, match="all 2 trials told have failed" if failed else "nothing was told yet"):
        call(opt)


def test_repr_says_direction_counts_and_best():
    opt = random_start()
    batch = opt.ask(3)
    opt.tell(batch[0], 1.5)
    opt.fail(batch[1])
    text = repr(opt)
    assert "minimizing over 2 parameters: 1 complete, 1 failed, 1 pending; best 1.5; seed 0" in text


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copying_or_pickling_says_what_to_do_instead(copied):
    with pytest.raises(gpbo.ArgumentTypeError, match=r"storage=.*Optimizer\.open\(\).*history\.to_dataframe\(\)"):
        copied(random_start())


def test_a_dict_serves_as_space():
    assert gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0).space == gpbo.Space({"x": gpbo.Float(0, 1)})
