"""L'L by halves."""

from __future__ import annotations

import pytest
import torch

from gpbo.numerics import triangular


@pytest.mark.parametrize("n", [1, 2, 7, 33, 65])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_lower_triangle_equals_the_product(monkeypatch, n, batch):
    monkeypatch.setattr(triangular, "_SQUARED", 4)
    L = torch.randn(*batch, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)).tril()
    torch.testing.assert_close(triangular.lower_square(L).tril(), (L.mT @ L).tril(), rtol=1e-12, atol=1e-12)
