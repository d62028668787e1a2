"""Whatever is handed in wrongly is refused by name, with the cure, and changes nothing."""

import math
import sys

import numpy as np
import pytest
import torch

import gpbo

SPACE = gpbo.Space(
    {"lr": gpbo.Float(1e-4, 1e-1, log=True), "depth": gpbo.Int(1, 8), "act": gpbo.Categorical(["a", "b"])}
)
POINT = {"lr": 0.01, "depth": 3, "act": "a"}


@pytest.fixture
def opt():
    """A study with trials 0 and 1 pending, 2 complete, 3 failed, 4 forgotten."""
    opt = gpbo.Optimizer(SPACE, seed=0, n_initial=1000)
    batch = opt.ask(5)
    opt.tell(batch[2], 2.0)
    opt.fail(batch[3])
    opt.forget(batch[4])
    return opt


def refused(opt, call, error, *parts):
    """The call raises ``error`` with these parts in its message, and the study is as before."""
    before = repr(opt), opt.pending.ids, opt.history.ids, opt._ledger.data().version, opt._ledger.asks
    with pytest.raises(error) as info:
        call()
    assert isinstance(info.value, gpbo.GpboError)
    for part in parts:
        assert part in str(info.value)
    assert (repr(opt), opt.pending.ids, opt.history.ids, opt._ledger.data().version, opt._ledger.asks) == before


class Stranger:
    """Something that is nothing of use."""

    def __repr__(self):
        return "Stranger()"


@pytest.mark.parametrize("q", [0, -1, 10**9])
def test_ask_refuses_impossible_numbers_of_points(opt, q):
    refused(opt, lambda: opt.ask(q), gpbo.ArgumentError, "ask: q", str(q))


@pytest.mark.parametrize("q", [1.0, True, "3", None, [1], np.float64(2), math.nan, torch.tensor(2)])
def test_ask_refuses_what_is_no_integer(opt, q):
    refused(opt, lambda: opt.ask(q), TypeError, "ask: q must be an integer")


def test_ask_takes_numpy_integers(opt):
    assert len(opt.ask(np.int64(2))) == 2


@pytest.mark.parametrize(
    "value", ["0.5", None, True, 1j, Stranger(), b"1", {"a": 1}, [], [1.0, 2.0], np.zeros(2), "nan"]
)
def test_tell_refuses_what_is_no_real_number(opt, value):
    refused(opt, lambda: opt.tell(0, value), gpbo.TellError, "tell: ")


@pytest.mark.parametrize("value", ["0.5", None, True, 1j, Stranger()])
def test_tell_names_trial_parameters_value_and_cure(opt, value):
    lr = opt.pending[1].params["lr"]
    refused(
        opt, lambda: opt.tell([0, 1], [1.0, value]), TypeError, "trial 1", repr(lr), repr(value), "nan for a failed run"
    )


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False]),
        torch.tensor([True, False]),
        np.array(["1", "2"]),
        np.array([1j, 2j]),
        torch.tensor([1j, 2j]),
        np.array([None, 1.0], dtype=object),
        np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
    ],
    ids=["bool", "torch bool", "str", "complex", "torch complex", "object", "datetime"],
)
def test_tell_refuses_arrays_of_other_things(opt, values):
    refused(opt, lambda: opt.tell([0, 1], values), TypeError, "value of trial 0")


def test_tell_refuses_an_integer_beyond_float64(opt):
    refused(opt, lambda: opt.tell(0, 10**400), gpbo.TellError, "trial 0", "too large")


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (1.0, "1 value for 2 trials"),
        ([1.0], "1 value for 2 trials"),
        ([1.0, 2.0, 3.0], "3 values for 2 trials"),
        ([], "0 values for 2 trials"),
        (np.zeros((1, 2)), "shape (1, 2)"),
        (np.zeros((2, 2)), "shape (2, 2)"),
        (torch.zeros(2, 1, 1), "shape (2, 1, 1)"),
        (np.array(1.0), "1 value for 2 trials"),
    ],
)
def test_tell_refuses_a_wrong_number_of_values(opt, values, got):
    refused(opt, lambda: opt.tell([0, 1], values), gpbo.TellError, got)


