"""Pieces by a byte budget, and what happens when the allocator refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gpbo.acquisition.compiled import condition_rows
from gpbo.models.compiled_objective import factorise, solve_factor
from gpbo.numerics import available, memory

CPU = torch.device("cpu")
REFUSALS = [
    MemoryError("Unable to allocate 42 GiB"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 42 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refused_piece_is_halved_and_the_step_goes_on(error):
    done, sizes = np.zeros(100), []

    def step(start, stop):
        sizes.append(stop - start)
        if stop - start > 20:
            raise error
        done[start:stop] += 1

    with memory.budget(None, CPU) as plan:
        memory.in_pieces(step, 100, 8, "squares")
    assert (done == 1).all()
    assert sizes[:4] == [100, 50, 25, 12]
    assert plan.refusals == ["squares in pieces of 50", "squares in pieces of 25", "squares in pieces of 12"]


def test_other_errors_and_a_single_item_that_does_not_fit_are_raised():
    def broken(start, stop):
        raise RuntimeError("shape mismatch")

    def never(start, stop):
        raise MemoryError

    with pytest.raises(RuntimeError, match="shape"):
        memory.in_pieces(broken, 4, 8, "it")
    with pytest.raises(MemoryError):
        memory.in_pieces(never, 4, 8, "it")


def test_pieces_follow_the_limit():
    sizes = []
    with memory.budget(64 * 10**6, CPU) as plan:
        assert plan.piece == 8 * 10**6
        memory.in_pieces(lambda start, stop: sizes.append(stop - start), 1000, 10**5, "it")
    assert max(sizes) == 80
    assert sum(sizes) == 1000


def test_the_budget_ends_with_its_block():
    with memory.budget(64 * 10**6, CPU):
        assert memory.current().limit == 64 * 10**6
    assert memory.current().limit is None


def test_halving_a_size():
    def step(size):
        if size > 30:
            raise MemoryError
        return size

    with memory.budget(None, CPU) as plan:
        assert memory.halving(step, 100, "a model of {}") == (25, 25)
    assert plan.refusals == ["a model of 50", "a model of 25"]


def test_free_memory_is_positive_and_below_what_the_machine_has():
    assert 2**24 <= memory.free(CPU) <= memory._physical()


def test_free_memory_is_read_now_and_then(monkeypatch):
    readings = []
    monkeypatch.setattr(memory, "_LATELY", [-math.inf, 0.0])
    monkeypatch.setattr(memory, "free", lambda device: readings.append(device) or 2**30)
    monkeypatch.setattr(memory.time, "monotonic", lambda: 5.0 + 0.2 * (len(readings) > 1))
    for _ in range(3):
        with memory.budget(None, CPU) as plan:
            assert plan.piece == 2**27
    assert readings == [CPU]
    memory._LATELY[0] -= 1.0
    with memory.budget(None, CPU):
        assert len(readings) == 2


@pytest.mark.skipif(not available(), reason="numba is not there")
def test_rows_of_a_factor_beyond_two_to_the_31_entries_are_where_they_should_be():
    n = 46_400
    assert n * n > 2**31
    try:
        L = np.empty((n, n))  # only the pages of the last row are ever touched
    except MemoryError:
        pytest.skip("the system promises no memory that it may not have")
    L[-1] = 0.0
    L[-1, -1], L[-1, 7] = 2.0, 0.25
    V, Z = np.zeros((1, n)), np.zeros((1, n))
    V[0, 7] = 1.0
    moments = np.zeros(1), np.ones(1), np.zeros((1, 0))
    condition_rows(1, 1.0, np.zeros((1, 1)), np.ones(1), Z, L, np.zeros(n), n - 1, np.zeros(0), V, *moments)
    assert V[0, -1] == (1.0 - 0.25) / 2.0
    assert moments[1][0] == 1.0 - V[0, -1] ** 2


@pytest.mark.skipif(not available(), reason="numba is not there")
def test_factors_and_solves_beyond_two_to_the_31_entries_are_those_of_a_small_matrix():
    """Row 16 of the matrix starts behind 2^31 entries; only the pages of the first columns are ever touched."""
    n, stride = 17, 2**27 + 1
    assert (n - 1) * stride > 2**31
    try:
        far, rows = np.empty((n, stride)), np.empty((1, stride))
    except MemoryError:
        pytest.skip("the system promises no memory that it may not have")
    rng = np.random.default_rng(0)
    Z, noise, none = rng.random((3, n)), np.full(n, 1e-3), np.empty((0, 0))
    near, y = np.empty((n, n)), rng.standard_normal((1, n))
    for A in (near, far):
        assert factorise(1, Z, 1.0, 0.0, noise, A, none)
    np.testing.assert_array_equal(np.tril(far[:, :n]), np.tril(near))
    for transpose in (False, True):
        rows[0, :n] = y[0]
        expected = y.copy()
        solve_factor(far, stride, n, rows, 1, transpose)
        solve_factor(near, n, n, expected, 1, transpose)
        np.testing.assert_array_equal(rows[0, :n], expected[0])


def test_a_size_is_halved_down_to_the_least():
    def never(size):
        raise MemoryError

    with memory.budget(None, CPU) as plan, pytest.raises(MemoryError):
        memory.halving(never, 100, "{}", 20)
    assert plan.refusals == ["50", "25", "20"]


def test_a_step_that_may_be_left_out():
    def refused():
        raise REFUSALS[1]

    with memory.budget(None, CPU) as plan:
        assert memory.unless_refused(lambda: 3, "nothing") == 3
        assert memory.unless_refused(refused, "no screen") is None
        with pytest.raises(ZeroDivisionError):
            memory.unless_refused(lambda: 1 // 0, "nothing")
    assert plan.refusals == ["no screen"]
    assert plan.report() == "memory was short: no screen"


def test_pieces_of_at_most_so_many_items():
    sizes = []
    memory.in_pieces(lambda start, stop: sizes.append(stop - start), 10, 1, "it", 4)
    assert sizes == [4, 4, 2]


def test_what_the_system_would_promise_but_does_not_have_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 2**30)
    memory.claim(2**30)
    memory.claim(1)
    with pytest.raises(MemoryError, match=r"1\.3 GB"):
        memory.claim(2**30 + 2**28)
    with memory.budget(None, CPU) as plan:
        assert memory.fitting(4000, 8, CPU, "a model of {}") == 4000
        assert memory.fitting(20_000, 8, CPU, "a model of {}") == 11_585
    assert plan.refusals == ["a model of 11585"]


def test_small_things_are_not_looked_up(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 0)
    memory.claim(2**20)
    assert memory.fitting(300, 8, CPU, "{}") == 300
