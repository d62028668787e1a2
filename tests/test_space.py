import copy
import math
import pickle
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpbo import Categorical, Float, Int, Space, SpaceError, SpaceTypeError

HUGE = 1.7e308
MIXED = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "depth": Int(2, 32),
        "act": Categorical(["relu", "gelu", None]),
        "flag": Categorical([True, False]),
        "size": Categorical(["s", "m", "l"], ordered=True),
        "step": Float(0, 1, step=0.1),
        "logstep": Float(0.5, 8, step=0.5, log=True),
        "fixed": Float(3, 3),
        "any": Int(-(2**63), 2**63 - 1),
        "wide": Float(-HUGE, HUGE),
        "count": Int(1, 10**9, log=True),
    }
)


def uniform(space: Space, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((m, space.n_params))


@st.composite
def parameters(draw):
    kind = draw(st.sampled_from(["float", "logfloat", "stepfloat", "int", "logint", "choices", "ordered"]))
    if kind == "choices" or kind == "ordered":
        values = st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
        chosen = draw(st.lists(values, min_size=1, max_size=6, unique_by=lambda v: (type(v), v)))
        return Categorical(chosen, ordered=kind == "ordered")
    if kind == "int":
        low, high = sorted(draw(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2)))
        return Int(low, high)
    if kind == "logint":
        low, high = sorted(draw(st.tuples(*[st.integers(1, 2**63 - 1)] * 2)))
        return Int(low, high, log=True)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    if kind == "stepfloat":
        low, span, steps = draw(st.floats(-1e6, 1e6)), draw(st.floats(1e-3, 1e6)), draw(st.integers(1, 10**6))
        return Float(low, low + span, step=span / steps)
    low, high = sorted(draw(st.tuples(finite, finite)))
    if kind == "logfloat":
        low, high = sorted((max(abs(low), 1e-300), max(abs(high), 1e-300)))
    try:
        return Float(low, high, log=kind == "logfloat")
    except SpaceError:  # too narrow
        return Float(low, low)


@st.composite
def spaces(draw):
    return Space({f"p{i}": p for i, p in enumerate(draw(st.lists(parameters(), min_size=1, max_size=4)))})


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_decoded_points_lie_in_the_space(space, seed):
    U = np.random.default_rng(seed).random((8, space.dim))
    U[0], U[1] = 0.0, 1.0
    for params in space.decode(U) + space.decode(space.sample(uniform(space, 8, seed))):
        assert space.contains(params)
        for name, parameter in space.items():
            value = params[name]
            if isinstance(parameter, Categorical):
                assert any(
                    value is choice or (type(value), value) == (type(choice), choice) for choice in parameter.choices
                )
            else:
                assert type(value) is (float if isinstance(parameter, Float) else int)
                assert parameter.low <= value <= parameter.high


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_snap_gives_what_encoding_the_decoded_point_gives(space, seed):
    U = np.random.default_rng(seed).normal(0.5, 0.5, (8, space.dim))
    snapped = space.snap(U)
    np.testing.assert_allclose(snapped, space.encode(space.decode(U)), rtol=0, atol=1e-9)
    assert ((snapped >= 0) & (snapped <= 1)).all()


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_keys_are_the_identity_of_the_decoded_points(space, seed):
    U = np.random.default_rng(seed).random((8, space.dim))
    assert space.keys(U) == [space.key(params) for params in space.decode(U)]


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_native_numbers_lead_back_to_the_point(space, seed):
    params = space.decode(space.sample(uniform(space, 8, seed)))
    back = space.from_x(space.to_x(params))
    for before, after in zip(params, back, strict=True):
        for name, parameter in space.items():
            exact = not isinstance(parameter, Int) or abs(before[name]) <= 2**53
            assert before[name] == after[name] if exact else abs(before[name] - after[name]) <= 2**10


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_neighbours_differ_in_one_discrete_parameter(space, seed):
    assume((space.levels < 2**40).all())
    u = space.sample(uniform(space, 1, seed))[0]
    here = space.codes(space.decode(u[None])[0])
    for key in space.keys(space.neighbours(u)):
        assert sum(a != b for a, b in zip(here, key, strict=True)) <= 1