@pytest.mark.parametrize("values", [{0: 1.0, 1: 2.0}, {1.0, 2.0}, "12", b"12"])
def test_tell_refuses_values_without_order(opt, values):
    refused(opt, lambda: opt.tell([0, 1], values), gpbo.TellError)


@pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf, [0.1, -0.1], [math.nan, 0.1]])
def test_tell_refuses_impossible_noise(opt, noise):
    refused(opt, lambda: opt.tell([0, 1], [1.0, 2.0], noise=noise), gpbo.TellError, "noise of trial", "not negative")


@pytest.mark.parametrize(
    "noise",
    [np.ma.array([0.1, 0.2], mask=[False, True]), np.ma.masked, [0.1, np.ma.masked], np.ma.masked_all(2)],
    ids=["one", "bare", "list", "all"],
)
def test_tell_refuses_masked_noise(opt, noise):
    refused(opt, lambda: opt.tell([0, 1], [1.0, 2.0], noise=noise), gpbo.TellError, "noise of trial", "is nan")


def test_tell_refuses_masked_arrays_of_other_things(opt):
    values = np.ma.array([True, False], mask=[False, True])
    refused(opt, lambda: opt.tell([0, 1], values), TypeError, "value of trial 0")


@pytest.mark.parametrize("noise", ["0.1", True, [None, 0.1], 1j, ["a", "b"]])
def test_tell_refuses_noise_that_is_no_number(opt, noise):
    refused(opt, lambda: opt.tell([0, 1], [1.0, 2.0], noise=noise), gpbo.TellError, "noise")


def test_tell_refuses_a_wrong_number_of_deviations(opt):
    refused(opt, lambda: opt.tell([0, 1], [1.0, 2.0], noise=[0.1] * 3), gpbo.TellError, "3 noises for 2 trials")


@pytest.mark.parametrize("call", ["tell", "fail", "forget"])
class TestTrials:
    """What names no pending trial."""

    @staticmethod
    def end(opt, call, trials):
        return (lambda: opt.tell(trials, 1.0)) if call == "tell" else (lambda: getattr(opt, call)(trials))

    @pytest.mark.parametrize("trial_id", [5, 99, -1, 2**70])
    def test_unknown_ids(self, opt, call, trial_id):
        refused(opt, self.end(opt, call, trial_id), gpbo.UnknownTrialError, f"{call}: ", str(trial_id))

    def test_unknown_ids_say_which_there_are(self, opt, call):
        refused(opt, self.end(opt, call, 9), LookupError, "there is no trial 9; the ids so far are 0 to 4")

    def test_before_anything_was_asked(self, opt, call):
        fresh = gpbo.Optimizer(SPACE, seed=0)
        refused(fresh, self.end(fresh, call, 0), gpbo.UnknownTrialError, "none was asked for yet")

    @pytest.mark.parametrize(
        "trial", [1.0, "0", None, True, Stranger(), [0.5], [None], ["a"], [[0]], np.array([0.0]), b"0"]
    )
    def test_what_is_no_trial(self, opt, call, trial):
        refused(opt, self.end(opt, call, trial), TypeError, f"{call}: ", "is no trial")

    @pytest.mark.parametrize("trials", [{1, 0}, frozenset([0]), {0: 1.0}.keys(), {"a": 0}.values(), set()])
    def test_trials_without_order(self, opt, call, trials):
        refused(opt, self.end(opt, call, trials), gpbo.TellTypeError, f"{call}: ", "pass them in order, as a list")

    def test_a_dict_of_parameters(self, opt, call):
        refused(opt, self.end(opt, call, POINT), TypeError, "add(params, value)")

    @pytest.mark.parametrize(("trial_id", "state"), [(2, "complete"), (3, "failed"), (4, "forgotten")])
    def test_trials_that_have_ended(self, opt, call, trial_id, state):
        refused(opt, self.end(opt, call, trial_id), gpbo.TrialStateError, f"trial {trial_id}", f"is {state}", "add()")

    def test_trials_named_twice(self, opt, call):
        refused(opt, self.end(opt, call, [0, 0]), gpbo.TellError, "trial 0", "twice")

    def test_trials_of_another_study(self, opt, call):
        other = gpbo.Optimizer(SPACE, seed=1, n_initial=1000).ask()
        refused(opt, self.end(opt, call, other), gpbo.UnknownTrialError, "not handed out by this optimizer")

    def test_trials_of_another_space(self, opt, call):
        other = gpbo.Optimizer({"z": gpbo.Float(0, 1)}, seed=1, n_initial=1000).ask()
        refused(opt, self.end(opt, call, other), gpbo.UnknownTrialError, "not handed out by this optimizer")


