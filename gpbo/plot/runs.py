"""The course of a study: best value so far, evaluations in time, time per ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpbo.insight.runs import completed, incumbent, spans, values
from gpbo.plot.axes import BEST, GREY, STATES, axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gpbo.optimizer import Optimizer


def convergence(
    runs: Optimizer | Mapping[str, Sequence[float]],
    *,
    direction: str = "minimize",
    ax: Axes | None = None,
) -> Axes:
    """Best value so far against the number of evaluations.

    Args:
        runs: An optimizer, whose values are shown as dots below the line of the best one; or several runs by label:
            the values of each in order of evaluation.
        direction: "minimize" or "maximize"; an optimizer brings its own.
        ax: Where to draw.
    """
    ax = axes(ax)
    if not isinstance(runs, Mapping):
        direction, told = runs.direction, values(completed(runs))
        ax.scatter(np.arange(1, len(told) + 1), told, s=14, color=GREY, linewidth=0, label="value")
        runs = {"best so far": told.tolist()}
    widths = np.linspace(3.0, 1.2, len(runs)) if len(runs) > 1 else [1.8]  # lines that coincide stay visible
    for width, (label, outcomes) in zip(widths, runs.items(), strict=True):
        best = incumbent(outcomes, direction)
        label = plain(label) if label else ""
        ax.plot(np.arange(1, len(best) + 1), best, drawstyle="steps-post", linewidth=width, label=label or None)
    ax.set(xlabel="evaluations", ylabel="best value so far")
    ax.grid(alpha=0.25)
    if any(runs):
        ax.legend()
    return ax


def timeline(opt: Optimizer, *, ax: Axes | None = None) -> Axes:
    """When each trial was under way: from the ask that handed it out until it was told, or until the record ends.

    Trials that were added, or that come from a record without times, are left out.

    Args:
        opt: An optimizer that was asked.
        ax: Where to draw.
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax)
    found = spans(opt)
    longest = max((span.end for span in found), default=0.0)
    unit, size = ("s", 1.0) if longest < 300 else ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)
    for state, colour in STATES.items():
        rows = [span for span in found if span.trial.state == state]
        if rows:
            ax.barh(
                [span.trial.id for span in rows],
                [max(span.end - span.start, 0.01 * longest) / size for span in rows],  # short ones stay visible
                left=[span.start / size for span in rows],
                height=0.8,
                color=colour,
                linewidth=0,
                label=state,
            )
    ax.set(xlabel=f"{unit} since the first ask", ylabel="trial")
    ax.invert_yaxis()
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25, axis="x")
    if found:
        ax.legend()
    return ax


def ask_seconds(opt: Optimizer, *, ax: Axes | None = None) -> Axes:
    """Time that each ask took against the number of values known, the area of a dot growing with the batch.

    The first suggestions of a new installation include compilation.

    Args:
        opt: An optimizer that was asked.
        ax: Where to draw.
    """
    ax = axes(ax)
    timed = [(ask.n, ask.seconds, len(ask.ids)) for ask in opt.asks if ask.seconds is not None and ask.seconds > 0]
    if timed:
        n, seconds, q = np.array(timed, dtype=np.float64).T
        ax.scatter(n, 1e3 * seconds, s=12 * np.sqrt(q), alpha=0.7, linewidth=0)
        median = float(np.median(1e3 * seconds))
        ax.axhline(median, color=BEST, linewidth=1, label=f"median {median:.3g} ms")
        ax.legend()
        ax.set_yscale("log")
    ax.set(xlabel="values known", ylabel="ms per ask")
    ax.grid(alpha=0.25)
    return ax
