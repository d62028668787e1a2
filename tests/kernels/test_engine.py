"""The engine on fused kernels: padded models, fits, acquisition and picks give the numbers of plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpbo.acquisition.improvement import base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem
from gpbo.models.objective import log_posterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo_kernels import KINDS, use

THETA = np.array([0.1, -5.0, 0.2, -0.5, -0.4, -0.3])


def computed(problem, device):
    """Whatever an ask computes on a device."""
    rng = np.random.default_rng(5)
    U, P, n = rng.random((6, 3)), rng.random((5, 3)), len(problem.y)
    posterior = TorchPosterior(problem, THETA, device)
    found = [*posterior.predict(U)]
    acquisition = TorchImprovement(posterior, 1.0, base_normals(8, 16, 0))
    found += acquisition.values_and_gradients(U)
    marks = acquisition.follow(P)
    found += [*acquisition.values_and_gradients(U), *acquisition.at(marks).values_and_gradients(U[:5])]
    screen = acquisition.screen(rng.random((30, 3)))
    found.append(screen.values())
    found.append(np.array(acquisition.pick(screen, found[-1], 3)[0], dtype=float))

    def padded(values):
        return torch.as_tensor(np.pad(values, [(0, 64 - n), *[(0, 0)] * (values.ndim - 1)])).to(device)

    there, theta = torch.arange(64, device=device) < n, torch.as_tensor(THETA)[None].repeat(2, 1).to(device)
    parts = log_posterior(problem.spec, padded(problem.X), padded(problem.y), None, theta, there)
    return [*found, *(part.cpu().numpy() for part in parts)]


@pytest.mark.parametrize("kind", KINDS)
def test_fused_kernels_and_plain_torch_are_one_engine(kind, device):
    rng = np.random.default_rng(0)
    X = rng.random((40, 3))
    y = np.sin(5 * X).sum(1)
    problem = Problem(default_spec(kind, 3), X, (y - y.mean()) / y.std())
    with use("reference"):
        expected = computed(problem, device)
    with use("fused"):
        found = computed(problem, device)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(other).max()))
