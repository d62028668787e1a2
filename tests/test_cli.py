"""The command line: the loop by hand, files in and out, and errors without tracebacks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import gpbo
from gpbo.cli import main

SPACE = {
    "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    "depth": {"type": "int", "low": 2, "high": 32},
    "act": {"type": "categorical", "choices": ["relu", None, 2, [1, "a"]]},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in a directory of its own; output, errors and exit code."""
    monkeypatch.chdir(tmp_path)

    def call(*words, code=0, stdin=None):
        result = CliRunner().invoke(main, [str(word) for word in words], input=stdin)
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.stdout if code == 0 else result.stderr

    return call


@pytest.fixture
def study(run):
    run("create", "s.db", "--space", json.dumps(SPACE), "--seed", 1, "--direction", "maximize")
    return "s.db"


def test_the_loop_by_hand(run, study):
    (point,) = json.loads(run("ask", study))
    assert point["id"] == 0
    assert point.keys() == {"id", "lr", "depth", "act"}
    run("tell", study, 0, 1.5, 0.1)
    run("ask", study, "-q", 4)
    run("fail", study, 1, 2, "--reason", "out of memory")
    run("tell", study, 3, "2.5")
    run("forget", study, 4)
    best = json.loads(run("best", study))
    assert (best["id"], best["value"]) == (3, 2.5)
    opt = gpbo.Optimizer.open(study)
    assert opt.direction == "maximize"
    assert opt.space["act"] == gpbo.Categorical(["relu", None, 2, (1, "a")])
    assert [(t.id, t.state, t.value, t.noise) for t in opt.history] == [
        (0, "complete", 1.5, 0.1), (1, "failed", None, None), (2, "failed", None, None), (3, "complete", 2.5, None),
    ]  # fmt: skip
    assert opt.history[1].reason == "out of memory"


def test_the_same_points_as_in_python(run, study):
    opt = gpbo.Optimizer(gpbo.Optimizer.open(study).space, "maximize", seed=1)
    for i in range(9):
        (point,) = json.loads(run("ask", study))
        (trial,) = opt.ask()
        assert point["lr"] == trial["lr"]
        run("tell", study, point["id"], float(i % 4))
        opt.tell(trial, float(i % 4))


def test_csv_and_json_in_and_out(run, study, tmp_path):
    asked = list(csv.DictReader(io.StringIO(run("ask", study, "-q", 6, "--format", "csv"))))
    assert [row["id"] for row in asked] == list("012345")
    (tmp_path / "a.csv").write_text("id,value,noise\n0,1.5,0.1\n1,2.5,0.2\n")
    run("tell", study, "--input", "a.csv")
    run("tell", study, "--input", "-", stdin=json.dumps([{"id": 2, "value": 3.5}, {"id": 3, "value": 0.1}]))
    run("tell", study, "--input", "-", stdin='{"id": 4, "value": 0.25}')
    rows = list(csv.DictReader(io.StringIO(run("export", study))))
    assert [row["value"] for row in rows] == ["1.5", "2.5", "3.5", "0.1", "0.25", ""]
    assert [float(row["lr"]) for row in rows] == [float(row["lr"]) for row in asked]
    run("export", study, "--format", "json", "--output", "all.json")
    exported = json.loads((tmp_path / "all.json").read_text())
    assert [row["state"] for row in exported] == ["complete"] * 5 + ["pending"]


def test_status_is_a_readable_table(run, study):
    assert "none yet" in run("status", study)
    run("ask", study, "-q", 3)
    run("tell", study, 0, 1.25)
    run("fail", study, 1, "--reason", "x" * 100 + "\nboom")
    text = run("status", study)
    assert "best       1.25 (trial 0)" in text
    assert "pending    1" in text
    table = text.split("\n\n")[1].splitlines()
    assert table[0].split() == ["id", "lr", "depth", "act", "value", "noise", "state", "reason"]
    assert [line.split()[0] for line in table[1:]] == ["0", "1", "2"]
    assert "boom" in table[2]
    assert all(len(line) < 120 for line in table)
    assert json.loads(run("status", study, "--format", "json"))["complete"] == 1


