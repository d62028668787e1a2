import subprocess
import sys

import pytest

import gpbo


def test_importing_gpbo_loads_nothing_heavy():
    heavy = ["torch", "botorch", "gpytorch", "numba", "scipy", "pandas", "tqdm", "matplotlib", "sklearn"]
    code = f"import sys, gpbo; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_public_name_is_there():
    assert all(hasattr(gpbo, name) for name in gpbo.__all__)
    assert set(gpbo.__all__) <= set(dir(gpbo))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gpbo.nothing  # noqa: B018
