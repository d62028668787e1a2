"""How much each parameter matters, as the model sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpbo.errors import ArgumentError
from gpbo.insight.landscape import predicted

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

Method: TypeAlias = Literal["variance", "lengthscales"]

_POINTS = 512
_PREDICTIONS = 20_000  # at most, in all
_MANY = 1000  # observations from which on there are fewer, as each costs more


def importance(opt: Optimizer, method: Method = "variance") -> dict[str, float]:
    """From name to importance, in the order of the space.

    "variance": the share of the variance of the posterior mean, over the whole space, that would vanish if only this
    parameter were known last: Sobol's total-effect index. Interactions count for each of their parameters, so that the
    sum may exceed 1. "lengthscales": how many lengthscales the parameter's range spans, divided by the sum over
    all parameters; cheaper, blind to how large the effect is.

    Raises:
        ArgumentError: If the method is unknown.
        NotReadyError: If no trial is complete.

    Source: Jansen 1999, eq. for total effects, on scrambled Sobol points.
    """
    if method == "variance":
        shares = _total_effects(opt)
    elif method == "lengthscales":
        shares = _spans(opt)
    else:
        raise ArgumentError(f"method={method!r} is unknown; use 'variance' or 'lengthscales'.")
    return dict(zip(opt.space, shares.tolist(), strict=True))


def _total_effects(opt: Optimizer) -> NDArray[np.float64]:
    from gpbo.numerics.sobol import sobol

    space = opt.space
    d = space.n_params
    predictions = _PREDICTIONS * min(1.0, _MANY / max(1, len(opt.history)))
    m = max(32, min(_POINTS, 2 ** int(np.log2(predictions / (d + 1)))))
    V = sobol(2 * d, m, seed=0)
    first, second = V[:, :d], V[:, d:]
    blocks = [first]
    for j in range(d):
        changed = first.copy()
        changed[:, j] = second[:, j]
        blocks.append(changed)
    mean, _ = predicted(opt, space.decode(space.sample(np.concatenate(blocks))))
    size = float(np.abs(mean).max()) or 1.0
    means = (mean / size).reshape(d + 1, m)  # differences of extreme values must not overflow
    variance = means.var()
    if not variance > 0.0:
        return np.zeros(d)
    effects: NDArray[np.float64] = 0.5 * np.square(means[1:] - means[0]).mean(axis=1) / variance
    return effects


def _spans(opt: Optimizer) -> NDArray[np.float64]:
    kernel = opt.model.covar_module
    kernel = getattr(kernel, "base_kernel", kernel)
    squares = kernel.lengthscale.detach().cpu().double().numpy().reshape(-1) ** -2.0
    space = opt.space
    spans = np.zeros(space.n_params)
    for j, parameter in enumerate(space[name] for name in space):
        own = squares[space.owner == j]
        if len(own) and parameter.count != 1:
            spans[j] = np.sqrt(own[0] if len(own) == 1 else 2.0 * own.mean())  # one-hot: two coordinates change
    return spans / spans.sum() if spans.sum() > 0.0 else spans
