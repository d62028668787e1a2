"""BoTorch as its tutorials use it: the model, the fit and the ask that everything here is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def model(X: Tensor, y: Tensor) -> Any:
    """``SingleTaskGP`` with its defaults, not yet fitted.

    Args:
        X: Inputs in the unit cube, shape (n, d).
        y: Outcomes, to be maximised, shape (n,).
    """
    from botorch.models import SingleTaskGP

    return SingleTaskGP(X, y[:, None])


def likelihood(gp: Any) -> Any:
    """The exact log marginal likelihood of a model, which its fit maximises."""
    from gpytorch.mlls import ExactMarginalLogLikelihood

    return ExactMarginalLogLikelihood(gp.likelihood, gp)


def fit(gp: Any) -> None:
    """``fit_gpytorch_mll``, in place."""
    from botorch.fit import fit_gpytorch_mll

    fit_gpytorch_mll(likelihood(gp))


def ask(X: Tensor, y: Tensor, q: int, options: dict[str, Any] | None = None) -> Tensor:
    """Points of the unit cube to evaluate next: a new model, its fit, LogEI (qLogEI for q > 1) and ``optimize_acqf``.

    A batch is chosen point by point (``sequential=True``).

    Args:
        X: Inputs in the unit cube, shape (n, d).
        y: Outcomes, to be maximised, shape (n,).
        q: Number of points.
        options: Of ``optimize_acqf``.

    Returns:
        Points, shape (q, d).
    """
    from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement
    from botorch.optim import optimize_acqf

    gp = model(X, y)
    fit(gp)
    function = LogExpectedImprovement(gp, y.max()) if q == 1 else qLogExpectedImprovement(gp, y.max())
    box = torch.tensor([[0.0], [1.0]], dtype=X.dtype, device=X.device).expand(2, X.shape[-1])
    found, _ = optimize_acqf(function, box, q, 10, raw_samples=512, options=options, sequential=q > 1)
    return found.detach()
