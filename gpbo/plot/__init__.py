"""Pictures of a study. Every function draws on ``ax`` (a new figure's, if None) and returns it; all need matplotlib."""

from gpbo.plot.landscape import acquisition, posterior, surface
from gpbo.plot.model import importance, leave_one_out
from gpbo.plot.points import batch_spread, parallel
from gpbo.plot.runs import ask_seconds, convergence, timeline

__all__ = [
    "acquisition",
    "ask_seconds",
    "batch_spread",
    "convergence",
    "importance",
    "leave_one_out",
    "parallel",
    "posterior",
    "surface",
    "timeline",
]
