"""Where the values of a parameter stand on an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpbo.space import Categorical, Parameter


def grid(parameter: Parameter, points: int) -> list[Any]:
    """Native values across the parameter's range: all of them if there are few, else evenly spaced on its scale."""
    count = parameter.count
    if isinstance(parameter, Categorical) or (count is not None and count <= points):
        return parameter.natives(range(parameter.count or 1))
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        values = np.geomspace(low, high, points)
    else:
        values = 2.0 * np.linspace(0.5 * low, 0.5 * high, points)  # halved: high - low may overflow
    if count is None:
        return [float(value) for value in values.clip(low, high)]
    levels = (values - low) / (high - low) * (count - 1)
    return parameter.natives(sorted({min(round(level), count - 1) for level in levels.tolist()}))


def position(parameter: Parameter, value: Any) -> float:
    """Where a value stands: at itself, or at the index of a choice."""
    return float(parameter.read(value)) if isinstance(parameter, Categorical) else float(value)


def fraction(parameter: Parameter, value: Any) -> float:
    """How far a value lies along the parameter's range, on its own scale: 0 at the lower end, 1 at the upper."""
    if isinstance(parameter, Categorical):
        low, high, at = 0.0, float(parameter.count - 1), float(parameter.read(value))
    elif parameter.log:
        low, high, at = math.log(parameter.low), math.log(parameter.high), math.log(value)
    else:
        low, high, at = 0.5 * float(parameter.low), 0.5 * float(parameter.high), 0.5 * float(value)
    return (at - low) / (high - low) if high > low else 0.5
