"""The batched minimiser on problems whose solution is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from gpbo.numerics.batched_bfgs import minimise


def quadratic(A, c):
    def objective(x):
        r = x - c
        return 0.5 * torch.einsum("bi,ij,bj->b", r, A, r), r @ A

    return objective


def rosenbrock(x):
    a, b = x[:, :-1], x[:, 1:]
    value = (100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2).sum(-1)
    gradient = torch.zeros_like(x)
    gradient[:, :-1] = -400.0 * a * (b - a * a) - 2.0 * (1.0 - a)
    gradient[:, 1:] += 200.0 * (b - a * a)
    return value, gradient


def starts(B, p, seed=0, low=-1.5, high=1.5):
    return low + (high - low) * torch.rand(B, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def spd(p, condition, seed=0):
    Q = torch.linalg.qr(torch.randn(p, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))[0]
    return Q @ torch.diag(torch.logspace(0, math.log10(condition), p, dtype=torch.float64)) @ Q.mT


def bound(value):
    return torch.tensor(value, dtype=torch.float64)


FAR = bound(-100.0), bound(100.0)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e5])
@pytest.mark.parametrize("p", [1, 5, 20])
def test_quadratic(p, condition):
    c = starts(1, p, 1)
    x, f, H, evaluations = minimise(
        quadratic(spd(p, condition), c), starts(6, p), *FAR, tolerance=1e-14, iterations=500, gradient_tolerance=1e-9
    )
    assert f.max() < 1e-8
    assert evaluations <= 500
    assert torch.isfinite(H).all()
    if condition <= 100.0:
        torch.testing.assert_close(x, c.expand_as(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("p", [2, 6])
def test_rosenbrock(p):
    x0 = starts(8, p, 2, 0.0, 1.4)
    x, f, _, _ = minimise(rosenbrock, x0, *FAR, tolerance=1e-14, iterations=400)
    assert f.max() < 1e-8
    torch.testing.assert_close(x, torch.ones_like(x), atol=1e-3, rtol=0)


@pytest.mark.parametrize("p", [2, 6])
def test_rosenbrock_in_a_box_ends_where_scipy_does(p):
    lower, upper = torch.full((p,), -0.5, dtype=torch.float64), torch.full((p,), 0.6, dtype=torch.float64)
    x, f, _, _ = minimise(rosenbrock, starts(5, p, 3), lower, upper, tolerance=1e-13, iterations=400)
    assert (x >= lower).all()
    assert (x <= upper).all()

    def alone(v):
        value, gradient = rosenbrock(torch.as_tensor(v)[None])
        return value.item(), gradient[0].numpy()

    expected = min(
        scipy_minimize(alone, x0.numpy(), jac=True, bounds=[(-0.5, 0.6)] * p, options={"ftol": 1e-14}).fun
        for x0 in starts(5, p, 3).clamp(-0.5, 0.6)
    )
    assert f.min().item() == pytest.approx(expected, abs=1e-6)


def test_bound_optimum_of_a_correlated_quadratic():
    """Where blocked and free coordinates are correlated the free ones must still reach their constrained optimum."""
    A, c = spd(6, 50.0, 4), torch.full((1, 6), 1.5, dtype=torch.float64)
    x, _, _, _ = minimise(quadratic(A, c), starts(4, 6, 5, 0.0, 1.0), bound(0.0), bound(1.0), tolerance=1e-14)
    gradient = (x - c) @ A
    free = (x > 0.0) & (x < 1.0)
    assert torch.where(free, gradient, 0.0).abs().max() < 1e-4
    assert (gradient[x <= 0.0] >= 0.0).all()
    assert (gradient[x >= 1.0] <= 0.0).all()


def test_frozen_coordinates_stay():
    lower, upper = torch.full((3, 4), -5.0).double(), torch.full((3, 4), 5.0).double()
    lower[:, 1] = upper[:, 1] = 0.3
    x, f, _, _ = minimise(quadratic(spd(4, 10.0), torch.zeros(1, 4).double()), starts(3, 4), lower, upper)
    assert (x[:, 1] == 0.3).all()
    assert (f - f.min()).max() < 1e-5


def test_problems_are_independent():
    together = minimise(rosenbrock, starts(5, 3, 6), *FAR, iterations=300)[0]
    for row, start in zip(together, starts(5, 3, 6), strict=True):
        alone = minimise(rosenbrock, start[None], *FAR, iterations=300)[0][0]
        torch.testing.assert_close(row, alone, atol=1e-9, rtol=0)


def test_carried_curvature_needs_fewer_evaluations():
    A, c = spd(8, 1e3), starts(1, 8, 7)
    _, _, H, first = minimise(quadratic(A, c), starts(2, 8), *FAR, tolerance=1e-12, check_every=1)
    x, f, _, second = minimise(
        quadratic(A, c + 0.1), starts(2, 8), *FAR, curvature=H, tolerance=1e-12, check_every=1, longest_step=100.0
    )
    assert second < first
    assert f.max() < 1e-6
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_undefined_values_are_stepped_back_from(bad):
    def objective(x):
        value, gradient = quadratic(torch.eye(3).double(), torch.full((1, 3), 0.4).double())(x)
        outside = (x > 0.5).any(-1)
        return torch.where(outside, bad, value), torch.where(outside[:, None], math.nan, gradient)

    x, f, H, _ = minimise(
        objective, starts(6, 3, 8, -1.0, 0.3), *FAR, first_step=3.0, longest_step=5.0, tolerance=1e-12
    )
    assert torch.isfinite(H).all()
    torch.testing.assert_close(x, torch.full_like(x, 0.4), atol=1e-3, rtol=0)
    assert f.max() < 1e-5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_without_a_value_ends_and_leaves_the_others_alone(bad):
    def objective(x):
        value, gradient = quadratic(torch.eye(2).double(), torch.zeros(1, 2).double())(x)
        lost = x[:, 0] > 50.0
        return torch.where(lost, bad, value), torch.where(lost[:, None], math.nan, gradient)

    x0 = starts(3, 2)
    x0[1] = 90.0
    x, f, _, evaluations = minimise(objective, x0, *FAR, iterations=100)
    assert evaluations <= 101
    assert not math.isfinite(f[1].item()) or f[1] < 1e-4
    assert f[[0, 2]].max() < 1e-8
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("curvature", [math.nan, math.inf, 0.0, -1.0])
def test_unusable_curvature_is_replaced(curvature):
    H = curvature * torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    x, f, _, _ = minimise(quadratic(spd(3, 10.0), torch.zeros(1, 3).double()), starts(2, 3), *FAR, curvature=H)
    assert f.max() < 1e-6
    assert torch.isfinite(x).all()


def test_the_start_is_moved_into_the_box():
    x, f, _, _ = minimise(
        quadratic(torch.eye(2).double(), bound([[2.0, 0.2]])), bound([[9.0, -9.0]]), bound(0.0), bound(1.0)
    )
    np.testing.assert_allclose(x.numpy(), [[1.0, 0.2]], atol=1e-6)
    assert f.item() == pytest.approx(0.5, abs=1e-6)
