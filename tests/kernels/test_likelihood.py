"""Lengthscale gradients against GPyTorch's marginal likelihood and against the plain sum over all pairs."""

from __future__ import annotations

import gpytorch
import pytest
import torch
from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
from torch import Tensor

import gpbo_kernels.likelihood.reference
from gpbo_kernels import KINDS, backend, covariance_and_slope, lengthscale_gradients, profile, use

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of the sum of the terms' magnitudes
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
CHOICES = pytest.mark.parametrize("choice", ["fused", "reference"])


def _problem(n: int, d: int, *batch: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Points, a and the inverse of a covariance; the numbers of float32 are those of float64, rounded."""
    generator = torch.Generator().manual_seed(n + d)
    Z = torch.randn(*batch, n, d, dtype=torch.float64, generator=generator) / d**0.5
    y = torch.randn(*batch, n, 1, dtype=torch.float64, generator=generator)
    K, _ = covariance_and_slope("matern52", Z, diagonal=0.1)
    assert K is not None
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(K))
    return tuple(tensor.to(device, dtype) for tensor in (Z, (inverse @ y)[..., 0], inverse))  # type: ignore[return-value]


def _by_pairs(kind: str, Z: Tensor, a: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The definition in float64, and the sum of the magnitudes of its terms."""
    Z, a, inverse = Z.double(), a.double(), inverse.double()
    squares = (Z.unsqueeze(-2) - Z.unsqueeze(-3)).square()
    terms = 0.5 * ((a.unsqueeze(-1) * a.unsqueeze(-2) - inverse) * profile(kind, squares.sum(-1).sqrt())[1])
    return (terms[..., None] * squares).sum((-3, -2)), (terms[..., None] * squares).abs().sum((-3, -2))


def _assert_right(got: Tensor, kind: str, Z: Tensor, a: Tensor, inverse: Tensor, factor: float = 1.0) -> None:
    wanted, magnitude = _by_pairs(kind, Z, a, inverse)
    assert got.shape == wanted.shape
    assert got.dtype == Z.dtype
    assert ((got.double() / factor - wanted).abs() <= TOLERANCE[Z.dtype] * magnitude.clamp_min(1e-300)).all()


@CHOICES
@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 2), (17, 5), (33, 1), (65, 33)])
def test_sum_over_all_pairs(
    choice: backend.Choice, kind: str, n: int, d: int, dtype: torch.dtype, device: torch.device
) -> None:
    arguments = _problem(n, d, device=device, dtype=dtype)
    with use(choice):
        got = lengthscale_gradients(kind, *arguments, scale=2.0)
    _assert_right(got, kind, *arguments, factor=2.0)


@CHOICES
@pytest.mark.parametrize("kind", KINDS)
def test_batches(choice: backend.Choice, kind: str, device: torch.device) -> None:
    Z, a, inverse = _problem(19, 3, 2, 2, device=device, dtype=torch.float64)
    scale = torch.tensor([[0.5, 1.0], [2.0, 1e6]], dtype=torch.float64, device=device)
    with use(choice):
        got = lengthscale_gradients(kind, Z, a, inverse, scale=scale)
        shared = lengthscale_gradients(kind, Z[0, 0], a[:, 0], inverse[0, 0])
    _assert_right(got / scale[..., None], kind, Z, a, inverse)
    _assert_right(shared, kind, Z[0, 0].expand(2, -1, -1), a[:, 0], inverse[0, 0].expand(2, -1, -1))


@CHOICES
@pytest.mark.parametrize("layout", ["rows", "columns", "part of a larger buffer"])
def test_upper_triangle_need_not_be_there(choice: backend.Choice, layout: str, device: torch.device) -> None:
    Z, a, inverse = _problem(35, 3, 2, device=device, dtype=torch.float64)
    buffer = torch.full((2, 80, 80), torch.nan, dtype=torch.float64, device=device)
    buffer = buffer.mT if layout == "columns" else buffer
    block = buffer[:, :35, :35] if layout == "part of a larger buffer" else buffer.new_empty(0)
    if layout != "part of a larger buffer":
        block = torch.full_like(inverse, torch.nan)
        block = block.mT if layout == "columns" else block
    below = torch.ones(35, 35, dtype=torch.bool, device=device).tril()
    block.copy_(torch.where(below, inverse, torch.nan))
    with use(choice):
        got = lengthscale_gradients("matern52", Z, a, block, lower=True)
    _assert_right(got, "matern52", Z, a, inverse)


