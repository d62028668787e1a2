"""Slices and surfaces show what the model believes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

import gpbo
from gpbo import plot


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


def test_posterior_marks_points_under_way(opt, ax):
    plot.posterior(opt, "b", ax=ax)
    triangles = ax.collections[-1].get_offsets()
    assert sorted(triangles[:, 0]) == sorted(trial["b"] for trial in opt.pending)


def test_observations_far_from_the_slice_are_faint(opt, ax):
    plot.posterior(opt, "a", ax=ax)
    opacity = ax.collections[1].get_facecolor()[:, 3]
    best = [trial.id for trial in opt.history if trial.value is not None].index(opt.best().id)
    assert opacity[best] == 1.0
    assert opacity.min() >= 0.15
    assert opacity.min() < 0.5


def test_acquisition_is_the_one_of_botorch(opt, ax):
    plot.acquisition(opt, "a", points=21, ax=ax)
    (line,) = ax.get_lines()
    function = opt.acquisition()
    points = [{**opt.best().params, "a": a} for a in line.get_xdata()]
    U = torch.as_tensor(opt.space.encode(points))[:, None, :]
    assert line.get_ydata() == pytest.approx(function(U).detach().numpy(), rel=1e-9)
    (star,) = (c.get_offsets()[0] for c in ax.collections if c.get_label() == "largest on this line")
    assert star[1] == line.get_ydata().max()


def test_acquisition_of_a_category_has_one_mark_per_choice(opt, ax):
    plot.acquisition(opt, "c", ax=ax)
    assert len(ax.collections[0].get_offsets()) == 3


@pytest.mark.parametrize("names", [("a", "b"), ("a", "c"), ("c", "step")], ids="-".join)
@pytest.mark.parametrize("of", ["mean", "sd"])
def test_surface_shows_the_posterior(opt, ax, names, of):
    assert plot.surface(opt, *names, of=of, points=9, ax=ax) is ax
    assert ax.get_xscale() == ("log" if names[0] == "a" else "linear")
    drawn = next(c for c in ax.collections if c.get_label() == "best").get_offsets()[0]
    best = opt.best()
    x = opt.space["c"].choices.index(best["c"]) if names[0] == "c" else best[names[0]]
    assert drawn[0] == pytest.approx(x)


def test_surface_of_a_parameter_with_itself_is_refused(opt, ax):
    with pytest.raises(gpbo.ArgumentError, match="twice"):
        plot.surface(opt, "a", "a", ax=ax)
    with pytest.raises(gpbo.ArgumentError, match="'mean' or 'sd'"):
        plot.surface(opt, "a", "b", of="median", ax=ax)


def test_names_are_shown_as_they_are(awkward, ax):
    name = next(iter(awkward.space))
    plot.posterior(awkward, name, ax=ax)
    assert ax.get_xlabel().replace("\\$", "$") == name


@pytest.mark.parametrize("name", ["constant", "wide", "large"])
def test_extreme_ranges_can_be_drawn(awkward, ax, name):
    plot.posterior(awkward, name, points=11, ax=ax)
