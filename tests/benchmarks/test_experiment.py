"""Tables of variants, from tiny lines."""

from __future__ import annotations

import pytest

from benchmarks import record
from benchmarks.optimization import experiment


def line(provider, seed, value, case="ackley20#0", **more):
    return {
        "case": case,
        "provider": provider,
        "seed": seed,
        "budget": 1000,
        "n_initial": 100,
        "batch": 100,
        "evaluations": [100, 500, 1000],
        "best": [20.0, 10.0, value],
        "seconds": {"p50": 0.1},
        "commit": "abc",
        **more,
    }


def lines():
    told = {"settings": {"local": 0.5}}
    made = [line("gpbo", seed, value) for seed, value in enumerate((4.0, 8.0, 16.0))]
    made += [line("half", seed, value, **told) for seed, value in enumerate((2.0, 4.0, 8.0, 0.1))]
    made += [line("gpbo", 0, 1.0, case="ackley20#2"), line("half", 0, 2.0, case="ackley20#2", **told)]
    return [*made, line("gpbo", 0, 1.0, case="levy20#0")]


def test_variants_are_paired_with_the_default():
    text = experiment.markdown("some", lines())
    assert "- `half`: local=0.5; runs: 5, commit abc" in text
    end, half = text.split("## Paired differences")[1:]
    assert "| `half` | 2 | 4 | +0.000 |" in end  # a factor of two either way
    assert "| 1/0/1 | 3/0/1 |" in end
    assert "| 0/2/0 | 0/4/0 |" in half
    assert "| `gpbo` |" not in end


def test_medians_are_relative_to_those_of_the_default():
    table = experiment.markdown("some", lines()).split("## Median final regret, relative")[1]
    assert "| ackley20 | 1000 | 100 | 1 (2) |" in table
    assert "| levy20 | 1000 | 100 |  |" in table


def test_unknown_minima_are_marked_and_other_lines_add_to_them():
    made = [line("gpbo", 0, 5.0, case="rover60#0"), line("half", 0, 3.0, case="rover60#0")]
    text = experiment.markdown("some", made, [line("other", 0, 1.0, case="rover60#0")])
    assert "| rover60* | 1000 | 100 | 0.5 (1) |" in text
    assert "other" not in text


def test_any_variant_can_be_the_baseline_but_there_must_be_two():
    assert "divided by that of `half`" in experiment.markdown("some", lines(), baseline="half")
    with pytest.raises(SystemExit, match="gpbo"):
        experiment.markdown("some", [line("gpbo", 0, 1.0)])


def test_the_command_writes_beside_the_lines(tmp_path, capsys):
    for each in lines():
        record.append(tmp_path / "some" / "batch100" / f"{each['provider']}.jsonl", each)
    experiment.main(["some", "--results", str(tmp_path)])
    assert (tmp_path / "some" / "REPORT.md").read_text().startswith("# Experiment: some")
    assert "10 runs" in capsys.readouterr().out
