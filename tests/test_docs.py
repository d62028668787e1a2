"""The examples of the guides run and give what they show."""

from __future__ import annotations

import doctest
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
OTHERS = ("hyperopt", "optuna", "pytorch", "ray", "sklearn")  # tested in tests/integrations
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.stem not in OTHERS and ">>>" in page.read_text())
NEEDS = {"from-grid-search.md": ["sklearn"], "pictures.md": ["matplotlib", "plotly"]}
TRACKERS = "tracking.md"  # has a test of its own


def run(page, text=None):
    """The failures of a page are on standard output."""
    if text is None:
        done = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS)
    else:
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0))
        done = runner.summarize()
    assert done.attempted
    assert done.failed == 0


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What examples write goes to a folder of their own; nothing is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != TRACKERS], ids=lambda page: page.name)
def test_the_examples_of_a_page_give_what_they_show(page):
    for package in NEEDS.get(page.name, []):
        pytest.importorskip(package)
    if "matplotlib" in NEEDS.get(page.name, []):
        import matplotlib as mpl

        mpl.use("Agg")
    run(page)


@pytest.fixture
def sections():
    """Sections of the page on trackers by heading, each after what the first one defines."""
    first, *others = (ROOT / "docs" / TRACKERS).read_text().split("\n## ")
    return {"": first} | {part.partition("\n")[0]: f"{first}\n{part}" for part in others}


def test_progress_and_callbacks(sections):
    run(ROOT / "docs" / TRACKERS, sections[""])


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of MLflow and what it uses
def test_mlflow(sections, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("docs")
    run(ROOT / "docs" / TRACKERS, sections["MLflow"])
    values = [one.data.metrics["value"] for one in mlflow.search_runs(output_format="list") if one.data.metrics]
    assert len(values) == 3
    assert all(0 <= value <= 1 for value in values)


def test_tensorboard(sections, monkeypatch):
    """Against a stand-in with the two calls in use; the package itself is large."""
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == "runs/study"

        def add_scalar(self, tag, value, step):
            written.append((tag, float(value), int(step)))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    run(ROOT / "docs" / TRACKERS, sections["TensorBoard"])
    assert [(tag, step) for tag, _, step in written] == [(tag, step) for step in range(3) for tag in ("value", "best")]


def test_weights_and_biases(sections, monkeypatch):
    """Against a stand-in, as the service needs an account."""
    logged = []
    init = lambda project: SimpleNamespace(log=logged.append)  # noqa: E731
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    run(ROOT / "docs" / TRACKERS, sections["Weights & Biases"])
    assert [set(row) for row in logged] == [{"x", "value", "best"}] * 3


@pytest.mark.slow
def test_the_gallery_can_be_drawn_again(tmp_path):
    pytest.importorskip("matplotlib")
    names = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
    names["main"].__globals__["PICTURE"] = tmp_path / "gallery.png"
    names["main"]()
    assert (tmp_path / "gallery.png").stat().st_size > 50_000
