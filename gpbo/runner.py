"""A run of ``minimize``: keeps evaluations going, records how they end, and knows when to stop."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from gpbo.errors import SpaceExhausted
from gpbo.evaluation import Evaluation, evaluate
from gpbo.locks import interrupts_deferred
from gpbo.optimizer import Optimizer
from gpbo.progress import Progress
from gpbo.supply import Pace, Supply
from gpbo.trials import Batch, Trial

Callback: TypeAlias = Callable[[Optimizer, Sequence[Trial]], object]

_BROKEN_AFTER = 3  # an executor that raises this often, and never delivers, is taken to be broken
_GRACE = 5.0  # seconds beyond twice the limit after which an evaluation that a worker cannot end is given up
_MANY = 16  # workers whose waiting for the first model would be felt
_POLL_SECONDS = 0.2  # how soon a wait notices the time limit, and Ctrl-C where waiting blocks it


class Executor(Protocol):
    """Where evaluations run: anything with the ``submit`` of PEP 3148."""

    def submit(self, f: Callable[..., Any], /, *args: Any) -> Any:
        """A future with ``result``, ``cancel``, and ``add_done_callback`` or ``done``."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do; see ``minimize`` for the meaning of each."""

    f: Callable[[Any], Any]
    n: int
    batch: int
    executor: Executor | None
    callbacks: tuple[Callback, ...]
    catch: tuple[type[Exception], ...]
    timeout: float
    target: float | None
    limit: float | None = None
    retries: int = 0


