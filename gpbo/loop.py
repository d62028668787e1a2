"""Ask, evaluate, tell, until it is done: here, or on any pool of workers."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from gpbo import intake
from gpbo.errors import ArgumentError, ArgumentTypeError, NotReadyError
from gpbo.optimizer import Optimizer
from gpbo.parameters import Parameter
from gpbo.progress import Progress, Show
from gpbo.runner import Callback, Executor, Plan, Run
from gpbo.scalars import shown
from gpbo.space import Space

if TYPE_CHECKING:
    import torch

    from gpbo.result import Result

_MOST = 1_000_000


def minimize(
    f: Callable[[Any], Any],
    space: Space | Mapping[str, Parameter] | Sequence[tuple[float, float]] | None = None,
    *,
    n: int = 100,
    batch: int = 1,
    direction: str | None = None,
    executor: Executor | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    progress: Show = False,
    timeout: float | None = None,
    evaluation_timeout: float | None = None,
    retries: int = 2,
    target: float | None = None,
    seed: int | None = None,
    optimizer: Optimizer | None = None,
    catch: type[Exception] | tuple[type[Exception], ...] = (Exception,),
    n_initial: int | None = None,
    device: "str | torch.device" = "auto",
    kernel: str = "auto",
) -> "Result":
    """Find the point of a space where ``f`` is smallest, or largest.

    Without an executor, ``batch`` points are suggested together and evaluated here one by one. With one, ``batch``
    evaluations are kept running: as soon as one ends, its result is told and a new point is suggested, in view of
    those still running.

    Args:
        f: The objective: one dict of parameters in; a real number out, or a pair of value and its standard deviation.
            Where ``space`` comes from ``Space.from_bounds`` or is a list of bounds, a NumPy vector comes in instead.
            An exception or a value that is not finite makes a failed trial.
        space: The search space, a dict from name to parameter, (low, high) per dimension, or SciPy's ``Bounds``.
        n: Number of evaluations.
        batch: Points suggested together, or evaluations running at a time.
        direction: "minimize", which is meant by None, or "maximize".
        executor: Any object with the ``submit`` of PEP 3148: pools of threads or processes, Dask and MPI clients. With
            processes, ``f`` must be picklable.
        callbacks: Called as ``callback(optimizer, trials)`` after results were recorded; may raise StopIteration.
        progress: Whether to show a progress bar if standard error is a terminal; "always" shows it anyhow.
        timeout: No evaluation starts after this many seconds.
        evaluation_timeout: Seconds after which one evaluation is ended, and its trial failed.
        retries: How often an evaluation is done again that was lost with its worker, before its trial is failed.
        target: Stop when a value is as good as this.
        seed: As for :class:`Optimizer`.
        optimizer: Goes on with this optimizer. Its space, direction, seed and settings hold; ``space`` and
            ``direction`` may be repeated.
        catch: Exceptions of ``f`` that make a failed trial. Any other ends the run and is raised.
        n_initial: As for :class:`Optimizer`.
        device: As for :class:`Optimizer`.
        kernel: As for :class:`Optimizer`.

    Returns:
        A SciPy ``OptimizeResult``: ``x`` and ``params`` of the best trial, its value ``fun``, all ``trials`` told,
        number of evaluations ``nfev``, ``success``, ``message``, ``seconds_objective``, ``seconds_suggest`` and
        ``optimizer``.
        When nothing was evaluated successfully, ``fun`` is nan, ``x`` and ``params`` are None and ``success`` False.

    Raises:
        GpboError: If an argument is invalid; nothing was evaluated then.

    Ctrl-C, a time limit, a target, a callback or an executor that breaks end the run early and lose nothing: what is
    recorded is in the result. Evaluations that run are waited for and recorded, except after Ctrl-C; those that were
    not started are cancelled, and their points are released.

    Example:
        >>> import gpbo
        >>> res = gpbo.minimize(lambda x: (x[0] - 0.3) ** 2, [(0, 1)], n=12, seed=0)
        >>> res.nfev, bool(abs(res.x[0] - 0.3) < 0.05)
        (12, True)
    """
    from gpbo.result import Result

    plan = Plan(
        f=_callable("f", f),
        n=intake.whole("n", n, 1, _MOST),
        batch=intake.whole("batch", batch, 1, _MOST),
        executor=_executor(executor),
        callbacks=_callbacks(callbacks),
        catch=_exceptions(catch),
        timeout=math.inf if timeout is None else _real("timeout", timeout, positive=True),
        target=None if target is None else _real("target", target),
        limit=None if evaluation_timeout is None else _real("evaluation_timeout", evaluation_timeout, positive=True),
        retries=intake.whole("retries", retries, 0, _MOST),
    )
    if not (isinstance(progress, bool) or progress == "always"):
        raise ArgumentError(f"progress must be True, False or 'always', got {progress!r}.")
    if optimizer is None:
        optimizer = Optimizer(
            _space(space),
            "minimize" if direction is None else direction,
            seed,
            n_initial=n_initial,
            device=device,
            kernel=kernel,
        )
    else:
        fresh = seed is None and n_initial is None and device == "auto" and kernel == "auto"
        _check_resumed(optimizer, space, direction, fresh)
    run = Run(plan, optimizer, Progress(plan.n, progress))
    run.go()
    try:
        best = optimizer.best()
    except NotReadyError:
        best = None
    return Result(
        x=None if best is None else best.x.copy(),
        fun=math.nan if best is None else best.value,
        params=None if best is None else best.params,
        trials=optimizer.history,
        nfev=run.done,
        success=run.success and best is not None,
        message=run.message,
        seconds_objective=run.seconds_objective,
        seconds_suggest=run.seconds_suggest,
        optimizer=optimizer,
    )


def _space(given: Any) -> Space:
    """The space meant by a Space, a dict, SciPy's bounds or pairs of bounds."""
    if isinstance(given, (Space, Mapping)):
        return given if isinstance(given, Space) else Space(given)
    if hasattr(given, "lb") and hasattr(given, "ub"):
        return Space.from_bounds(np.atleast_1d(given.lb), np.atleast_1d(given.ub))
    cure = "pass a gpbo.Space, a dict from name to parameter, or a list of (low, high)"
    try:
        pairs = [tuple(pair) for pair in given]
    except TypeError:
        raise ArgumentTypeError(f"space is {shown(given)}; {cure}.") from None
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ArgumentError(f"space is {shown(given)}; {cure}.")
    return Space.from_bounds([low for low, _ in pairs], [high for _, high in pairs])


