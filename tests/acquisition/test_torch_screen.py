"""Candidates on a device: a first ranking in float32, and where it is not taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.gpu.recall import kept, measured, model
from gpbo.acquisition import torch_screen
from gpbo.acquisition.improvement import base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.acquisition.torch_screen import TorchScreen, worthwhile

CPU = torch.device("cpu")


def acquisition(n=200, log_noise=-4.0, fantasies=0, **options):
    posterior, U = model(n, 3, "matern52", log_noise, 0.3, options.pop("late", False), seed=n)
    made = TorchImprovement(posterior, 1.0, base_normals(40, 32, 0) if fantasies else np.zeros((0, 1)))
    made.fantasise(np.random.default_rng(1).random((fantasies, 3)))
    return made, U


@pytest.mark.parametrize("fantasies", [0, 5])
def test_the_better_half_of_a_ranking_in_single_is_exact(fantasies):
    made, U = acquisition(fantasies=fantasies)
    exact, screen = TorchScreen(made, U, single=False).values(), TorchScreen(made, U, single=True)
    screen._single = True  # whatever points so close to others say of the condition
    ranked = screen.values()
    better = np.argsort(-exact)[: len(U) // 2 - 5]
    np.testing.assert_allclose(ranked[better], exact[better], rtol=1e-9, atol=1e-9)
    assert not np.array_equal(ranked, exact)
    np.testing.assert_allclose(ranked, exact, rtol=0, atol=1.0)


def test_after_a_ranking_in_single_moments_are_in_double():
    made, U = acquisition()
    screen = TorchScreen(made, U, single=True)
    assert screen._single
    rows = np.argsort(-screen.values())[:50]
    short = screen.shortlist(rows)
    np.testing.assert_allclose(short.values(), made.values(U[rows]), rtol=1e-9)
    made.fantasise(U[rows[:1]])
    np.testing.assert_allclose(short.values()[1:], made.values(U[rows[1:]]), rtol=1e-6)
    assert screen.moments().mean.dtype == torch.float64


def test_single_is_not_taken_where_the_condition_forbids_it():
    well, U = acquisition(log_noise=-4.0)
    badly, V = acquisition(log_noise=-18.0, late=True)
    assert TorchScreen(well, U, single=True)._single
    assert not TorchScreen(badly, V, single=True)._single
    np.testing.assert_array_equal(
        TorchScreen(badly, V, single=True).values(), TorchScreen(badly, V, single=False).values()
    )
    well.fantasise(np.tile(U[:1], (3, 1)))  # all but singular by now
    assert not TorchScreen(well, U, single=True)._single


def test_on_the_cpu_and_on_cards_with_fast_float64_single_is_not_worth_it(monkeypatch):
    assert not worthwhile(CPU)
    for capability, expected in (((9, 0), False), ((8, 0), False), ((8, 6), True), ((12, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, is_=capability: is_)
        assert worthwhile(torch.device("cuda")) == expected


@pytest.mark.parametrize("kind", ["matern52", "rbf"])
@pytest.mark.parametrize("late", [False, True])
def test_recall_is_kept_where_single_may_be_taken(kind, late):
    found = []
    for seed, (n, d, log_noise, reach) in enumerate(
        (n, d, log_noise, reach)
        for n in (50, 300)
        for d in (2, 6)
        for log_noise in (-18.4, -8.0, -5.0, -3.0)
        for reach in (0.1, 0.4)
    ):
        posterior, U = model(n, d, kind, log_noise, reach, late, seed)
        for pending in (0, 8):
            line = measured(posterior, U, pending)
            if posterior.Li is not None and line["ratio"] <= torch_screen._RANKED_IN_SINGLE:
                found.append((line["starts"], line["shortlist"]))
    assert len(found) >= 10
    assert (np.mean(found, axis=0) >= 0.99).all()


def test_recall_counts_what_is_kept():
    exact = np.arange(1024.0)
    assert kept(exact, exact) == (1.0, 1.0)
    assert kept(exact, -exact) == (0.0, 0.0)
