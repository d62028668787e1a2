"""The fused covariance and slope matrices against their definition in plain torch."""

from __future__ import annotations

import mmap
import threading

import pytest
import torch

from gpbo_kernels import KINDS, backend, covariance, covariance_and_slope, use
from gpbo_kernels.stationary import reference
from gpbo_kernels.stationary.layout import batch_shape

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of the largest entry
SIZES = [(1, 1, 1), (3, 17, 2), (33, 65, 5), (35, 3, 33)]
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def _points(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    points = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))
    return points.to(device, dtype)


def _assert_same(got: torch.Tensor | None, wanted: torch.Tensor | None) -> None:
    assert got is not None
    assert wanted is not None
    tolerance = TOLERANCE[wanted.dtype]
    scale = float(wanted.detach().abs().max()) if wanted.numel() else 1.0
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance * scale)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n1", "n2", "d"), SIZES)
def test_two_sets_of_points(kind: str, n1: int, n2: int, d: int, dtype: torch.dtype, device: torch.device) -> None:
    Z1, Z2 = (_points(n, d, dtype=dtype, device=device) / d**0.5 for n in (n1, n2))
    results = []
    for choice in ("fused", "reference"):
        with use(choice):
            results.append(covariance_and_slope(kind, Z1, Z2, scale=1.7))
    for got, wanted in zip(*results, strict=True):
        _assert_same(got, wanted)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 17, 33, 65])
def test_one_set_of_points_in_batches_with_noise(kind: str, n: int, dtype: torch.dtype, device: torch.device) -> None:
    Z = _points(3, n, 2, dtype=dtype, device=device)
    scale, noise = torch.tensor([0.1, 1.0, 30.0]).to(Z), torch.linspace(0.1, 0.2, n).to(Z)
    results = []
    for choice in ("fused", "reference"):
        with use(choice):
            results.append(covariance_and_slope(kind, Z, scale=scale, diagonal=noise))
    for got, wanted in zip(*results, strict=True):
        _assert_same(got, wanted)
        assert got is not None
        assert torch.equal(got, got.mT)  # to the last bit: a factorisation may read either triangle


@pytest.mark.parametrize("kind", KINDS)
def test_many_dimensions_take_another_tile(kind: str, device: torch.device) -> None:
    Z = _points(67, 129, dtype=torch.float64, device=device) / 12.0
    with use("fused"):
        got = covariance_and_slope(kind, Z) + covariance_and_slope(kind, Z, Z[:5])
    for one, other in zip(got, covariance_and_slope(kind, Z) + covariance_and_slope(kind, Z, Z[:5]), strict=True):
        _assert_same(one, other)


@pytest.mark.parametrize("shapes", [((4, 1), (1, 2)), ((), (2,)), ((2, 1), (3,)), ((1,), ())])
def test_batches_broadcast(shapes: tuple[tuple[int, ...], tuple[int, ...]], device: torch.device) -> None:
    Z1, Z2 = (
        _points(*shape, n, 2, dtype=torch.float64, device=device) for shape, n in zip(shapes, (3, 5), strict=True)
    )
    with use("fused"):
        got = covariance_and_slope("matern52", Z1, Z2)
    for one, other in zip(got, reference.covariance_and_slope("matern52", Z1, Z2, 1.0, None, None, None), strict=True):
        _assert_same(one, other)


@pytest.mark.parametrize("diagonal", [0.25, torch.tensor([[0.5, 0.25, 0.125]] * 2)], ids=["number", "tensor"])
def test_factors_and_noise_alone_make_batches(diagonal: float | torch.Tensor, device: torch.device) -> None:
    Z, scale = _points(3, 2, dtype=torch.float64, device=device), torch.tensor([1.0, 2.0]).to(device, torch.float64)
    noise = diagonal.to(Z) if isinstance(diagonal, torch.Tensor) else diagonal
    results = []
    for choice in ("fused", "reference"):
        with use(choice):
            results.append(covariance_and_slope("rbf", Z, scale=scale, diagonal=noise))
            results.append(covariance_and_slope("rbf", Z, diagonal=noise))
    for index in (0, 1):
        for got, wanted in zip(results[index], results[index + 2], strict=True):
            _assert_same(got, wanted)


