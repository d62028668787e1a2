"""Posterior sample paths, each point on a path of its own: which implementation evaluates them, in which layout."""

from __future__ import annotations

import torch
from torch import Tensor

from gpbo_kernels import backend
from gpbo_kernels.paths import reference
from gpbo_kernels.paths.reference import PathSet

_COPIES = 8  # matrices of the size of (points, features + observations) alive in one evaluation of the reference
_PARTS = 4  # partial sums of a point that the fused kernel holds, where there are many points
_MOST_DIMENSIONS = 128  # beyond, the fused kernel would spend its time on placing sums


def prepared(paths: PathSet) -> PathSet:
    """The same paths in the layout that the implementation for their device reads fastest."""
    if not _fused(paths):
        return paths
    numbers = (paths.scale, paths.constant, paths.amplitude)
    scale, constant, amplitude = (torch.as_tensor(each, dtype=paths.Z.dtype, device=paths.Z.device) for each in numbers)
    W, Z = (each.mT.contiguous().mT for each in (paths.W, paths.Z))  # one input dimension after the other
    return paths._replace(scale=scale, constant=constant, amplitude=amplitude, W=W, Z=Z)


def evaluation_bytes(paths: PathSet) -> int:
    """Memory that an evaluation takes for every point."""
    F, d = paths.W.shape
    return 8 * _PARTS * (d + 2) if _fused(paths) else 8 * _COPIES * (F + len(paths.Z))


def path_values(paths: PathSet, z: Tensor, owner: Tensor) -> Tensor:
    """Values (R,) of path ``owner[r]`` at row r of z, shape (R, d)."""
    if _fused(paths, z):
        from gpbo_kernels.paths import fused

        return fused.path_values(paths, z, owner)
    return reference.path_values(paths, z, owner)


def path_gradients(paths: PathSet, z: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Values (R,) and gradients in z, (R, d), of path ``owner[r]`` at row r of z."""
    if _fused(paths, z):
        from gpbo_kernels.paths import fused

        return fused.path_gradients(paths, z, owner)
    return reference.path_gradients(paths, z, owner)


def _fused(paths: PathSet, *points: Tensor) -> bool:
    if paths.W.shape[1] > _MOST_DIMENSIONS:
        return False
    return backend.fused(paths.Z, paths.W, paths.phase, paths.weights, paths.update, *points)
