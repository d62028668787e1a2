"""What a study shows, as numbers and in words: what the pictures draw and the report says. Nothing here draws."""

from gpbo.insight.axes import fraction, grid, position
from gpbo.insight.calibration import Calibration, calibration
from gpbo.insight.findings import Finding, findings
from gpbo.insight.importance import importance
from gpbo.insight.landscape import Slice, Surface, acquisition_slice, posterior_slice, surface
from gpbo.insight.runs import completed, incumbent, spans
from gpbo.insight.spread import Spread, spread

__all__ = [
    "Calibration",
    "Finding",
    "Slice",
    "Spread",
    "Surface",
    "acquisition_slice",
    "calibration",
    "completed",
    "findings",
    "fraction",
    "grid",
    "importance",
    "incumbent",
    "position",
    "posterior_slice",
    "spans",
    "spread",
    "surface",
]
