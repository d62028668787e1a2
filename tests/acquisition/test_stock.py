"""The real BoTorch functions that a user gets."""

from __future__ import annotations

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement

from gpbo.acquisition.improvement import HostImprovement, base_normals
from gpbo.acquisition.stock import stock_acquisition
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem, build_model
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available


def problem():
    rng = np.random.default_rng(0)
    X = rng.random((15, 2))
    y = np.sin(5 * X).sum(1)
    theta = np.array([0.0, -5.0, 0.0, -0.5, -0.5])
    return Problem(default_spec("matern52", 2), X, (y - y.mean()) / y.std()), theta


def test_the_function_fits_the_situation():
    one, theta = problem()
    model = build_model(one, theta)
    pending = torch.rand(3, 2, dtype=torch.float64)
    assert type(stock_acquisition(model, 1, 1.0, None, 0)) is LogExpectedImprovement
    assert type(stock_acquisition(model, 2, 1.0, None, 0)) is qLogExpectedImprovement
    with_pending = stock_acquisition(model, 1, 1.0, pending, 0)
    assert type(with_pending) is qLogExpectedImprovement
    assert with_pending.X_pending.shape == (3, 2)
    assert type(stock_acquisition(model, 1, None, None, 0)) is qLogNoisyExpectedImprovement


def test_values_are_the_engines_to_quasi_monte_carlo_error():
    """qLogEI of (pending, x) is the joint improvement; the engine's is the gain of x over the pending points."""
    one, theta = problem()
    model, rng = build_model(one, theta), np.random.default_rng(1)
    best, pending, U = 0.9, rng.random((2, 2)), rng.random((12, 2))
    normals = base_normals(2, 4096, 0)
    if available():
        acquisition = HostImprovement(HostPosterior(one, theta), best, normals)
    else:
        acquisition = TorchImprovement(TorchPosterior(one, theta, torch.device("cpu")), best, normals)
    acquisition.fantasise(pending)
    joint = stock_acquisition(model, 1, best, torch.as_tensor(pending), 0)
    alone = stock_acquisition(model, 2, best, None, 0)
    with torch.no_grad():
        gain = joint(torch.as_tensor(U)[:, None]).exp() - alone(torch.as_tensor(pending)[None]).exp()
    np.testing.assert_allclose(np.exp(acquisition.values(U)), gain.numpy(), atol=0.02 * float(gain.max()))
