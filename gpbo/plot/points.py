"""Where the trials lie: all of them as lines, a batch as dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpbo.insight.axes import fraction
from gpbo.insight.runs import completed, values
from gpbo.insight.spread import spread
from gpbo.plot.axes import BEST, GREY, NEXT, axes, plain
from gpbo.space import Categorical, Parameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gpbo.optimizer import Optimizer
    from gpbo.trials import Trial


def parallel(opt: Optimizer, *, most: int = 300, ax: Axes | None = None) -> Axes:
    """One line per trial through all parameters, each from its lower to its upper end; the better, the more colourful.

    Args:
        opt: An optimizer that was told at least one value.
        most: Only so many of the best trials are drawn.
        ax: Where to draw.
    """
    from matplotlib.collections import LineCollection

    ax = axes(ax)
    trials = completed(opt)
    outcomes = values(trials) * (1.0 if opt.direction == "maximize" else -1.0)
    order = np.argsort(outcomes, kind="stable")[-most:].tolist()
    heights = np.array([_fractions(opt, trials[i]) for i in order]).reshape(-1, len(opt.space))
    ranks = np.linspace(0, 1, len(heights))
    across = np.arange(len(opt.space), dtype=np.float64)
    segments = [np.column_stack([across, row]) for row in heights]
    lines = LineCollection(segments, array=ranks, cmap="viridis", linewidths=0.6 + 1.4 * ranks**4, alpha=0.75)
    ax.add_collection(lines)
    if len(heights):
        ax.plot(across, heights[-1], color=BEST, linewidth=2.2, label="best")
        ax.legend(loc="upper right", bbox_to_anchor=(1.0, -0.06), frameon=False)
        bar = ax.figure.colorbar(lines, ax=ax, label="rank of the value")
        bar.set_ticks([0, 1], labels=["worst", "best"])
    for x, name in enumerate(opt.space):
        ax.axvline(x, color="0.3", linewidth=0.8)
        for y, text in _marks(opt.space[name]):
            ax.annotate(
                plain(text),
                (x, y),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                color="0.25",
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            )
    ax.set_xticks(across, [plain(name) for name in opt.space])
    if sum(map(len, opt.space)) > 60:
        ax.tick_params(axis="x", rotation=30)
    ax.set(xlim=(-0.1, len(opt.space) - 0.75), ylim=(-0.05, 1.05), yticks=[])
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)
    return ax


def batch_spread(opt: Optimizer, batch: Sequence[Trial] | None = None, *, ax: Axes | None = None) -> Axes:
    """Where the points of a batch lie in the range of each parameter, above all points before it.

    The title compares the median distance to the nearest neighbour in the batch with that of uniform random points, in
    the unit cube: far less means that the batch searches one place, about as much that it explores.

    Args:
        opt: An optimizer that was asked.
        batch: A batch of it; the last one asked for if None.
        ax: Where to draw.
    """
    ax = axes(ax)
    found = spread(opt, batch)
    names = list(opt.space)
    _dots(ax, opt, found.before, 0.12, 10, GREY, "before")
    _dots(ax, opt, found.trials, -0.12, 22, NEXT, "this batch")
    for row, name in enumerate(names):
        ax.axhline(row - 0.5, color="0.85", linewidth=0.8)
        for place, text in _marks(opt.space[name]):
            side = "left" if place < 0.05 else "right" if place > 0.95 else "center"
            ax.annotate(plain(text), (place, row + 0.45), fontsize=7, color="0.35", ha=side, va="bottom")
    distance = "" if np.isnan(found.nearest) else f"nearest neighbours {found.nearest:.2g} apart, "
    ax.set_title(f"{distance}random points {found.uniform:.2g}" if distance else "a single point", fontsize=9)
    ax.set_yticks(np.arange(len(names)), [plain(name) for name in names])
    ax.set(xlim=(-0.05, 1.05), ylim=(len(names) - 0.45, -0.55), xticks=[])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False)
    return ax


def _dots(ax: Axes, opt: Optimizer, trials: Sequence[Trial], above: float, size: int, colour: str, label: str) -> None:
    """All parameters of some trials, a row each."""
    if trials:
        x = np.array([_fractions(opt, trial) for trial in trials])
        y = np.broadcast_to(np.arange(len(opt.space)) + above, x.shape)
        ax.scatter(x.ravel(), y.ravel(), s=size, linewidth=0, color=colour, alpha=0.7, label=label)


def _fractions(opt: Optimizer, trial: Trial) -> list[float]:
    return [fraction(opt.space[name], value) for name, value in trial.params.items()]


def _marks(parameter: Parameter) -> list[tuple[float, str]]:
    """What to write along the range of a parameter: its ends, or its choices if they are few."""
    shown: list[Any]
    if isinstance(parameter, Categorical):
        shown = parameter.natives(range(parameter.count))
        shown = shown if len(shown) <= 8 else [shown[0], shown[-1]]
    else:
        shown = [parameter.low] if parameter.low == parameter.high else [parameter.low, parameter.high]
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in shown]
    return [
        (fraction(parameter, value), text if len(text) <= 12 else f"{text[:11]}…")
        for value, text in zip(shown, texts, strict=True)
    ]