class Run:
    """One run. ``go`` does it; the attributes tell how it went.

    Attributes:
        done: Evaluations that ended, well or not.
        success: Whether the run came to an end it was meant to have.
        message: Why it ended.
        seconds_objective: Time spent in the objective, all workers together.
        seconds_suggest: Time spent in asking.
    """

    def __init__(self, plan: Plan, optimizer: Optimizer, progress: Progress) -> None:
        self._plan, self._optimizer, self._progress = plan, optimizer, progress
        self._started = 0
        self._open: set[int] = set()  # ids asked for and not settled: released at the end
        self._running: dict[int, Any] = {}  # futures by trial id
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._silent: set[int] = set()  # those whose future does not call back and has to be looked at
        self._begun: dict[int, float] = {}  # when each was first seen to run
        self._looked = 0.0
        self._last_suggest = 0.0  # seconds
        self._pace = Pace(plan.batch)
        self._lost: Counter[int] = Counter()  # how often each was lost with its worker
        self._delivered = False
        self._executor_errors = 0
        self._first_reason = ""
        self._deadline = time.monotonic() + plan.timeout
        self.done = 0
        self.success = True
        self.message = ""
        self.seconds_objective = 0.0
        self.seconds_suggest = 0.0

    def go(self) -> None:
        """Run to the end, whatever it is, and leave nothing pending behind."""
        try:
            self._show()
            if self._plan.executor is None:
                self._evaluate_here()
            else:
                self._evaluate_elsewhere(self._plan.executor)
        except KeyboardInterrupt:
            self._keep_what_ended()
            self._stop(f"interrupted after {self.done} evaluations", success=False)
        finally:
            self._release()
            self._progress.close()
        if not self.message:
            self.message = f"{self.done} evaluations done"
        if self.done and self._first_reason and not self._any_value():
            self.success = False
            self.message += f"; none succeeded, the first because: {self._first_reason}"

    def _evaluate_here(self) -> None:
        while self.done < self._plan.n and not self._over():
            for trial in self._suggest(min(self._plan.batch, self._plan.n - self.done)):
                if self._over():
                    return
                self._settle(trial.id, evaluate(self._plan.f, self._point(trial), self._plan.catch, self._plan.limit))

    def _evaluate_elsewhere(self, executor: Executor) -> None:
        self._supply = Supply(self._plan.batch, partial(self._submit, executor))
        try:
            self._refill()
            if self._plan.batch >= _MANY:
                with interrupts_deferred():
                    self._optimizer._prepare(self._plan.n)  # while the first evaluations run
            while self._running:
                try:
                    self._collect(*self._ended.get(timeout=_POLL_SECONDS))
                    while not self._ended.empty():  # what ended together is replaced together
                        self._collect(*self._ended.get_nowait())
                except queue.Empty:
                    pass
                self._look()
                if self._over():
                    self._supply.close()
                    self._cancel_waiting()
                else:
                    self._refill()
            if self._started < self._plan.n and not self._over():
                self._stop("no worker is left: evaluations that took too long keep them all", success=False)
        finally:
            self._supply.close()

    def _refill(self) -> None:
        """Have ``batch`` evaluations running again, and points prepared if suggesting takes long."""
        self._supply.feed()
        evaluation = self.seconds_objective / self.done if self.done else 0.0
        wanted = min(
            self._supply.wanted(evaluation, self._pace.stock * self._last_suggest), self._plan.n - self._started
        )
        if wanted > 0 and not self._over():
            start = time.monotonic()
            hurry = self._pace.hurry(evaluation)
            if (
                hurry and 2 * self._supply.idle > self._plan.batch
            ):  # half of those that wait are served before the others
                wanted = min(wanted, (self._supply.idle + 1) // 2)
            trials = self._suggest(wanted, hurry)
            report = self._optimizer.last_ask
            if report is not None and report.kernel and not hurry:  # points of the start say nothing of what comes
                self._pace.note(len(trials), time.monotonic() - start)
            self._started += len(trials)
            self._supply.put(trials)

    def _submit(self, executor: Executor, trial: Trial) -> bool:
        """Hand one evaluation to the executor; False, and a stop, if it takes none."""
        try:
            future = executor.submit(evaluate, self._plan.f, self._point(trial), self._plan.catch, self._plan.limit)
        except Exception as error:
            self._stop(f"the executor takes no work: {type(error).__name__}: {error}", success=False)
            return False
        self._running[trial.id] = future
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(partial(self._note, trial.id))
        else:
            self._silent.add(trial.id)
        return True

    def _note(self, trial_id: int, future: Any) -> None:
        self._ended.put((trial_id, future))
        self._supply.freed()

    def _look(self) -> None:
        """See after the evaluations that do not call back, and after those that no signal could end in time."""
        now = time.monotonic()
        if now < self._looked + _POLL_SECONDS:
            return
        self._looked = now
        for trial_id in sorted(self._silent):
            if self._running[trial_id].done():
                self._silent.discard(trial_id)
                self._note(trial_id, self._running[trial_id])
        if self._plan.limit is None:
            return
        for trial_id, future in list(self._running.items()):
            if hasattr(future, "running") and future.running():
                over = now - self._begun.setdefault(trial_id, now) - self._plan.limit
                if over > _GRACE + self._plan.limit:
                    del self._running[trial_id]
                    reason = f"no result after {self._plan.limit:g} s; its worker does not come back"
                    self._settle(trial_id, Evaluation(None, reason=reason))

    def _collect(self, trial_id: int, future: Any) -> None:
        """Record how an evaluation elsewhere ended, or have it done again if it was lost with its worker."""
        if trial_id not in self._running or self._running[trial_id] is not future:
            return
        del self._running[trial_id]
        try:
            evaluation = future.result()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # cancellation is no Exception in asyncio and Dask
            if any(kind.__name__ == "CancelledError" for kind in type(error).__mro__):
                return  # it says nothing about the point, which is released at the end
            trouble = f"{type(error).__name__}: {error}"
            self._executor_errors += 1
            never_worked = not self._delivered and self._executor_errors >= _BROKEN_AFTER
            if isinstance(error, BrokenExecutor) or never_worked:
                self._stop(f"the executor failed: {trouble}", success=False)
            self._lost[trial_id] += 1
            if self._lost[trial_id] <= self._plan.retries and not self._over():
                self._supply.put([self._optimizer.trial(trial_id)], first=True)
                return
            self._settle(trial_id, Evaluation(None, reason=f"the executor failed: {trouble}"))
            return
        self._delivered = True
        self._settle(trial_id, evaluation)

    def _suggest(self, q: int, hurry: bool = False) -> Sequence[Trial]:
        """Up to ``q`` new trials; none, and a stop, when the space is exhausted."""
        start = time.monotonic()
        with interrupts_deferred():
            trials: Batch | tuple[Trial, ...] = ()
            try:
                trials = self._optimizer.ask(q, hurry=hurry)
            except SpaceExhausted as exhausted:
                if exhausted.left:
                    trials = self._optimizer.ask(exhausted.left, hurry=hurry)
                else:
                    self._stop("the space is exhausted: every point was tried")
            self._open.update(trial.id for trial in trials)
            self._last_suggest = time.monotonic() - start
            self.seconds_suggest += self._last_suggest
        return trials

    def _settle(self, trial_id: int, evaluation: Evaluation) -> None:
        """Record an outcome, show it, and see what it means for the run."""
        self._keep(trial_id, evaluation)
        self._show()
        if evaluation.error is not None:
            raise evaluation.error
        value, target = evaluation.value, self._plan.target
        if value is not None and target is not None:
            reached = value <= target if self._optimizer.direction == "minimize" else value >= target
            if reached:
                self._stop(f"target reached: {value!r}")
        trials = [self._optimizer.trial(trial_id)]
        for callback in self._plan.callbacks:
            try:
                callback(self._optimizer, trials)
            except StopIteration as stop:
                self._stop(f"stopped by a callback{f': {stop}' if str(stop) else ''}")

    def _keep(self, trial_id: int, evaluation: Evaluation) -> None:
        with interrupts_deferred():
            if evaluation.value is None:
                self._optimizer.fail(trial_id, evaluation.reason)
                self._first_reason = self._first_reason or evaluation.reason.strip().rpartition("\n")[2]
            else:
                self._optimizer.tell(trial_id, evaluation.value, evaluation.noise)
            self._open.discard(trial_id)
            self.done += 1
            self.seconds_objective += evaluation.seconds

    def _keep_what_ended(self) -> None:
        """After Ctrl-C: record the evaluations that ended, wait for none."""
        while not self._ended.empty():
            trial_id, future = self._ended.get_nowait()
            if self._running.pop(trial_id, None) is None:
                continue
            try:
                evaluation = future.result()
            except BaseException:  # Ctrl-C reaches the workers too; whatever it did to them is no result
                continue
            self._keep(trial_id, evaluation)

    def _cancel_waiting(self) -> None:
        """Take back what no worker has begun; wait for the rest."""
        for trial_id, future in list(self._running.items()):
            # A future that cannot tell whether it runs, such as Dask's, would be cancelled amid its evaluation.
            if hasattr(future, "running") and future.cancel() is True:
                self._running.pop(trial_id, None)

    def _release(self) -> None:
        for future in list(self._running.values()):
            future.cancel()
        with interrupts_deferred():
            self._optimizer.forget([trial_id for trial_id in self._optimizer.pending.ids if trial_id in self._open])

    def _over(self) -> bool:
        if not self.message and time.monotonic() >= self._deadline:
            self._stop(f"time limit of {self._plan.timeout:g} s reached after {self.done} evaluations")
        return bool(self.message)

    def _stop(self, message: str, success: bool = True) -> None:
        """Start nothing new. The first reason to stop is the one that is told, except that trouble is always told."""
        if not self.message or (self.success and not success):
            self.message, self.success = message, success

    def _point(self, trial: Trial) -> Any:
        return trial.x.copy() if self._optimizer.space.unnamed else trial.params

    def _any_value(self) -> bool:
        return any(trial.state == "complete" for trial in self._optimizer.history)

    def _show(self) -> None:
        self._progress.update(
            self._optimizer, self.done, len(self._running), self.seconds_objective, self.seconds_suggest
        )
