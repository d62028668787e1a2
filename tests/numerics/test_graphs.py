"""Blocks of iterations: eager and as recorded graphs, whose place a recorder takes that replays on its own tensors."""

from __future__ import annotations

import threading

import pytest
import torch

from gpbo.numerics import graphs
from gpbo.numerics.graphs import Graphs


def record(step, state, inputs, count):
    """What a CUDA graph does with the tensors it was captured on: the same operations on the same memory."""

    def replay():
        for _ in range(count):
            step(state, inputs)

    return replay


def recorded(**options):
    return Graphs(record, applies=lambda device: True, **options)


def halve(s, inputs):
    """Halves x until it is below a threshold, and counts."""
    s["done"].copy_(s["x"] < inputs["threshold"])
    s["rounds"].add_((~s["done"]).any())
    s["x"].copy_(torch.where(s["done"], s["x"], 0.5 * s["x"]))


def problem(*starts):
    x = torch.tensor(starts, dtype=torch.float64)
    return {"x": x, "done": torch.zeros(len(starts), dtype=torch.bool), "rounds": torch.zeros(())}


def inputs(threshold=1.0):
    return {"threshold": torch.tensor(threshold)}


@pytest.mark.parametrize("every", [1, 3, 8])
@pytest.mark.parametrize("make", [Graphs, recorded])
def test_blocks_end_where_single_steps_do(make, every):
    runner = make()
    for _ in range(3):  # eager first, then as a graph
        s = problem(9.0, 100.0, 0.5)
        runner.iterate(halve, s, inputs(), rounds=40, every=every, kind="halve")
        torch.testing.assert_close(s["x"], torch.tensor([0.5625, 0.78125, 0.5], dtype=torch.float64))
        assert s["rounds"] == 7
        assert s["done"].all()


def test_rounds_are_a_limit_where_the_step_runs_eagerly():
    s = problem(2.0**20)
    Graphs().iterate(halve, s, inputs(), rounds=7, every=4)
    assert s["rounds"] == 7


def test_done_is_read_once_a_block(monkeypatch):
    looks = []
    original = torch.Tensor.all

    def counted(self, *arguments):
        looks.append(None)
        return original(self, *arguments)

    monkeypatch.setattr(torch.Tensor, "all", counted)
    runner = recorded()
    for _ in range(2):
        looks.clear()
        runner.iterate(halve, problem(2.0**17), inputs(), rounds=24, every=8, kind="halve")
        assert len(looks) == 2  # not after the last block, which is the last in any case


def test_the_second_time_there_is_a_graph_and_its_inputs_are_new_ones():
    runner = recorded()
    for turn, threshold in enumerate([1.0, 4.0, 30.0]):
        s = problem(100.0)
        runner.iterate(halve, s, inputs(threshold), rounds=40, every=4, kind="halve")
        assert s["x"] < threshold <= 2.0 * s["x"]
        assert len(runner) == (turn > 0)


def test_kinds_and_shapes_have_graphs_of_their_own():
    runner = recorded()
    for _ in range(2):
        for kind in ("a", "b"):
            for starts in ((4.0,), (4.0, 8.0)):
                runner.iterate(halve, problem(*starts), inputs(), rounds=8, every=4, kind=kind)
    assert len(runner) == 4
    runner.clear()
    assert len(runner) == 0


def test_the_number_of_graphs_and_their_memory_are_bounded(monkeypatch):
    monkeypatch.setattr(graphs, "_MOST_GRAPHS", 3)
    runner = recorded()
    for size in (1, 2, 3, 4, 5, 4):
        for _ in range(2):
            runner.iterate(halve, problem(*[8.0] * size), inputs(), rounds=8, every=4, kind="halve")
    assert len(runner) == 3
    monkeypatch.setattr(graphs, "_ALL_BYTES", 100)
    for _ in range(2):
        runner.iterate(halve, problem(*[8.0] * 7), inputs(), rounds=8, every=4, kind="halve")
    assert len(runner) <= 1
    monkeypatch.setattr(graphs, "_MOST_BYTES", 10)
    runner.clear()
    for _ in range(2):
        runner.iterate(halve, problem(8.0), inputs(), rounds=8, every=4, kind="halve")
    assert len(runner) == 0


