"""Importance and leave-one-out predictions are those of the model."""

from __future__ import annotations

import numpy as np
import pytest

import gpbo
from gpbo import plot


@pytest.mark.parametrize("method", ["variance", "lengthscales"])
def test_importance_has_a_bar_per_parameter_in_order(opt, ax, method):
    plot.importance(opt, method=method, ax=ax)
    widths = [bar.get_width() for bar in ax.patches]
    assert len(widths) == 4
    assert widths == sorted(widths)
    plot.importance(opt, method=method, most=2, ax=ax)
    assert len(ax.patches) == 6


def test_importance_by_an_unknown_method_is_refused(opt, ax):
    with pytest.raises(gpbo.ArgumentError, match="'variance' or 'lengthscales'"):
        plot.importance(opt, method="magic", ax=ax)


def test_leave_one_out_shows_every_value_and_the_coverage(opt, ax):
    plot.leave_one_out(opt, ax=ax)
    drawn = np.concatenate([container.lines[0].get_ydata() for container in ax.containers])
    assert sorted(drawn) == pytest.approx(sorted(t.value for t in opt.history if t.value is not None))
    _, sd, z = opt.leave_one_out()
    assert f"{np.mean(np.abs(z) <= 1.96):.0%}" in ax.get_title()
    assert (sd > 0).all()
