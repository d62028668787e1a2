"""What the model believes, and where the next point is worth most, along one parameter or over two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gpbo.errors import ArgumentError
from gpbo.insight.axes import position
from gpbo.insight.landscape import acquisition_slice, nearness, posterior_slice, units
from gpbo.insight.landscape import surface as posterior_surface
from gpbo.insight.runs import completed
from gpbo.plot.axes import BEST, NEXT, axes, dress, plain
from gpbo.space import Categorical

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from gpbo.optimizer import Optimizer
    from gpbo.trials import Trial

_FAINTEST = 0.15  # opacity of an observation far from the slice


def posterior(
    opt: Optimizer,
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    points: int = 201,
    ax: Axes | None = None,
) -> Axes:
    """Posterior mean and two standard deviations along one parameter, the others held fixed, with the observations.

    An observation is the fainter the farther its other parameters are from the fixed ones. Triangles at the lower end
    are points under way.

    Args:
        opt: An optimizer that was told at least one value.
        name: The parameter along the axis.
        params: Values of other parameters; those of ``opt.best()`` hold for what is not given.
        points: At how many values, at most, the posterior is drawn.
        ax: Where to draw.
    """
    ax = axes(ax)
    parameter = opt.space[name]
    line = posterior_slice(opt, name, params, points)
    low, high = line.mean - 2 * line.sd, line.mean + 2 * line.sd
    if isinstance(parameter, Categorical):
        ax.errorbar(line.x, line.mean, yerr=2 * line.sd, fmt="_", capsize=4, label="mean ± 2 sd")
    else:
        (curve,) = ax.plot(line.x, line.mean, label="mean")
        ax.fill_between(line.x, low, high, alpha=0.2, color=curve.get_color(), linewidth=0, label="± 2 sd")
    told = completed(opt)
    x = [position(parameter, trial[name]) for trial in told]
    y = np.array([trial.value for trial in told], dtype=np.float64)
    ax.scatter(x, y, s=18, c=_black(nearness(opt, units(opt, told), line.fixed, (name,))), linewidth=0, zorder=3)
    ax.scatter([], [], s=18, color="black", linewidth=0, label="observations")
    _mark_pending(ax, [position(parameter, trial[name]) for trial in opt.pending])
    ax.set_ylabel("value")
    dress(ax.xaxis, parameter, name, line.values, line.x.tolist())
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def acquisition(
    opt: Optimizer,
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    points: int = 201,
    ax: Axes | None = None,
) -> Axes:
    """The acquisition function along one parameter, the others held fixed: what a next point there would be worth.

    Arguments as for :func:`posterior`. Improvements are shown as logarithms, as BoTorch computes them.
    """
    ax = axes(ax)
    parameter = opt.space[name]
    line, kind = acquisition_slice(opt, name, params, points)
    if isinstance(parameter, Categorical):
        ax.scatter(line.x, line.mean, marker="_", s=400, color="C2", label=kind)
    else:
        ax.plot(line.x, line.mean, color="C2", label=kind)
    top = int(np.argmax(line.mean))
    ax.scatter([line.x[top]], [line.mean[top]], marker="*", s=90, color=BEST, zorder=3, label="largest on this line")
    _mark_pending(ax, [position(parameter, trial[name]) for trial in opt.pending])
    ax.set_ylabel("acquisition")
    dress(ax.xaxis, parameter, name, line.values, line.x.tolist())
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def surface(
    opt: Optimizer,
    x: str,
    y: str,
    *,
    of: Literal["mean", "sd"] = "mean",
    params: Mapping[str, Any] | None = None,
    points: int = 41,
    ax: Axes | None = None,
) -> Axes:
    """The posterior over two parameters, the others held fixed, with observations, the best one, and points under way.

    Args:
        opt: An optimizer that was told at least one value.
        x: The parameter across.
        y: The parameter up.
        of: What the colours show: "mean", or "sd", the standard deviation.
        params: As for :func:`posterior`.
        points: At how many values, at most, of either parameter.
        ax: Where to draw.
    """
    if of not in ("mean", "sd"):
        raise ArgumentError(f"of={of!r} is unknown; use 'mean' or 'sd'.")
    ax = axes(ax)
    plane = posterior_surface(opt, (x, y), params, points)
    heights = plane.mean if of == "mean" else plane.sd
    colours = "viridis" if of == "sd" or opt.direction == "maximize" else "viridis_r"
    if heights.shape[0] > 2 and heights.shape[1] > 2 and not _stepped(opt, x, y):
        mesh: Any = ax.contourf(plane.x, plane.y, heights, levels=16, cmap=colours)
        ax.contour(plane.x, plane.y, heights, levels=16, colors="white", linewidths=0.3, alpha=0.5)
    else:
        mesh = ax.pcolormesh(plane.x, plane.y, heights, cmap=colours, shading="nearest")
    ax.figure.colorbar(mesh, ax=ax, label="posterior mean" if of == "mean" else "posterior sd")
    told = completed(opt)
    across, up = _places(opt, told, x), _places(opt, told, y)
    opacity = _black(nearness(opt, units(opt, told), plane.fixed, (x, y)))
    ax.scatter(across, up, s=16, c=opacity, edgecolors="white", linewidths=0.4, label="observations", zorder=3)
    pending = list(opt.pending)
    if pending:
        ax.scatter(_places(opt, pending, x), _places(opt, pending, y), marker="^", s=30, color=NEXT, label="under way")
    best = [opt.best()]
    ax.scatter(
        _places(opt, best, x),
        _places(opt, best, y),
        marker="*",
        s=140,
        color=BEST,
        edgecolors="white",
        label="best",
        zorder=4,
    )
    dress(ax.xaxis, opt.space[x], x, plane.values[0], plane.x.tolist())
    dress(ax.yaxis, opt.space[y], y, plane.values[1], plane.y.tolist())
    return ax


def _stepped(opt: Optimizer, *names: str) -> bool:
    """Whether one of the parameters has so few values that a smooth picture would invent some between."""
    return any(isinstance(opt.space[name], Categorical) or (opt.space[name].count or 41) <= 12 for name in names)


def _places(opt: Optimizer, trials: list[Trial], name: str) -> list[float]:
    return [position(opt.space[name], trial[name]) for trial in trials]


def _black(near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Black, of varying opacity."""
    colours = np.zeros((len(near), 4))
    colours[:, 3] = _FAINTEST + (1 - _FAINTEST) * near
    return colours


def _mark_pending(ax: Axes, places: list[float]) -> None:
    """Triangles at the lower end of the picture."""
    if places:
        heights = np.full(len(places), 0.025)
        ax.scatter(
            places,
            heights,
            marker="^",
            s=40,
            color=NEXT,
            transform=ax.get_xaxis_transform(),
            zorder=4,
            label=plain("under way"),
        )
