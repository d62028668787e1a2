"""``gpbo report`` and ``gpbo plot`` write what they say, or say what is wrong in one line."""

from __future__ import annotations

import pytest

import gpbo

pytest.importorskip("click")
pytest.importorskip("plotly")

from click.testing import CliRunner

from gpbo.cli import main
from gpbo.plot.files import PICTURES


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"x": gpbo.Float(0, 1), "y": gpbo.Int(0, 9)}
    opt = gpbo.Optimizer(space, seed=0, storage="study.db", study="mine")
    opt.tell(opt.ask(6), [3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    opt.close()

    def run(command, *arguments):
        return CliRunner().invoke(main, [command, "study.db", "--study", "mine", *arguments])

    return run


def test_report_is_written_where_it_is_wanted(run, tmp_path):
    done = run("report", "-o", "page.html")
    assert (done.exit_code, done.output) == (0, "page.html\n")
    assert "<h1>Study mine</h1>" in (tmp_path / "page.html").read_text()
    assert run("report", "--title", "A <b>").exit_code == 0
    assert "<h1>A &lt;b&gt;</h1>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_can_be_drawn(run, tmp_path, picture):
    names = [argument for name in ["x", "y"][: PICTURES[picture]] for argument in ("-p", name)]
    done = run("plot", picture, *names)
    assert (done.exit_code, done.output) == (0, f"{picture}.png\n")
    assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_the_ending_sets_the_format(run, tmp_path):
    assert run("plot", "-o", "curve.svg").exit_code == 0
    assert "<svg" in (tmp_path / "curve.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["surface", "-p", "x"], "surface is along 2 parameters, got 1: x."),
        (["posterior", "-p", "nope"], "No parameter 'nope'"),
        (["-o", "curve.xyz"], "has no ending that matplotlib knows"),
        (["-o", "no/such/folder.png"], "FileNotFoundError"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, complaint):
    done = run("plot", *arguments)
    assert done.exit_code == 2
    assert complaint in done.output
    assert len(done.output.strip().splitlines()) == 1
