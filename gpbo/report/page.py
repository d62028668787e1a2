"""Puts the page together: one file with style, script, data and plotly.js in it."""

from __future__ import annotations

import json
import os
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from gpbo.errors import ArgumentTypeError
from gpbo.insight.importance import importance
from gpbo.insight.runs import completed
from gpbo.report.content import content
from gpbo.report.figures import figures
from gpbo.report.snapshot import snapshot

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer


def write(opt: Optimizer, path: str | os.PathLike[str], title: str = "Study") -> Path:
    """Write the page to a file, which is replaced if it is there.

    Raises:
        ArgumentTypeError: If ``path`` is not a path.
        ImportError: If plotly is not installed.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(f"report: path must be a string or a path, got {type(path).__name__}.")
    target = Path(path)
    target.write_text(page(opt, title), encoding="utf-8")
    return target


def page(opt: Optimizer, title: str = "Study") -> str:
    """The page as text.

    Args:
        opt: The study. Its model is fitted if it is not up to date.
        title: Heading of the page.

    Raises:
        ImportError: If plotly is not installed.
    """
    plotly = _plotly()
    opt = snapshot(opt)
    shares = importance(opt) if completed(opt) else {}
    data = {**content(opt, shares), "figures": figures(opt, shares)}
    return Template(_read("page.html")).substitute(
        title=escape(title),
        style=_read("page.css"),
        script=_read("page.js"),
        plotly=plotly,
        data=_inert(data),
    )


def _read(name: str) -> str:
    return resources.files("gpbo.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ImportError("The report needs plotly: pip install 'gpbo[report]'.") from None
    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")


def _inert(data: Any) -> str:
    """JSON that no browser takes for markup, whatever strings are in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
