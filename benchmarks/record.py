"""What every result line says about where it comes from."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Line = dict[str, Any]
ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("gpbo", "torch", "triton", "gpytorch", "botorch", "numpy", "scipy", "optuna", "scikit-learn"),
    *("ax-platform", "cma", "hyperopt", "scikit-optimize", "smac", "coco-experiment"),
)


def origin() -> Line:
    """Versions, commit and time; "dirty" when the code differs from the commit."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--", "gpbo", "kernels", "benchmarks/**/*.py")),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def append(path: Path, line: Line) -> None:
    """Adds a line to a file, which need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[Line]:
    """All lines of a folder's ``.jsonl`` files, in order."""
    return [json.loads(text) for path in sorted(folder.glob("*.jsonl")) for text in path.read_text().splitlines()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
