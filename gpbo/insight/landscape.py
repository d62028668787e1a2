"""What the model believes along one parameter, or over two, the others held fixed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpbo.errors import ArgumentError
from gpbo.insight.axes import grid, position
from gpbo.trials import Trial

if TYPE_CHECKING:
    from botorch.acquisition import AcquisitionFunction

    from gpbo.optimizer import Optimizer

Floats = NDArray[np.float64]

_CHUNK = 4_000_000  # numbers in one array while predicting
_FADE = 0.2  # distance, as a share of the cube's side, at which an observation has faded to a third


@dataclass(frozen=True)
class Slice:
    """Along one parameter.

    Attributes:
        values: Native values of the parameter, m of them.
        x: Where they stand on an axis, shape (m,).
        mean, sd: Posterior there, shape (m,); for an acquisition function its value, and zero.
        fixed: The point that the line passes through.
    """

    values: list[Any]
    x: Floats
    mean: Floats
    sd: Floats
    fixed: dict[str, Any]


@dataclass(frozen=True)
class Surface:
    """Over two parameters.

    Attributes:
        values: Native values of either parameter.
        x, y: Where they stand on the axes, shapes (mx,) and (my,).
        mean, sd: Posterior, shape (my, mx).
        fixed: The point that the plane passes through.
    """

    values: tuple[list[Any], list[Any]]
    x: Floats
    y: Floats
    mean: Floats
    sd: Floats
    fixed: dict[str, Any]


def predicted(opt: Optimizer, points: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    """``opt.predict`` in blocks, so that memory stays small however many points there are."""
    rows = max(1, _CHUNK // max(1, len(opt.history)))
    parts = [opt.predict(points[start : start + rows]) for start in range(0, len(points), rows)]
    return np.concatenate([mean for mean, _ in parts]), np.concatenate([sd for _, sd in parts])


def through(opt: Optimizer, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The point that a picture passes through: the best one, with what is given put in."""
    return {**opt.best().params, **(params or {})}


def posterior_slice(opt: Optimizer, name: str, params: Mapping[str, Any] | None = None, points: int = 201) -> Slice:
    """Mean and standard deviation along a parameter; see ``plot.posterior`` for the arguments."""
    values, fixed = grid(opt.space[name], points), through(opt, params)
    mean, sd = predicted(opt, [{**fixed, name: value} for value in values])
    return Slice(values, _positions(opt, name, values), mean, sd, fixed)


def acquisition_slice(
    opt: Optimizer,
    name: str,
    params: Mapping[str, Any] | None = None,
    points: int = 201,
    function: AcquisitionFunction | None = None,
) -> tuple[Slice, str]:
    """The acquisition function along a parameter, and its name; it is as in BoTorch, mostly a logarithm.

    Several slices share the work if they are given the same ``opt.acquisition()``.
    """
    import torch
    from linear_operator.utils.warnings import NumericalWarning

    values, fixed = grid(opt.space[name], points), through(opt, params)
    function = opt.acquisition() if function is None else function
    U = opt.space.encode([{**fixed, name: value} for value in values])
    model: Any = function.model
    device = model.train_targets.device
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # near observations of an exact function
        blocks = [
            function(torch.as_tensor(U[start : start + 256], device=device)[:, None, :])
            for start in range(0, len(U), 256)
        ]
    worth = torch.cat(blocks).cpu().numpy().astype(np.float64)
    kind = type(function).__name__.replace("ExpectedImprovement", "EI").replace("NoisyEI", "NEI")
    return Slice(values, _positions(opt, name, values), worth, np.zeros(len(values)), fixed), kind


def surface(
    opt: Optimizer, names: tuple[str, str], params: Mapping[str, Any] | None = None, points: int = 41
) -> Surface:
    """Mean and standard deviation over two parameters; see ``plot.surface`` for the arguments.

    Raises:
        ArgumentError: If the two are the same.
    """
    a, b = names
    if a == b:
        raise ArgumentError(f"surface: two different parameters are needed, got {a!r} twice.")
    across, up = grid(opt.space[a], points), grid(opt.space[b], points)
    fixed = through(opt, params)
    mean, sd = predicted(opt, [{**fixed, a: left, b: right} for right in up for left in across])
    shape = (len(up), len(across))
    x, y = _positions(opt, a, across), _positions(opt, b, up)
    return Surface((across, up), x, y, mean.reshape(shape), sd.reshape(shape), fixed)


def units(opt: Optimizer, trials: list[Trial]) -> Floats:
    """Trials as rows of the unit cube, shape (n, D)."""
    return opt.space.encode([trial.params for trial in trials])


def nearness(opt: Optimizer, units: Floats, fixed: Mapping[str, Any], free: tuple[str, ...]) -> Floats:
    """How near rows of the unit cube are to a slice, shape (n,): 1 where all but the free parameters are as fixed."""
    names = list(opt.space)
    held = ~np.isin(opt.space.owner, [names.index(name) for name in free])
    near: Floats = np.exp(-((held * (units - opt.space.encode([dict(fixed)]))) ** 2).mean(axis=1) / _FADE**2)
    return near


def _positions(opt: Optimizer, name: str, values: list[Any]) -> Floats:
    return np.array([position(opt.space[name], value) for value in values])
