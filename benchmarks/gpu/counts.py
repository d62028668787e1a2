"""The least work that a fit or an ask can be done with, and how long a device takes for it.

Floating point operations and bytes of device memory that cannot be avoided by an exact Gaussian process in float64,
whatever the code: constants of lower order are left out, symmetric matrices count half, and everything that can stay in
registers or cache moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

WIDTH = 8  # bytes of a float64
CANDIDATES = 1024  # points at which an ask looks at the very least
_PATHS_FROM = 64  # points of a batch from which sample paths are the cheaper way


@dataclass(frozen=True)
class Work:
    """An amount of work.

    Attributes:
        flop: Floating point operations.
        bytes: Bytes read from or written to device memory.
        launches: Steps that have to wait for the one before.
    """

    flop: float
    bytes: float
    launches: int = 1

    def times(self, count: int) -> Work:
        """The same several times, one after the other."""
        return Work(self.flop * count, self.bytes * count, self.launches * count)


@dataclass(frozen=True)
class Speed:
    """What a device was measured to do.

    Attributes:
        flop: Floating point operations per second, of the fastest float64 matrix product.
        bytes: Bytes per second, read and written, of a large copy.
        launch: Seconds of one launch in a stream of launches.
    """

    flop: float
    bytes: float
    launch: float

    def seconds(self, work: Work) -> float:
        """The floor: no code is faster."""
        return max(work.flop / self.flop, work.bytes / self.bytes, work.launches * self.launch)


def evaluation(n: int, d: int) -> Work:
    """The log posterior of the hyperparameters and its gradient.

    A Cholesky factor (n^3/3), its inverse (2 n^3/3), squared distances of all pairs (3 d n^2/2) and the product of the
    weights with the inputs (2 d n^2); covariance, factor and inverse, a triangle each, written and read once.
    """
    return Work(n**3 + 3.5 * d * n**2, 3 * WIDTH * n**2)


def ask(n: int, d: int, q: int, *, refitted: bool) -> Work:
    """An ask of q points, on a model of n observations.

    A factor, new after a refit (n^3/3) and bordered by a row otherwise (n^2); mean and variance at the candidates
    (n^2 + 2 d n each). Then a row in the factor for each point of a small batch (n^2 each); for each point of a large
    one a sample path: two triangular solves (2 n^2) and its values at the candidates (2 n each).
    """
    model = n**3 / 3 + 1.5 * d * n**2 if refitted else 1.0 * n**2
    look = CANDIDATES * (n**2 + 2.0 * d * n)
    batch = (2.0 * n**2 + 2.0 * n * CANDIDATES) * q if q >= _PATHS_FROM else 1.0 * n**2 * q
    passes = (2 if refitted else 1) + 1  # the factor written and read after a refit, else read; then read to look
    return Work(model + look + batch, passes * WIDTH * n**2 / 2, launches=2)
