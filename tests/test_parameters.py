import math
import pickle

import numpy as np
import pytest
import torch

from gpbo import Categorical, Float, Int, SpaceError, SpaceTypeError


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Float(0, 1), "Float(0.0, 1.0)"),
        (Float(1e-5, 0.1, log=True), "Float(1e-05, 0.1, log=True)"),
        (Float(0, 1, step=0.25), "Float(0.0, 1.0, step=0.25)"),
        (Int(2, 32), "Int(2, 32)"),
        (Int(1, 8, log=True), "Int(1, 8, log=True)"),
        (Categorical(["a", 1, None]), "Categorical(['a', 1, None])"),
        (Categorical([1, 2], ordered=True), "Categorical([1, 2], ordered=True)"),
    ],
)
def test_repr_is_the_call_that_makes_it(parameter, text):
    assert repr(parameter) == text
    assert eval(text) == parameter


@pytest.mark.parametrize("parameter", [Float(0, 1, step=0.1), Int(1, 5, log=True), Categorical(["a", True, 1])])
def test_parameters_survive_pickling(parameter):
    assert pickle.loads(pickle.dumps(parameter)) == parameter


@pytest.mark.parametrize("log", [0, "yes", None])
def test_log_must_be_a_bool(log):
    with pytest.raises(SpaceTypeError, match="log must be True or False"):
        Float(1, 2, log=log)


@pytest.mark.parametrize("bad", ["1", None, True, 1j, [1.0], torch.zeros(2)])
def test_float_bounds_must_be_real_numbers(bad):
    with pytest.raises(SpaceTypeError, match="high"):
        Float(0, bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400])
def test_float_bounds_must_be_finite(bad):
    with pytest.raises(SpaceError, match=r"low .*finite"):
        Float(bad, 1)


@pytest.mark.parametrize("parameter", [Float, Int])
def test_reversed_bounds_are_refused_with_the_cure(parameter):
    with pytest.raises(SpaceError, match=r"low 3.* is above high 1.*swap them"):
        parameter(3, 1)


@pytest.mark.parametrize("parameter", [Float, Int])
@pytest.mark.parametrize("low", [0, -1])
def test_log_needs_a_positive_lower_bound(parameter, low):
    with pytest.raises(SpaceError, match="log scale needs low > 0"):
        parameter(low, 5, log=True)


@pytest.mark.parametrize("step", [0, -0.5, math.nan, math.inf])
def test_step_must_be_positive_and_finite(step):
    with pytest.raises(SpaceError, match="step"):
        Float(0, 1, step=step)


def test_step_that_makes_too_many_levels_is_refused():
    with pytest.raises(SpaceError, match="continuous"):
        Float(0, 1e300, step=1e-300)


def test_a_range_of_a_handful_of_floats_is_refused():
    with pytest.raises(SpaceError, match="widen it"):
        Float(1.0, 1.0 + 1e-14)


def test_float_accepts_numbers_of_any_make():
    assert Float(np.float32(0.5), torch.tensor(2)) == Float(0.5, 2.0)


@pytest.mark.parametrize("bad", [1.0, "1", None, True, np.float64(2)])
def test_int_bounds_must_be_integers(bad):
    with pytest.raises(SpaceTypeError, match="high must be an integer"):
        Int(0, bad)


@pytest.mark.parametrize("bound", [2**63, -(2**63) - 1])
def test_int_bounds_beyond_int64_are_refused(bound):
    with pytest.raises(SpaceError, match="int64"):
        Int(min(0, bound), max(0, bound))


def test_int_keeps_plain_ints():
    assert [type(bound) for bound in (Int(np.int64(1), np.int8(3)).low, Int(np.int64(1), np.int8(3)).high)] == [int] * 2


def test_zero_choices_are_refused():
    with pytest.raises(SpaceError, match="at least one choice"):
        Categorical([])


@pytest.mark.parametrize("choices", [["a", "b", "a"], [1, 1], [(1, "x"), (1, "x")], [None, None]])
def test_repeated_choices_are_refused(choices):
    with pytest.raises(SpaceError, match="twice"):
        Categorical(choices)


@pytest.mark.parametrize("choices", ["abc", {"a", "b"}, {"a": 1}, 3, None])
def test_choices_must_be_a_sequence(choices):
    with pytest.raises(SpaceTypeError, match="list or a tuple"):
        Categorical(choices)


@pytest.mark.parametrize("choice", [[1], {"a": 1}, object(), b"x", 1j, (1, [2])])
def test_choices_of_other_types_are_refused(choice):
    with pytest.raises(SpaceTypeError, match="not allowed"):
        Categorical(["a", choice])


def test_a_nan_choice_is_refused():
    with pytest.raises(SpaceError, match="NaN"):
        Categorical([1.0, math.nan])


def test_one_true_and_one_point_zero_are_three_choices():
    choices = [1, True, 1.0, 0, False]
    parameter = Categorical(choices)
    back = parameter.natives([parameter.read(choice) for choice in choices])
    assert [(type(value), value) for value in back] == [(type(value), value) for value in choices]


def test_choices_that_differ_in_type_make_different_parameters():
    assert Categorical([1, 2]) != Categorical([True, 2])
    assert len({Categorical([1, 2]), Categorical([1, 2]), Categorical([1, 2], ordered=True)}) == 2


def test_numpy_choices_become_plain_values():
    assert [type(choice) for choice in Categorical(np.array([16, 32])).choices] == [int, int]


def test_an_equal_number_finds_its_choice_when_it_is_the_only_one():
    assert Categorical([1, 2, "x"]).read(2.0) == 1
    with pytest.raises(SpaceError, match="not one of the choices"):
        Categorical([1, 1.0]).read(np.float64(2))


def test_a_bool_is_no_number_among_choices():
    with pytest.raises(SpaceError, match="not one of the choices"):
        Categorical([0, 1]).read(True)


def test_step_values_are_the_decimal_ones():
    assert Float(0, 1, step=0.1).natives(range(11)) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize(
    ("parameter", "count"),
    [
        (Float(0, 0.3, step=0.1), 4),
        (Float(0, 1, step=0.3), 4),
        (Float(0, 1, step=5), 1),
        (Float(2, 2), 1),
        (Float(0, 1), None),
        (Int(-(2**63), 2**63 - 1), 2**64),
        (Categorical(["a"]), 1),
    ],
)
def test_count_of_values(parameter, count):
    assert parameter.count == count


def test_step_reads_values_off_by_a_rounding():
    assert Float(0, 1, step=0.1).read(0.1 + 0.2) == 3


def test_step_refuses_values_between_levels_and_names_the_nearest():
    with pytest.raises(SpaceError, match=r"between two steps.*nearest value is 0.3"):
        Float(0, 1, step=0.1).read(0.33)


def test_int_reads_whole_floats_only():
    assert Int(0, 9).read(3.0) == 3
    with pytest.raises(SpaceError, match="whole number"):
        Int(0, 9).read(3.5)


def test_negative_zero_becomes_zero():
    assert math.copysign(1, Float(-1, 1).read(-0.0)) == 1
