"""The limited-memory twin of batched BFGS: optimum, bounds, independence of the problems."""

from __future__ import annotations

import pytest
import torch

from gpbo.numerics.batched_lbfgs import minimise

OPTIONS = {"iterations": 200, "tolerance": 1e-12, "first_step": 0.1, "longest_step": 1.0}


def quadratics(b, p):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(b, p, p, generator=generator, dtype=torch.float64)
    A = A @ A.mT + 0.1 * torch.eye(p, dtype=torch.float64)
    centre = torch.rand(b, p, generator=generator, dtype=torch.float64)

    def objective(x, rows):
        s = x - centre[rows]
        g = (A[rows] @ s[..., None])[..., 0]
        return 0.5 * (s * g).sum(-1), g

    return objective, centre


def test_reaches_each_problems_own_minimum():
    objective, centre = quadratics(40, 6)
    x, f = minimise(
        objective, torch.full((40, 6), 0.5, dtype=torch.float64), torch.tensor(-9.0), torch.tensor(9.0), **OPTIONS
    )
    torch.testing.assert_close(x, centre, rtol=0, atol=1e-4)
    assert f.max() < 1e-8


def test_bounds_hold_and_the_constrained_optimum_is_stationary():
    objective, _ = quadratics(40, 6)
    lower, upper = torch.full((6,), 0.4, dtype=torch.float64), torch.full((6,), 0.6, dtype=torch.float64)
    lower[2] = upper[2] = 0.5
    x, f = minimise(objective, torch.rand(40, 6, dtype=torch.float64), lower, upper, **OPTIONS)
    assert ((x >= lower) & (x <= upper)).all()
    value, g = objective(x, torch.arange(40))
    torch.testing.assert_close(value, f)
    free = (x > lower) & (x < upper)
    assert torch.where(free, g, 0.0).abs().max() < 1e-3
    assert (torch.where(x <= lower, g, 1.0)[:, [0, 1, 3, 4, 5]] > -1e-9).all()


def test_a_problem_does_not_depend_on_the_others():
    objective, _ = quadratics(30, 5)
    start = torch.full((30, 5), 0.2, dtype=torch.float64)
    together, _ = minimise(objective, start, torch.tensor(0.0), torch.tensor(1.0), **OPTIONS)
    alone, _ = minimise(
        lambda x, rows: objective(x, rows + 17), start[:1], torch.tensor(0.0), torch.tensor(1.0), **OPTIONS
    )
    torch.testing.assert_close(together[17:18], alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("iterations", [2, 7])
def test_never_ends_worse_than_it_started(iterations):
    objective, _ = quadratics(30, 5)
    start = torch.rand(30, 5, dtype=torch.float64)
    before, _ = objective(start, torch.arange(30))
    _, after = minimise(objective, start, torch.tensor(0.0), torch.tensor(1.0), **{**OPTIONS, "iterations": iterations})
    assert (after <= before).all()
