"""Parts that the interactive pictures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gpbo.insight.axes import fraction
from gpbo.insight.runs import Span
from gpbo.space import Categorical

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer
    from gpbo.trials import Trial

Picture: TypeAlias = dict[str, Any]

_LONGEST = 40


def shown(text: str) -> str:
    """Text for plotly, which takes tags for formatting and links: escaped, and cut if it is long."""
    text = " ".join(text.split())
    return escape(text if len(text) <= _LONGEST * 3 else f"{text[: _LONGEST * 3]}…", quote=False)


def short(text: str, longest: int = 16) -> str:
    """The same for a tick of an axis."""
    return escape(text if len(text) <= longest else f"{text[: longest - 1]}…", quote=False)


def numbers(array: Iterable[Any]) -> list[float | None]:
    """Six digits of each number; None where it is not finite."""
    values = np.asarray(list(array), dtype=np.float64)
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]


def where(opt: Optimizer, name: str, trial: Trial) -> float:
    """How far along its range a parameter of a trial lies."""
    return round(fraction(opt.space[name], trial[name]), 5)


def only(found: Sequence[Span], state: str) -> list[Span]:
    """The spans of trials in a state."""
    return [span for span in found if span.trial.state == state]


def dots(x: Iterable[Any], y: Iterable[Any], colour: str, name: str, text: Sequence[str]) -> dict[str, Any]:
    """A trace of dots with a text each."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(x),
        "y": numbers(y),
        "marker": {"color": f"@{colour}", "size": 7},
        "hovertext": list(text),
        "hoverinfo": "text",
        "name": name,
    }


def figure(data: list[dict[str, Any]], x: str = "", y: str = "") -> dict[str, Any]:
    """Traces with titled axes."""
    return {"data": data, "layout": {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}}


def parameter_axis(opt: Optimizer, name: str, values: Sequence[Any], positions: Iterable[float]) -> dict[str, Any]:
    """An axis along a parameter: its name, its choices, its scale."""
    parameter = opt.space[name]
    axis: dict[str, Any] = {"title": {"text": shown(name)}, "zeroline": False}
    if isinstance(parameter, Categorical):
        axis |= {"tickvals": numbers(positions), "ticktext": [short(str(value)) for value in values]}
        axis |= {"range": [-0.5, len(values) - 0.5]}
    elif parameter.log:
        axis |= {"type": "log", "exponentformat": "power"}
        if parameter.high / parameter.low >= 1e2:
            axis |= {"dtick": 1}
    return axis


def picture(key: str, title: str, note: str, *choices: Any) -> Picture:
    """A picture of one figure, or of several with a label each, given as pairs."""
    pairs = [("", choices[0])] if len(choices) == 1 and isinstance(choices[0], dict) else list(choices)
    return {"id": key, "title": title, "note": note, "choices": pairs}
