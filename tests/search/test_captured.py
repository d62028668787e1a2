"""Fits and searches as graphs: they depend on nothing but the tensors that a graph owns.

A recorder takes the place of CUDA: it replays a step on its own copies. Whatever a step would read elsewhere is filled
with NaN before the replay, and its answer must not change.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gpbo
from gpbo.acquisition.improvement import base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models import fit as fit_module
from gpbo.models.exact import Problem
from gpbo.models.spec import default_spec
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import batched_bfgs
from gpbo.numerics.graphs import Graphs
from gpbo.search.gradient import Effort, climb
from gpbo.strategy import surrogate
from gpbo_kernels import KINDS

CPU = torch.device("cpu")
EFFORT = Effort(starts=6, iterations=40, tolerance=1e-7)


@pytest.fixture
def recorder(monkeypatch):
    """Records steps in place of CUDA graphs; ``replays`` counts, ``poisoned`` is filled with NaN before each."""
    runner = Graphs(lambda *arguments: record(runner, *arguments), applies=lambda device: True)
    runner.replays, runner.poisoned = 0, []
    monkeypatch.setattr(batched_bfgs, "GRAPHS", runner)
    return runner


def record(runner, step, state, inputs, count):
    def replay():
        runner.replays += 1
        saved = [tensor.clone() for tensor in runner.poisoned]
        for tensor in runner.poisoned:
            tensor.fill_(torch.nan)
        for _ in range(count):
            step(state, inputs)
        for tensor, values in zip(runner.poisoned, saved, strict=True):
            tensor.copy_(values)

    return replay


def problem(n, d=3, kind="matern52", known=False):
    rng = np.random.default_rng(n)
    X = rng.random((n, d))
    y = np.sin(5 * X).sum(1) + 0.1 * rng.standard_normal(n)
    variances = rng.uniform(1e-3, 1e-1, n) if known else None
    return Problem(default_spec(kind, d, infer_noise=not known), X, (y - y.mean()) / y.std(), variances)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_fit_is_the_eager_one_and_serves_other_data_of_its_size(kind, known, recorder, monkeypatch):
    captured = [fit_module.fit(problem(n, kind=kind, known=known), compiled=False) for n in (40, 40, 50, 60)]
    assert recorder.replays > 0
    assert len(recorder) == 1
    monkeypatch.setattr(batched_bfgs, "GRAPHS", Graphs())
    for n, found in zip((40, 40, 50, 60), captured, strict=True):
        eager = fit_module.fit(problem(n, kind=kind, known=known), compiled=False)
        np.testing.assert_array_equal(found.theta, eager.theta)
        np.testing.assert_array_equal(found.curvature, eager.curvature)
        assert (found.log_posterior, found.evaluations) == (eager.log_posterior, eager.evaluations)


def improvement(n, fantasies, kind="matern52"):
    theta = np.array([0.1, -6.0, 0.3, -0.5, -0.3, -0.7])
    posterior = TorchPosterior(problem(n, kind=kind), theta, CPU)
    acquisition = TorchImprovement(posterior, 1.0, base_normals(20, 16, 0) if fantasies else np.zeros((0, 1)))
    acquisition.fantasise(np.random.default_rng(7).random((fantasies, 3)))
    return acquisition


def tensors_of(acquisition):
    p = acquisition.posterior
    return [p.Z, p.L, p.Li, p.beta, p.inverse, p._active, acquisition.normals, acquisition.best]


@pytest.mark.parametrize("prefixes", [False, True])
@pytest.mark.parametrize("fantasies", [0, 6])
@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_a_captured_search_reads_its_own_tensors_only(kind, fantasies, prefixes, recorder, monkeypatch):
    rng = np.random.default_rng(3)
    starts = rng.random((6, 3))
    box = np.zeros((6, 3)), np.ones((6, 3))

    def run(n):
        acquisition = improvement(n, fantasies, kind)
        recorder.poisoned = tensors_of(acquisition)
        target = acquisition
        if prefixes:
            target = acquisition.at(acquisition.follow(rng.random((6, 3)) * 0 + starts[::-1]))
            recorder.poisoned = [*tensors_of(acquisition), target._best]
        return climb(target, starts, *box, EFFORT)

    sizes = (40, 41, 44, 50)  # one size of buffers, and one graph
    captured = [run(n) for n in sizes]
    assert recorder.replays > 0
    assert len(recorder) == 1
    monkeypatch.setattr(batched_bfgs, "GRAPHS", Graphs())
    for n, (points, values) in zip(sizes, captured, strict=True):
        eager = run(n)
        np.testing.assert_array_equal(points, eager[0])
        np.testing.assert_array_equal(values, eager[1])


def test_a_whole_study_is_the_same_with_graphs(recorder, monkeypatch):
    monkeypatch.setattr(surrogate, "available", lambda: False)
    monkeypatch.setattr(fit_module, "available", lambda: False)

    def run():
        opt = gpbo.Optimizer(gpbo.Space.from_bounds([0, 0], [1, 1]), seed=3, n_initial=5, device="cpu")
        for _ in range(9):
            batch = opt.ask(2)
            opt.tell(batch, ((batch.x - 0.4) ** 2).sum(1))
        return opt.ask(3).x

    with_graphs = run()
    assert recorder.replays > 20
    monkeypatch.setattr(batched_bfgs, "GRAPHS", Graphs())
    np.testing.assert_array_equal(with_graphs, run())
