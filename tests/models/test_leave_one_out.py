"""The closed form says what a model without the observation says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gpbo.models.host_posterior import HostPosterior
from gpbo.models.leave_one_out import leave_one_out
from gpbo.models.torch_posterior import TorchPosterior


@pytest.mark.parametrize("infer", [True, False], ids=["inferred noise", "known noise"])
@pytest.mark.parametrize("kind", ["host", "torch"])
def test_it_equals_the_predictions_of_models_that_were_not_told(make_problem, kind, infer):
    problem, theta = make_problem(13, 3, infer=infer)

    def posterior(of):
        return HostPosterior(of, theta) if kind == "host" else TorchPosterior(of, theta, torch.device("cpu"))

    noise = np.full(13, np.exp(theta[1])) if infer else problem.known
    residuals, variances = leave_one_out(posterior(problem))
    for i in range(13):
        rest = np.arange(13) != i
        known = None if infer else problem.known[rest]
        without = posterior(replace(problem, X=problem.X[rest], y=problem.y[rest], known=known))
        mean, variance = without.predict(problem.X[i : i + 1])
        assert residuals[i] == pytest.approx(problem.y[i] - mean[0], rel=1e-8, abs=1e-10)
        assert variances[i] == pytest.approx(variance[0] + noise[i], rel=1e-8)


def test_blocks_do_not_show(make_problem, monkeypatch):
    posterior = HostPosterior(*make_problem(17, 2))
    whole = leave_one_out(posterior)
    monkeypatch.setattr("gpbo.models.leave_one_out._BLOCK", 5)
    for blocks, values in zip(leave_one_out(posterior), whole, strict=True):
        assert blocks == pytest.approx(values, rel=1e-12)


def test_a_single_observation_is_predicted_by_the_prior(make_problem):
    problem, theta = make_problem(1, 2)
    residuals, variances = leave_one_out(HostPosterior(problem, theta))
    assert residuals[0] == pytest.approx(problem.y[0] - theta[0])
    assert variances[0] == pytest.approx(np.exp(theta[2]) + np.exp(theta[1]))


def test_room_for_more_points_does_not_matter(make_problem):
    problem, theta = make_problem(9, 2)
    plain, roomy = leave_one_out(HostPosterior(problem, theta)), leave_one_out(HostPosterior(problem, theta, room=7))
    assert np.array_equal(plain[0], roomy[0])
    assert np.array_equal(plain[1], roomy[1])