def test_what_cannot_be_captured_runs_eagerly_and_is_tried_once():
    tries = []

    def refuse(*_arguments):
        tries.append(None)
        raise RuntimeError("operation not permitted when stream is capturing")

    runner = Graphs(refuse, applies=lambda device: True)
    for size in (1, 1, 1, 2, 2):
        s = problem(*[9.0] * size)
        runner.iterate(halve, s, inputs(), rounds=40, every=4, kind="halve")
        assert (s["x"] == 0.5625).all()
    assert len(tries) == 1


def test_memory_that_is_short_drops_all_graphs_and_is_no_verdict():
    short = []

    def make(*arguments):
        if short:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record(*arguments)

    runner = Graphs(make, applies=lambda device: True)
    for _ in range(2):
        runner.iterate(halve, problem(9.0), inputs(), rounds=40, every=4, kind="halve")
    assert len(runner) == 1
    short.append(None)
    s = problem(9.0, 9.0)
    for _ in range(2):
        runner.iterate(halve, s, inputs(), rounds=40, every=4, kind="halve")
    assert len(runner) == 0
    assert (s["x"] == 0.5625).all()
    short.clear()
    runner.iterate(halve, s, inputs(), rounds=40, every=4, kind="halve")
    assert len(runner) == 1


def test_an_error_in_a_graph_leaves_the_runner_usable():
    def failing(*_arguments):
        def replay():
            raise RuntimeError("CUDA error: unspecified launch failure")

        return replay

    runner = Graphs(failing, applies=lambda device: True)
    runner.iterate(halve, problem(9.0), inputs(), rounds=8, every=4, kind="halve")
    with pytest.raises(RuntimeError, match="unspecified"):
        runner.iterate(halve, problem(9.0), inputs(), rounds=8, every=4, kind="halve")
    runner.clear()
    s = problem(9.0, 9.0)
    runner.iterate(halve, s, inputs(), rounds=40, every=4, kind="halve")
    assert s["done"].all()


def test_two_threads_do_not_share_the_tensors_of_a_graph():
    inside, leave = threading.Event(), threading.Event()

    def waiting(step, state, inputs, count):
        def replay():
            inside.set()
            assert leave.wait(10)
            record(step, state, inputs, count)()

        return replay

    runner = Graphs(waiting, applies=lambda device: True)
    runner.iterate(halve, problem(9.0), inputs(), rounds=8, every=8, kind="halve")
    other = problem(9.0)
    thread = threading.Thread(target=lambda: runner.iterate(halve, other, inputs(), rounds=8, every=8, kind="halve"))
    thread.start()
    assert inside.wait(10)
    mine = problem(100.0)
    runner.iterate(halve, mine, inputs(), rounds=8, every=8, kind="halve")
    leave.set()
    thread.join()
    assert mine["x"] == 0.78125
    assert other["x"] == 0.5625


def test_a_child_of_a_fork_starts_without_graphs(monkeypatch):
    monkeypatch.setattr(graphs, "GRAPHS", recorded())
    for _ in range(2):
        graphs.GRAPHS.iterate(halve, problem(9.0), inputs(), rounds=8, every=4, kind="halve")
    assert len(graphs.GRAPHS) == 1
    before = graphs.GRAPHS
    graphs._after_fork()
    assert graphs.GRAPHS is before
    assert len(before) == 0
    graphs._ABANDONED.clear()


@pytest.mark.gpu
def test_a_captured_graph_computes_the_same_on_a_gpu():
    runner = Graphs()
    for _ in range(3):
        s = {name: tensor.cuda() for name, tensor in problem(9.0, 100.0, 0.5).items()}
        runner.iterate(halve, s, {"threshold": torch.tensor(1.0).cuda()}, rounds=40, every=8, kind="halve")
        torch.testing.assert_close(s["x"].cpu(), torch.tensor([0.5625, 0.78125, 0.5], dtype=torch.float64))
    assert len(runner) == 1
