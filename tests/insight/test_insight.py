"""What is said about a study is so."""

from __future__ import annotations

import numpy as np
import pytest

import gpbo
from gpbo import insight


def studied(f, n=24, seed=0, **space):
    space = space or {"x": gpbo.Float(0, 1), "y": gpbo.Float(0, 1), "idle": gpbo.Float(0, 1)}
    opt = gpbo.Optimizer(space, seed=seed)
    rng = np.random.default_rng(seed)
    points = opt.space.decode(opt.space.sample(rng.random((n, opt.space.n_params))))
    opt.add(points, [f(p, rng) for p in points])
    return opt


def smooth(p, rng):
    return np.sin(3 * p["x"]) + 0.3 * (p["y"] - 0.4) ** 2


def by_topic(opt):
    return {finding.topic: finding for finding in insight.findings(opt)}


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (gpbo.Float(1, 100, log=True), 10.0, 0.5),
        (gpbo.Float(-1e308, 1e308), 0.0, 0.5),
        (gpbo.Int(0, 4), 1, 0.25),
        (gpbo.Int(3, 3), 3, 0.5),
        (gpbo.Categorical(["a", "b", "c"]), "c", 1.0),
    ],
    ids=str,
)
def test_fraction_of_a_range(parameter, value, expected):
    assert insight.fraction(parameter, value) == pytest.approx(expected)


@pytest.mark.parametrize("parameter", [gpbo.Int(1, 10**9, log=True), gpbo.Float(0, 1, step=0.1), gpbo.Int(-5, 5)])
def test_a_grid_holds_admissible_values_from_end_to_end(parameter):
    values = insight.grid(parameter, 50)
    assert (values[0], values[-1]) == (parameter.low, parameter.high)
    assert values == sorted(set(values))
    assert len(values) <= 50
    assert all(gpbo.Space({"p": parameter}).contains({"p": value}) for value in values)


def test_total_effects_are_those_of_a_known_function():
    """f = x + 2 y over the unit square: shares 1/5 and 4/5, and nothing for a parameter that plays no part."""
    opt = studied(lambda p, rng: p["x"] + 2 * p["y"], n=30)
    shares = insight.importance(opt)
    assert shares["x"] == pytest.approx(0.2, abs=0.03)
    assert shares["y"] == pytest.approx(0.8, abs=0.03)
    assert shares["idle"] < 0.01


@pytest.mark.parametrize("method", ["variance", "lengthscales"])
def test_importance_of_categories_and_constants(method):
    space = {"c": gpbo.Categorical(list("abcd")), "x": gpbo.Float(0, 1), "one": gpbo.Int(7, 7)}
    opt = studied(lambda p, rng: "abcd".index(p["c"]) * 1.0, n=30, **space)
    shares = insight.importance(opt, method)
    assert max(shares, key=shares.get) == "c"
    assert shares["one"] == 0.0


def test_a_model_of_a_smooth_function_is_to_be_trusted():
    found = by_topic(studied(smooth))
    assert found["Trust"].verdict == "good"
    assert found["Noise"].verdict == "good"
    assert "idle" in found["Importance"].text


def test_a_model_of_pure_noise_is_not():
    found = by_topic(studied(lambda p, rng: rng.standard_normal(), n=30, seed=3))
    assert found["Trust"].verdict == "warning"
    assert found["Noise"].headline == "Cannot be told"


def test_repeated_points_measure_the_noise():
    opt = studied(smooth)
    point = opt.best().params
    opt.add([point, point], [1.0, 3.0])
    opt.add([opt.trial(3).params], [opt.trial(3).value])
    text = by_topic(opt)["Noise"].text
    values = np.array([opt.best().value, 1.0, 3.0])
    assert "2 points" in text
    assert f"{np.sqrt(np.square(values - values.mean()).sum() / 3):.3g}" in text


def test_few_values_are_too_few():
    assert "Too early" in by_topic(studied(smooth, n=4))["Trust"].headline


def test_known_noise_is_reported():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([[0.1], [0.5], [0.9]], [1.0, 2.0, 3.0], noise=0.25)
    assert "0.25" in by_topic(opt)["Noise"].text


def test_a_search_that_found_the_optimum_has_converged():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    for _ in range(24):
        trial = opt.ask()[0]
        opt.tell(trial, (trial["x"] - 0.3) ** 2)
    opt.add([{"x": x} for x in np.linspace(0.01, 0.99, 12)], (np.linspace(0.01, 0.99, 12) - 0.3) ** 2)
    assert by_topic(opt)["Progress"].headline.startswith("Converged")


def test_a_search_without_luck_has_stalled():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1), "y": gpbo.Float(0, 1)}, seed=0)
    rng = np.random.default_rng(0)
    opt.add(rng.random((40, 2)), np.r_[-1.0, rng.standard_normal(39) ** 2])
    assert by_topic(opt)["Progress"].headline in ("Stalled", "Converged, as far as the model sees")
    assert "39 evaluations" in by_topic(opt)["Progress"].text


def test_the_best_value_at_an_end_of_its_range_is_pointed_out():
    found = [f.headline for f in insight.findings(studied(lambda p, rng: -p["x"], x=gpbo.Int(0, 9)))]
    assert "x: best at the upper end" in found


def test_failures_are_counted_with_their_most_frequent_reason():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.fail(opt.ask(3), "Traceback ...\nMemoryError: no")
    (finding,) = insight.findings(opt)
    assert finding.verdict == "warning"
    assert "(3): MemoryError: no" in finding.text


def test_nothing_told_nothing_said():
    assert insight.findings(gpbo.Optimizer({"x": gpbo.Float(0, 1)})) == []


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_findings_do_not_depend_on_the_scale_of_the_values(scale):
    verdicts = [finding.verdict for finding in insight.findings(studied(lambda p, rng: scale * smooth(p, rng)))]
    assert verdicts == [finding.verdict for finding in insight.findings(studied(smooth))]


def test_spread_of_a_batch_in_one_place_is_smaller_than_that_of_random_points():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1), "y": gpbo.Float(0, 1)}, seed=0)
    opt.ask(3)
    near = opt.add([[0.5, 0.5], [0.51, 0.5], [0.5, 0.51]], [1.0, 2.0, 3.0])
    found = insight.spread(opt, near)
    assert len(found.before) == 3
    assert found.nearest < 0.02 < found.uniform
    assert np.isnan(insight.spread(opt, near[:1]).nearest)


def test_asks_and_times_are_on_record():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.tell(opt.ask(2), [1.0, 2.0])
    opt.ask()
    first, second = opt.asks
    assert (list(first.ids), first.n, list(second.ids), second.n) == ([0, 1], 0, [2], 2)
    assert first.seconds > 0
    assert first.time <= second.time
    told, pending = opt.trial(0), opt.trial(2)
    assert first.time == told.asked_at <= told.told_at <= second.time == pending.asked_at
    assert pending.told_at is None
    assert opt.add([[0.5]], [1.0])[0].asked_at is None
