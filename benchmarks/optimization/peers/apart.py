"""Peers in a process of their own: they need a NumPy older than this project's.

``older_environment.sh`` sets up their environment; ``hebo_worker.py`` and ``nevergrad_worker.py`` run in it, and know
nothing of this project.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks.optimization.peers.base import Numbers, Params, from_numbers, levels, to_numbers, variable
from gpbo import Categorical, Float, Int, Space

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PACKAGES = ("HEBO", "nevergrad")
ENVIRONMENT = "GPBO_PEERS_ENVIRONMENT"  # names the folder; .venv/peers of the repository otherwise


def python() -> Path:
    """The interpreter of the environment.

    Raises:
        ModuleNotFoundError: If there is none.
    """
    folder = Path(os.environ.get(ENVIRONMENT) or ROOT / ".venv" / "peers")
    found = folder / "bin" / "python"
    if not found.exists():
        script = (HERE / "older_environment.sh").relative_to(ROOT)
        message = f"HEBO and Nevergrad need an environment of their own, {folder}: run {script}, or set {ENVIRONMENT}."
        raise ModuleNotFoundError(message)
    return found


def versions() -> dict[str, str]:
    """Versions of the peers' packages in the environment; empty where there is none."""
    try:
        folders = python().parents[1].glob("lib/python*/site-packages")
    except ModuleNotFoundError:
        return {}
    path = [str(folder) for folder in folders]
    return {name: each.version for name in PACKAGES for each in distributions(name=name, path=path)}


class Apart:
    """An optimizer behind JSON lines.

    Args:
        space: Search space.
        seed: Seed of the optimizer.
        params: Initial points.
        values: Their values.
        worker: Name of the file that runs it.
        settings: What else it is told.
    """

    def __init__(
        self, space: Space, seed: int, params: list[Params], values: list[float], worker: str, **settings: Any
    ) -> None:
        self.space = space
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # lives as long as the process
        self.process = subprocess.Popen(
            [python(), "-I", HERE / worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self._send({"space": [_entry(name, each) for name, each in variable(space).items()], "seed": seed, **settings})
        self.tell(params, values)

    def __del__(self) -> None:
        if process := getattr(self, "process", None):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, self.errors):
                with contextlib.suppress(OSError):
                    stream.close()

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        self._send({"ask": q})
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            raise RuntimeError(f"The peer's process ended: {self.errors.read().strip()[-300:]}")
        return [from_numbers(self.space, each) for each in json.loads(answer)]

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        points: list[Numbers] = to_numbers(self.space, params)
        self._send({"points": points, "values": values})

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the next answer is missing, and says why
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()


def _entry(name: str, parameter: Float | Int | Categorical) -> dict[str, Any]:
    count = levels(parameter)
    if isinstance(parameter, Categorical) and not parameter.ordered:
        return {"name": name, "kind": "choice", "low": 0, "high": parameter.count - 1, "log": False}
    if count is not None:
        return {"name": name, "kind": "int", "low": 0, "high": count - 1, "log": False}
    assert not isinstance(parameter, Categorical)
    kind = "int" if isinstance(parameter, Int) else "float"
    return {"name": name, "kind": kind, "low": parameter.low, "high": parameter.high, "log": parameter.log}
