"""Evaluates an objective at one point, in whatever process or machine that happens, and reports how it went."""

import math
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from numbers import Real
from types import FrameType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Evaluation:
    """How one evaluation went. Plain data, so that it travels between processes.

    Attributes:
        value: The outcome; None if the evaluation failed.
        noise: Standard deviation of the value; None if the objective gave none.
        reason: Why it failed; empty otherwise.
        seconds: Time spent in the objective.
        error: The exception to raise to the caller of ``minimize``; None if there is none to raise.
    """

    value: float | None
    noise: float | None = None
    reason: str = ""
    seconds: float = 0.0
    error: Exception | None = None


class OutOfTime(BaseException):
    """The evaluation took too long. Not an Exception, so that the objective does not catch it."""


def evaluate(
    f: Callable[[Any], Any], point: Any, catch: tuple[type[Exception], ...], limit: float | None = None
) -> Evaluation:
    """``f(point)``; an exception is a failed evaluation, and one that is not in ``catch`` is to be raised as well.

    So is one that takes longer than ``limit`` seconds. In a main thread, as in a process of a pool, it is ended; in any
    other thread, which Python cannot stop, its result is not waited for.
    """
    start = time.perf_counter()
    try:
        result = f(point) if limit is None else _limited(f, point, limit)
    except OutOfTime:
        return Evaluation(None, reason=f"no result after {limit:g} s", seconds=time.perf_counter() - start)
    except Exception as error:
        seconds = time.perf_counter() - start
        trace = "".join(traceback.format_exception(type(error), error, _after_first(error), chain=True))
        return Evaluation(
            None, reason=trace.rstrip(), seconds=seconds, error=None if isinstance(error, catch) else error
        )
    seconds = time.perf_counter() - start
    try:
        value, noise = _read(result)
    except (TypeError, ValueError, OverflowError) as error:
        return Evaluation(None, reason=str(error), seconds=seconds)
    return Evaluation(value, noise, seconds=seconds)


def _limited(f: Callable[[Any], Any], point: Any, limit: float) -> Any:
    """``f(point)``.

    Raises:
        OutOfTime: If it takes too long.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _alarmed(f, point, limit)
    outcome: Future[Any] = Future()

    def call() -> None:
        try:
            outcome.set_result(f(point))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, name="gpbo-evaluation", daemon=True).start()
    if not wait([outcome], limit).done:
        raise OutOfTime
    return outcome.result()


def _alarmed(f: Callable[[Any], Any], point: Any, limit: float) -> Any:
    """``f(point)``, interrupted by a signal. An alarm that was set before is held back meanwhile."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    start = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, expire)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            return f(point)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if left and before is not None:  # None: not set in Python, and cannot be set again
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-6), interval)


def _after_first(error: Exception) -> Any:
    """The traceback below ``evaluate``: the user's own code."""
    return error.__traceback__.tb_next if error.__traceback__ is not None else None


def _read(result: Any) -> tuple[float, float | None]:
    """The value and its noise out of what an objective returned.

    Raises:
        TypeError: If it is neither a real number nor a pair of them.
        ValueError: If the value is not finite, or the noise not finite or negative.
        OverflowError: If it is too large for a float64.
    """
    noise = None
    if isinstance(result, tuple) and len(result) == 2:
        result, given = result
        noise = None if given is None else _real(given)
        if noise is not None and not (math.isfinite(noise) and noise >= 0):
            raise ValueError(f"the objective returned noise {noise!r}; it must be finite and not negative")
    value = _real(result)
    if not math.isfinite(value):
        raise ValueError(f"value is {value!r}")
    return value, noise


def _real(result: Any) -> float:
    shown = repr(result)
    if isinstance(result, np.ma.MaskedArray) and result.size == 1 and np.ma.is_masked(result):
        return math.nan
    number = result.item() if getattr(result, "size", None) == 1 or _single_tensor(result) else result
    if isinstance(number, bool) or not isinstance(number, Real):
        cure = "it must return a real number, or a pair of value and noise"
        raise TypeError(f"the objective returned {shown[:80]} ({type(result).__name__}); {cure}")
    return float(number)


def _single_tensor(result: Any) -> bool:
    return hasattr(result, "detach") and result.numel() == 1
