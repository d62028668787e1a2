"""Greedy picks on a device: the definition against conditioning from scratch, the fused loop against the definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gpbo_kernels import KINDS, backend, profile
from gpbo_kernels.greedy import pick
from gpbo_kernels.improvement.reference import mixture

CPU = torch.device("cpu")
SCALE, CONSTANT, NOISE, NUGGET = 1.3, 0.1, 1e-2, 1e-10
SIZES = [
    (1, 1, 1, 1, 0, 1),
    (5, 3, 2, 3, 1, 5),
    (37, 20, 3, 5, 2, 6),
    (9, 4, 2, 3, 0, 2),
    (23, 70, 9, 1, 0, 3),
]  # N, m, d, S, j, q


@pytest.fixture
def fused(monkeypatch):
    """The module of the kernel, with small tiles: several of them in small problems."""
    pytest.importorskip("triton", reason="Triton is not installed: no fused kernel is tested")
    from gpbo_kernels.greedy import fused as module

    monkeypatch.setattr(module, "_PROGRAMS", 4)
    monkeypatch.setattr(module, "_TILE", 64)
    return module


def gram(kind: str, Z1: Tensor, Z2: Tensor) -> Tensor:
    return SCALE * profile(kind, (Z1[:, None] - Z2).square().sum(-1).sqrt())[0]


def arguments(kind, N, m, d, S, j, q, *, dtype=torch.float64, device=CPU, noise=NOISE):
    """Candidates at a factor of which the last j rows carry fantasies; V has NaN where no whitened entry is yet."""
    generator = torch.Generator().manual_seed(N)
    draw = {"dtype": torch.float64, "generator": generator}
    Z, z = torch.rand(m, d, **draw), torch.rand(N, d, **draw)
    L = torch.linalg.cholesky(gram(kind, Z, Z) + noise * torch.eye(m, dtype=torch.float64))
    beta = torch.randn(m, **draw)
    beta[m - j :] = 0.0
    normals, best = torch.randn(j + q + 1, S, **draw), 1.5 + torch.rand(S, **draw)
    v = torch.linalg.solve_triangular(L, gram(kind, Z, z), upper=False).mT
    V = torch.full((N, m + q + 3), math.nan, dtype=torch.float64)
    V[:, :m] = v
    moments = CONSTANT + v @ beta, SCALE - v.square().sum(-1), v[:, m - j :] @ normals[:j]
    rest = [each.to(dtype).to(device) for each in (*moments, normals[j:], best)]
    return [kind, z.to(dtype).to(device), V.to(dtype).to(device), m, *rest, q], (Z, L, beta, normals, best)


def run(given, choice):
    """Picks and the whitened rows they leave."""
    given = [*given[:2], given[2].clone(), *given[3:]]
    with backend.use(choice):
        return pick(*given, scale=SCALE, nugget=NUGGET), given[2]


def assert_same(found, expected, m, q, tolerance):
    (mine, V), (theirs, W) = found, expected
    assert mine.rows.dtype == torch.int64
    assert torch.equal(mine.rows, theirs.rows)
    torch.testing.assert_close(mine.values, theirs.values, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(mine.best, theirs.best, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(V[:, : m + q - 1], W[:, : m + q - 1], rtol=tolerance, atol=tolerance)
    assert V[:, m + q - 1 :].isnan().all()


@pytest.mark.parametrize("kind", KINDS)
def test_definition_equals_conditioning_from_scratch(kind):
    N, m, d, S, j, q = 40, 15, 2, 6, 3, 7
    given, (Z, L, beta, normals, best) = arguments(kind, N, m, d, S, j, q)
    found, _ = run(given, "reference")
    z, left = given[1], torch.ones(N, dtype=torch.bool)
    for p in range(q):
        K = gram(kind, Z, Z)
        K.diagonal()[:m] += NOISE
        K.diagonal()[m:] += NUGGET * SCALE
        L = torch.linalg.cholesky(K)
        rows = torch.nn.functional.pad(beta, (0, p))
        fantasies = CONSTANT + (L @ rows)[m:, None] + L[m:, m - j :] @ normals[: j + p]
        incumbents = torch.cat([best[None], fantasies]).amax(0)
        V = torch.linalg.solve_triangular(L, gram(kind, Z, z), upper=False).mT
        values, _ = mixture(V, rows, normals, incumbents, scale=SCALE, constant=CONSTANT, first=m - j)
        row = int(torch.where(left, values, -math.inf).argmax())
        assert found.rows[p] == row
        assert found.values[p].item() == pytest.approx(values[row].item(), rel=1e-10)
        torch.testing.assert_close(found.best[p], incumbents, rtol=1e-10, atol=1e-10)
        left[row] = False
        Z = torch.cat([Z, z[row][None]])


@pytest.mark.parametrize("size", SIZES)
def test_fused_equals_the_definition(size, device, fused, poisoned):
    given, _ = arguments("matern52", *size, device=device)
    expected = run(given, "reference")
    with poisoned():
        found = run(given, "fused")
    assert_same(found, expected, size[1], size[-1], 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_fused_knows_every_kind(kind, device, fused, poisoned):
    given, _ = arguments(kind, 12, 7, 2, 3, 1, 4, device=device)
    expected = run(given, "reference")
    with poisoned():
        found = run(given, "fused")
    assert_same(found, expected, 7, 4, 1e-10)


def test_fused_in_single_precision(device, fused, poisoned):
    given, _ = arguments("matern52", 12, 7, 2, 3, 1, 4, dtype=torch.float32, device=device, noise=0.1)
    expected = run(given, "reference")
    with poisoned():
        found = run(given, "fused")
    assert found[0].values.dtype == torch.float32
    assert_same(found, expected, 7, 4, 1e-4)


@pytest.mark.parametrize("choice", ["reference", "fused"])
def test_every_candidate_is_picked_once_and_of_equal_ones_the_first(choice, device, fused):
    given, _ = arguments("matern52", 7, 3, 2, 2, 0, 7, device=device)
    order = [3, 3, 0, 0, 3, 1, 1]
    copies = [each[order] if isinstance(each, Tensor) and len(each) == 7 else each for each in given]
    rows = run(copies, choice)[0].rows.tolist()
    assert sorted(rows) == list(range(7))
    for same in ([0, 1, 4], [2, 3], [5, 6]):
        assert rows.index(same[0]) == min(rows.index(each) for each in same)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy in the interpreter speaks of overflow and log(0)
@pytest.mark.parametrize("choice", ["reference", "fused"])
def test_where_nothing_promises_anything_the_first_open_ones_are_picked(choice, device, fused):
    given, _ = arguments("matern52", 9, 3, 2, 2, 0, 4, device=device)
    given[-2] = torch.full_like(given[-2], 1e200)  # its square overflows: every logarithm is -inf
    found, _ = run(given, choice)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert (found.values == -math.inf).all()


@pytest.mark.parametrize("choice", ["reference", "fused"])
def test_an_undefined_value_is_reported(choice, device, fused):
    given, _ = arguments("matern52", 9, 3, 2, 2, 0, 3, device=device)
    given[4][5] = math.nan
    found, _ = run(given, choice)
    assert found.rows[0] == 5
    assert found.values[0].isnan()


@pytest.mark.parametrize("choice", ["reference", "fused"])
def test_inputs_but_the_whitened_rows_are_left_alone(choice, device, fused):
    given, _ = arguments("rbf", 9, 3, 2, 2, 1, 3, device=device)
    before = [each.clone() if isinstance(each, Tensor) else each for each in given]
    run(given, choice)
    for mine, old in zip(given, before, strict=True):
        if isinstance(old, Tensor):
            torch.testing.assert_close(mine, old, rtol=0, atol=0, equal_nan=True)


@pytest.mark.gpu
def test_nothing_is_copied_to_the_host():
    given, _ = arguments("matern52", 300, 40, 3, 16, 2, 20, device=torch.device("cuda"))
    run(given, "fused")  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(given, "fused")
    finally:
        torch.cuda.set_sync_debug_mode("default")
