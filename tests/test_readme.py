"""The documents tell the truth: examples run, links and named files exist."""

from __future__ import annotations

import doctest
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from botorch.acquisition import UpperConfidenceBound

from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem, build_model
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path for folder in ("", "benchmarks/", "kernels/", "docs/") for path in ROOT.glob(f"{folder}*.md"))
each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def test_readme_examples_give_the_output_shown(tmp_path, monkeypatch):
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    done = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 10
    assert done.failed == 0


def test_readme_gives_the_two_commands():
    text = (ROOT / "README.md").read_text()
    targets = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in text
        assert re.search(rf"^{target}:", targets, re.MULTILINE)


@each
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = document.parent / target if target else document
        assert path.exists(), link
        if anchor:
            assert anchor in _anchors(path.read_text()), link


@each
def test_files_named_in_code_quotes_exist(document):
    folders = ("gpbo/", "kernels/", "tests/", "benchmarks/")
    for name in re.findall(r"`([\w./-]+)`", document.read_text()):
        if name.startswith(folders):
            assert (ROOT / name).exists(), name


def test_the_acquisition_function_of_the_guide_works():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    names = {"TorchImprovement": TorchImprovement, "Tensor": torch.Tensor, "torch": torch}
    exec(textwrap.dedent(code), names)
    rng = np.random.default_rng(0)
    problem = Problem(default_spec("matern52", 3), rng.random((12, 3)), rng.standard_normal(12))
    theta = np.array([0.0, -4.0, 0.0, -1.0, -1.0, -1.0])
    posterior = TorchPosterior(problem, theta, torch.device("cpu"))
    bound = names["UpperConfidence"](posterior, 1.0, rng.standard_normal((2, 8)))
    U = rng.random((5, 3))
    stock = UpperConfidenceBound(build_model(problem, theta, torch.device("cpu")), beta=4.0)
    expected = stock(torch.as_tensor(U)[:, None, :]).detach().numpy()
    assert bound.values(U) == pytest.approx(expected, rel=1e-6)
    bound.fantasise(rng.random((2, 3)))
    gradient = bound.values_and_gradients(U)[1]
    steps = 1e-6 * np.eye(3)
    differences = np.stack([(bound.values(U + step) - bound.values(U - step)) / 2e-6 for step in steps], axis=1)
    assert gradient == pytest.approx(differences, rel=1e-5, abs=1e-6)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
