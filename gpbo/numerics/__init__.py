"""Tools below the models: compiled code over scipy's LAPACK, vectorised rows, quasi-Newton steps, scoped threads.

``available()`` says whether this machine can run the compiled path; where it cannot, the engine uses the plain torch
path, which is also what the tests hold the compiled functions against.
"""

from gpbo.numerics.runtime import ALL_THREADS_FROM, available, one_thread

__all__ = ["ALL_THREADS_FROM", "available", "one_thread"]
