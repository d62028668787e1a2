"""The course of a study is shown as it was."""

from __future__ import annotations

import numpy as np
import pytest

import gpbo
from gpbo import plot


def test_convergence_of_an_optimizer_ends_at_its_best_value(opt, ax):
    assert plot.convergence(opt, ax=ax) is ax
    (line,) = ax.get_lines()
    assert len(line.get_xdata()) == 9
    assert line.get_ydata()[-1] == opt.best().value
    assert (np.diff(line.get_ydata()) >= 0).all()
    assert len(ax.collections[0].get_offsets()) == 9


def test_convergence_compares_runs_by_label(ax):
    plot.convergence({"mine": [3.0, 1.0, 2.0], "theirs": [4.0, 5.0]}, ax=ax)
    mine, theirs = ax.get_lines()
    assert mine.get_ydata().tolist() == [3, 1, 1]
    assert theirs.get_ydata().tolist() == [4, 4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mine", "theirs"]


def test_timeline_has_a_bar_for_every_trial_that_was_asked(opt, ax):
    plot.timeline(opt, ax=ax)
    assert len(ax.patches) == 14
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["complete", "failed", "pending"]
    assert min(bar.get_x() for bar in ax.patches) == 0.0


def test_timeline_leaves_out_what_was_added(ax):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([[0.5]], [1.0])
    plot.timeline(opt, ax=ax)
    assert not ax.patches


def test_ask_seconds_has_a_dot_for_every_ask(opt, ax):
    plot.ask_seconds(opt, ax=ax)
    dots = ax.collections[0].get_offsets()
    assert dots[:, 0].tolist() == [0, 3, 6, 9]
    assert dots[:, 1].tolist() == pytest.approx([1e3 * ask.seconds for ask in opt.asks])


def test_an_optimizer_that_knows_nothing_gives_empty_pictures(ax):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    for picture in (plot.convergence, plot.timeline, plot.ask_seconds, plot.parallel):
        assert picture(opt, ax=ax) is ax
