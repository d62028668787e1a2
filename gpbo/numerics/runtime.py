"""What compiled code needs: a typed decorator, BLAS/LAPACK entry points and scoped threads.

numba's own ``np.linalg`` has neither a triangular solve nor an inverse from a Cholesky factor, and calling scipy from
Python costs more than the arithmetic at n <= 100. scipy exports its BLAS and LAPACK as C function pointers
(``scipy.linalg.cython_blas``/``cython_lapack``) for this purpose. They are registered as linker symbols and not held as
ctypes pointers, because numba can cache code that refers to symbols and cannot cache code that holds pointers.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_ROUTINES = {
    "scipy.linalg.cython_lapack": ("dpotrf", "dpotri"),
    "scipy.linalg.cython_blas": ("dtrsm",),
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
dpotrf, dpotri, dtrsm = (_ENTRIES[name] for name in ("dpotrf", "dpotri", "dtrsm"))


def available() -> bool:
    """Whether the compiled path can run: numba imports and scipy's BLAS has 32-bit indices."""
    return _AVAILABLE


@functools.cache
def _sources() -> str:
    """Digest of every file with compiled code.

    A compiled function contains the code of those it calls, also from other files, but numba's cache looks at the
    function's own file only and would go on with old code after an edit elsewhere.
    """
    package = Path(__file__).parent.parent
    files = sorted([*package.glob("numerics/*.py"), *package.glob("**/compiled*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def jit(*, fast: bool | set[str] = False) -> Callable[[F], F]:
    """``numba.njit`` with the project's settings: cached on disk, GIL released, IEEE division.

    Args:
        fast: LLVM fast-math flags, only for functions whose rounding may be reordered.
    """
    if not _AVAILABLE:
        return lambda function: function
    from numba import njit

    options: dict[str, Any] = {"nogil": True, "fastmath": fast, "error_model": "numpy"}

    def compile_later(function: F) -> F:
        try:
            made = njit(cache=True, **options)(function)
        except RuntimeError:  # no folder that can be written to: compile in every process
            return cast(F, njit(**options)(function))
        cache_file = getattr(getattr(made, "_cache", None), "_cache_file", None)
        if cache_file is not None:
            cache_file._source_stamp = (cache_file._source_stamp, _sources())
        return cast(F, made)

    return compile_later


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Limit:
    """The process-wide thread limit: set by the first block that enters, lifted by the last one that leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.limiter: Any = None

    def enter(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.limiter = _controller().limit(limits=1)
            self.depth += 1

    def leave(self) -> None:
        with self.lock:
            if self.depth == 0:  # a child of a fork inside the block: already lifted there
                return
            self.depth -= 1
            if self.depth == 0:
                self.limiter.restore_original_limits()

    def after_fork(self) -> None:
        """The child has none of the other threads that were inside a block."""
        self.lock = threading.Lock()
        if self.depth:
            self.depth = 0
            self.limiter.restore_original_limits()


_LIMIT = _Limit()
# Order of a matrix from which several threads are worth their risk: where another process wants the cores as well, BLAS
# threads wait for one another spinning, and a factorisation of order 1000 was seen to take a hundred times longer.
ALL_THREADS_FROM = 3000
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LIMIT.after_fork)


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Keeps BLAS and OpenMP to one thread inside the block; the user's setting is back when the last block has ended.

    Small matrices run several times slower on many threads than on one (measured 3-6x at n=50 to 1000 on a busy
    machine). The setting belongs to the whole process, so that blocks in several threads are counted.

    Args:
        wanted: False leaves everything as it is.
    """
    if not wanted:
        yield
        return
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
