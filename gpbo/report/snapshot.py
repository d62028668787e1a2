"""The study that a page is about, read once: trials are made anew from the record each time they are asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer
    from gpbo.trials import Trial


class Snapshot:
    """Stands in for an optimizer whose trials do not change while a page is made of them.

    Args:
        opt: What it stands for, which does everything that is not answered here.
    """

    def __init__(self, opt: Optimizer) -> None:
        self._opt = opt
        self.asks = opt.asks
        self.history, self.pending = tuple(opt.history), tuple(opt.pending)
        self._by_id = {trial.id: trial for trial in (*self.history, *self.pending)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opt, name)

    def trial(self, trial_id: int) -> Trial:
        """The trial with this id; one that was forgotten is not among those that were read."""
        return self._by_id.get(trial_id) or self._opt.trial(trial_id)

    def leave_one_out(self) -> tuple[Any, Any, Any]:
        """Of the trials that were read, even if others have been told since."""
        mean, sd, z = self._predictions
        n = sum(trial.state == "complete" for trial in self.history)
        return mean[:n], sd[:n], z[:n]

    @cached_property
    def _predictions(self) -> tuple[Any, Any, Any]:
        return self._opt.leave_one_out()


def snapshot(opt: Optimizer) -> Optimizer:
    """What pictures and findings take for the optimizer."""
    return cast("Optimizer", Snapshot(opt))
