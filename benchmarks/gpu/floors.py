"""What a device can do: bandwidth, matrix products, factorisations, launches. ``python -m benchmarks.gpu.floors``.

Prints a JSON line as soon as a measurement is done. Inputs are random and rotate, so that they do not come from the
cache; times are CUDA events on a GPU, ``perf_counter`` on the CPU. No code that does the same work through memory and
these libraries can be faster.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.gpu.device import release, synchronise
from benchmarks.gpu.timing import copies, milliseconds
from benchmarks.record import Line

ORDERS = (128, 256, 512, 1000, 2000, 4000, 8000, 10000, 16000, 30000)
PRODUCTS = (512, 2048, 8192)
RIGHT_HAND_SIDES = (1, 1024)
DTYPES = {"float64": torch.float64, "float32": torch.float32}
_COPIED = 2**30  # bytes
_LAUNCHES = 200


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        copied: Bytes of one copy.
        products: Orders of square matrix products.
        orders: Orders of factorisations and solves.
        seconds: Time for the repeats of one measurement.
        dtypes: Element types, by name.
    """

    copied: int = _COPIED
    products: tuple[int, ...] = PRODUCTS
    orders: tuple[int, ...] = ORDERS
    seconds: float = 0.25
    dtypes: tuple[str, ...] = ("float64", "float32")


HOST = Sizes(2**29, (512, 2048, 4096), (128, 256, 512, 1000, 2000, 4000), 0.15, ("float64",))  # the CPU beside a GPU
TINY = Sizes(2**16, (32,), (16, 48), 0.01)


@dataclass(frozen=True)
class Floor:
    """One measurement, not yet made.

    Attributes:
        name: What is measured.
        n: Order of the matrices, or number of what is repeated inside one call; 0 if there is none.
        dtype: Name of the element type.
        flop: Floating point operations of a call.
        bytes: Bytes that a call must read and write.
        columns: Right-hand sides of a solve, else 0.
    """

    name: str
    n: int
    dtype: str = "float64"
    flop: float = 0.0
    bytes: float = 0.0
    columns: int = 0


def floors(sizes: Sizes) -> Iterator[Floor]:
    """All of them, the most important first."""
    yield Floor("copy", 0, bytes=2.0 * sizes.copied)
    yield from (Floor(name, _LAUNCHES) for name in ("kernel launch", "graph launch", "graph of kernels", "round trip"))
    for dtype in sizes.dtypes:
        width = DTYPES[dtype].itemsize
        yield from (Floor("product", n, dtype, 2.0 * n**3, 3.0 * width * n**2) for n in sizes.products)
    for dtype in sizes.dtypes:
        width = DTYPES[dtype].itemsize
        for n in sizes.orders:
            yield Floor("potrf", n, dtype, n**3 / 3, 1.0 * width * n**2)
            yield Floor("potri", n, dtype, 2 * n**3 / 3, 1.0 * width * n**2)
            for q in RIGHT_HAND_SIDES:
                yield Floor("trsm", n, dtype, 1.0 * n**2 * q, width * (n**2 / 2 + 2.0 * n * q), q)


def measure(floor: Floor, device: torch.device, seconds: float) -> Line:
    """Percentiles of the time of one call, in milliseconds.

    Raises:
        NotImplementedError: If the device has no such thing.
    """
    if floor.name in _LAUNCHING:
        return _LAUNCHING[floor.name](floor.n, device, seconds)
    make, step = _MATRIX[floor.name]
    dtype = DTYPES[floor.dtype]
    generator = torch.Generator(device).manual_seed(0)
    each = floor.bytes / (2.0 if floor.name == "copy" else 1.0)
    inputs = [make(floor, dtype, generator, device) for _ in range(copies(int(each), device))]
    return milliseconds(step, inputs, device, seconds)


Pair = tuple[Tensor, Tensor]


def _random(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=generator, device=device)


