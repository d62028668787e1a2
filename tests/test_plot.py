"""The pictures show what the optimizer knows."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

import gpbo
from gpbo import plot

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    figure.canvas.draw()
    plt.close(figure)


@pytest.fixture(scope="module")
def opt():
    space = {
        "a": gpbo.Float(0.01, 1, log=True),
        "b": gpbo.Int(0, 1000),
        "c": gpbo.Categorical(["u", "v", "w"]),
        "step": gpbo.Float(0, 1, step=0.25),
    }
    opt = gpbo.Optimizer(space, direction="maximize", seed=0)
    for _ in range(3):
        batch = opt.ask(4)
        opt.tell(batch[:3], [-(np.log(t["a"]) ** 2) - (t["b"] / 1000) + (t["c"] == "v") for t in batch[:3]])
        opt.fail(batch[3])
    return opt


def test_convergence_of_an_optimizer_ends_at_its_best_value(opt, ax):
    assert plot.convergence(opt, ax=ax) is ax
    (line,) = ax.get_lines()
    assert len(line.get_xdata()) == 9
    assert line.get_ydata()[-1] == opt.best().value
    assert (np.diff(line.get_ydata()) >= 0).all()


def test_convergence_compares_runs_by_label(ax):
    plot.convergence({"mine": [3.0, 1.0, 2.0], "theirs": [4.0, 5.0]}, ax=ax)
    mine, theirs = ax.get_lines()
    assert mine.get_ydata().tolist() == [3, 1, 1]
    assert theirs.get_ydata().tolist() == [4, 4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mine", "theirs"]


@pytest.mark.parametrize("name", ["a", "b", "step"])
def test_posterior_shows_mean_band_and_observations(opt, ax, name):
    assert plot.posterior(opt, name, points=51, ax=ax) is ax
    (mean,) = ax.get_lines()
    values = mean.get_xdata()
    assert (np.diff(values) > 0).all()
    assert values[0] == opt.space[name].low
    assert values[-1] == opt.space[name].high
    predicted, sd = opt.predict([{**opt.best().params, name: opt.best()[name]}])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() <= predicted[0] - 2 * sd[0] + 1e-9 or len(values) == 51
    points = ax.collections[1].get_offsets()
    assert len(points) == 9
    assert sorted(points[:, 1]) == pytest.approx(sorted(t.value for t in opt.history if t.value is not None))


def test_posterior_of_a_category_has_one_bar_per_choice(opt, ax):
    plot.posterior(opt, "c", ax=ax)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["u", "v", "w"]


def test_posterior_makes_its_own_axes(opt):
    ax = plot.posterior(opt, "a", params={**opt.best().params, "b": 3})
    assert ax.get_xscale() == "log"
    plt.close(ax.figure)


def test_posterior_of_an_unknown_parameter_is_refused(opt, ax):
    with pytest.raises(gpbo.SpaceError, match="nope"):
        plot.posterior(opt, "nope", ax=ax)
