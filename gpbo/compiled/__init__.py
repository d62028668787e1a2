"""The compiled host path: numba functions over scipy's own BLAS and LAPACK, cached on disk.

``available()`` says whether this machine can run it; where it cannot, the engine uses the plain torch path, which is
also what the tests hold the compiled functions against.
"""

from gpbo.compiled.runtime import available, host_threads

__all__ = ["available", "host_threads"]
