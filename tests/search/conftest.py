"""Fitted models on early and on late data, and the engine's acquisition on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gpbo
from gpbo.acquisition.improvement import HostImprovement, base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.exact import Problem
from gpbo.models.fit import fit
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available


@pytest.fixture(scope="session")
def fitted():
    """From data to a problem and fitted hyperparameters."""

    def make(X, y, kind="matern52"):
        y = (y - y.mean()) / y.std()
        problem = Problem(default_spec(kind, X.shape[1]), np.ascontiguousarray(X), y)
        return problem, fit(problem).theta

    return make


@pytest.fixture(scope="session")
def improvement():
    """The engine's acquisition, compiled or in torch, with room for j fantasised points."""

    def make(problem, theta, *, best="observed", j=0, samples=128, compiled=None):
        best = float(problem.y.max()) if best == "observed" else best
        normals = base_normals(j, samples, 0) if j else np.zeros((0, 1))
        if available() if compiled is None else compiled:
            return HostImprovement(HostPosterior(problem, theta), best, normals)
        return TorchImprovement(TorchPosterior(problem, theta, torch.device("cpu")), best, normals)

    return make


@pytest.fixture(scope="session")
def early():
    """Sobol points of a test function, maximised."""

    def make(problem, n, seed):
        sobol = torch.quasirandom.SobolEngine(problem.space.dim, scramble=True, seed=seed)
        X = sobol.draw(n, dtype=torch.float64).numpy()
        return X, -np.array([problem(params) for params in problem.space.decode(X)])

    return make


@pytest.fixture(scope="session")
def late():
    """What a real loop of the engine has seen after n evaluations: points crowded around the incumbent."""
    kept = {}

    def make(problem, n, seed):
        if (problem.name, n, seed) not in kept:
            optimizer = gpbo.Optimizer(problem.space, seed=seed, device="cpu")
            for _ in range(n):
                trial = optimizer.ask()
                optimizer.tell(trial, [problem(params) for params in trial.params])
            X = problem.space.encode([trial.params for trial in optimizer.history])
            kept[problem.name, n, seed] = X, -np.array([trial.value for trial in optimizer.history])
        return kept[problem.name, n, seed]

    return make
