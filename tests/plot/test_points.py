"""Lines and dots stand where the trials are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

import gpbo
from gpbo import plot


def test_parallel_has_a_line_per_value_and_the_best_on_top(opt, ax):
    plot.parallel(opt, ax=ax)
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_array() is not None]
    assert len(lines.get_segments()) == 9
    best = opt.best()
    heights = ax.get_lines()[0].get_ydata()
    assert heights[1] == pytest.approx(best["b"] / 1000)
    assert heights[0] == pytest.approx(1 + np.log10(best["a"]) / 2)
    assert heights[2] == ["u", "v", "w"].index(best["c"]) / 2
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c", "step"]


def test_parallel_draws_the_best_of_many(opt, ax):
    plot.parallel(opt, most=4, ax=ax)
    assert len(ax.collections[0].get_segments()) == 4


def test_batch_spread_shows_the_last_batch_or_the_one_given(opt, ax):
    plot.batch_spread(opt, ax=ax)
    before, batch = ax.collections
    assert (len(before.get_offsets()), len(batch.get_offsets())) == (12 * 4, 2 * 4)
    assert "nearest neighbours" in ax.get_title()
    ax.clear()
    plot.batch_spread(opt, [opt.trial(4), opt.trial(5)], ax=ax)
    assert len(ax.collections[0].get_offsets()) == 4 * 4


def test_batch_spread_needs_a_batch(ax):
    with pytest.raises(gpbo.NotReadyError, match="ask"):
        plot.batch_spread(gpbo.Optimizer({"x": gpbo.Float(0, 1)}), ax=ax)


def test_awkward_names_and_ranges_can_be_drawn(awkward, ax):
    plot.parallel(awkward, ax=ax)
    plot.batch_spread(awkward, ax=ax)
    plot.importance(awkward, ax=ax)
    plot.leave_one_out(awkward, ax=ax)
