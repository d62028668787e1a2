"""Sample paths: the definition against autograd and a sum written out, the fused kernel against the definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gpbo_kernels import KINDS, backend, profile
from gpbo_kernels.paths import PathSet, evaluation_bytes, path_gradients, path_values, prepared, reference

CPU = torch.device("cpu")
SIZES = [(1, 1, 1, 1, 1), (5, 37, 20, 3, 4), (9, 3, 70, 1, 2), (3, 64, 1, 20, 3)]  # R, F, n, d, P


@pytest.fixture
def fused(monkeypatch):
    """The module of the kernel, with small tiles: several of them in small problems."""
    pytest.importorskip("triton", reason="Triton is not installed: no fused kernel is tested")
    from gpbo_kernels.paths import fused as module

    monkeypatch.setattr(module, "_ROWS", 2)
    monkeypatch.setattr(module, "_COLUMNS", 8)
    monkeypatch.setattr(module, "_PROGRAMS", 6)
    return module


def make(kind, R, F, n, d, P, *, dtype=torch.float64, device=CPU):
    generator = torch.Generator().manual_seed(R + F)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype).to(device)

    paths = PathSet(kind, 1.3, 0.2, 0.4, draw(F, d), draw(F), draw(n, d), draw(P, F), draw(P, n))
    return paths, draw(R, d), torch.randint(0, P, (R,), generator=generator).to(device)


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(
        found.double(), expected.double(), rtol=tolerance, atol=tolerance * float(expected.abs().max())
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_definition_is_the_sum_and_its_gradient_that_of_autograd(size, kind):
    paths, z, owner = make(kind, *size)
    z.requires_grad_()
    expected = []
    for point, p in zip(z, owner, strict=True):
        waves = paths.weights[p] * torch.cos(paths.W @ point + paths.phase)
        k = profile(kind, (paths.Z - point).square().sum(-1).sqrt())[0]
        expected.append(0.2 + 0.4 * waves.sum() + 1.3 * (paths.update[p] * k).sum())
    values = torch.stack(expected)
    (gradient,) = torch.autograd.grad(values.sum(), z)
    assert_near(reference.path_values(paths, z.detach(), owner), values.detach(), 1e-11)
    for mine, theirs in zip(
        reference.path_gradients(paths, z.detach(), owner), (values.detach(), gradient), strict=True
    ):
        assert_near(mine, theirs, 1e-11)


@pytest.mark.parametrize("layout", ["given", "prepared"])
@pytest.mark.parametrize("size", SIZES)
def test_fused_equals_the_definition(size, layout, device, fused, poisoned):
    paths, z, owner = make("matern52", *size, device=device)
    expected = (*reference.path_gradients(paths, z, owner), reference.path_values(paths, z, owner))
    with backend.use("fused"), poisoned():
        paths = prepared(paths) if layout == "prepared" else paths
        found = (*path_gradients(paths, z, owner), path_values(paths, z, owner))
    for mine, theirs in zip(found, expected, strict=True):
        assert_near(mine, theirs, 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_fused_knows_every_kind(kind, device, fused, poisoned):
    paths, z, owner = make(kind, 5, 9, 11, 3, 2, device=device)
    expected = reference.path_gradients(paths, z, owner)
    with backend.use("fused"), poisoned():
        found = path_gradients(paths, z, owner)
    for mine, theirs in zip(found, expected, strict=True):
        assert_near(mine, theirs, 1e-12)


def test_fused_in_single_precision(device, fused, poisoned):
    paths, z, owner = make("matern52", 5, 37, 20, 3, 4, device=device)
    expected = reference.path_gradients(paths, z, owner)
    single = PathSet(*(each.float() if isinstance(each, Tensor) else each for each in paths))
    with backend.use("fused"), poisoned():
        found = path_gradients(prepared(single), z.float(), owner)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == torch.float32
        assert_near(mine, theirs, 1e-4)


def test_a_point_on_an_observation_has_a_finite_gradient(device, fused):
    paths, _, owner = make("matern12", 4, 5, 6, 2, 3, device=device)
    with backend.use("fused"):
        values, gradient = path_gradients(paths, paths.Z[:4].clone(), owner)
    assert values.isfinite().all()
    assert gradient.isfinite().all()


def test_no_points_at_all(device, fused):
    paths, z, owner = make("rbf", 3, 5, 6, 2, 3, device=device)
    with backend.use("fused"):
        values, gradient = path_gradients(paths, z[:0], owner[:0])
    assert values.shape == (0,)
    assert gradient.shape == (0, 2)


def test_fused_needs_memory_for_points_alone(device, fused):
    sizes = []
    for n in (10, 1000):
        paths, _, _ = make("rbf", 1, 5, n, 2, 1, device=device)
        with backend.use("fused"):
            sizes.append(evaluation_bytes(paths))
        with backend.use("reference"):
            assert evaluation_bytes(paths) > 8 * 8 * n
    assert sizes[0] == sizes[1]


def test_many_dimensions_have_the_definition(device, fused):
    paths, z, owner = make("rbf", 2, 3, 4, 200, 2, device=device)
    with backend.use("fused"):
        found = path_gradients(paths, z, owner)
    for mine, theirs in zip(found, reference.path_gradients(paths, z, owner), strict=True):
        assert torch.equal(mine, theirs)
