"""The package as it is installed: what it declares, what importing it costs, what its wheel holds."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest

import gpbo

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(code: str) -> str:
    """Output of a fresh interpreter outside the checkout."""
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_version_is_the_installed_one():
    assert metadata("gpbo")["Version"] == gpbo.__version__


def test_import_loads_nothing_heavy_or_optional():
    heavy = ["botorch", "gpytorch", "matplotlib", "numba", "optuna", "pandas", "sklearn", "triton"]
    assert python(f"import sys, gpbo; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_kernels_stand_alone():
    loaded = (
        "import sys, gpbo_kernels; print([name for name in ('gpbo', 'botorch', 'gpytorch') if name in sys.modules])"
    )
    assert python(loaded) == "[]"


def test_everything_public_can_be_imported():
    python("import gpbo; [getattr(gpbo, name) for name in gpbo.__all__]")


def test_both_packages_are_typed():
    assert (ROOT / "gpbo" / "py.typed").exists()
    assert (ROOT / "kernels" / "gpbo_kernels" / "py.typed").exists()
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_every_dependency_has_an_exact_pin():
    pins = {_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    declared = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    assert {_name(each) for each in itertools.chain(*declared)} - {"gpbo"} <= pins


@pytest.mark.integration
def test_wheel_holds_both_packages_and_nothing_else(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("gpbo-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"gpbo", "gpbo_kernels"}
    assert {"gpbo/py.typed", "gpbo_kernels/py.typed"} <= set(names)


def _name(requirement: str) -> str:
    return re.split(r"[<>=\[;~! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