@pytest.mark.parametrize("high", [0, 1, 7, 100, 2**40])
def test_every_integer_survives_the_unit_cube(high):
    space = Space({"k": Int(-3, high)})
    points = [{"k": k} for k in {-3, high, high // 2, high // 3, max(high - 1, -3)}]
    assert space.decode(space.encode(points)) == points


def test_every_level_of_a_log_integer_survives_the_unit_cube():
    space = Space({"k": Int(1, 3000, log=True)})
    points = [{"k": k} for k in range(1, 3001)]
    assert space.decode(space.encode(points)) == points


def test_log_integers_snap_to_the_nearest_level_in_the_cube():
    space = Space({"k": Int(1, 20, log=True)})
    grid = space.encode([{"k": k} for k in range(1, 21)])[:, 0]
    u = np.linspace(0, 1, 998)  # no coordinate midway between two levels
    nearest = np.abs(u[:, None] - grid).argmin(axis=1) + 1
    assert [p["k"] for p in space.decode(u[:, None])] == nearest.tolist()


@pytest.mark.parametrize(
    ("parameter", "low", "high"),
    [
        (Float(-HUGE, HUGE), -HUGE, HUGE),
        (Float(5e-324, 1e300, log=True), 5e-324, 1e300),
        (Float(1e9, 1e9 + 1, log=True), 1e9, 1e9 + 1),
        (Int(-(2**63), 2**63 - 1), -(2**63), 2**63 - 1),
        (Int(1, 2**63 - 1, log=True), 1, 2**63 - 1),
        (Float(0.1, 0.7, step=0.1), 0.1, 0.7),
    ],
)
def test_bounds_are_the_ends_of_the_cube_exactly(parameter, low, high):
    space = Space({"x": parameter})
    assert space.decode(np.array([[0.0], [1.0], [-3.0], [4.0]])) == [{"x": v} for v in (low, high, low, high)]
    np.testing.assert_array_equal(space.encode([{"x": low}, {"x": high}]), [[0.0], [1.0]])


def test_decode_is_monotone_over_the_widest_float_range():
    values = [p["x"] for p in Space({"x": Float(-HUGE, HUGE)}).decode(np.linspace(0, 1, 101)[:, None])]
    assert values == sorted(values)
    assert values[50] == 0.0


def test_log_scale_puts_the_geometric_mean_in_the_middle():
    (point,) = Space({"x": Float(1e-4, 1, log=True)}).decode(np.array([[0.5]]))
    assert point["x"] == pytest.approx(1e-2, rel=1e-12)


def test_layout_of_coordinates():
    assert MIXED.dim == 12
    assert MIXED.levels.tolist() == [0, 31, -1, -1, -1, 2, 3, 11, 16, 2**62, 0, 10**9]
    assert not MIXED.levels.flags.writeable


@pytest.mark.parametrize(
    ("parameters", "cardinality"),
    [
        ({"a": Int(0, 2), "b": Categorical(["x", "q"])}, 6),
        ({"a": Int(-(2**63), 2**63 - 1), "b": Int(-(2**63), 2**63 - 1)}, 2**128),
        ({"a": Float(1, 1), "b": Int(4, 4)}, 1),
        ({"a": Float(0, 1), "b": Int(0, 4)}, None),
        ({"a": Float(0, 1, step=0.5), "b": Int(0, 4)}, 15),
    ],
)
def test_cardinality_is_exact(parameters, cardinality):
    assert Space(parameters).cardinality == cardinality


def test_space_of_one_point_keeps_one_constant_coordinate():
    space = Space({"a": Int(4, 4), "b": Categorical(["only"])})
    assert (space.dim, space.levels.tolist()) == (1, [1])
    np.testing.assert_array_equal(space.sample(np.zeros((2, 2))), [[0.5], [0.5]])
    np.testing.assert_array_equal(space.snap(np.zeros((1, 1))), [[0.5]])
    assert space.decode(np.array([[0.1]])) == [{"a": 4, "b": "only"}]
    assert space.neighbours(np.array([0.5])).shape == (0, 1)


def test_point_enumerates_a_finite_space():
    space = Space({"a": Int(0, 2), "b": Categorical(["x", "y"]), "c": Float(0, 1, step=0.5)})
    points = [space.decode(space.point(i)[None])[0] for i in range(18)]
    assert points == [{"a": a, "b": b, "c": c} for a in range(3) for b in "xy" for c in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize("index", [-1, 3])
def test_point_outside_the_enumeration_is_refused(index):
    with pytest.raises(SpaceError, match="has 3 points"):
        Space({"a": Int(0, 2)}).point(index)


def test_sample_makes_all_levels_equally_likely():
    space = Space({"k": Int(1, 4), "c": Categorical(["a", "b", "c"]), "s": Float(0, 1, step=0.5)})
    points = space.decode(space.sample(uniform(space, 12000)))
    for name, count in (("k", 4), ("c", 3), ("s", 3)):
        _, times = np.unique([str(p[name]) for p in points], return_counts=True)
        np.testing.assert_allclose(times / 12000, 1 / count, atol=0.02)


def test_sample_makes_log_integers_log_uniform():
    space = Space({"k": Int(1, 10**6, log=True)})
    points = space.decode(space.sample(np.linspace(0, 1, 6000, endpoint=False)[:, None]))
    decades, _ = np.histogram(np.log10([p["k"] for p in points]), bins=[3, 4, 5, 6])
    np.testing.assert_allclose(decades / 6000, 1 / 6, atol=0.01)


def test_neighbours_of_a_small_grid_are_all_other_levels():
    space = Space({"k": Int(0, 15), "x": Float(0, 1)})
    u = space.encode([{"k": 7, "x": 0.25}])[0]
    assert [p["k"] for p in space.decode(space.neighbours(u))] == [k for k in range(16) if k != 7]


def test_neighbours_of_a_large_grid_are_doubling_steps():
    space = Space({"k": Int(0, 100)})
    near = {p["k"] for p in space.decode(space.neighbours(space.encode([{"k": 5}])[0]))}
    assert near == {4, 6, 3, 7, 1, 9, 13, 21, 37, 69}


def test_neighbours_of_a_category_are_the_other_choices():
    space = Space({"c": Categorical(["a", "b", "c"]), "x": Float(0, 1)})
    near = space.decode(space.neighbours(space.encode([{"c": "b", "x": 0.5}])[0]))
    assert near == [{"c": "a", "x": 0.5}, {"c": "c", "x": 0.5}]


@pytest.mark.parametrize("call", ["snap", "decode", "keys", "neighbours"])
def test_ten_thousand_rows_take_well_under_a_second(call):
    U = MIXED.sample(uniform(MIXED, 10_000))
    start = time.perf_counter()
    getattr(MIXED, call)(U[0] if call == "neighbours" else U)
    assert time.perf_counter() - start < 1


def test_nothing_is_allocated_in_proportion_to_a_range():
    tracemalloc.start()
    try:
        space = Space({"k": Int(-(2**63), 2**63 - 1), "s": Float(0, 1e9, step=1e-9), "l": Int(1, 2**62, log=True)})
        U = space.sample(uniform(space, 4))
        space.neighbours(U[0]), space.decode(U), space.snap(U)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_values_come_back_as_plain_python_types():
    point = MIXED.decode(MIXED.sample(uniform(MIXED, 1)))[0]
    assert [type(point[name]) for name in ("lr", "depth", "flag", "step", "any", "count")] == [
        float,
        int,
        bool,
        float,
        int,
        int,
    ]


def test_from_bounds_names_the_dimensions():
    space = Space.from_bounds(np.zeros(3), torch.tensor([1.0, 2.0, 3.0]))
    assert space == Space({"x0": Float(0, 1), "x1": Float(0, 2), "x2": Float(0, 3)})
    assert space.unnamed
    assert not MIXED.unnamed


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0, 2], [1, 1], "dimension 1.*swap"),
        ([0, math.nan], [1, 1], "dimension 1.*finite"),
        ([0], [1, 1], "1 lower bounds but 2 upper"),
        ([], [], "non-empty"),
        (0, 1, "shape"),
        ([[0]], [[1]], "shape"),
        ([[0], [0, 1]], [1], "rectangular"),
        (["a"], [1], "real numbers"),
        ([None], [1], "real numbers"),
        ([True], [2], "real numbers"),
    ],
)
def test_from_bounds_refuses_bad_bounds(lower, upper, message):
    with pytest.raises(SpaceError, match=message):
        Space.from_bounds(lower, upper)


