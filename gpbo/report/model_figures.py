"""Interactive pictures of what the model believes, and of how far it can be trusted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpbo.insight.axes import position
from gpbo.insight.calibration import LARGEST, calibration
from gpbo.insight.importance import importance
from gpbo.insight.landscape import acquisition_slice, nearness, posterior_slice, surface, units
from gpbo.insight.runs import completed, values
from gpbo.report.pieces import Picture, dots, figure, numbers, parameter_axis, picture, short, shown
from gpbo.space import Categorical
from gpbo.trials import Trial

if TYPE_CHECKING:
    from botorch.acquisition import AcquisitionFunction

    from gpbo.optimizer import Optimizer

_MOST_SLICES, _MOST_PAIRED = 20, 4  # parameters with a slice; parameters of which all pairs have a surface
_MOST_DOTS = 1000  # observations drawn in one picture of the model
_FINE, _COARSE = 81, 41  # points of a slice; the latter where there are more observations than that


@dataclass(frozen=True)
class Told:
    """The complete trials, and their rows of the unit cube, shape (n, D)."""

    trials: list[Trial]
    units: NDArray[np.float64]

    def near(
        self, opt: Optimizer, fixed: dict[str, Any], free: tuple[str, ...]
    ) -> tuple[list[Trial], list[float | None]]:
        """Those to be drawn, the nearest to a slice if there are many, and how opaque they are to be."""
        near = nearness(opt, self.units, fixed, free)
        nearest = np.sort(np.argsort(near, kind="stable")[-_MOST_DOTS:])  # of equals, the latest
        return [self.trials[i] for i in nearest], numbers(0.12 + 0.88 * near[nearest])


def model_pictures(opt: Optimizer, shares: dict[str, float]) -> list[Picture]:
    """Slices and surfaces through the best point, importance, leave-one-out predictions."""
    trials = completed(opt)
    told = Told(trials, units(opt, trials))
    free = [name for name in sorted(shares, key=lambda name: -shares[name]) if opt.space[name].count != 1]
    note = (
        "The mean and two standard deviations along one parameter, the others as in the best trial; the fainter an "
        "observation, the farther its other parameters are from that. Below, what a next point would be worth."
    )
    drawn = f" Of {len(trials)} observations, the {_MOST_DOTS} nearest are drawn." if len(trials) > _MOST_DOTS else ""
    pictures = []
    if free:
        function = opt.acquisition()
        slices = [(name, _slice(opt, told, name, function)) for name in free[:_MOST_SLICES]]
        pictures.append(picture("slice", "What the model believes", note + drawn, *slices))
    if len(free) > 1:
        pairs = itertools.combinations(free[:_MOST_PAIRED], 2)
        maps = [(f"{a} × {b}", _surface(opt, told, a, b)) for a, b in pairs]
        note = "The posterior mean over two parameters, the others as in the best trial; point at it for the deviation."
        pictures.append(picture("surface", "Over two parameters", note + drawn, *maps))
    pictures.append(_importance(opt, shares))
    if len(trials) <= LARGEST:
        pictures.append(_leave_one_out(opt))
    return pictures


def _slice(opt: Optimizer, told: Told, name: str, function: AcquisitionFunction) -> dict[str, Any]:
    parameter = opt.space[name]
    points = _FINE if len(told.trials) <= _MOST_DOTS else _COARSE
    line = posterior_slice(opt, name, points=points)
    worth, kind = acquisition_slice(opt, name, points=points, function=function)
    x = numbers(line.x)
    low, high = numbers(line.mean - 2 * line.sd), numbers(line.mean + 2 * line.sd)
    data: list[dict[str, Any]]
    if isinstance(parameter, Categorical):
        error = {"type": "data", "array": numbers(2 * line.sd), "color": "@accent"}
        mean = dots(
            x,
            line.mean,
            "accent",
            "mean ± 2 sd",
            [f"{m:.6g} ± {2 * s:.3g}" for m, s in zip(line.mean, line.sd, strict=True)],
        )
        data = [{**mean, "error_y": error, "marker": {"color": "@accent", "symbol": "line-ew-open", "size": 14}}]
        second: dict[str, Any] = {"type": "bar", "width": 0.4, "base": float(np.floor(worth.mean.min()) - 1)}
        second |= {"y": numbers(worth.mean - second["base"])}
    else:
        band = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": x}
        data = [
            {**band, "y": low, "showlegend": False},
            {**band, "y": high, "fill": "tonexty", "fillcolor": "@band", "name": "± 2 sd"},
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": numbers(line.mean),
                "line": {"color": "@accent"},
                "name": "mean",
            },
        ]
        second = {"type": "scatter", "mode": "lines", "line": {"color": "@good"}, "y": numbers(worth.mean)}
    near, opacity = told.near(opt, line.fixed, (name,))
    seen = dots(
        [position(parameter, t[name]) for t in near],
        values(near),
        "ink",
        "values",
        [f"trial {t.id}: {t.value:.6g}" for t in near],
    )
    seen["marker"]["opacity"] = opacity
    data.append(seen)
    pending = list(opt.pending)
    if pending:
        mean_there, _ = opt.predict([{**line.fixed, name: trial[name]} for trial in pending])
        under_way = dots(
            [position(parameter, t[name]) for t in pending],
            mean_there,
            "next",
            "under way",
            [f"trial {t.id}" for t in pending],
        )
        under_way["marker"]["symbol"] = "triangle-up"
        data.append(under_way)
    data.append({**second, "x": x, "yaxis": "y2", "marker": {"color": "@good"}, "name": kind, "showlegend": False})
    drawn = figure(data, y="value")
    drawn["layout"]["xaxis"] = parameter_axis(opt, name, line.values, line.x) | {"anchor": "y2"}
    drawn["layout"]["yaxis"] |= {"domain": [0.32, 1]}
    drawn["layout"]["yaxis2"] = {"domain": [0, 0.24], "title": {"text": kind}, "zeroline": False}
    return drawn


def _surface(opt: Optimizer, told: Told, a: str, b: str) -> dict[str, Any]:
    plane = surface(opt, (a, b), points=31)
    rows, columns = plane.mean.shape
    smooth = not any(isinstance(opt.space[name], Categorical) for name in (a, b)) and min(rows, columns) > 2
    texts = [
        [shown(f"mean {plane.mean[i, j]:.6g}, sd {plane.sd[i, j]:.3g}") for j in range(columns)] for i in range(rows)
    ]
    heights: dict[str, Any] = {
        "type": "contour" if smooth else "heatmap",
        "x": numbers(plane.x),
        "y": numbers(plane.y),
        "z": [numbers(row) for row in plane.mean],
        "hovertext": texts,
        "hoverinfo": "text",
        "colorscale": "Viridis",
        "reversescale": opt.direction == "minimize",
        "colorbar": {"thickness": 12, "outlinewidth": 0},
    }
    heights |= {"ncontours": 16, "line": {"width": 0.3}} if smooth else {}
    best = opt.best()
    near, opacity = told.near(opt, plane.fixed, (a, b))
    x, y = ([position(opt.space[name], trial[name]) for trial in near] for name in (a, b))
    seen = dots(x, y, "black", "values", [f"trial {t.id}: {t.value:.6g}" for t in near])
    seen["marker"] |= {"opacity": opacity}
    seen["marker"] |= {"line": {"color": "@white", "width": 0.6}}
    x, y = ([position(opt.space[name], best[name])] for name in (a, b))
    star = dots(x, y, "bad", "best", [f"best, trial {best.id}: {best.value:.6g}"])
    star["marker"] |= {"symbol": "star", "size": 15, "line": {"color": "@white", "width": 1}}
    drawn = figure([heights, seen, star])
    drawn["layout"]["xaxis"] = parameter_axis(opt, a, plane.values[0], plane.x)
    drawn["layout"]["yaxis"] = parameter_axis(opt, b, plane.values[1], plane.y)
    drawn["layout"]["showlegend"] = False
    return drawn


def _importance(opt: Optimizer, shares: dict[str, float]) -> Picture:
    names = sorted(shares, key=lambda name: shares[name])[-30:]
    spans = importance(opt, "lengthscales")
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": numbers([of[name] for name in names]),
            "y": list(range(len(names))),
            "marker": {"color": f"@{colour}"},
            "hovertext": [shown(f"{name}: {of[name]:.1%}") for name in names],
            "hoverinfo": "text",
            "name": label,
        }
        for of, colour, label in ((spans, "muted", "from lengthscales"), (shares, "accent", "from variance"))
    ]
    drawn = figure(data, x="share")
    drawn["layout"]["xaxis"] |= {"tickformat": ".0%"}
    drawn["layout"]["yaxis"] |= {"tickvals": list(range(len(names))), "ticktext": [short(name, 24) for name in names]}
    note = (
        "From variance: the share of what the model sees that varies with the parameter, alone and together with "
        "others. From lengthscales: how quickly the model lets values change along it."
    )
    return picture("importance", "Which parameters matter", note, drawn)


def _leave_one_out(opt: Optimizer) -> Picture:
    found = calibration(opt)
    data = []
    step = -(-len(found.observed) // _MOST_DOTS)
    kept = np.arange(len(found.observed)) % step == 0
    for inside, colour, label in ((True, "accent", "in its interval"), (False, "bad", "outside")):
        rows = np.flatnonzero(kept & (found.inside == inside))
        if len(rows):
            text = [
                f"trial {found.trials[i].id}: {found.observed[i]:.6g}, "
                f"predicted {found.mean[i]:.6g} ± {2 * found.sd[i]:.3g}"
                for i in rows
            ]
            trace = dots(found.mean[rows], found.observed[rows], colour, label, text)
            error = {"type": "data", "array": numbers(2 * found.sd[rows]), "thickness": 1, "width": 0}
            data.append({**trace, "error_x": error | {"color": f"@{colour}"}, "opacity": 0.8})
    ends = numbers([found.observed.min(), found.observed.max()])
    line = {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip", "showlegend": False}
    data.append({**line, "line": {"color": "@muted", "dash": "dash", "width": 1}})
    note = (
        f"Each value against its prediction from all the others: {found.coverage:.0%} lie in their 95 % interval, and "
        f"the rank correlation is {found.rank_correlation:.2f}. On the dashed line a prediction is exact."
    )
    note += f" One of {step} is drawn." if step > 1 else ""
    drawn = figure(data, x="predicted, ± 2 sd", y="value")
    return picture("leave-one-out", "Do its predictions hold?", note, drawn)
