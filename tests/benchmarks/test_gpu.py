"""The benchmark on a GPU, on the CPU with tiny sizes: what is measured, what is cut, and what the report says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import torch

from benchmarks import processes, record
from benchmarks.gpu import check, counts, device, floors, measure, report, requirements, run, stages, table, targets
from benchmarks.gpu.cases import SLOWEST, TINY, Case, Matrix, contained, limit, ordered
from benchmarks.gpu.timing import copies, milliseconds

CPU = torch.device("cpu")
MADE = {
    **{"suite": "gpu", "smoke": False, "gpu": "Some GPU", "driver": "1.2", "cuda": "13.0", "cores": 4, "threads": 4},
    **{"processor": "some", "host_path": "compiled", "versions": {"torch": "2.11"}, "commit": "abc", "dirty": False},
    "time": "2026-01-01T00:00:00+00:00",
}


def ask(n=100, d=20, q=1, provider="gpbo", where="gpu"):
    return Case("ask", n, d, q, provider, where)


def test_every_case_comes_once_and_ours_with_a_target_first():
    matrix = Matrix()
    cases = ordered(matrix)
    assert len({case.name for case in cases}) == len(cases)
    leading = cases[: len(matrix.first)]
    assert [(case.task, case.n, case.q) for case in leading] == list(matrix.first)
    assert {(case.provider, case.device, case.d) for case in leading} == {("gpbo", "gpu", 20)}
    sides = {("gpbo", "gpu"), ("gpbo", "cpu"), ("gpbo", "auto"), ("botorch", "gpu"), ("botorch", "cpu")}
    for n in matrix.sizes:
        for d in matrix.dimensions:
            for q in matrix.batches:
                here = [case for case in cases if (case.task, case.n, case.d, case.q) == ("ask", n, d, q)]
                assert {(case.provider, case.device) for case in here} == sides


@pytest.mark.parametrize(
    ("case", "modes"),
    [
        (ask(n=100), ("cold", "next")),
        (ask(n=500), ("cold", "next", "refit")),
        (ask(n=500, q=8), ("cold", "next")),
        (ask(provider="botorch"), ("cold",)),
        (Case("fit", 100, 6, 0, "gpbo", "gpu"), ("cold",)),
        (Case("evaluate", 100, 6, 0, "botorch", "cpu"), ("once",)),
    ],
)
def test_modes_follow_from_the_case(case, modes):
    assert case.modes == modes


def test_what_contains_a_case_of_botorch_that_was_cut_is_not_run():
    cut = [ask(n=1000, q=8, provider="botorch")]
    assert contained(ask(n=4000, q=8, provider="botorch"), cut) == cut[0]
    assert contained(ask(n=1000, q=100, provider="botorch"), cut) == cut[0]
    assert contained(ask(n=1000, q=1, provider="botorch"), cut) is None
    assert contained(ask(n=1000, d=6, q=8, provider="botorch"), cut) is None
    assert contained(ask(n=1000, q=8, provider="botorch", where="cpu"), cut) is None
    assert contained(ask(n=4000, q=8), cut) is None
    fit = Case("fit", 1000, 20, 0, "botorch", "gpu")
    assert contained(ask(n=1000, provider="botorch"), [fit]) == fit


def test_a_call_has_as_long_as_teaches_something():
    assert limit(ask(), 0.001) == SLOWEST
    assert limit(ask(provider="botorch"), None) == SLOWEST
    assert limit(ask(provider="botorch"), 100.0) == SLOWEST
    assert limit(ask(provider="botorch"), 0.2) == pytest.approx(8.0)
    assert limit(ask(where="cpu"), 0.001) == pytest.approx(5.0)


def test_floors_are_measured_or_say_why_not():
    lines = list(floors.lines(CPU, floors.TINY, time.time() + 60))
    done = {line["floor"] for line in lines if line["outcome"] == "done"}
    assert done == {"copy", "kernel launch", "round trip", "product", "potrf", "potri", "trsm"}
    rest = {line["floor"]: line["outcome"] for line in lines if line["outcome"] != "done"}
    assert rest == {"graph launch": "not there", "graph of kernels": "not there"}
    assert all(0 < line["p20"] <= line["p50"] <= line["p80"] for line in lines if line["outcome"] == "done")
    late = list(floors.lines(CPU, floors.TINY, time.time() - 1))
    assert [line["outcome"] for line in late] == ["deadline"] * len(lines)


@pytest.mark.parametrize("n", [3, 40])
def test_matrices_of_floors_are_what_routines_expect(n):
    generator = torch.Generator().manual_seed(0)
    A = floors._positive(floors.Floor("potrf", n), torch.float64, generator, CPU)
    assert torch.equal(A, A.mT)
    assert torch.linalg.cholesky_ex(A).info == 0
    L = floors._factor(floors.Floor("potri", n), torch.float64, generator, CPU)
    assert torch.equal(L, L.tril())
    assert torch.linalg.cond(L) < 10


def test_inputs_rotate_and_are_larger_than_the_cache_together():
    seen = []
    found = milliseconds(seen.append, ["a", "b", "c"], CPU, 0.0)
    assert seen == list("abcabc")
    assert found["repeats"] == 3
    assert copies(2**40, CPU) == 1
    assert copies(2**24, CPU) * 2**24 >= 4 * device.l2_bytes(CPU)


def test_counts_of_work_bound_by_the_slowest_resource():
    speed = counts.Speed(flop=1e12, bytes=1e11, launch=1e-5)
    assert speed.seconds(counts.Work(1e12, 1.0)) == pytest.approx(1.0)
    assert speed.seconds(counts.Work(1.0, 1e11)) == pytest.approx(1.0)
    assert speed.seconds(counts.Work(1.0, 1.0, 3)) == pytest.approx(3e-5)
    assert counts.evaluation(1000, 6).times(5).flop == pytest.approx(5 * (1e9 + 21e6))
    assert counts.ask(1000, 6, 1, refitted=True).flop > counts.ask(1000, 6, 1, refitted=False).flop
    flop = [counts.ask(1000, 6, q, refitted=False).flop for q in (1, 8, 63, 64, 1000)]
    assert flop == sorted(flop)


def test_checks_hold_and_one_that_raises_does_not(monkeypatch):
    lines = list(check.lines(CPU, large=False))
    assert {line["outcome"] for line in lines} == {"held"}

    def wrong(*_):
        raise ValueError("no factor")

    monkeypatch.setattr(check, "objectives", wrong)
    broken = [line for line in check.lines(CPU, large=False) if line["outcome"] == "failed"]
    assert {line["check"].split(" n=")[0] for line in broken} == {"log posterior"}
    assert "no factor" in broken[0]["message"]


def test_an_engine_that_is_wrong_is_found(monkeypatch):
    monkeypatch.setattr(check, "covariance", lambda *arguments: torch.rand(()) * arguments[3].sum())
    found = [line["outcome"] for line in check.lines(CPU, large=False) if "covariance" in line["check"]]
    assert set(found) == {"failed"}
    assert check.relative(torch.tensor([1.0, torch.nan]), torch.ones(2)) == float("inf")


@pytest.mark.parametrize("provider", ["gpbo", "botorch"])
@pytest.mark.parametrize(("task", "q"), [("evaluate", 0), ("fit", 0), ("ask", 1), ("ask", 3)])
def test_a_case_has_a_line_per_mode(provider, task, q):
    case = Case(task, 20, 2, q, provider, "gpu")
    lines = list(measure.measurements(case, CPU, 60.0))
    assert [line["mode"] for line in lines] == list(case.modes)
    for line in lines:
        assert line["outcome"] == "done"
        assert line["seconds"] > 0
        assert line["repeats"] >= 1
        assert line["peak_bytes"] is None or line["peak_bytes"] >= 0
        if provider == "gpbo" and task == "ask":
            assert (line["ran_on"], line["ask"]["q"], line["refitted"]) == ("cpu", q, True)
            assert line["modelled"] >= 20


def test_refits_are_due_where_they_are_measured():
    cold, following, refit = measure.measurements(ask(n=260, d=2), CPU, 60.0)
    assert [line["refitted"] for line in (cold, following, refit)] == [True, False, True]


def test_a_call_that_takes_too_long_is_cut_and_the_next_one_is_not(monkeypatch):
    monkeypatch.setattr(measure.stock, "ask", lambda *_: time.sleep(30))
    start = time.perf_counter()
    (line,) = measure.measurements(ask(n=20, d=2, provider="botorch"), CPU, 0.2)
    assert time.perf_counter() - start < 20
    assert (line["outcome"], line["seconds"], line["mode"]) == ("more than", 0.2, "cold")
    (line,) = measure.measurements(Case("evaluate", 20, 2, 0, "botorch", "gpu"), CPU, 60.0)
    assert line["outcome"] == "done"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(MemoryError("16 GB"), "out of memory"), (RuntimeError("CUDA error: an illegal address"), "failed")],
)
def test_an_error_leaves_a_line(monkeypatch, error, outcome):
    def fail(*_):
        raise error

    monkeypatch.setattr(measure.stock, "ask", fail)
    (line,) = measure.measurements(ask(n=20, d=2, provider="botorch"), CPU, 60.0)
    assert line["outcome"] == outcome
    assert str(error) in line["message"]
    assert line.get("ends", False) == (outcome == "failed")


def _worker(monkeypatch, code):
    """A process of cases that runs ``code`` for each; ``text`` is what came in."""
    real = processes.Lines
    loop = f"import os, sys, time\nprint('{{\"ready\": true}}', flush=True)\nfor text in sys.stdin:\n    {code}\n"
    monkeypatch.setattr(stages, "Lines", lambda command: real([sys.executable, "-c", loop]))
    for name, value in {"_PATIENCE": 0.0, "_GRACE": 0.0}.items():
        monkeypatch.setattr(stages, name, value)


def _cases(seconds=30.0, **more):
    return stages.Cases("cpu", time.time() + seconds, **more)


def test_a_process_that_dies_costs_its_case_only(monkeypatch):
    _worker(monkeypatch, "os._exit(3) if '\"n\": 24' in text else print('{\"end\": true}', flush=True)")
    lines = list(_cases().measure(Matrix((16,), (2,), (1,), (("ask", 24, 1), ("ask", 20, 1))), []))
    assert {(line["sizes"]["n"], line["outcome"]) for line in lines} == {(24, "failed")}
    assert "exit status 3" in lines[0]["message"]


def test_processes_that_die_again_and_again_are_given_up(monkeypatch):
    _worker(monkeypatch, "os._exit(3)")
    lines = list(_cases().measure(TINY, []))
    assert [line["outcome"] for line in lines[:6]] == ["failed"] * 5 + ["not run"]
    assert len(lines) == len(ordered(TINY))


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(stages, "limit", lambda *_: 0.2)
    _worker(monkeypatch, "time.sleep(60)")
    lines = list(_cases().measure(Matrix((16,), (2,), (), ()), []))
    assert [line["outcome"] for line in lines[:2]] == ["more than"] * 2
    assert lines[0]["seconds"] == 0.2
    contained_in = [line for line in lines if line["outcome"] == "not run"]
    assert {line["provider"] for line in contained_in} == {"botorch"}
    assert all(line["seconds"] == 0.2 and "more than 0.2 s already" in line["message"] for line in contained_in)


def test_the_deadline_leaves_a_line_for_every_case():
    lines = list(_cases(seconds=0.0).measure(TINY, []))
    assert [line["case"] for line in lines] == [case.name for case in ordered(TINY)]
    assert {line["outcome"] for line in lines} == {"deadline"}


def test_an_engine_that_is_not_right_is_not_timed():
    lines = list(_cases(seconds=0.0, right=False).measure(TINY, []))
    assert {(line["provider"], line["outcome"]) for line in lines} == {("gpbo", "not run"), ("botorch", "deadline")}


def test_known_cases_are_not_measured_again_and_still_count():
    first = ask(n=20, d=3, q=1)
    known = [{"case": first.name, "outcome": "done", "seconds": 0.5, "mode": "cold"}]
    cases = _cases(seconds=0.0)
    assert first.name not in {line["case"] for line in cases.measure(TINY, known)}
    assert cases.ours == {("ask(1)", 20, 3): 0.5}


@pytest.mark.parametrize(
    ("code", "outcomes"),
    [
        ('print(\'{"a": 1}\'); print("words")', [None]),
        ("print('{\"a\": 1}', flush=True); time.sleep(60)", [None, "deadline"]),
        ("sys.exit('no memory')", ["failed"]),
    ],
    ids=["done", "late", "failed"],
)
def test_a_stage_that_is_late_or_fails_leaves_a_line(code, outcomes):
    lines = list(stages.streamed(["-c", f"import sys, time; {code}"], time.time() + 2.0, {"stage": "some"}))
    assert [line.get("outcome") for line in lines] == outcomes
    assert "failed" not in outcomes or "no memory" in lines[-1]["message"]


def test_kernel_benchmarks_run_if_they_can_be_limited(monkeypatch, tmp_path):
    (tmp_path / "bench_long.py").write_text("")
    monkeypatch.setattr(stages, "KERNELS", tmp_path)
    (line,) = stages.kernels(1.0, time.time() + 60)
    assert (line["module"], line["outcome"]) == ("bench_long", "not run")
    (tmp_path / "bench_long.py").write_text('parser.add_argument("--seconds")')
    (line,) = stages.kernels(1.0, time.time() - 60)
    assert line["outcome"] == "deadline"


def test_missing_packages_are_named_with_what_follows(monkeypatch):
    assert {"torch", "gpytorch", "botorch", "numpy", "scipy"} <= set(requirements.core())
    monkeypatch.setattr(requirements, "missing", lambda names: [name for name in names if name in ("numba", "botorch")])
    text = requirements.table(list(requirements.core()))
    assert "missing: the CPU path is the one in plain torch" in text
    monkeypatch.setattr(sys, "argv", ["requirements"])
    with pytest.raises(SystemExit, match=r"Missing: botorch\. Pass --install, or run: .* 'botorch>="):
        requirements.main()


def _line(case, seconds, mode="cold", **more):
    line = {"stage": "case", "case": case.name, "task": case.task, "provider": case.provider, "device": case.device}
    line |= {"mode": mode, "sizes": {"n": case.n, "d": case.d, "q": case.q}, "outcome": "done", "seconds": seconds}
    return line | {"warm": True, "ran_on": "cuda", "modelled": case.n, "refitted": True} | MADE | more


def _floor(name, p50, **more):
    sizes = {"n": 0, "columns": 0}
    line = {"stage": "floor", "floor": name, "device": "cuda", "sizes": sizes, "dtype": "float64", "unit": "ms"}
    return line | {"flop": 0.0, "bytes": 0.0, "outcome": "done", "p50": p50} | more | MADE


def test_a_report_of_nothing_says_so():
    assert "Not measured yet on a GPU." in report.markdown([])
    assert "Not measured yet on a GPU." in report.markdown([_line(ask(), 0.01) | {"smoke": True}])


def test_a_report_sets_sides_beside_each_other_and_keeps_what_was_cut():
    lines = [
        {"stage": "check", "check": "fit n=60 d=3", "outcome": "failed", "error": 0.5, "tolerance": 1e-6, **MADE},
        _floor("copy", 1.0, bytes=3e9),
        _floor("product", 1.0, flop=6e10),
        _floor("kernel launch", 0.003),
        _line(ask(n=1000), 0.050, peak_bytes=2e9),
        _line(ask(n=1000), 0.010, mode="next"),
        _line(ask(n=1000, provider="botorch"), 2.0),
        _line(ask(n=1000, provider="botorch", where="cpu"), 5.0, outcome="more than"),
        _line(ask(n=1000, where="cpu"), 0.025),
        _line(ask(n=4000), 0.5, outcome="deadline", message="cut after 0.5 s"),
        _line(ask(n=1000, q=8, provider="botorch"), 0.0, outcome="failed", message="no factor"),
        {"stage": "threshold", "outcome": "done", "n": 100, "d": 6, "q": 1, "device": "cpu", "seconds": 0.001, **MADE},
        {"stage": "threshold", "outcome": "done", "n": 100, "d": 6, "q": 1, "device": "cuda", "seconds": 0.004, **MADE},
        {"stage": "kernel", "outcome": "done", "case": "stationary/rbf", "p50": 0.25, "unit": "ms", **MADE},
    ]
    other = [line | {"gpu": "Another GPU"} for line in lines[4:5]]
    text = report.markdown(lines + other)
    assert text.index("## Another GPU") < text.index("## Some GPU")
    assert "**fit n=60 d=3: failed, 0.5 where 1e-06 may be**" in text
    assert "| 50 ms |  | 25 ms | 2 s | > 5 s | 40× | > 100× | **0.5×** |" in text
    assert "| 10 ms |  |  | 2 s | > 5 s | 200× | > 500× |" in text
    assert "3 TB/s" in text
    assert "60 TFLOP/s" in text
    assert "| > 0.5 s |" in text
    assert "| 6 | 100 | 1 | 4 | 0.25 |" in text
    assert "stationary/rbf" in text
    assert "- failed, 1: ask(8)/n1000-d20/botorch-gpu" in text
    assert "  - no factor" in text


def test_distance_from_the_floor_is_that_of_the_device_it_ran_on():
    speeds = [_floor("copy", 1.0, bytes=3e9), _floor("product", 1.0, flop=6e10), _floor("kernel launch", 0.001)]
    found = table.Table([*speeds, _line(Case("evaluate", 4000, 20, 0, "gpbo", "gpu"), 0.01, mode="once")])
    ((cell, mode),) = found.cells()
    least = counts.Speed(6e13, 3e12, 1e-6).seconds(counts.evaluation(4000, 20))
    assert found.from_floor(cell, mode, "gpbo gpu") == pytest.approx(0.01 / least)
    assert found.from_floor(cell, mode, "gpbo cpu") is None


def _verdicts(lines):
    return {verdict.target: verdict for verdict in targets.verdicts(table.Table(lines))}


def test_targets_are_met_missed_or_open():
    assert {verdict.met for verdict in _verdicts([]).values()} == {None}
    lines = [
        *(_line(ask(n=n), 0.010, mode=mode) for n in (100, 500) for mode in ("cold", "next")),
        _line(ask(n=4000), 0.2, mode="next"),
        _line(Case("evaluate", 30000, 20, 0, "gpbo", "gpu"), 1.0, mode="once", peak_bytes=39e9),
        _line(ask(n=100, provider="botorch"), 0.2),
        _line(ask(n=500, provider="botorch"), 5.0, outcome="more than"),
        _line(ask(n=4000, q=8), 0.1),
        _line(ask(n=4000, q=8, provider="botorch"), 0.5, outcome="more than"),
        _line(ask(n=500, where="auto"), 0.010),
        _line(ask(n=500, where="cpu"), 0.005),
    ]
    found = _verdicts(lines)
    met = {target.split(":")[0]: verdict.met for target, verdict in found.items()}
    assert met["ask(1), n <= 500, after each value"] is True
    assert met["ask(1), n = 4,000, after each value"] is False
    assert met["ask(1), n = 10,000, with a refit"] is None
    assert met["the exact log posterior and its gradient at n = 30,000 within 40 GB"] is True
    assert met["at least 10 times as fast as stock BoTorch on the same GPU, fits and asks"] is None
    assert met["at least 30 times as fast as stock BoTorch on the same GPU, n <= 1,000"] is False
    assert met['device="auto" never slower than our own CPU path'] is False
    same = _verdicts([*lines[:-2], lines[-2] | {"ran_on": "cpu"}, lines[-1]])
    assert same['device="auto" never slower than our own CPU path'].met is True


def test_a_case_survives_the_way_to_its_process():
    case = ask(q=8)
    assert Case(**json.loads(json.dumps(asdict(case)))) == case


def test_without_a_gpu_only_a_smoke_run_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["run"])
    with pytest.raises(SystemExit, match="No CUDA device"):
        run.main()


def test_the_shell_script_is_well_formed():
    subprocess.run(["bash", "-n", str(record.ROOT / "benchmarks/gpu/run.sh")], check=True)


def _run(folder, *more):
    """The shell script's smoke run, and the lines that it leaves."""
    command = [str(record.ROOT / "benchmarks/gpu/run.sh"), "--smoke", "--out", str(folder), *more]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = record.read(folder)
    assert {(line["suite"], line["smoke"]) for line in lines} == {("gpu", True)}, made.stderr[-2000:]
    assert all(line["versions"]["torch"] and line["time"] for line in lines)
    assert {line["stage"] for line in lines} == {"check", "floor", "kernel", "case", "threshold"}
    assert {line["case"] for line in lines if line["stage"] == "case"} == {case.name for case in ordered(TINY)}
    return made.returncode, lines