@pytest.mark.parametrize("reason", [None, 3, ValueError("oom"), b"oom"])
def test_fail_refuses_a_reason_that_is_no_text(opt, reason):
    refused(opt, lambda: opt.fail(0, reason), TypeError, "the reason must be a string")


BAD_POINTS = [
    ({**POINT, "lr": 1.0}, "'lr' is 1.0, outside [0.0001, 0.1]"),
    ({**POINT, "lr": 0.0}, "'lr' is 0.0"),
    ({**POINT, "lr": math.nan}, "'lr' is nan"),
    ({**POINT, "lr": -math.inf}, "'lr' is -inf"),
    ({**POINT, "lr": "0.01"}, "'lr' is '0.01'"),
    ({**POINT, "depth": 9}, "'depth' is 9, outside [1, 8]"),
    ({**POINT, "depth": 2.5}, "'depth' is 2.5"),
    ({**POINT, "depth": None}, "'depth' is None"),
    ({**POINT, "depth": True}, "'depth' is True"),
    ({**POINT, "act": "z"}, "'act' is 'z', not one of the choices ['a', 'b']"),
    ({**POINT, "act": ["a"]}, "'act' is ['a']"),
    ({**POINT, "more": 1}, "'more' is unknown"),
    ({"lr": 0.01, "depth": 3}, "'act' is missing"),
    ({}, "'lr' is missing"),
    ([0.01, 3], "shape (1, 2)"),
    ([0.01, 3, 5], "'act' is 5"),
    ([[0.01, 3, 0, 0]], "shape (1, 4)"),
    (np.zeros((1, 1, 3)), "shape (1, 1, 3)"),
    (0.5, "shape ()"),
    (None, "real numbers"),
    ("lr", "real numbers"),
    (Stranger(), "real numbers"),
    ([POINT, None], "point 1"),
    ([POINT, {**POINT, "depth": 0}], "point 1: Parameter 'depth' is 0"),
    ([POINT, [0.01, 3, 0]], "point 1"),
    (torch.tensor([[1j, 0, 0]]), "real numbers"),
]


@pytest.mark.parametrize(("point", "part"), BAD_POINTS)
def test_add_refuses_points_outside_the_space(opt, point, part):
    values = [1.0] * (len(point) if isinstance(point, list) and isinstance(point[0], dict) else 1)
    refused(opt, lambda: opt.add(point, values), gpbo.SpaceError, "add: ", part)


@pytest.mark.parametrize(("point", "part"), BAD_POINTS)
def test_predict_refuses_points_outside_the_space(opt, point, part):
    refused(opt, lambda: opt.predict(point), gpbo.SpaceError, "predict: ", part)


@pytest.mark.parametrize("values", [None, "1", [1.0, 2.0], [], True, 1j])
def test_add_refuses_bad_values(opt, values):
    refused(opt, lambda: opt.add(POINT, values), gpbo.TellError, "add: ")


