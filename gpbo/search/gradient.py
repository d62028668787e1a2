"""Gradient search of the acquisition from many starts, on the host or on a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpbo.acquisition.improvement import HostImprovement, Improvement
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models.spec import Array
from gpbo.numerics import one_thread
from gpbo.numerics.batched_bfgs import minimise
from gpbo.search.compiled import maximise as maximise_compiled


@dataclass(frozen=True)
class Effort:
    """How hard a search tries for one point.

    Attributes:
        starts: Local searches.
        iterations: Most rounds, each one evaluation of the starts that still move.
        tolerance: Gain of a step, in log improvement, below which a start has converged.
    """

    starts: int
    iterations: int
    tolerance: float


def climb(acquisition: Improvement, starts: Array, lower: Array, upper: Array, effort: Effort) -> tuple[Array, Array]:
    """Local maxima reached from every start inside its own box.

    Args:
        acquisition: What to maximise.
        starts: Shape (R, D).
        lower, upper: Bounds of each start, shape (R, D); equal bounds freeze a coordinate.
        effort: How long to go on.

    Returns:
        Points (R, D) and values (R,).
    """
    if isinstance(acquisition, HostImprovement):
        with one_thread():
            points, values, _ = maximise_compiled(
                np.ascontiguousarray(starts),
                np.ascontiguousarray(lower),
                np.ascontiguousarray(upper),
                effort.iterations,
                effort.tolerance,
                *acquisition.arguments,
            )
        return points, values
    assert isinstance(acquisition, TorchImprovement)
    on_device = acquisition.posterior.tensor
    target = acquisition

    points_, values_, _, _ = minimise(
        lambda U: tuple(-part for part in target.evaluate(U)),  # type: ignore[arg-type,return-value]
        on_device(starts),
        on_device(lower),
        on_device(upper),
        iterations=effort.iterations,
        tolerance=effort.tolerance,
        first_step=0.05,
        longest_step=0.3,
    )
    return points_.cpu().numpy(), -values_.cpu().numpy()
