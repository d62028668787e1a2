"""Executors for engines without the ``submit`` of PEP 3148; the others serve ``minimize`` as they are."""

from collections.abc import Callable
from typing import Any

from gpbo.errors import ArgumentError


class RayExecutor:
    """Evaluations as Ray tasks, for ``minimize(..., executor=RayExecutor(num_cpus=2))``.

    Connects to the cluster that Ray finds, or starts a local one, unless the program has done so before.

    Args:
        options: Of each task, as for ``ray.remote``: ``num_cpus``, ``num_gpus``, ``resources``, ``max_retries``.

    Raises:
        ArgumentError: If Ray is not installed.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ArgumentError("RayExecutor needs Ray: pip install 'gpbo[ray]'.") from None
        if not ray.is_initialized():
            ray.init()
        self._ray = ray
        self._remote = ray.remote(**options)(_call) if options else ray.remote(_call)

    def submit(self, f: Callable[..., Any], /, *args: Any) -> "RayFuture":
        """``f(*args)`` somewhere in the cluster."""
        return RayFuture(self._ray, self._remote.remote(f, *args))


class RayFuture:
    """A future of PEP 3148 for a Ray object."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference
        self._future = reference.future()

    def result(self, timeout: float | None = None) -> Any:
        """The outcome, or the exception of the task."""
        return self._future.result(timeout)

    def done(self) -> bool:
        """Whether there is an outcome."""
        return bool(self._future.done())

    def cancel(self) -> None:
        """Ask Ray to drop the task. Whether it does is not known."""
        self._ray.cancel(self._reference)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback(self)`` when there is an outcome."""
        self._future.add_done_callback(lambda _: callback(self))


def _call(f: Callable[..., Any], *args: Any) -> Any:
    return f(*args)
