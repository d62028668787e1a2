"""Posterior sample paths: random cosines and a correction of every path by its own weights on the data.

    f_p(z) = c + a sum_f w_pf cos(W_f'z + b_f) + sum_j u_pj k(z, Z_j)

Source: Wilson et al. 2020, "Efficiently sampling functions from Gaussian process posteriors", eq. 13.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpbo_kernels.stationary.reference import profile


class PathSet(NamedTuple):
    """P paths on one device; inputs are scaled, and shifted so that the data are near the origin.

    Attributes:
        kind: One of ``KINDS``.
        scale, constant, amplitude: Outputscale, mean, and factor of the cosines; tensors spare a kernel a copy.
        W: Frequencies, shape (F, d).
        phase: Shape (F,).
        Z: Observed points, shape (n, d).
        weights: Of the cosines in each path, shape (P, F).
        update: Of the observations in each path, shape (P, n).
    """

    kind: str
    scale: float | Tensor
    constant: float | Tensor
    amplitude: float | Tensor
    W: Tensor
    phase: Tensor
    Z: Tensor
    weights: Tensor
    update: Tensor


def covariance(paths: PathSet, z: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance and slope between points and observations, (R, n), by one product: points lie near the origin."""
    squared = torch.addmm(
        z.square().sum(-1, keepdim=True) + paths.Z.square().sum(-1), z, paths.Z.mT, alpha=-2.0
    ).clamp_min_(0.0)
    k, slope = profile(paths.kind, squared.sqrt_())
    return k.mul_(paths.scale), slope * paths.scale if slope is not k else k


def path_values(paths: PathSet, z: Tensor, owner: Tensor) -> Tensor:
    """Values (R,) of path ``owner[r]`` at row r of z, shape (R, d)."""
    prior = torch.cos(z @ paths.W.mT + paths.phase).mul_(paths.weights[owner]).sum(-1)
    correction = covariance(paths, z)[0].mul_(paths.update[owner]).sum(-1)
    return paths.amplitude * prior + correction + paths.constant


def path_gradients(paths: PathSet, z: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Values (R,) and gradients in z, (R, d), of path ``owner[r]`` at row r of z."""
    angle = z @ paths.W.mT + paths.phase
    weights = paths.weights[owner].mul_(paths.amplitude)
    k, slopes = covariance(paths, z)
    update = paths.update[owner]
    values = (torch.cos(angle) * weights).sum(-1) + (k * update).sum(-1) + paths.constant
    along = -(torch.sin(angle).mul_(weights)) @ paths.W
    W = slopes * update
    along += W @ paths.Z - z * W.sum(-1, keepdim=True)
    return values, along
