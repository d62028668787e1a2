"""Says which packages are here and which are missing: ``python -m benchmarks.gpu.requirements``.

Needs nothing but Python itself. Ends with status 1 where the benchmark cannot run.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version

from benchmarks.record import ROOT

# packages that the benchmark does without, and what becomes of it
WITHOUT = {
    "numba": "the CPU path is the one in plain torch, which lines and report say",
    "sqlalchemy": "studies cannot be stored, which is not measured here",
    "tqdm": "no progress bars, which are not shown here",
    "triton": "fused kernels do not run; plain torch stands in for them",
    "pytest": "the tests of the kernels are left out of the check",
}


def core() -> dict[str, str]:
    """From the name of each package that gpbo depends on to its requirement, as pip takes it."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {re.split(r"[<>=!~\[; ]", text, maxsplit=1)[0]: text for text in dependencies}


def missing(names: list[str]) -> list[str]:
    """Those that cannot be found."""

    def found(name: str) -> bool:
        try:
            return importlib.util.find_spec(name) is not None
        except ImportError:  # a finder may refuse a name
            return False

    return [name for name in names if not found(name)]


def table(names: list[str]) -> str:
    """A line per package: its version, or that it is missing and what follows."""
    absent = set(missing(names))
    return "\n".join(
        f"  {name:14} {_version(name) if name not in absent else 'missing: ' + WITHOUT.get(name, 'needed')}"
        for name in names
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "there, version unknown"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--install", action="store_true", help="try to install what is missing")
    options = parser.parse_args()
    requirements = core()
    names = [*requirements, *(name for name in WITHOUT if name not in requirements)]
    if options.install and missing(names):
        wanted = [requirements.get(name, name) for name in missing(names)]
        subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=False)
        importlib.invalidate_caches()
    print(f"Python {sys.version.split()[0]} at {sys.executable}")
    print(table(names))
    needed = [name for name in missing(names) if name not in WITHOUT]
    if needed:
        shown = " ".join(f"'{requirements[name]}'" for name in needed)
        sys.exit(f"Missing: {', '.join(needed)}. Pass --install, or run: {sys.executable} -m pip install {shown}")


if __name__ == "__main__":
    main()
