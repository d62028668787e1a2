"""The plain-torch covariances against GPyTorch's kernels and against numerical differentiation."""

import pytest
import torch
from gpytorch.kernels import MaternKernel, RBFKernel

import gpbo_kernels
from gpbo_kernels import KINDS, covariance, profile

STOCK = {
    "rbf": lambda d: RBFKernel(ard_num_dims=d),
    "matern52": lambda d: MaternKernel(nu=2.5, ard_num_dims=d),
    "matern32": lambda d: MaternKernel(nu=1.5, ard_num_dims=d),
    "matern12": lambda d: MaternKernel(nu=0.5, ard_num_dims=d),
}


def _points(n: int, d: int, seed: int, *batch: int) -> torch.Tensor:
    return torch.rand(*batch, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n1", "n2", "d"), [(1, 1, 1), (63, 100, 3), (17, 257, 20)])
def test_value_equals_gpytorch(kind: str, n1: int, n2: int, d: int) -> None:
    X1, X2, lengthscale = _points(n1, d, 0), _points(n2, d, 1), 0.2 + _points(1, d, 2)
    stock = STOCK[kind](d).double()
    stock.lengthscale = lengthscale
    torch.testing.assert_close(covariance(kind, X1, X2, lengthscale), stock(X1, X2).to_dense(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_gpytorch(kind: str) -> None:
    lengthscale = 0.2 + _points(1, 4, 2)
    weight = torch.randn(9, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gradients = []
    for stock in (False, True):
        X1, X2 = _points(9, 4, 0).requires_grad_(), _points(13, 4, 1).requires_grad_()
        if stock:
            kernel = STOCK[kind](4).double()
            kernel.lengthscale = lengthscale
            value, leaf = kernel(X1, X2).to_dense(), kernel.raw_lengthscale
            (value * weight).sum().backward()
            assert leaf.grad is not None
            g = leaf.grad / torch.sigmoid(
                leaf.detach()
            )  # GPyTorch's parameter is the inverse softplus of the lengthscale
        else:
            leaf = lengthscale.clone().requires_grad_()
            (covariance(kind, X1, X2, leaf) * weight).sum().backward()
            assert leaf.grad is not None
            g = leaf.grad
        assert X1.grad is not None
        assert X2.grad is not None
        gradients.append((X1.grad, X2.grad, g))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_differences_with_batches(kind: str) -> None:
    X1 = _points(3, 2, 0, 2).requires_grad_()
    X2 = _points(4, 2, 1, 1).requires_grad_()
    lengthscale = (0.3 + _points(1, 2, 2)).requires_grad_()
    torch.autograd.gradcheck(lambda *a: covariance(kind, *a), (X1, X2, lengthscale))


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
def test_second_derivative_exists(kind: str) -> None:
    X1, X2 = _points(3, 2, 0).requires_grad_(), _points(4, 2, 1)
    torch.autograd.gradgradcheck(lambda a: covariance(kind, a, X2, torch.full((1, 2), 0.5).double()), (X1,))


@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_matrix_has_an_exact_diagonal_and_finite_gradient(kind: str) -> None:
    X = torch.cat([_points(5, 3, 0), _points(5, 3, 0)]).requires_grad_()  # every point twice
    K = covariance(kind, X, X, torch.full((1, 3), 0.4).double())
    assert torch.equal(K, K.mT)
    assert torch.equal(K.diagonal(), torch.ones(10).double())
    K.sum().backward()
    assert X.grad is not None
    assert torch.isfinite(X.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_slope_is_minus_twice_the_derivative_in_squared_distance(kind: str) -> None:
    squared = torch.linspace(0.01, 9.0, 50, dtype=torch.float64).requires_grad_()
    k, slope = profile(kind, squared.sqrt())
    (derivative,) = torch.autograd.grad(k.sum(), squared)
    torch.testing.assert_close(slope, -2.0 * derivative, rtol=1e-10, atol=1e-14)


def test_close_points_keep_their_distance() -> None:
    X = torch.tensor([[0.5], [0.5 + 1e-9]], dtype=torch.float64)
    K = gpbo_kernels.matern12(X, X, torch.ones(1, 1).double())
    assert K[0, 1].item() == pytest.approx(1.0 - 1e-9, abs=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_named_functions_are_the_same_covariance(kind: str) -> None:
    X, lengthscale = _points(4, 2, 0), torch.full((1, 2), 0.7).double()
    assert torch.equal(getattr(gpbo_kernels, kind)(X, X, lengthscale), covariance(kind, X, X, lengthscale))


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown kernel kind 'cubic'"):
        covariance("cubic", torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_close_points_is_exact(kind: str) -> None:
    X = _points(6, 2, 0) + 3.0
    X = torch.cat([X, X + 1e-9 * _points(6, 2, 1)])
    lengthscale = torch.full((1, 2), 0.5, dtype=torch.float64, requires_grad=True)
    (got,) = torch.autograd.grad(covariance(kind, X, X, lengthscale).sum(), lengthscale)
    apart = (X[:, None] - X[None]) / 0.5
    _, slope = profile(kind, apart.square().sum(-1).sqrt())
    torch.testing.assert_close(got, (slope[..., None] * apart**2 / 0.5).sum((0, 1))[None], rtol=1e-7, atol=1e-12)
