"""The interactive pictures, as plain data that plotly.js draws. Colours are names that the page looks up in its theme.

A picture is a dict with ``id``, ``title``, ``note`` and ``choices``: pairs of a label and a figure; one is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gpbo.insight.importance import importance
from gpbo.insight.runs import completed, incumbent, spans, values
from gpbo.insight.spread import spread
from gpbo.report.model_figures import model_pictures
from gpbo.report.pieces import Picture, dots, figure, numbers, only, picture, short, shown, where
from gpbo.trials import Trial

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

_GROUPS = 8  # lines of parallel coordinates are grouped by rank of their value
_MOST_LINES = 500
_MOST_POINTS = 1000  # of a batch, and of what was before it
_STATES = {"complete": "accent", "failed": "bad", "pending": "next", "forgotten": "muted"}


def figures(opt: Optimizer, shares: dict[str, float] | None = None) -> list[Picture]:
    """All pictures for which there are data; from the parameters' importance."""
    pictures: list[Picture] = []
    if completed(opt):
        pictures += [
            _convergence(opt),
            *model_pictures(opt, importance(opt) if shares is None else shares),
            _parallel(opt),
        ]
    return pictures + list(_of_asks(opt))


def _convergence(opt: Optimizer) -> Picture:
    trials = completed(opt)
    outcomes, n = values(trials), np.arange(1, len(trials) + 1)
    data = [
        dots(n, outcomes, "muted", "value", [f"trial {t.id}: {t.value:.6g}" for t in trials]),
        {
            "type": "scatter",
            "mode": "lines",
            "x": numbers(n),
            "y": numbers(incumbent(outcomes, opt.direction)),
            "line": {"shape": "hv", "color": "@accent", "width": 2.5},
            "name": "best so far",
        },
    ]
    note = "Each dot is a value; the line is the best one so far."
    return picture("convergence", "Best value so far", note, figure(data, x="evaluations", y="value"))


def _parallel(opt: Optimizer) -> Picture:
    trials = completed(opt)
    outcomes = values(trials) * (1.0 if opt.direction == "maximize" else -1.0)
    order = np.argsort(outcomes, kind="stable")[-_MOST_LINES:]
    groups = [group for group in np.array_split(order, _GROUPS) if len(group)]
    names = list(opt.space)
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [x for _ in group for x in [*range(len(names)), None]],
            "y": [y for i in group for y in [*(where(opt, name, trials[i]) for name in names), None]],
            "hovertext": [text for i in group for text in [*_hover(trials[i]), None]],
            "hoverinfo": "text",
            "line": {"color": f"@scale{rank / max(1, len(groups) - 1):.3f}", "width": 1 + rank / len(groups)},
            "marker": {"size": 4},
            "opacity": 0.75,
            "name": "best" if rank == len(groups) - 1 else "worst" if rank == 0 else "",
            "showlegend": rank in (0, len(groups) - 1) and len(groups) > 1,
        }
        for rank, group in enumerate(groups)
    ]
    drawn = figure(data)
    drawn["layout"]["xaxis"] |= {
        "tickvals": list(range(len(names))),
        "ticktext": [short(name, 24) for name in names],
        "showgrid": True,
        "zeroline": False,
    }
    drawn["layout"]["yaxis"] |= {"visible": False, "range": [-0.04, 1.04]}
    note = "One line per trial, from the lower (bottom) to the upper end (top) of each range; colours follow the rank."
    return picture("parallel", "All trials", note, drawn)


def _hover(trial: Trial) -> list[str]:
    return [shown(f"trial {trial.id}: {trial.value:.6g}; {name} = {value}") for name, value in trial.params.items()]


def _of_asks(opt: Optimizer) -> Iterator[Picture]:
    if not opt.asks:
        return
    found = spread(opt)
    names = list(opt.space)
    data = []
    for trials, colour, label, above in (
        (found.before[-_MOST_POINTS:], "muted", "before", 0.1),
        (found.trials[:_MOST_POINTS], "next", "last batch", -0.1),
    ):
        x = [where(opt, name, trial) for trial in trials for name in names]
        y = [row + above for _ in trials for row in range(len(names))]
        text = [shown(f"trial {t.id}: {name} = {value}") for t in trials for name, value in t.params.items()]
        data.append(dots(x, y, colour, label, text))
    drawn = figure(data)
    drawn["layout"]["xaxis"] |= {"tickvals": [0, 1], "ticktext": ["low", "high"], "range": [-0.04, 1.04]}
    drawn["layout"]["yaxis"] |= {
        "tickvals": list(range(len(names))),
        "ticktext": [short(name, 24) for name in names],
        "autorange": "reversed",
        "zeroline": False,
    }
    note = (
        "A single point."
        if np.isnan(found.nearest)
        else (
            f"Nearest neighbours in it are {found.nearest:.2g} apart in the unit cube; of uniform random points, "
            f"{found.uniform:.2g}."
        )
    )
    yield picture("spread", "Spread of the last batch", note, drawn)
    yield from _times(opt)


def _times(opt: Optimizer) -> Iterator[Picture]:
    found = spans(opt)
    if found:
        longest = max(span.end for span in found) or 1.0
        data = [
            {
                "type": "bar",
                "orientation": "h",
                "base": numbers([span.start for span in rows]),
                "x": numbers([max(span.end - span.start, 0.005 * longest) for span in rows]),
                "y": [span.trial.id for span in rows],
                "width": 0.8,
                "marker": {"color": f"@{colour}"},
                "hovertext": [f"trial {span.trial.id}, {state}: {span.end - span.start:.3g} s" for span in rows],
                "hoverinfo": "text",
                "name": state,
            }
            for state, colour in _STATES.items()
            if (rows := only(found, state))
        ]
        drawn = figure(data, x="seconds since the first ask", y="trial")
        drawn["layout"]["yaxis"] |= {"autorange": "reversed"}
        drawn["layout"] |= {"barmode": "overlay"}
        note = "Each trial from the ask that handed it out until it was told; failed ones stand out."
        yield picture("timeline", "Evaluations in time", note, drawn)
    timed = [(ask.n, 1e3 * ask.seconds, len(ask.ids)) for ask in opt.asks if ask.seconds]
    if timed:
        n, milliseconds, q = zip(*timed, strict=True)
        text = [f"{ms:.3g} ms for {size} points, {k} values known" for k, ms, size in timed]
        trace = dots(n, milliseconds, "accent", "ask", text)
        trace["marker"]["size"] = [6 + 2 * float(np.log2(size)) for size in q]
        drawn = figure([trace], x="values known", y="ms per ask")
        drawn["layout"]["yaxis"] |= {"type": "log"}
        if max(milliseconds) > 50 * min(milliseconds):
            drawn["layout"]["yaxis"] |= {"dtick": 1}
        drawn["layout"] |= {"showlegend": False}
        note = f"Half of the asks took less than {np.median(milliseconds):.3g} ms. The first includes compilation."
        yield picture("asks", "Time per ask", note, drawn)