def _check_resumed(optimizer: Any, space: Any, direction: str | None, fresh: bool) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"optimizer must be a gpbo.Optimizer, got {shown(optimizer)}.")
    if space is not None and _space(space) != optimizer.space:
        raise ArgumentError("space is not the space of the optimizer to go on with; leave it out.")
    if direction not in (None, optimizer.direction):
        raise ArgumentError(f"direction is {direction!r}, but the optimizer to go on with has {optimizer.direction!r}.")
    if not fresh:
        raise ArgumentError(
            "seed, n_initial, device and kernel are those of the optimizer to go on with; leave them out."
        )


def _callable(what: str, given: Any) -> Any:
    if not callable(given):
        raise ArgumentTypeError(f"{what} must be callable, got {shown(given)}.")
    return given


def _callbacks(given: Any) -> tuple[Callback, ...]:
    if callable(given):
        return (given,)
    if not isinstance(given, Iterable):
        raise ArgumentTypeError(f"callbacks must be a list of functions, got {shown(given)}.")
    return tuple(_callable("a callback", one) for one in given)


def _executor(given: Any) -> Executor | None:
    if given is not None and not callable(getattr(given, "submit", None)):
        raise ArgumentTypeError(f"executor must have a submit method as in PEP 3148, got {shown(given)}.")
    executor: Executor | None = given
    return executor


def _exceptions(given: Any) -> tuple[type[Exception], ...]:
    kinds = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise ArgumentTypeError(f"catch must be an exception class or a tuple of them, got {shown(given)}.")
    return kinds


def _real(what: str, given: Any, positive: bool = False) -> float:
    if isinstance(given, bool) or not isinstance(given, Real):
        raise ArgumentTypeError(f"{what} must be a real number, got {shown(given)}.")
    if math.isnan(given) or (positive and given <= 0):
        raise ArgumentError(f"{what} must be a {'positive ' if positive else ''}number, got {given!r}.")
    return float(given)
