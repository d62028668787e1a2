"""Pictures as files, by name: what the command line offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpbo import plot
from gpbo.errors import ArgumentError

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

PICTURES = {  # and the number of parameters that each is along
    "convergence": 0,
    "posterior": 1,
    "acquisition": 1,
    "surface": 2,
    "parallel": 0,
    "importance": 0,
    "leave-one-out": 0,
    "batch-spread": 0,
    "timeline": 0,
    "ask-seconds": 0,
}


def save(opt: Optimizer, picture: str, names: Sequence[str] = (), path: str | None = None) -> Path:
    """Draw a picture into a file.

    Args:
        opt: The study.
        picture: One of ``PICTURES``.
        names: The parameters that it is along.
        path: Of the file; its ending sets the format. The picture's name and ``.png`` if None.

    Raises:
        ArgumentError: If the number of parameters or the format is wrong.
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    wanted = PICTURES[picture]
    if len(names) != wanted:
        raise ArgumentError(f"{picture} is along {wanted} parameters, got {len(names)}: {', '.join(names) or 'none'}.")
    figure = Figure(layout="constrained", dpi=120)
    target = Path(f"{picture}.png" if path is None else path)
    formats = figure.canvas.get_supported_filetypes()
    if target.suffix[1:].lower() not in formats:
        raise ArgumentError(f"{target} has no ending that matplotlib knows; use one of {', '.join(sorted(formats))}.")
    draw: Any = getattr(plot, picture.replace("-", "_"))
    draw(opt, *names, ax=figure.subplots())
    figure.savefig(target)
    return target