@pytest.mark.parametrize("choice", ["fused", "reference"])
@pytest.mark.parametrize("layout", ["rows", "columns", "every other", "batches apart"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_buffers_are_filled_and_nothing_else(
    choice: backend.Choice, layout: str, symmetric: bool, device: torch.device
) -> None:
    Z = _points(2, 2, 33, 3, dtype=torch.float64, device=device)
    Z2 = None if symmetric else _points(35, 3, dtype=torch.float64, device=device)
    n2 = 33 if Z2 is None else 35
    buffers, blocks = [], []
    for _ in range(2):
        buffer = torch.full((2, 4, 80, 80), torch.nan, dtype=torch.float64, device=device)
        block = {
            "rows": buffer[:, :2, :33, :n2],
            "columns": buffer.mT[:, :2, :33, :n2],
            "every other": buffer[:, :2, 1:67:2, : 2 * n2 : 2],
            "batches apart": buffer[:, ::2, 3:36, 5 : 5 + n2],  # not to be seen as one batch dimension
        }[layout]
        buffers.append(buffer)
        blocks.append(block)
    with use(choice):
        got = covariance_and_slope("matern32", Z, Z2, scale=2.0, out=(blocks[0], blocks[1]))
    wanted = reference.covariance_and_slope("matern32", Z, Z2, 2.0, None, None, None)
    for result, block, buffer, right in zip(got, blocks, buffers, wanted, strict=True):
        assert result is block
        _assert_same(block, right)
        block.fill_(torch.nan)
        assert torch.isnan(buffer).all()  # nothing around the block was written


@pytest.mark.parametrize("choice", ["fused", "reference"])
def test_what_is_not_wanted_is_not_there(choice: backend.Choice, device: torch.device) -> None:
    Z = _points(17, 2, dtype=torch.float64, device=device)
    wanted = reference.covariance_and_slope("matern52", Z, None, 1.0, None, None, None)
    with use(choice):
        assert covariance_and_slope("matern52", Z, want=(False, False)) == (None, None)
        k, nothing = covariance_and_slope("matern52", Z, want=(True, False))
        assert nothing is None
        nothing, slope = covariance_and_slope("matern52", Z, out=(None, torch.full_like(wanted[1], torch.nan)))
        assert nothing is None
    _assert_same(k, wanted[0])
    _assert_same(slope, wanted[1])


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_repeated_close_and_far_points(kind: str, dtype: torch.dtype, device: torch.device) -> None:
    close, far = (1e-9, 1e100) if dtype == torch.float64 else (1e-5, 1e15)
    Z = _points(7, 3, dtype=dtype, device=device)
    Z = torch.cat([Z, Z, Z + close, Z * far, torch.zeros_like(Z)])
    with use("fused"):
        k, slope = covariance_and_slope(kind, Z, scale=1e-30)
    assert k is not None
    assert slope is not None
    wanted = reference.covariance_and_slope(kind, Z.double(), None, 1e-30, None, None, None)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(k.double(), wanted[0], rtol=tolerance, atol=1e-30 * tolerance)
    torch.testing.assert_close(slope.double(), wanted[1], rtol=10 * tolerance, atol=1e-30 * tolerance)
    assert torch.equal(k.diagonal(), torch.full_like(k[0], 1e-30))  # r = 0
    assert torch.equal(slope[:7, 7:14].diagonal(), slope.diagonal()[:7])  # repeated points are at r = 0 too


def test_no_points_and_no_dimensions(device: torch.device) -> None:
    Z = _points(3, 2, dtype=torch.float64, device=device)
    with use("fused"):
        k, slope = covariance_and_slope("rbf", Z[:0], Z)
        ones, _ = covariance_and_slope("rbf", Z[:, :0])
    assert k is not None
    assert slope is not None
    assert ones is not None
    assert k.shape == slope.shape == (0, 3)
    assert torch.equal(ones, torch.ones_like(ones))


@pytest.mark.parametrize("choice", ["fused", "reference"])
def test_matrices_share_no_memory(choice: backend.Choice, device: torch.device) -> None:
    Z = _points(3, 2, dtype=torch.float64, device=device)
    with use(choice):
        k, slope = covariance_and_slope("rbf", Z)
    assert k is not None
    assert slope is not None
    k.zero_()
    assert (slope > 0).all()


def test_offsets_beyond_int32(device: torch.device) -> None:
    """Rows 2^28 elements apart, of which only some pages are touched, as in a matrix of 46,341 rows and more."""
    n, step = 10, 2**28
    elements = (n - 1) * step + n
    if device.type == "cuda":
        if torch.cuda.mem_get_info()[0] < 4 * elements + 2**30:
            pytest.skip("needs 11 GB of GPU memory")
        buffer = torch.empty(elements, dtype=torch.float32, device=device)
    elif hasattr(mmap, "MAP_NORESERVE"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE
        buffer = torch.frombuffer(mmap.mmap(-1, 4 * elements, flags=flags), dtype=torch.float32)
    else:
        pytest.skip("memory cannot be mapped without being reserved here")
    block = buffer.as_strided((n, n), (step, 1)).fill_(torch.nan)
    Z = _points(n, 2, dtype=torch.float32, device=device)
    with use("fused"):
        covariance_and_slope("rbf", Z, out=(block, None))
        _assert_same(block, reference.covariance_and_slope("rbf", Z, None, 1.0, None, None, None)[0])
        covariance_and_slope("matern52", Z, Z[:4], out=(None, block[:, :4]))
    _assert_same(block[:, :4], reference.covariance_and_slope("matern52", Z, Z[:4], 1.0, None, None, None)[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients_of_the_covariance(kind: str, symmetric: bool, device: torch.device) -> None:
    values, gradients = [], []
    for choice in ("fused", "reference"):
        X1, X2 = (_points(2, n, 3, dtype=torch.float64, device=device).requires_grad_() for n in (5, 35))
        lengthscale = torch.tensor([[0.5, 1.0, 2.0]], dtype=torch.float64, device=device, requires_grad=True)
        weight = _points(2, 35, 35 if symmetric else 5, dtype=torch.float64, device=device)
        with use(choice):
            value = covariance(kind, X2, X2 if symmetric else X1, lengthscale)
            wanted = (X2, lengthscale) if symmetric else (X1, X2, lengthscale)
            gradients.append(torch.autograd.grad((value * weight).sum(), wanted))
        values.append(value)
    _assert_same(*values)
    for got, right in zip(*gradients, strict=True):
        _assert_same(got, right)


@pytest.mark.parametrize("choice", ["fused", "reference"])
def test_derivative_is_computed_as_the_value_was(
    choice: backend.Choice, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def fused(*tensors: torch.Tensor) -> bool:
        taken.append(backend.chosen())
        return backend_fused(*tensors)

    backend_fused = backend.fused
    monkeypatch.setattr(backend, "fused", fused)
    X = _points(4, 2, dtype=torch.float64, device=device).requires_grad_()
    with use(choice):
        value = covariance("rbf", X, X, torch.ones(1, 2).to(X)).sum()
    thread = threading.Thread(target=value.backward)
    thread.start()
    thread.join()
    assert X.grad is not None
    assert set(taken) == {choice}


def test_second_derivative_of_a_fused_covariance(device: torch.device) -> None:
    X = _points(4, 2, dtype=torch.float64, device=device).requires_grad_()
    lengthscale = torch.full((1, 2), 0.5, dtype=torch.float64, device=device)
    other = X.detach() + 0.1
    with use("fused"):
        torch.autograd.gradgradcheck(lambda x: covariance("matern52", x, other, lengthscale), (X,))


def test_what_autograd_follows_takes_the_reference(device: torch.device) -> None:
    Z = _points(3, 2, dtype=torch.float64, device=device).requires_grad_()
    with use("fused"):
        k, _ = covariance_and_slope("rbf", Z)
    assert k is not None
    assert k.requires_grad


def test_mistakes_are_named() -> None:
    Z = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="unknown kernel kind 'cubic'"):
        covariance_and_slope("cubic", Z)
    with pytest.raises(ValueError, match="leave Z2 out"):
        covariance_and_slope("rbf", Z, Z, diagonal=0.1)
    with pytest.raises(ValueError, match=r"has shape \(3, 2\); the matrix has \(3, 3\)"):
        covariance_and_slope("rbf", Z, out=(Z, None))


@pytest.mark.parametrize("shapes", [[()], [(), (3,)], [(2, 1), (3,)], [(1,), (4, 1), (4, 5)], [(0,), (1,)]])
def test_batch_shapes_broadcast_like_tensors(shapes):
    expected = torch.broadcast_tensors(*(torch.empty(shape) for shape in shapes))[0].shape
    assert batch_shape(*shapes) == expected


def test_batch_shapes_that_do_not_go_together_are_named():
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        batch_shape((2,), (3,))