def _buffers(floor: Floor, dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Pair:
    source = _random((int(floor.bytes / 2 / dtype.itemsize),), dtype, generator, device)
    return source, torch.empty_like(source)


def _factors(floor: Floor, dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Pair:
    n = floor.n
    return _random((n, n), dtype, generator, device), _random((n, n), dtype, generator, device)


def _positive(floor: Floor, dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Tensor:
    """A symmetric random matrix (eigenvalues within +-2 by Wigner's law) plus 4 on the diagonal."""
    A = _random((floor.n, floor.n), dtype, generator, device).tril_().mul_(floor.n**-0.5)
    A += A.tril(-1).mT
    A.diagonal().add_(4.0)
    return A


def _factor(floor: Floor, dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Tensor:
    """A lower triangular matrix that is as well conditioned as :func:`_positive`."""
    L = _random((floor.n, floor.n), dtype, generator, device).tril_(-1).mul_(0.5 * floor.n**-0.5)
    L.diagonal().fill_(2.0)
    return L


def _system(floor: Floor, dtype: torch.dtype, generator: torch.Generator, device: torch.device) -> Pair:
    L = _factor(floor, dtype, generator, device)
    return L, _random((floor.n, floor.columns), dtype, generator, device)


_MATRIX: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "copy": (_buffers, lambda pair: pair[1].copy_(pair[0])),
    "product": (_factors, lambda pair: pair[0] @ pair[1]),
    "potrf": (_positive, lambda A: torch.linalg.cholesky_ex(A)),
    "potri": (_factor, lambda L: torch.cholesky_inverse(L)),
    "trsm": (_system, lambda pair: torch.linalg.solve_triangular(pair[0], pair[1], upper=False)),
}


def _each(found: Line, count: int) -> Line:
    return {key: value if key == "repeats" else value / count for key, value in found.items()}


def _kernel_launch(count: int, device: torch.device, seconds: float) -> Line:
    """Per kernel of a stream of tiny ones, none waiting for the host."""

    def many(x: Tensor) -> None:
        for _ in range(count):
            x.add_(1.0)

    return _each(milliseconds(many, [torch.zeros(1, device=device)], device, seconds), count)


def _graph(kernels: int, device: torch.device) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A graph of tiny kernels, and the tensor that they change, which has to live as long."""
    if device.type != "cuda":
        raise NotImplementedError("there are no graphs on this device")
    x = torch.zeros(1, device=device)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # the first call of an operation may not be captured
        x.add_(1.0)
    torch.cuda.current_stream(device).wait_stream(side)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(kernels):
            x.add_(1.0)
    return graph, x


def _graph_launch(count: int, device: torch.device, seconds: float) -> Line:
    """Per replay of a graph of one tiny kernel, one replay after the other."""
    graph, _kept = _graph(1, device)

    def many(_: None) -> None:
        for _repeat in range(count):
            graph.replay()

    return _each(milliseconds(many, [None], device, seconds), count)


def _graph_of_kernels(count: int, device: torch.device, seconds: float) -> Line:
    """Per kernel of one graph of tiny kernels, each of which waits for the one before."""
    graph, _kept = _graph(count, device)
    return _each(milliseconds(lambda _: graph.replay(), [None], device, seconds), count)


def _round_trip(count: int, device: torch.device, seconds: float) -> Line:
    """A tiny kernel whose result the host waits for; wall time."""
    x = torch.zeros(1, device=device)

    def many(_: None) -> None:
        for _repeat in range(count):
            x.add_(1.0).item()

    many(None)
    synchronise(device)
    host = torch.device("cpu")  # the clock of the host, for the host takes part
    return _each(milliseconds(many, [None], host, seconds), count)


_LAUNCHING = {
    "kernel launch": _kernel_launch,
    "graph launch": _graph_launch,
    "graph of kernels": _graph_of_kernels,
    "round trip": _round_trip,
}


def lines(device: torch.device, sizes: Sizes, until: float) -> Iterator[Line]:
    """A line per floor, also for those that fail or that time is too short for."""
    for floor in floors(sizes):
        line: Line = {"stage": "floor", "floor": floor.name, "provider": "torch", "device": device.type}
        line |= {"sizes": {"n": floor.n, "columns": floor.columns}, "dtype": floor.dtype, "unit": "ms"}
        line |= {"flop": floor.flop, "bytes": floor.bytes}
        if time.time() > until:
            yield line | {"outcome": "deadline"}
            continue
        outcome: Line = {"outcome": "done"}
        try:
            outcome |= measure(floor, device, sizes.seconds)
        except torch.OutOfMemoryError as error:
            outcome = {"outcome": "out of memory", "message": str(error)[:300]}
        except NotImplementedError as error:
            outcome = {"outcome": "not there", "message": str(error)}
        except Exception as error:  # a floor that fails is reported, and the others are measured
            outcome = {"outcome": "failed", "message": f"{type(error).__name__}: {error}"[:300]}
        yield line | outcome
        release(device)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sizes", choices=["full", "host", "tiny"], default="full")
    parser.add_argument("--until", type=float, default=float("inf"), help="time, in seconds since 1970, to stop at")
    options = parser.parse_args()
    sizes = {"full": Sizes(), "host": HOST, "tiny": TINY}[options.sizes]
    for line in lines(torch.device(options.device), sizes, options.until):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