@pytest.mark.parametrize("bad", [None, [Float(0, 1)], "x", 3, Float(0, 1)])
def test_space_needs_a_mapping(bad):
    with pytest.raises(SpaceTypeError, match="dict from name to parameter"):
        Space(bad)


def test_space_needs_a_parameter():
    with pytest.raises(SpaceError, match="at least one parameter"):
        Space({})


@pytest.mark.parametrize("name", [1, None, ("a",)])
def test_names_must_be_strings(name):
    with pytest.raises(SpaceTypeError, match="names must be strings"):
        Space({name: Float(0, 1)})


def test_names_must_not_be_empty():
    with pytest.raises(SpaceError, match="empty"):
        Space({"": Float(0, 1)})


@pytest.mark.parametrize("bad", [(0, 1), 3, Float, None, ["a", "b"]])
def test_what_is_no_parameter_is_refused_by_name(bad):
    with pytest.raises(SpaceTypeError, match=r"'lr'.*gpbo\.Float"):
        Space({"lr": bad})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"k": 1}, "'c' is missing"),
        ({"k": 1, "c": "a", "z": 1}, "'z' is unknown; the space has 'k', 'c'"),
        ({"k": 9, "c": "a"}, r"'k' is 9, outside \[0, 4\]"),
        ({"k": 1.5, "c": "a"}, r"'k' is 1.5; it must be a whole number in \[0, 4\]"),
        ({"k": math.nan, "c": "a"}, "'k' is nan"),
        ({"k": "1", "c": "a"}, "'k' is '1'"),
        ({"k": True, "c": "a"}, "'k' is True"),
        ({"k": 1, "c": "q"}, "'c' is 'q', not one of the choices"),
        ({"k": 1, "c": ["a"]}, "'c' is"),
        ([1, "a"], "must be a dict"),
        (None, "must be a dict"),
    ],
)
def test_points_outside_the_space_are_refused_by_name(params, message):
    space = Space({"k": Int(0, 4), "c": Categorical(["a", "b"])})
    assert not space.contains(params)
    with pytest.raises(SpaceError, match=message):
        space.codes(params)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-9, 1.0000001, 10**400])
