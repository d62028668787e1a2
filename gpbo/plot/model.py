"""The model itself: what it finds important, and whether its predictions hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpbo.insight.calibration import calibration
from gpbo.insight.importance import Method
from gpbo.insight.importance import importance as shares_of
from gpbo.plot.axes import BEST, axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gpbo.optimizer import Optimizer

_LABELS = {
    "variance": "share of the variance (total effect)",
    "lengthscales": "share of the lengthscales that the range spans",
}


def importance(opt: Optimizer, *, method: Method = "variance", most: int = 20, ax: Axes | None = None) -> Axes:
    """How much each parameter matters to the model, the most important at the top.

    Args:
        opt: An optimizer that was told at least one value.
        method: "variance": Sobol's total-effect index of the posterior mean. "lengthscales": the range in lengthscales.
        most: Only so many parameters are drawn.
        ax: Where to draw.
    """
    ax = axes(ax)
    shares = sorted(shares_of(opt, method).items(), key=lambda entry: entry[1])[-most:]
    bars = ax.barh([plain(name) for name, _ in shares], [share for _, share in shares], height=0.7)
    ax.bar_label(bars, [f"{share:.0%}" for _, share in shares], padding=3)
    ax.margins(x=0.12)
    ax.set(xlabel=_LABELS[method])
    ax.grid(alpha=0.25, axis="x")
    return ax


def leave_one_out(opt: Optimizer, *, ax: Axes | None = None) -> Axes:
    """Each value against what the model predicts of it from all the others, with 95 % intervals.

    Values outside their interval are red; about one in twenty should be. The hyperparameters are those fitted to all
    values.

    Args:
        opt: An optimizer that was told at least one value.
        ax: Where to draw.
    """
    ax = axes(ax)
    found = calibration(opt)
    for inside, colour, label in ((True, "C0", "in its interval"), (False, BEST, "outside")):
        chosen = found.inside == inside
        if chosen.any():
            ax.errorbar(
                found.mean[chosen],
                found.observed[chosen],
                xerr=2 * found.sd[chosen],
                fmt="o",
                markersize=4,
                linewidth=0.8,
                alpha=0.8,
                color=colour,
                label=f"{label} ({chosen.sum()})",
            )
    span = [float(found.observed.min()), float(found.observed.max())]
    ax.plot(span, span, color="0.3", linewidth=1, linestyle="--", zorder=1)
    title = f"{found.coverage:.0%} in their 95 % interval; rank correlation {found.rank_correlation:.2f}"
    ax.set_title(title, fontsize=9)
    margin = 0.6 * float(np.ptp(found.observed)) or 1.0
    ax.set_xlim(span[0] - margin, span[1] + margin)  # wide intervals run out of the picture
    ax.set(xlabel="predicted from the others, ± 2 sd", ylabel="value")
    ax.grid(alpha=0.25)
    ax.legend()
    return ax
