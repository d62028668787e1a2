"""Gradient search of the acquisition from many starts, on the host or on a device."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpbo.acquisition.improvement import Acquisition, HostImprovement, HostPrefixes
from gpbo.acquisition.paths import AssignedPaths
from gpbo.acquisition.torch_improvement import TorchImprovement, TorchPrefixes
from gpbo.models.spec import Array
from gpbo.numerics import memory, one_thread
from gpbo.numerics.batched_bfgs import Objective, minimise
from gpbo.numerics.batched_lbfgs import minimise as minimise_many
from gpbo.search.compiled import maximise as maximise_compiled

_FIRST_STEP, _LONGEST_STEP = 0.05, 0.3  # of a coordinate, in the unit cube


@dataclass(frozen=True)
class Effort:
    """How hard a search tries for one point.

    Attributes:
        starts: Local searches.
        iterations: Most rounds, each one evaluation of the starts that still move.
        tolerance: Gain of a step, in log improvement, below which a start has converged.
        moves: Most rounds of moves to neighbours, where there are integers or categories.
    """

    starts: int
    iterations: int
    tolerance: float
    moves: int = 8


def climb(acquisition: Acquisition, starts: Array, lower: Array, upper: Array, effort: Effort) -> tuple[Array, Array]:
    """Local maxima reached from every start inside its own box.

    Args:
        acquisition: What to maximise.
        starts: Shape (R, D).
        lower, upper: Bounds of each start, shape (R, D); equal bounds freeze a coordinate.
        effort: How long to go on.

    Returns:
        Points (R, D) and values (R,).
    """
    if isinstance(acquisition, (HostImprovement, HostPrefixes)):
        with one_thread():
            points, values, _ = maximise_compiled(
                np.ascontiguousarray(starts),
                np.ascontiguousarray(lower),
                np.ascontiguousarray(upper),
                effort.iterations,
                effort.tolerance,
                *acquisition.arguments(len(starts)),
            )
        return points, values
    if isinstance(acquisition, AssignedPaths):
        return _climb_paths(acquisition, starts, lower, upper, effort)
    assert isinstance(acquisition, (TorchImprovement, TorchPrefixes))
    on_device = acquisition.posterior.tensor
    function, inputs, kind = acquisition.search()
    points_, values_, _, _ = minimise(
        functools.partial(_negative, function),
        on_device(starts),
        on_device(lower),
        on_device(upper),
        iterations=effort.iterations,
        tolerance=effort.tolerance,
        first_step=_FIRST_STEP,
        longest_step=_LONGEST_STEP,
        inputs=inputs,
        kind=kind,
    )
    return points_.cpu().numpy(), -values_.cpu().numpy()


def _negative(function: Objective, U: Tensor, **inputs: Tensor) -> tuple[Tensor, Tensor]:
    value, gradient = function(U, **inputs)
    return -value, -gradient


def _climb_paths(
    acquisition: AssignedPaths, starts: Array, lower: Array, upper: Array, effort: Effort
) -> tuple[Array, Array]:
    paths, points, values = acquisition.paths, np.empty_like(starts), np.empty(len(starts))

    def climb_some(start: int, stop: int) -> None:
        owner = acquisition.owner[start:stop]
        x, low, high = (torch.tensor(each[start:stop], device=paths.device) for each in (starts, lower, upper))
        x, f = minimise_many(
            lambda U, rows: tuple(-part for part in paths.evaluate(U, owner[rows])),  # type: ignore[arg-type,return-value]
            x,
            low,
            high,
            iterations=effort.iterations,
            tolerance=effort.tolerance,
            first_step=_FIRST_STEP,
            longest_step=_LONGEST_STEP,
        )
        points[start:stop], values[start:stop] = x.cpu().numpy(), -f.cpu().numpy()

    # Its memory: the pairs of L-BFGS and a few vectors; what an evaluation takes is cut there.
    memory.in_pieces(climb_some, len(starts), 8 * 40 * starts.shape[1], "searches of paths")
    return points, values
