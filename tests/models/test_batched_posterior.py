"""Posteriors made together are those made one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo.models import batched_posterior
from gpbo.models.batched_posterior import factorised_together
from gpbo.models.exact import Problem
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import memory

CPU = torch.device("cpu")


def problems(kind, count, n=23, d=4, known=False):
    rng = np.random.default_rng(0)
    spec = default_spec(kind, d, infer_noise=not known)
    return [
        Problem(spec, rng.random((n, d)), rng.standard_normal(n), rng.uniform(0.01, 0.1, n) if known else None)
        for _ in range(count)
    ], [np.append([0.1, np.log(1e-2), 0.3], rng.standard_normal(d)) for _ in range(count)]


def alike(one, other):
    assert vars(one).keys() == vars(other).keys()
    for name in ("kind", "scale", "constant", "n", "m", "jitter", "device"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("inverse", "Z", "L", "beta"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(one.noise, other.noise)
    assert one.L.is_contiguous()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("kind", ["rbf", "matern52", "matern12"])
def test_together_as_one_by_one(kind, count, known):
    every, thetas = problems(kind, count, known=known)
    U = np.random.default_rng(1).random((7, 4))
    for made, problem, theta in zip(factorised_together(every, thetas, CPU), every, thetas, strict=True):
        single = TorchPosterior(problem, theta, CPU)
        alike(made, single)
        for step in ("condition", "release"):
            for each in (made, single):
                each.condition(U) if step == "condition" else each.release()
            alike(made, single)
            for found, expected in zip(made.predict(U[:3] + 0.01), single.predict(U[:3] + 0.01), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_singular_one_gets_jitter_or_none_and_the_others_stay_as_they_are():
    every, thetas = problems("rbf", 4)
    alike_rows = np.tile(every[0].X[:1], (23, 1))
    for row, noise in ((1, 1e-18), (2, 1e-2)):
        every[row] = Problem(every[row].spec, alike_rows, every[row].y)
        thetas[row][1] = np.log(noise)
    made = factorised_together(every, thetas, CPU)
    for row, (one, problem, theta) in enumerate(zip(made, every, thetas, strict=True)):
        alike(one, TorchPosterior(problem, theta, CPU))
        assert (one.jitter > 0.0) == (row == 1)


def test_one_that_stays_singular_is_none(monkeypatch):
    every, thetas = problems("rbf", 3)
    every[1].X[:] = np.nan
    made = factorised_together(every, thetas, CPU)
    assert [one is None for one in made] == [False, True, False]


def test_a_refused_batch_is_halved(monkeypatch):
    every, thetas = problems("matern52", 5)
    original, sizes = torch.linalg.cholesky_ex, []

    def cholesky_ex(A):
        sizes.append(len(A))
        if len(A) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(A)

    monkeypatch.setattr(batched_posterior.torch.linalg, "cholesky_ex", cholesky_ex)
    with memory.budget(None, CPU) as budget:
        made = factorised_together(every, thetas, CPU)
    monkeypatch.undo()
    assert sizes == [5, 2, 2, 1]
    assert budget.refusals == ["factors of regions in pieces of 2"]
    for one, problem, theta in zip(made, every, thetas, strict=True):
        alike(one, TorchPosterior(problem, theta, CPU))
