"""Experiments on the recipe: every change takes effect, is taken back, and has its row in the table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from benchmarks.optimization import ingredients, recipe
from benchmarks.optimization.ingredients.maps import MoreMaps, winsorised
from benchmarks.optimization.ingredients.warping import Warp, most_probable
from benchmarks.optimization.member import Case
from benchmarks.optimization.peers.own import Gpbo
from benchmarks.optimization.run import Variant, run
from gpbo import Categorical, Float, Int, Space
from gpbo.models.exact import Problem
from gpbo.models.fit import fit
from gpbo.models.spec import default_spec
from gpbo.numerics import available

MIXED = Space({"x": Float(0, 1), "n": Int(1, 40), "c": Categorical(["a", "b", "c"])})
PLAIN = Space.from_bounds([0.0, 0.0], [1.0, 1.0])


def outcome(params):
    values = list(params.values())
    return (values[0] - 0.3) ** 2 + 0.01 * abs(float(values[1]) - 0.4) + 0.1 * (values[-1] == "b")


def suggestions(space, name, n=14, count=4):
    params = space.decode(space.sample(np.random.default_rng(0).random((n, space.n_params))))
    provider = Gpbo(space, 0, params, [outcome(each) for each in params], ingredient=name)
    found = []
    for _ in range(count):
        (point,) = provider.ask(1)
        provider.tell([point], [outcome(point)])
        found.append(point)
    return found


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    ingredients.use(None)


@pytest.mark.skipif(not available(), reason="changes are of the compiled path")
@pytest.mark.parametrize("name", ingredients.INGREDIENTS)
def test_every_change_leads_to_suggestions_and_is_taken_back(name):
    space = MIXED if ingredients.INGREDIENTS[name].group == "integers and categories" else PLAIN
    before = suggestions(space, None)
    changed = suggestions(space, name)
    assert len(changed) == 4
    for point in changed:
        space.encode([point])
    assert suggestions(space, None) == before


@pytest.mark.skipif(not available(), reason="changes are of the compiled path")
@pytest.mark.parametrize(
    "name", ["noise_botorch", "standardize", "starts_4", "thompson", "averaged_8", "region_half", "input_warping"]
)
def test_a_change_changes_something(name):
    assert suggestions(PLAIN, name) != suggestions(PLAIN, None)


@pytest.mark.parametrize("kind", ["power", "tenth", "rank"])
def test_maps_are_increasing_and_know_their_slope(kind):
    y = np.random.default_rng(0).normal(size=40) ** 3
    made = MoreMaps.of(y, kind)
    t = made.forward(np.sort(y))
    assert (np.diff(t) > 0).all()
    assert t.std(ddof=1) == pytest.approx(1.0)
    if kind != "rank":
        at = np.array([0.1, -0.7, y.max() - 1e-3])
        slopes = [approx_fprime([one], made.forward, 1e-7).item() for one in at]
        expected = made._derivative(at) * 2.0**-made.exponent
        np.testing.assert_allclose(slopes, expected, rtol=1e-3)


def test_winsorised_outcomes_keep_the_best_and_their_order():
    y = np.append(np.random.default_rng(0).normal(size=30), -100.0)
    clipped = winsorised(y)
    assert clipped.max() == y.max()
    assert clipped.min() > -10
    assert (np.diff(clipped[np.argsort(y)]) >= 0).all()


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.25, 0.25), (0.25, 4.0), (4.0, 0.25), (2.0, 0.5)])
def test_input_warping_is_taken_back_and_keeps_the_ends(a, b):
    U = np.vstack([np.zeros(2), np.ones(2), np.random.default_rng(0).uniform(0.0, 0.99, (50, 2))])
    warp = Warp((a, 1.0), (b, 1.0))
    np.testing.assert_allclose(warp.backward(warp.forward(U)), U, rtol=1e-6, atol=1e-12)
    assert (warp.forward(U)[:2] == U[:2]).all()
    assert (warp.backward(U)[:2] == U[:2]).all()


def test_input_warping_finds_a_scale_on_which_outcomes_are_more_probable():
    U = np.random.default_rng(0).random((25, 1))
    y = np.sin(3 * U[:, 0] ** 4)
    problem = Problem(default_spec("matern52", 1), U, (y - y.mean()) / y.std(ddof=1))
    plain = fit(problem)
    warp, warped = most_probable(problem, Warp.none(1), plain)
    assert warp != Warp.none(1)
    assert warped.log_posterior + warp.log_prior() > plain.log_posterior + 5.0
    again = fit(Problem(problem.spec, warp.forward(U), problem.y))
    assert warped.log_posterior == pytest.approx(again.log_posterior, abs=0.1)


@pytest.mark.skipif(not available(), reason="changes are of the compiled path")
def test_the_table_has_a_row_for_each_change_that_was_run():
    case = Case("levy2#0", 25, 5)
    lines = [
        run(case, Variant(name, "gpbo", {} if name == "gpbo" else {"ingredient": name}), seed) | {"commit": "c"}
        for name in ("gpbo", "starts_4")
        for seed in range(2)
    ]
    text = recipe.markdown({"the engine": lines})
    (row,) = [line for line in text.splitlines() if "| 4 starts instead of 16 |" in line]
    assert row.split("|")[3:6] == [" sequential ", " 1 ", " 2 "]