def test_float_values_outside_the_range_are_refused(value):
    with pytest.raises(SpaceError, match="'x' is"):
        Space({"x": Float(0, 1)}).codes({"x": value})


def test_order_of_names_in_a_point_does_not_matter():
    space = Space({"a": Int(0, 4), "b": Int(0, 4)})
    assert space.key({"b": 1, "a": 2}) == space.key({"a": 2, "b": 1})


@pytest.mark.parametrize(
    "x", [[1.0, 2.0], np.array([[1, 2]], dtype=np.int8), torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)]
)
def test_from_x_takes_arrays_of_any_make(x):
    assert Space({"a": Float(0, 4), "k": Int(0, 4)}).from_x(x) == [{"a": 1.0, "k": 2}]


def test_from_x_forgives_the_rounding_of_narrow_floats_only():
    space = Space.from_bounds([0.0], [0.1])
    assert space.from_x(np.array([0.1], dtype=np.float32)) == [{"x0": 0.1}]
    with pytest.raises(SpaceError, match="outside"):
        space.from_x(np.array([float(np.float32(0.1))]))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2.0, 3.0]], r"shape \(1, 3\)"),
        (1.0, r"shape \(\)"),
        ([[[1.0, 2.0]]], "shape"),
        ([["a", "b"]], "real numbers"),
        ([[True, False]], "real numbers"),
        ([[1j, 2]], "real numbers"),
        ([[1.0, None]], "real numbers"),
        ([[1.0], [1.0, 2.0]], "rectangular"),
        ([[1.0, 2.5]], "'c' is 2.5.*index of a choice, 0 to 2"),
        ([[1.0, -1]], "'c'"),
        ([[1.0, 3]], "'c'"),
        ([[1.0, math.nan]], "'c'"),
        ([[math.inf, 1]], "'a'"),
    ],
)
def test_from_x_refuses_bad_arrays(x, message):
    with pytest.raises(SpaceError, match=message):
        Space({"a": Float(0, 4), "c": Categorical(["p", "q", "r"])}).from_x(x)


def test_integers_at_the_limits_of_int64_survive_an_int_array():
    space = Space({"k": Int(-(2**63), 2**63 - 1)})
    assert space.from_x(np.array([[-(2**63)], [2**63 - 1]])) == [{"k": -(2**63)}, {"k": 2**63 - 1}]


def test_empty_lists_of_points_are_legal():
    assert MIXED.decode(np.empty((0, MIXED.dim))) == []
    assert MIXED.encode([]).shape == (0, MIXED.dim)
    assert MIXED.to_x([]).shape == (0, MIXED.n_params)


def test_space_is_a_collection_of_names():
    space = Space({"a": Int(0, 4), "b": Float(0, 1)})
    assert (len(space), list(space), space["a"]) == (2, ["a", "b"], Int(0, 4))
    with pytest.raises(SpaceError, match="'a', 'b'"):
        space["c"]


def test_spaces_are_equal_when_names_and_parameters_are():
    again = Space(dict(MIXED.items()))
    assert again == MIXED
    assert hash(again) == hash(MIXED)
    assert Space({"a": Int(0, 1)}) != Space({"a": Float(0, 1)})
    assert Space({"a": Int(0, 1), "b": Int(0, 1)}) != Space({"b": Int(0, 1), "a": Int(0, 1)})


def test_repr_is_the_call_that_makes_it():
    assert eval(repr(MIXED)) == MIXED


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda space: pickle.loads(pickle.dumps(space))])
def test_spaces_can_be_copied_and_pickled(copied):
    again = copied(MIXED)
    assert again == MIXED
    np.testing.assert_array_equal(again.snap(np.full((1, 12), 0.3)), MIXED.snap(np.full((1, 12), 0.3)))


def test_later_changes_of_the_dict_do_not_reach_the_space():
    given_dict = {"a": Int(0, 1)}
    space = Space(given_dict)
    given_dict["b"] = Int(0, 1)
    assert list(space) == ["a"]
