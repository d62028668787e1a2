"""What all pictures share: axes, scales, colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpbo.space import Categorical, Parameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

STATES = {"complete": "C0", "failed": "C3", "pending": "C1", "forgotten": "0.7"}
NEXT = "C1"  # points that are under way
BEST = "C3"  # the best value
GREY = "0.55"


def axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def plain(text: str) -> str:
    """Text that is shown as it is: without the mathematics that a dollar sign starts."""
    return text.replace("$", r"\$")


def dress(axis: Axis, parameter: Parameter, name: str, values: Sequence[Any], positions: Sequence[float]) -> None:
    """Label an axis, with names at choices and a logarithmic scale where the parameter has one."""
    axis.set_label_text(plain(name))
    if isinstance(parameter, Categorical):
        shown = [plain(str(value)) for value in values]
        shown = [text if len(text) <= 16 else f"{text[:15]}…" for text in shown]
        axis.set_ticks(list(positions), shown)
        (axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim)(-0.5, len(shown) - 0.5)
        if sum(map(len, shown)) > 48 and axis is axis.axes.xaxis:
            axis.set_tick_params(rotation=30)
    elif parameter.log:
        log_scale(axis, min(positions), max(positions))


def log_scale(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis, with plain numbers where they are short."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    if low >= 1e-3 and high < 1e5:
        if high < 1e3 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