@pytest.mark.integration
def test_one_command_does_it_all_and_goes_on_with_what_had_no_time(tmp_path):
    status, first = _run(tmp_path, "--seconds", "300")
    assert status == 0
    assert {line["outcome"] for line in first if line["stage"] == "check"} <= {"held", "not there"}
    assert {line["outcome"] for line in first if line["stage"] == "case"} == {"done"}
    text = (tmp_path / "REPORT.md").read_text()
    assert "### Fits and asks, d = 3" in text
    assert "### Floors: the CPU" in text
    cut = first[-1] | {"stage": "case", "case": ordered(TINY)[0].name, "outcome": "deadline"}
    earlier = tmp_path / "earlier"
    earlier.write_text("".join(json.dumps(line) + "\n" for line in [*first, cut]))
    status, second = _run(tmp_path, "--seconds", "300", "--resume", str(earlier))
    assert status == 0
    assert {line["outcome"] for line in second if line["stage"] == "case"} == {"done"}
    for stage in ("floor", "threshold"):
        assert [line for line in second if line["stage"] == stage] == [line for line in first if line["stage"] == stage]
    measured_again = {line["case"] for line in second if line["stage"] == "case" and line not in first}
    assert measured_again == {cut["case"]}


@pytest.mark.integration
def test_a_run_without_time_says_of_everything_that_it_had_none(tmp_path):
    status, lines = _run(tmp_path, "--seconds", "1")
    assert status == 1
    assert {line["outcome"] for line in lines} <= {"deadline", "not run", "not there"}
    assert "**all: deadline**" in (tmp_path / "REPORT.md").read_text()