def test_a_worker_that_comes_back(run, study):
    first = run("ask", study, "-q", 2, "--worker", "job-7")
    assert run("ask", study, "-q", 2, "--worker", "job-7") == first
    assert json.loads(run("ask", study))[0]["id"] == 2


def test_nan_is_a_failed_evaluation_and_said_so(run, study):
    run("ask", study)
    result = CliRunner().invoke(main, ["tell", study, "0", "nan"])
    assert result.exit_code == 0
    assert result.stderr == "gpbo: tell: recorded as failed: trial 0 (value is nan).\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "other.db"], "there is no such file"),
        (["ask", "s.db", "--study", "x"], "there is no study 'x'; it holds 'default'"),
        (["ask", "s.db", "-q", "0"], "q must lie in"),
        (["ask", "s.db", "-q", "x"], "not a valid integer"),
        (["tell", "s.db", "0"], "Give ID and VALUE"),
        (["tell", "s.db", "77", "1"], "there is no trial 77"),
        (["tell", "s.db", "x", "1"], "id is 'x'; it must be a whole number"),
        (["tell", "s.db", "0", "good"], "value is 'good'; it must be a number"),
        (["tell", "s.db", "--input", "nothing.csv"], "FileNotFoundError"),
        (["tell", "s.db", "--input", "bad.csv"], "must have an id and a value"),
        (["tell", "s.db", "--input", "bad.json"], "no valid JSON"),
        (["best", "s.db"], "nothing was told yet"),
        (["export", "s.db", "--output", "a/b/c.csv"], "FileNotFoundError"),
        (["create", "t.db", "--space", "{}"], "at least one parameter"),
        (["create", "t.db", "--space", "{"], "the space is no valid JSON"),
        (["create", "t.db", "--space", '{"x": {"type": "os.system"}}'], "needs a type: float, int or categorical"),
        (["create", "t.db", "--space", '{"x": {"type": "int", "low": 3, "high": 1}}'], "is above high"),
        (["create", "t.db", "--space", '{"x": {"type": "int", "low": 3, "up": 1}}'], "parameter 'x'"),
        (["create", "s.db", "--space", '{"x": {"type": "int", "low": 0, "high": 1}}'], "there already, and differs"),
        (["create", "mysql://u:secret@h/d", "--space", '{"x": {"type": "int", "low": 0, "high": 1}}'], "not supported"),
        (["status", "bad.csv"], "is no SQLite database"),
        (["nonsense"], "No such command"),
    ],
)
def test_errors_are_one_line_with_exit_code_2(run, study, tmp_path, words, message):
    (tmp_path / "bad.csv").write_text("id,result\n0,1\n")
    (tmp_path / "bad.json").write_text('[{"id": 0, "value": }]')
    error = run(*words, code=2)
    assert message in error
    assert "Traceback" not in error
    assert "secret" not in error


@pytest.mark.slow
@pytest.mark.integration
def test_several_shells_at_once(run, study, tmp_path):
    """As a Slurm array does: each asks, evaluates and tells on its own."""
    script = """
    set -e
    point=$("$PYTHON" -m gpbo.cli ask s.db --worker "array-$1")
    id=$(echo "$point" | sed 's/.*"id": \\([0-9]*\\).*/\\1/')
    "$PYTHON" -m gpbo.cli tell s.db "$id" "$1.5"
    """
    environment = {**os.environ, "PYTHON": sys.executable}
    shells = [subprocess.Popen(["sh", "-c", script, "sh", str(i)], cwd=tmp_path, env=environment) for i in range(2)]
    assert [shell.wait() for shell in shells] == [0, 0]
    opt = gpbo.Optimizer.open(tmp_path / "s.db")
    assert sorted(trial.value for trial in opt.history) == [0.5, 1.5]
    assert not opt.pending


def test_the_commands_of_the_guide_work(run, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "storage.md").read_text()
    block = text.split("```sh\n")[1].split("```")[0].replace("\\\n", "")
    lines = [re.sub(r"^point=\$\((.*)\)", r"\1", line.partition("  #")[0].strip()) for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "gpbo"
        run(*words[1:])
    assert (tmp_path / "all.csv").read_text().startswith("id,lr,value,noise,state,reason\n0,")
