"""Real BoTorch acquisition functions, for users who want to evaluate, combine or optimise them on their own."""

from __future__ import annotations

from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Size, Tensor


def stock_acquisition(
    model: SingleTaskGP, q: int, best: float | None, pending: Tensor | None, seed: int
) -> AcquisitionFunction:
    """The BoTorch function that the engine's own acquisition stands for.

    Args:
        model: Fitted model, maximised outcomes.
        q: Points per evaluation: inputs have shape (b, q, d).
        best: Best outcome so far in the model's units; None for noisy observations.
        pending: Points to condition on, shape (p, d), or None.
        seed: Seed of the quasi-Monte-Carlo samples.

    Returns:
        LogEI for one point and exact observations, qLogEI for several or with pending points, qLogNEI with noise.
    """
    sampler = SobolQMCNormalSampler(sample_shape=Size([512]), seed=seed)
    if best is None:
        return qLogNoisyExpectedImprovement(model, model.train_inputs[0], sampler=sampler, X_pending=pending)
    if q == 1 and pending is None:
        return LogExpectedImprovement(model, best_f=best)
    return qLogExpectedImprovement(model, best_f=best, sampler=sampler, X_pending=pending)
