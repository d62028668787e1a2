"""Inverses of triangular matrices by products, and the sizes that matrices are padded to."""

from __future__ import annotations

import pytest
import torch

from gpbo.numerics.buckets import below, bucket
from gpbo.numerics.triangular import invert_lower


def factor(*shape):
    A = torch.randn(*shape, shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.cholesky(A @ A.mT + shape[-1] * torch.eye(shape[-1], dtype=torch.float64))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 129, 192, 200, 257, 320, 500])
def test_the_inverse_is_one_and_triangular(n):
    L = factor(n)
    inverse = invert_lower(L)
    torch.testing.assert_close(inverse @ L, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(inverse, inverse.tril())
    assert torch.equal(L, factor(n))


def test_batches_are_inverted_each_by_itself():
    L = factor(3, 2, 150)
    inverses = invert_lower(L)
    for i in range(3):
        torch.testing.assert_close(inverses[i, 1], invert_lower(L[i, 1]), rtol=1e-12, atol=1e-14)


def test_in_place_and_from_a_matrix_with_rubbish_above_the_diagonal():
    L = factor(150)
    expected = invert_lower(L)
    filled = L + torch.ones_like(L).triu(1)
    assert torch.equal(invert_lower(filled), expected)
    assert invert_lower(filled, out=filled) is filled
    assert torch.equal(filled, expected)


def test_a_view_into_a_larger_matrix():
    room = torch.full((300, 300), torch.nan, dtype=torch.float64)
    L = factor(200)
    room[:200, :200] = L
    torch.testing.assert_close(invert_lower(room[:200, :200]), invert_lower(L), rtol=1e-12, atol=1e-14)
    inverse = invert_lower(L, out=room[:200, :200])
    torch.testing.assert_close(inverse, invert_lower(L), rtol=1e-12, atol=1e-14)
    assert room[200:].isnan().all()


def test_sizes_hold_what_they_must_and_are_few():
    sizes = [bucket(n) for n in range(1, 5001)]
    assert all(size >= n for n, size in enumerate(sizes, 1))
    assert sizes == sorted(sizes)
    assert all(bucket(size) == size for size in sizes)
    assert all(size**2 <= 1.27 * n**2 for n, size in enumerate(sizes, 1) if n > 256)
    assert len(set(sizes[512:1024])) == 8


def test_the_size_below_is_filled():
    for n in range(2000):
        assert below(n) <= n
        assert below(n) == 0 or bucket(below(n)) == below(n)
        assert n < 32 or bucket(below(n) + 1) > n or below(n) == n
