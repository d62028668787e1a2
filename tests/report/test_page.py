"""The page is one file, says what is so, and takes nothing in a study for markup."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

import gpbo
from gpbo import report
from gpbo.ledger import Ledger
from gpbo.report import model_figures
from gpbo.report.content import content, duration
from gpbo.report.figures import figures
from gpbo.report.snapshot import snapshot

plotly = pytest.importorskip("plotly")


def parts(text):
    """The page without plotly.js and data, and the data."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 3
    data, library, _ = scripts
    assert len(library) > 1e6
    assert not re.search(r"[<>&]", data)
    return text.replace(library, "").replace(data, ""), json.loads(data)


def test_report_writes_one_file(study, tmp_path):
    path = study.report(tmp_path / "r.html", title="A & B")
    text = path.read_text(encoding="utf-8")
    rest, data = parts(text)
    assert "<title>A &amp; B</title>" in rest
    assert {figure["id"] for figure in data["figures"]} == {
        "convergence", "slice", "surface", "importance", "leave-one-out", "parallel", "spread", "timeline", "asks",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_nothing_is_loaded_from_anywhere(study, hostile):
    for opt in (study, hostile):
        rest, data = parts(report.page(opt))
        assert "default-src 'none'" in rest
        assert not re.search(
            r"//[a-z]|@import|<iframe|<object|<embed|<base|<form", rest.replace("// ", ""), re.IGNORECASE
        )
        if opt is study:
            assert "//" not in json.dumps(data)


def test_hostile_names_stay_text(hostile):
    text = report.page(hostile, title="<script>window.broken=1</script>")
    rest, data = parts(text)
    assert rest.count("<script") == 3
    assert "<img" not in rest
    assert "<b>bold" not in rest
    assert data["table"]["header"][3] == next(iter(hostile.space))
    for figure in data["figures"]:
        for _, drawn in figure["choices"]:
            ticks = [
                text for axis in drawn["layout"].values() if isinstance(axis, dict) for text in axis.get("ticktext", [])
            ]
            titles = [
                axis["title"]["text"] for axis in drawn["layout"].values() if isinstance(axis, dict) and "title" in axis
            ]
            hovers = str([trace.get("hovertext") for trace in drawn["data"]])
            assert not any("<" in text for text in [*ticks, *titles, hovers])


def test_figures_are_what_plotly_admits(study, hostile):
    """Colours are names here; everything else is validated by plotly itself."""
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for opt in (study, hostile):
        for figure in figures(opt):
            for _, drawn in figure["choices"]:
                plain = json.loads(re.sub(r'"@[\w.]+"', '"red"', json.dumps(drawn, allow_nan=False)))
                graph_objects.Figure(plain)


def test_words_and_numbers_are_those_of_the_study(study):
    data = content(study)
    facts = {label: (value, small) for label, value, small in data["facts"]}
    assert facts["best value, maximized"] == (f"{study.best().value:.6g}", f"trial {study.best().id}")
    assert facts["evaluations"] == ("19", "1 failed, 2 pending")
    assert facts["choosing points"][1] == "5 asks, 22 points"
    assert {finding["topic"] for finding in data["findings"]} >= {"Trust", "Noise", "Progress", "Failures"}
    rate = next(row for row in data["points"]["rows"] if row[0] == "rate")
    assert rate[1:3] == [f"{study.best()['rate']:.6g}", f"{study.recommend()['rate']:.6g}"]
    assert len(data["table"]["rows"]) == 22
    assert data["table"]["header"] == [
        "trial",
        "state",
        "value",
        "rate",
        "depth",
        "kind",
        "constant",
        "seconds",
        "reason",
    ]


def test_of_many_observations_the_nearest_are_drawn_and_the_page_says_so(study, monkeypatch):
    monkeypatch.setattr(model_figures, "_MOST_DOTS", 7)
    pictures = {picture["id"]: picture for picture in figures(study)}
    everywhere = [str(trial.id) for trial in study.history if trial.state == "complete"]
    for key in ("slice", "surface"):
        assert "Of 19 observations, the 7 nearest are drawn." in pictures[key]["note"]
        for _, drawn in pictures[key]["choices"]:
            (seen,) = [trace for trace in drawn["data"] if trace.get("name") == "values"]
            ids = [re.search(r"\d+", text)[0] for text in seen["hovertext"]]
            assert len(ids) == len(seen["x"]) == len(seen["marker"]["opacity"]) == 7
            assert set(ids) < set(everywhere)
            assert str(study.best().id) in ids
    ((_, drawn),) = pictures["leave-one-out"]["choices"]
    assert "One of 3 is drawn." in pictures["leave-one-out"]["note"]
    assert sum(len(trace["x"]) for trace in drawn["data"] if trace.get("mode") == "markers") == 7


def test_the_record_is_read_once_for_a_page(study, monkeypatch, tmp_path):
    reads = []
    trials = Ledger.trial
    monkeypatch.setattr(Ledger, "trial", lambda self, trial_id: reads.append(trial_id) or trials(self, trial_id))
    study.report(tmp_path / "r.html")
    assert len(set(reads)) == 22
    assert Counter(reads).most_common(2)[1][1] <= 2  # the best one is asked for again and again


def test_a_page_is_about_the_trials_that_were_there_when_it_was_begun():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([[0.1], [0.5], [0.9]], [1.0, 0.0, 2.0])
    seen = snapshot(opt)
    opt.add([[0.3]], [3.0])
    assert [trial.id for trial in seen.history] == [0, 1, 2]
    assert [len(part) for part in seen.leave_one_out()] == [3, 3, 3]
    assert seen.trial(3).value == 3.0
    assert seen.best().id == 1


def test_large_integers_keep_their_digits():
    opt = gpbo.Optimizer({"x": gpbo.Int(-(2**63), 2**63 - 1)}, seed=0)
    opt.add([{"x": 2**63 - 1}], [1.0])
    assert content(opt)["table"]["rows"][0][3] == "9223372036854775807"


@pytest.mark.parametrize("asked", [0, 3], ids=["nothing happened", "nothing told"])
def test_a_study_without_values_has_a_page(asked, tmp_path):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    if asked:
        opt.ask(asked)
    _, data = parts(opt.report(tmp_path / "r.html").read_text())
    assert data["points"] is None
    assert data["findings"] == []


def test_a_single_value_has_a_page(tmp_path):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([[0.5]], [1.0])
    _, data = parts(opt.report(tmp_path / "r.html").read_text())
    assert data["points"]["rows"][0][1] == "0.5"


def test_a_path_has_to_be_one(study):
    with pytest.raises(gpbo.ArgumentTypeError, match="path"):
        study.report(7)


def test_a_stored_study_has_the_same_page(tmp_path):
    space = {"x": gpbo.Float(0, 1)}
    opt = gpbo.Optimizer(space, seed=0, storage=tmp_path / "study.db")
    opt.tell(opt.ask(6), [3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    opt.ask(2)
    before = content(opt), figures(opt)
    opt.close()
    again = gpbo.Optimizer.open(tmp_path / "study.db")
    after = content(again), figures(again)
    assert after[1] == before[1]
    assert {**after[0], "footer": ""} == {**before[0], "footer": ""}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12 ms"), (61, "61.0 s"), (600, "10 min"), (9000, "2.5 h"), (259200, "3.0 days")]
)
def test_durations_in_the_unit_that_suits(seconds, text):
    assert duration(seconds) == text