def test_add_refuses_bad_noise(opt):
    refused(opt, lambda: opt.add(POINT, 1.0, noise=-1.0), gpbo.TellError, "noise of point 0", "'depth': 3", "-1.0")


@pytest.mark.parametrize("q", [0, -2, 1.5, None])
def test_acquisition_refuses_impossible_numbers_of_points(opt, q):
    refused(opt, lambda: opt.acquisition(q), gpbo.ArgumentError, "acquisition: q")


@pytest.mark.parametrize("trial_id", [7, -1, "0", None, 0.0])
def test_trial_refuses_ids_that_are_not_there(opt, trial_id):
    refused(opt, lambda: opt.trial(trial_id), gpbo.GpboError, "trial: ")


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"space": None}, TypeError, "dict from name"),
        ({"space": {}}, gpbo.SpaceError, "at least one"),
        ({"space": [(0, 1)]}, TypeError, "dict from name"),
        ({"direction": "up"}, ValueError, "'up'"),
        ({"direction": None}, ValueError, "None"),
        ({"direction": np.array(["minimize"])}, TypeError, "ndarray"),
        ({"direction": np.array(["minimize", "maximize"])}, TypeError, "ndarray"),
        ({"seed": -1}, ValueError, "-1"),
        ({"seed": 2**63}, ValueError, "seed"),
        ({"seed": 1.5}, TypeError, "1.5"),
        ({"seed": True}, TypeError, "True"),
        ({"n_initial": 0}, ValueError, "n_initial"),
        ({"n_initial": "5"}, TypeError, "n_initial"),
        ({"device": "gpu"}, ValueError, "'gpu'"),
        ({"device": "cuda:99"}, ValueError, "cuda:99"),
        ({"device": None}, ValueError, "device"),
        ({"kernel": "linear"}, ValueError, "'linear'"),
        ({"kernel": None}, ValueError, "kernel"),
    ],
)
def test_optimizer_refuses_bad_settings(arguments, error, part):
    with pytest.raises(error, match=part.replace("[", "\\[")) as info:
        gpbo.Optimizer(**{"space": SPACE, **arguments})
    assert isinstance(info.value, gpbo.GpboError)


LIMITS = {
    "all of int64": gpbo.Int(-(2**63), 2**63 - 1),
    "log int64": gpbo.Int(1, 2**63 - 1, log=True),
    "all of float64": gpbo.Float(-sys.float_info.max, sys.float_info.max),
    "log float64": gpbo.Float(5e-324, sys.float_info.max, log=True),
    "tiny": gpbo.Float(0, 1e-300),
    "fine steps": gpbo.Float(0, 1e6, step=1e-6),
    "far away": gpbo.Float(1e15, 1e15 + 2**20),
    "constant": gpbo.Float(-3.5, -3.5),
    "one choice": gpbo.Categorical([None]),
    "many choices": gpbo.Categorical(range(300)),
    "mixed choices": gpbo.Categorical([0, False, 0.0, "0", None, (0, "a")]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_parameters_at_the_limits_work_all_the_way(name):
    space = gpbo.Space({"p": LIMITS[name], "x": gpbo.Float(0, 1)})
    opt = gpbo.Optimizer(space, seed=0, n_initial=4)
    for _ in range(7):
        batch = opt.ask()
        assert space.contains(batch.params[0])
        opt.tell(batch, batch[0]["x"])
    assert len({space.key(p) for p in opt.ask(3).params}) == 3
    assert np.isfinite(opt.predict(opt.best())).all()


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-30, 1e30, 1e300, 1.7e308])
def test_values_of_any_scale_work_all_the_way(scale):
    opt = gpbo.Optimizer(SPACE, seed=0, n_initial=4)
    for sign in (1, -1, 0.5, -0.5, 0.25, 1):
        opt.tell(opt.ask(), sign * scale)
    mean, std = opt.predict(opt.best())
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
