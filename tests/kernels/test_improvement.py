"""Log expected improvement with its gradient: the definition against autograd, the fused kernels against it."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from gpbo_kernels import KINDS, backend, profile
from gpbo_kernels.improvement import log_expected_improvement, log_improvement, mixture, reference

triton = pytest.importorskip("triton", reason="Triton is not installed: no fused kernel is tested")
import triton.language as tl  # noqa: E402

from gpbo_kernels.improvement import device as device_functions  # noqa: E402
from gpbo_kernels.improvement import fused  # noqa: E402

CPU = torch.device("cpu")
SCALE, CONSTANT = 1.3, 0.1
SIZES = [(1, 1, 1, 1, 0), (7, 3, 5, 4, 2), (63, 2, 3, 5, 0), (5, 1, 2, 3, 5), (100, 9, 3, 17, 11)]  # m, d, R, S, j


def gram(kind: str, Z1: Tensor, Z2: Tensor) -> Tensor:
    return SCALE * profile(kind, (Z1[:, None] - Z2).square().sum(-1).sqrt())[0]


def arguments(kind, m, d, R, S, j, *, dtype=torch.float64, device=CPU, prefixes=False, noise=1e-2):
    """A factor of which the last j rows carry fantasies, as the leading block of a buffer that holds NaN elsewhere."""
    generator = torch.Generator().manual_seed(m + 7 * j)
    draw = {"dtype": torch.float64, "generator": generator}
    Z, z = torch.rand(m, d, **draw), torch.rand(R, d, **draw)
    L = torch.linalg.cholesky(gram(kind, Z, Z) + noise * torch.eye(m, dtype=torch.float64))
    room = torch.full((m + 3, m + 5), math.nan, dtype=torch.float64)
    room[:m, :m] = torch.linalg.inv(L).tril()
    beta = torch.randn(m, **draw)
    beta[m - j :] = 0.0
    normals, best = torch.randn(j + 2, S, **draw), torch.rand(S, **draw)
    if prefixes:
        best = best + torch.rand(R, 1, **draw)
    tensors = [each.to(dtype).to(device) for each in (z, Z, room, beta, normals, best)]
    tensors[2] = tensors[2][:m, :m]
    ends = torch.randint(m - j, m + 1, (R,), generator=generator).to(device) if prefixes else None
    return (kind, *tensors), {"scale": SCALE, "constant": CONSTANT, "first": m - j, "ends": ends}


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(
        found.double().cpu(), expected.double().cpu(), rtol=tolerance, atol=tolerance * float(expected.abs().max())
    )


# The function of one variable ------------------------------------------------------------------------------------


@triton.jit
def _tail_kernel(u, log_h, cdf, density, count, SIZE: tl.constexpr):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    a, b, c = device_functions.log_improvement(tl.load(u + i, mask=i < count, other=0.0))
    tl.store(log_h + i, a, mask=i < count)
    tl.store(cdf + i, b, mask=i < count)
    tl.store(density + i, c, mask=i < count)


def tail(u: Tensor) -> list[Tensor]:
    out = [torch.full_like(u, math.nan) for _ in range(3)]
    with backend.device_of(u):
        _tail_kernel[(triton.cdiv(len(u), 64),)](u, *out, len(u), SIZE=64, **fused.LAUNCH)
    return out


def exact(u: float) -> tuple[float, float, float]:
    """Log h(u), Phi / h and phi / h in 100 digits, as Python floats."""
    with mpmath.workdps(100):
        x = mpmath.mpf(u)
        if x < -60:  # the asymptotic series of 1 - |u| M(|u|); the next term is below 1e-50
            v, term, ratio = 1 / x**2, mpmath.mpf(1), mpmath.mpf(0)
            for k in range(1, 40):
                term *= -(2 * k - 1) * v
                ratio -= term
            log_density = -x * x / 2 - mpmath.log(2 * mpmath.pi) / 2
            return float(log_density + mpmath.log(ratio)), float((1 - ratio) / -x / ratio), float(1 / ratio)
        density, cdf = mpmath.npdf(x), mpmath.erfc(-x / mpmath.sqrt(2)) / 2
        h = density + x * cdf
        return float(mpmath.log(h)), float(cdf / h), float(density / h)


def test_tails_are_exact_from_minus_1e8_to_1e3(device):
    u = np.concatenate([-np.logspace(8, 0, 150), np.linspace(-1.01, 3.0, 60), np.logspace(0.5, 3, 20)])
    expected = np.array([exact(each) for each in u])
    for found, column in zip(tail(torch.as_tensor(u).to(device)), expected.T, strict=True):
        np.testing.assert_allclose(found.cpu().numpy(), column, rtol=1e-12, atol=1e-14)


def test_tails_in_single_precision(device):
    u = torch.cat([-torch.logspace(6, 0, 100), torch.linspace(-1.01, 8.0, 60)])
    for found, expected in zip(tail(u.to(device)), log_improvement(u.double()), strict=True):
        torch.testing.assert_close(found.double().cpu(), expected, rtol=1e-5, atol=1e-6)


def test_tails_keep_nan(device):
    assert all(each.isnan().all() for each in tail(torch.full((3,), math.nan, dtype=torch.float64, device=device)))


# Value and gradient ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefixes", [False, True], ids=["whole", "prefixes"])
@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_the_definition_is_that_of_autograd(size, prefixes, kind):
    (_, z, *others), options = arguments(kind, *size, prefixes=prefixes)
    _, gradient = reference.log_expected_improvement(kind, z, *others, **options)
    leaf = z.clone().requires_grad_()
    Z, Li, beta, normals, best = others
    V = gram(kind, leaf, Z) @ Li.mT
    value, _ = reference.mixture(V, beta, normals, best, **options)
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    assert_near(gradient, expected, 1e-9)


@pytest.mark.parametrize("prefixes", [False, True], ids=["whole", "prefixes"])
@pytest.mark.parametrize("size", SIZES)
def test_fused_equals_the_definition(size, prefixes, device, poisoned, monkeypatch):
    monkeypatch.setattr(fused, "_TILE", 32)  # several tiles in small problems
    given, options = arguments("matern52", *size, device=device, prefixes=prefixes)
    expected = reference.log_expected_improvement(*given, **options)
    with backend.use("fused"), poisoned():
        found = log_expected_improvement(*given, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert_near(mine, theirs, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_fused_knows_every_kind(kind, device, poisoned):
    given, options = arguments(kind, 30, 3, 6, 5, 4, device=device, prefixes=True)
    expected = reference.log_expected_improvement(*given, **options)
    with backend.use("fused"), poisoned():
        found = log_expected_improvement(*given, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert_near(mine, theirs, 1e-10)


def test_fused_in_single_precision(device, poisoned):
    given, options = arguments("matern52", 40, 4, 5, 7, 3, device=device, noise=0.3)
    single = [each.float() if isinstance(each, Tensor) else each for each in given]
    expected = reference.log_expected_improvement(*given, **options)
    with backend.use("fused"), poisoned():
        found = log_expected_improvement(*single, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == torch.float32
        assert_near(mine, theirs, 1e-4)


def test_fused_mixture_equals_the_definition(device, poisoned, monkeypatch):
    monkeypatch.setattr(fused, "_TILE", 16)
    (_, z, Z, Li, *others), options = arguments("rbf", 37, 2, 5, 3, 6, device=device, prefixes=True)
    V = gram("rbf", z, Z) @ Li.mT
    expected = reference.mixture(V, *others, **options)
    with backend.use("fused"), poisoned():
        found = mixture(V, *others, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert_near(mine, theirs, 1e-11)


def test_hyperparameters_may_be_tensors_and_data_lie_by_coordinate(device):
    (kind, z, Z, *others), options = arguments("matern32", 20, 3, 4, 3, 2, device=device)
    with backend.use("fused"):
        expected = log_expected_improvement(kind, z, Z, *others, **options)
        on_device = {name: torch.tensor(options[name], dtype=Z.dtype, device=device) for name in ("scale", "constant")}
        found = log_expected_improvement(kind, z, Z.mT.contiguous().mT, *others, **options | on_device)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


def test_an_observed_point_without_noise_has_a_finite_value_and_no_slope_in_its_deviation(device):
    (kind, _, Z, *others), options = arguments("matern52", 12, 2, 1, 3, 2, device=device, noise=1e-14)
    expected = reference.log_expected_improvement(kind, Z[:3], Z, *others, **options)
    with backend.use("fused"):
        found = log_expected_improvement(kind, Z[:3].clone(), Z, *others, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.isfinite().all()
        assert_near(mine, theirs, 1e-6)


def test_an_undefined_point_does_not_spoil_the_others(device):
    (kind, z, *others), options = arguments("matern52", 12, 2, 3, 3, 2, device=device)
    expected = reference.log_expected_improvement(kind, z, *others, **options)
    z = z.clone()
    z[1] = math.nan
    with backend.use("fused"):
        found = log_expected_improvement(kind, z, *others, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine[1].isnan().all()
        assert_near(mine[[0, 2]], theirs[[0, 2]], 1e-10)


def test_no_points_at_all(device):
    (kind, z, *others), options = arguments("rbf", 5, 2, 1, 3, 2, device=device)
    with backend.use("fused"):
        value, gradient = log_expected_improvement(kind, z[:0], *others, **options)
    assert value.shape == (0,)
    assert gradient.shape == (0, 2)
