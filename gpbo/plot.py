"""Pictures of a run. Every function draws on ``ax`` (a new figure's, if None) and returns it; all need matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpbo.space import Categorical, Parameter

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
        runs: An optimizer, whose completed trials are shown, or several runs by label: the values of each in order of
            evaluation.
        direction: "minimize" or "maximize"; an optimizer brings its own.
        ax: Where to draw.
    """
    ax = _axes(ax)
    if not isinstance(runs, Mapping):
        direction = runs.direction
        runs = {"": [trial.value for trial in runs.history if trial.value is not None]}
    best_of = np.minimum if direction == "minimize" else np.maximum
    widths = np.linspace(3.0, 1.2, len(runs)) if len(runs) > 1 else [1.8]  # lines that coincide stay visible
    for width, (label, values) in zip(widths, runs.items(), strict=True):
        best = best_of.accumulate(np.asarray(values, dtype=np.float64))
        ax.plot(np.arange(1, len(best) + 1), best, drawstyle="steps-post", linewidth=width, label=label or None)
    ax.set(xlabel="evaluations", ylabel="best value so far")
    ax.grid(alpha=0.25)
    if any(runs):
        ax.legend()
    return ax


def posterior(
    opt: Optimizer,
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    points: int = 201,
    ax: Axes | None = None,
) -> Axes:
    """Posterior mean and two standard deviations along one parameter, the others held fixed, with the observations.

    An observation is the fainter the farther its other parameters are from the fixed ones.

    Args:
        opt: An optimizer that was told at least one value.
        name: The parameter along the axis.
        params: Values of the other parameters; those of ``opt.best()`` if None.
        points: At how many values, at most, the posterior is drawn.
        ax: Where to draw.
    """
    ax = _axes(ax)
    parameter = opt.space[name]
    fixed = dict(opt.best().params if params is None else params)
    values = _values(parameter, points)
    line = [{**fixed, name: value} for value in values]
    mean, sd = opt.predict(line)
    told = [trial for trial in opt.history if trial.value is not None]
    observed = np.array([trial.value for trial in told], dtype=np.float64)
    x, x_observed = _positions(parameter, values), _positions(parameter, [trial.params[name] for trial in told])
    if isinstance(parameter, Categorical):
        ax.errorbar(x, mean, yerr=2 * sd, fmt="_", capsize=4, label="mean ± 2 sd")
        ax.set_xticks(x, [str(value) for value in values])
    else:
        (curve,) = ax.plot(x, mean, label="mean")
        ax.fill_between(
            x, mean - 2 * sd, mean + 2 * sd, alpha=0.2, color=curve.get_color(), linewidth=0, label="± 2 sd"
        )
        if parameter.log:
            _log_scale(ax, x)
    colours = np.zeros((len(told), 4))  # black, of varying opacity
    colours[:, 3] = _nearness(opt, [{**trial.params, name: fixed[name]} for trial in told], fixed)
    ax.scatter(x_observed, observed, s=18, c=colours, linewidth=0, zorder=3)
    ax.scatter([], [], s=18, color="black", linewidth=0, label="observations")
    ax.set(xlabel=name, ylabel="value")
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _log_scale(ax: Axes, x: Sequence[float]) -> None:
    """A logarithmic axis, with plain numbers where they are short."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale("log")
    if min(x) >= 1e-3 and max(x) < 1e5:
        if max(x) < 1e3 * min(x):
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())


def _values(parameter: Parameter, points: int) -> list[Any]:
    """Native values across the parameter's range: all of them if there are few, else evenly spaced on its scale."""
    count = parameter.count
    if isinstance(parameter, Categorical) or (count is not None and count <= points):
        return parameter.natives(range(parameter.count or 1))
    low, high = float(parameter.low), float(parameter.high)
    values = np.geomspace(low, high, points) if parameter.log else np.linspace(low, high, points)
    if count is None:
        return [float(value) for value in values.clip(low, high)]
    levels = (values - low) / (high - low) * (count - 1)
    return parameter.natives(sorted({min(round(level), count - 1) for level in levels.tolist()}))


def _positions(parameter: Parameter, values: Sequence[Any]) -> list[float]:
    """Where values stand on the axis: themselves, or the index of a choice."""
    if isinstance(parameter, Categorical):
        return [float(parameter.read(value)) for value in values]
    return [float(value) for value in values]


def _nearness(opt: Optimizer, others: list[dict[str, Any]], fixed: dict[str, Any]) -> NDArray[np.float64]:
    """Opacity of each observation: 1 where its other parameters are the fixed ones, fading to 0.15 across the cube."""
    units = opt.space.encode([fixed, *others])
    squares = ((units[1:] - units[0]) ** 2).mean(axis=1)
    opacity: NDArray[np.float64] = 0.15 + 0.85 * np.exp(-squares / 0.2**2)
    return opacity