@CHOICES
@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_repeated_and_close_points(choice: backend.Choice, kind: str, dtype: torch.dtype, device: torch.device) -> None:
    Z, a, inverse = _problem(36, 2, device=device, dtype=dtype)
    Z = torch.cat([Z[:12], Z[:12], Z[:12] + (1e-9 if dtype == torch.float64 else 1e-4)])
    with use(choice):
        got = lengthscale_gradients(kind, Z, a, inverse)
    _assert_right(got, kind, Z, a, inverse)


@CHOICES
def test_same_input_same_bits(choice: backend.Choice, device: torch.device) -> None:
    arguments = _problem(100, 7, device=device, dtype=torch.float64)
    with use(choice):
        assert torch.equal(lengthscale_gradients("rbf", *arguments), lengthscale_gradients("rbf", *arguments))


def test_tiles_in_several_launches(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    fused = pytest.importorskip("gpbo_kernels.likelihood.fused")
    monkeypatch.setattr(fused, "_PARTIAL_SUMS", 2 * 3 * 4)  # two tiles of each matrix a launch, of ten
    arguments = _problem(100, 4, 3, device=device, dtype=torch.float64)
    with use("fused"):
        got = lengthscale_gradients("matern32", *arguments)
    _assert_right(got, "matern32", *arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lower", [True, False])
def test_reference_in_several_blocks_of_rows(kind: str, lower: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpbo_kernels.likelihood.reference, "_PAIRS", 2 * 23 * 5)
    arguments = _problem(23, 3, 2, device=torch.device("cpu"), dtype=torch.float64)
    _assert_right(lengthscale_gradients(kind, *arguments, lower=lower), kind, *arguments)


@CHOICES
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_gpytorch(choice: backend.Choice, kind: str, device: torch.device) -> None:
    X, y, _ = _problem(33, 4, device=device, dtype=torch.float64)
    order = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
    base = RBFKernel(ard_num_dims=4) if kind == "rbf" else MaternKernel(order[kind], ard_num_dims=4)
    likelihood = gpytorch.likelihoods.GaussianLikelihood().to(X)
    likelihood.noise = 0.05

    class Model(gpytorch.models.ExactGP):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(X, y, likelihood)
            self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), ScaleKernel(base)

        def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    model = Model().to(X).train()
    base.lengthscale, model.covar_module.outputscale = torch.tensor([[0.3, 0.6, 1.0, 2.0]]).to(X), 1.7
    gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(model(X), y).backward()
    raw, lengthscale = base.raw_lengthscale, base.lengthscale.detach()
    stock = 33 * raw.grad / torch.sigmoid(raw.detach()) * lengthscale  # of all points, in the log lengthscale
    Z = X / lengthscale
    scale, noise = model.covar_module.outputscale.detach(), likelihood.noise.detach()
    K, _ = covariance_and_slope(kind, Z, scale=scale, diagonal=noise.expand(33))
    assert K is not None
    inverse = torch.linalg.inv(K)
    with use(choice):
        got = lengthscale_gradients(kind, Z, inverse @ y, inverse, scale=scale)
    tolerance = 1e-6 if kind == "matern12" else 1e-9  # GPyTorch's distances err where points coincide
    torch.testing.assert_close(got, stock[0], rtol=tolerance, atol=tolerance)


def test_mistakes_are_named() -> None:
    Z, a, inverse = _problem(3, 2, device=torch.device("cpu"), dtype=torch.float64)
    with pytest.raises(ValueError, match="unknown kernel kind 'cubic'"):
        lengthscale_gradients("cubic", Z, a, inverse)
    with pytest.raises(ValueError, match=r"3 points, but a has shape \(2,\)"):
        lengthscale_gradients("rbf", Z, a[:2], inverse)
