"""The course of a study: values, the best so far, and when things happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpbo.trials import Trial

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

Floats = NDArray[np.float64]


def completed(opt: Optimizer) -> list[Trial]:
    """The trials that have a value, in order of telling."""
    return [trial for trial in opt.history if trial.state == "complete"]


def values(trials: Sequence[Trial]) -> Floats:
    """Values of complete trials, shape (n,)."""
    return np.array([trial.value for trial in trials], dtype=np.float64)


def incumbent(outcomes: Sequence[float] | Floats, direction: str) -> Floats:
    """Best value after each evaluation, shape (n,)."""
    best_of = np.minimum if direction == "minimize" else np.maximum
    best: Floats = best_of.accumulate(np.asarray(outcomes, dtype=np.float64))
    return best


def improvements(outcomes: Sequence[float] | Floats, direction: str) -> list[int]:
    """Indices of the evaluations that were better than all before; the first is."""
    best = incumbent(outcomes, direction)
    return [0, *(np.flatnonzero(np.diff(best)) + 1).tolist()] if len(best) else []


def repeats(trials: Sequence[Trial]) -> tuple[float, int] | None:
    """Pooled standard deviation of values at the same point, and the number of such points; None if there are none."""
    at: dict[tuple[object, ...], list[float]] = {}
    for trial in trials:
        if trial.value is not None:
            at.setdefault(tuple(trial.params.values()), []).append(trial.value)
    groups = [np.array(group) for group in at.values() if len(group) > 1]
    if not groups:
        return None
    size = max(float(np.abs(group).max()) for group in groups) or 1.0
    squares = sum(float(np.square(group / size - (group / size).mean()).sum()) for group in groups)
    return size * float(np.sqrt(squares / sum(len(group) - 1 for group in groups))), len(groups)


@dataclass(frozen=True)
class Span:
    """From when a trial was asked for until it was told.

    Attributes:
        trial: The trial.
        start: Seconds since the first ask.
        end: The same; for a pending trial, the last time on record.
    """

    trial: Trial
    start: float
    end: float


def spans(opt: Optimizer) -> list[Span]:
    """When each trial was under way, in order of asking; trials that were added, or have no times, are left out."""
    trials = sorted([*opt.history, *opt.pending], key=lambda trial: trial.id)
    timed = [trial for trial in trials if trial.asked_at is not None]
    if not timed:
        return []
    starts = [trial.asked_at or 0.0 for trial in timed]
    first = min(starts)
    last = max([*starts, *(trial.told_at for trial in timed if trial.told_at is not None)])
    return [
        Span(trial, start - first, max((trial.told_at or last) - first, start - first))
        for trial, start in zip(timed, starts, strict=True)
    ]
