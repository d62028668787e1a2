"""What compiled code needs: a typed decorator, BLAS/LAPACK entry points and scoped threads.

numba's own ``np.linalg`` has neither a triangular solve nor an inverse from a Cholesky factor, and calling scipy from
Python costs more than the arithmetic at n <= 100. scipy exports its BLAS and LAPACK as C function pointers
(``scipy.linalg.cython_blas``/``cython_lapack``) for this purpose. They are registered as linker symbols and not held as
ctypes pointers, because numba can cache code that refers to symbols and cannot cache code that holds pointers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_ROUTINES = {
    "scipy.linalg.cython_lapack": ("dpotrf", "dpotri"),
    "scipy.linalg.cython_blas": ("dtrsm", "dgemm"),
}


class _Entry:
    """Stands in for a BLAS routine where numba is missing; never called, because ``available()`` is False there."""

    def __call__(self, *_: object) -> None:
        raise RuntimeError("the compiled path is not available on this machine")


def _load() -> tuple[bool, dict[str, Any]]:
    """Registers the routines with the linker; (False, placeholders) where numba or 32-bit-index BLAS is missing."""
    names = [name for group in _ROUTINES.values() for name in group]
    try:
        import importlib

        import llvmlite.binding as llvm
        from numba import types
        from numba.extending import get_cython_function_address
    except ImportError:
        return False, dict.fromkeys(names, _Entry())
    entries: dict[str, Any] = {}
    for module, group in _ROUTINES.items():
        capi = importlib.import_module(module).__pyx_capi__
        for name in group:
            arguments = re.search(r"\((.*)\)", repr(capi.get(name)).split('"')[1])
            if arguments is None or "int *" not in arguments.group(1):  # a BLAS with 64-bit indices
                return False, dict.fromkeys(names, _Entry())
            llvm.add_symbol(f"gpbo_{name}", get_cython_function_address(module, name))
            count = arguments.group(1).count(",") + 1
            entries[name] = types.ExternalFunction(f"gpbo_{name}", types.void(*([types.voidptr] * count)))
    return True, entries


_AVAILABLE, _ENTRIES = _load()
dpotrf, dpotri, dtrsm, dgemm = (_ENTRIES[name] for name in ("dpotrf", "dpotri", "dtrsm", "dgemm"))


def available() -> bool:
    """Whether the compiled path can run: numba imports and scipy's BLAS has 32-bit indices."""
    return _AVAILABLE


def jit(*, fast: bool | set[str] = False, inline: bool = False) -> Callable[[F], F]:
    """``numba.njit`` with the project's settings: cached on disk, GIL released, IEEE division.

    Args:
        fast: LLVM fast-math flags, only for functions whose rounding may be reordered.
        inline: Inline at every call site.
    """
    if not _AVAILABLE:
        return lambda function: function
    from numba import njit

    options: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": fast, "error_model": "numpy"}
    if inline:
        options["inline"] = "always"
    return cast(Callable[[F], F], njit(**options))


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def host_threads(limit: int | None) -> Iterator[None]:
    """Limits BLAS and OpenMP threads inside the block and restores the user's setting after it.

    Small matrices run several times slower on many threads than on one (measured 3-6x at n=50 to 1000 on a busy
    machine).

    Args:
        limit: Threads allowed, or None to leave everything as it is.
    """
    if limit is None:
        yield
        return
    with _controller().limit(limits=limit):
        yield
