"""What a strategy carries from one ask to the next, as plain data that JSON holds without loss."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from gpbo.models.fit import Fit
from gpbo.models.spec import Array
from gpbo.strategy.fitted import MOST_CURVATURE, SUMS, Aside, Carry
from gpbo.transforms import MAPS

State: TypeAlias = dict[str, Any]

_VERSION = 6


def dump(carry: Carry | None) -> State | None:
    """Plain data; None before the first fit."""
    if carry is None:
        return None
    fits = {kind: _dump_fit(fit) for kind, fit in carry.fits.items()}
    counts = {"n": carry.n, "held": carry.held, "compared": carry.compared, "refits": carry.refits}
    outliers = [[row, deviation.hex()] for row, deviation in carry.outliers]
    fitted = {"kind": carry.kind, "fits": fits, "chosen": _dump_fit(carry.chosen), "outliers": outliers}
    aside = {name: [_dump_fit(each.fit), each.refits, each.promising] for name, each in carry.aside.items()}
    return {"version": _VERSION, **counts, **fitted, "aside": aside}


def load(state: Mapping[str, Any] | None, kernels: tuple[str, ...], dim: int) -> Carry | None:
    """The carry that :func:`dump` made plain.

    None where another version of gpbo wrote it, or for other kernels: the next fit then starts cold, which costs time
    and nothing else.
    """
    if state is None or state.get("version") != _VERSION or not _fits_known(state["fits"], kernels):
        return None
    fits = {kind: _load_fit(fit, dim + 3) for kind, fit in state["fits"].items()}
    n, held, compared, refits = (int(state[name]) for name in ("n", "held", "compared", "refits"))
    outliers = tuple((int(row), float.fromhex(deviation)) for row, deviation in state["outliers"])
    chosen = _load_fit(state["chosen"], dim + 3)
    aside = {
        name: Aside(_load_fit(each, _size(name, dim)), int(at), bool(promising))
        for name, (each, at, promising) in state["aside"].items()
    }
    return Carry(n, held, compared, refits, state["kind"], fits, chosen, outliers, aside)


def _size(name: str, dim: int) -> int:
    """Hyperparameters of a model beside the study's."""
    return 2 * dim + 4 if name.startswith(SUMS) else dim + 3


def _fits_known(names: Iterable[str], kernels: tuple[str, ...]) -> bool:
    known = {f"{kind}/{kernel}" for kind in MAPS for kernel in kernels}
    return set(names) <= known


def _dump_fit(fit: Fit) -> State:
    return {
        "theta": _dump_array(fit.theta),
        "curvature": _dump_array(fit.curvature.diagonal() if len(fit.theta) > MOST_CURVATURE else fit.curvature),
        "log_posterior": float(fit.log_posterior).hex(),
        "evaluations": int(fit.evaluations),
    }


def _load_fit(fit: Mapping[str, Any], size: int) -> Fit:
    theta = _load_array(fit["theta"], (size,))
    if size > MOST_CURVATURE:
        curvature = np.diag(_load_array(fit["curvature"], (size,)))
    else:
        curvature = _load_array(fit["curvature"], (size, size))
    return Fit(theta, curvature, float.fromhex(fit["log_posterior"]), int(fit["evaluations"]))


def _dump_array(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f8").tobytes()).decode("ascii")


def _load_array(text: str, shape: tuple[int, ...]) -> Array:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").reshape(shape).astype(np.float64)
