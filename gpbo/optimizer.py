"""The ask/tell optimizer: what most users hold in their hands."""

import secrets
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpbo import intake, persistence
from gpbo.errors import (
    ArgumentError,
    ArgumentTypeError,
    FailedTrialWarning,
    NotReadyError,
    SpaceExhausted,
    TellTypeError,
)
from gpbo.journal import Journal
from gpbo.ledger import Ask, Ledger
from gpbo.locks import StudyLock, interrupts_deferred
from gpbo.markup import table
from gpbo.scalars import shown
from gpbo.space import Codes, Parameter, Space
from gpbo.trials import Batch, Trial, Trials

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import torch
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models import SingleTaskGP

    from gpbo.storage import Study
    from gpbo.strategy import AskReport, Settings, Strategy

Floats = NDArray[np.float64]

_MAX_BATCH = 1_000_000


class Optimizer:
    """Suggests points of a space to evaluate, and learns from the values told.

    Threads may share an optimizer; suggestions never repeat. The sign of the objective is settled here: everything
    below maximises.

    Args:
        space: The search space, or a dict from name to parameter.
        direction: "minimize" or "maximize".
        seed: Suggestions depend on this number and on what was told, on nothing else. Drawn at random when None.
        n_initial: Space-filling points before the first of the model's; chosen by the engine when None. Those that take
            turns with the model's up to three points a parameter, or 24, stay.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        kernel: Covariance of the Gaussian process; chosen by the engine when "auto".
        strategy: How points are chosen: "auto" is the engine. For comparisons, "grid", "random" and "sobol" look at no
            result; "cmaes", "genetic" and "tpe" need the extra package that an error names. Predictions are the
            engine's in all cases.
        memory_limit: What models and searches may take together, in bytes or as "2 GB"; None for what is free. Large
            steps are cut into pieces that fit, and a factor that does not fit holds a part of the observations.
        exact_limit: Observations up to which the model of the whole space holds all of them, from 4,000 to 50,000;
            beyond, it holds 4,000. A factor of n observations takes 8 n^2 bytes (20 GB at 50,000), more than twice that
            while it grows, and n^3 / 3 multiplications (a GPU's work).
        storage: Path of an SQLite file, or URL ``postgresql://...``, where everything is recorded before a call
            returns. A study that is there already is continued. None keeps the study in memory.
        study: Name of the study there.
        worker: Name of this process among those that share the study. One that comes back under its name is handed
            its own pending trials first.
        lease: Seconds after which the pending trials of this process are handed to others, once it shows no sign of
            life; None for never.

    Raises:
        SpaceError: If ``space`` is not a valid space.
        ArgumentError: If another argument is invalid.
        StudyMismatchError: If the stored study has another space, direction or setting; says which.
        StorageError: If the study cannot be stored; says why and what to do.

    Attributes:
        space: The search space.
        direction: "minimize" or "maximize".
        seed: The seed, also when it was drawn.
        last_ask: What the last ask did; None before the first.

    Example:
        >>> import gpbo
        >>> opt = gpbo.Optimizer({"x": gpbo.Float(-1, 1)}, seed=0)
        >>> for _ in range(3):
        ...     batch = opt.ask()
        ...     opt.tell(batch, [x["x"] ** 2 for x in batch.params])
        >>> len(opt.history)
        3
    """

    def __init__(
        self,
        space: Space | Mapping[str, Parameter],
        direction: str = "minimize",
        seed: int | None = None,
        *,
        n_initial: int | None = None,
        device: "str | torch.device" = "auto",
        kernel: str = "auto",
        strategy: str = "auto",
        memory_limit: int | str | None = None,
        exact_limit: int = 20_000,
        storage: "str | os.PathLike[str] | None" = None,
        study: str = "default",
        worker: str | None = None,
        lease: float | None = None,
    ) -> None:
        self.space = space if isinstance(space, Space) else Space(space)
        if not isinstance(direction, str):
            raise ArgumentTypeError(f"direction must be 'minimize' or 'maximize', got {shown(direction)}.")
        if direction not in ("minimize", "maximize"):
            raise ArgumentError(f"direction must be 'minimize' or 'maximize', got {direction!r}.")
        self.direction = direction
        self.seed = secrets.randbits(32) if seed is None else intake.whole("seed", seed, 0, 2**63 - 1)
        if n_initial is not None:
            n_initial = intake.whole("n_initial", n_initial, 1, _MAX_BATCH)
        settings = _settings(strategy, kernel, n_initial, str(device), memory_limit, exact_limit)
        described = (self.space, direction, self.seed, n_initial, kernel, str(device), strategy)
        stored = None
        if storage is not None:
            stored = persistence.enter(storage, study, described, seed is not None, worker, lease)
            self.seed = stored.description.seed
        elif worker is not None or lease is not None or study != "default":
            raise ArgumentError("study, worker and lease belong to a stored study; pass storage= as well, or none.")
        self._start(settings, stored)

    @classmethod
    def open(
        cls,
        storage: "str | os.PathLike[str]",
        study: str = "default",
        *,
        worker: str | None = None,
        lease: float | None = None,
        device: "str | torch.device | None" = None,
        memory_limit: int | str | None = None,
        exact_limit: int = 20_000,
    ) -> "Optimizer":
        """Goes on with a stored study, exactly where it stopped: pending trials and random stream included.

        Args:
            storage: Path of the file, or URL ``postgresql://...``.
            study: Its name.
            worker: As for :class:`Optimizer`.
            lease: As for :class:`Optimizer`.
            device: Where to compute; None for what the study was made with.
            memory_limit: As for :class:`Optimizer`.
            exact_limit: As for :class:`Optimizer`.

        Raises:
            StudyNotFoundError: If there is no such study.
            StorageError: If it cannot be used, or is damaged; says why and what to do.
        """
        stored = persistence.reopen(storage, study, worker, lease)
        description = stored.description
        opened = cls.__new__(cls)
        opened.space, opened.direction, opened.seed = description.space, description.direction, description.seed
        place = description.device if device is None else str(device)
        chosen = description.strategy, description.kernel, description.n_initial
        settings = _settings(*chosen, place, memory_limit, exact_limit)
        opened._start(settings, stored)
        return opened

    def _start(self, settings: "Settings", stored: "Study | None") -> None:
        self._sign = 1.0 if self.direction == "maximize" else -1.0
        self._lock = StudyLock()
        self._ledger = Ledger(self.space, self._sign)
        self._strategy = _make_strategy(self.space, settings, self.seed)
        self._journal = Journal(self._ledger, self._strategy, self._lock, stored)
        self.last_ask: AskReport | None = None

    def __reduce__(self) -> Any:
        raise ArgumentTypeError(
            "An Optimizer is neither copied nor pickled. Store the study with storage= and open it again where it is "
            "needed, with Optimizer.open(); or take its history, which is pickled, or history.to_dataframe()."
        )

    def __repr__(self) -> str:
        with self._lock.reading():
            ledger = self._ledger
            counts = f"{len(ledger.complete)} complete, {len(ledger.failed)} failed, {len(ledger.pending)} pending"
            best = f"; best {self.best().value!r}" if ledger.complete else ""
        verb = "minimizing" if self.direction == "minimize" else "maximizing"
        names = "parameter" if len(self.space) == 1 else "parameters"
        return f"<Optimizer {verb} over {len(self.space)} {names}: {counts}{best}; seed {self.seed}>"

    def _repr_html_(self) -> str:
        with self._lock.reading():
            best = self.best() if self._ledger.complete else None
        return table(
            repr(self).strip("<>"),
            ["parameter", "values", "best"],
            [[name, parameter, None if best is None else best[name]] for name, parameter in self.space.items()],
        )

    def ask(self, q: int = 1, *, hurry: bool = False) -> Batch:
        """``q`` distinct new points, chosen in view of everything told and everything pending.

        Args:
            q: Number of points.
            hurry: Whether workers wait: several points then come from sample paths alone, which costs least, and each
                of them is worth a little less. Single points and small finite spaces are as ever.

        Raises:
            ArgumentError: If ``q`` is not a positive integer.
            SpaceExhausted: If a finite space holds fewer than ``q`` untried points; nothing changes then.
        """
        q = intake.whole("ask: q", q, 1, _MAX_BATCH)
        with self._lock.computing():
            ids = self._journal.hand_out(q, partial(self._suggest, hurry=bool(hurry)))
            with self._lock.reading():
                return self._batch(ids)

    def _prepare(self, evaluations: int) -> None:
        """Load what the first ask with a model would have to load; for when there is nothing else to do."""
        self._strategy.prepare(evaluations)

    def _suggest(self, q: int, hurry: bool) -> list[Codes]:
        """Codes of ``q`` new points."""
        with self._lock.reading():
            data = self._ledger.data()
            left = self._untried()
        if left is not None and q > left:
            total = self.space.cardinality
            raise SpaceExhausted(f"ask: {q} new points wanted, but {left} of the space's {total} are left.", left)
        state = self._strategy.carry_state()
        try:
            with interrupts_deferred():
                U, report = self._strategy.suggest(data, q, self._ledger.asks, hurry)
                codes = self.space.decode_codes(U)
        except BaseException:
            self._strategy.restore_state(state)
            raise
        self.last_ask = report
        assert len(set(codes)) == q, "the strategy repeated a point"
        return codes

    def tell(self, trials: "Batch | Trial | int | Sequence[Trial | int]", values: Any, noise: Any = None) -> None:
        """Report the outcomes of pending trials, in any order and number.

        Everything is checked before anything changes. A NaN or infinite value makes its trial failed, with one
        :class:`FailedTrialWarning` per call, given when all outcomes are recorded.

        Args:
            trials: A Batch or a slice of it, a Trial, an id, or several Trials or ids.
            values: One real number per trial: a float, a list, a NumPy array or a torch tensor, (q,) or (q, 1).
            noise: Standard deviations of the values, one per value or one for all; 0 marks an exact value among noisy
                ones. None: unknown.

        Raises:
            UnknownTrialError: If a trial was never handed out.
            TrialStateError: If a trial was told, failed or forgotten before.
            TellError: If the numbers of trials and values differ, a value is not a real number, a deviation is negative
                or not finite, or a trial is named twice.
        """
        with self._lock.computing(), self._journal.change() as record:
            ids = intake.pending_ids("tell", trials, self._ledger, self.space)
            found = intake.results(
                "tell", values, noise, len(ids), lambda i: intake.named(ids[i], self._ledger, self.space)
            )
            if ids:
                record({"kind": "tell", "ids": ids, **found})
        _warn_failed("tell", ids, found["reasons"])

    def fail(self, trials: "Batch | Trial | int | Sequence[Trial | int]", reason: str = "") -> None:
        """Report that pending trials have no outcome. They are never proposed again, and never fitted as a value.

        Raises:
            UnknownTrialError: If a trial was never handed out.
            TrialStateError: If a trial is not pending.
            TellError: If the reason is not a string, or a trial is named twice.
        """
        if not isinstance(reason, str):
            raise TellTypeError(f"fail: the reason must be a string, got {shown(reason)}.")
        with self._lock.computing(), self._journal.change() as record:
            ids = intake.pending_ids("fail", trials, self._ledger, self.space)
            if ids:
                none: list[float | None] = [None] * len(ids)
                reasons = [reason] * len(ids)
                record({"kind": "tell", "ids": ids, "values": none, "noise": none, "reasons": reasons})

    def forget(self, trials: "Batch | Trial | int | Sequence[Trial | int]") -> None:
        """Release pending trials: nobody will evaluate them. Their points may be proposed again.

        Raises:
            UnknownTrialError: If a trial was never handed out.
            TrialStateError: If a trial is not pending.
            TellError: If a trial is named twice.
        """
        with self._lock.computing(), self._journal.change() as record:
            ids = intake.pending_ids("forget", trials, self._ledger, self.space)
            if ids:
                record({"kind": "forget", "ids": ids})

    def add(self, params_or_x: Any, values: Any, noise: Any = None) -> Batch:
        """Record outcomes of points that were never asked for; a point may be there before, or twice.

        Args:
            params_or_x: A dict, a list of dicts, an array of shape (m, n_params) or (n_params,), or a data frame with
                a column per parameter.
            values: One real number per point, as in :meth:`tell`; NaN or infinite for a failed evaluation.
            noise: As in :meth:`tell`.

        Returns:
            The new trials, complete or failed.

        Raises:
            SpaceError: If a point does not lie in the space; names the parameter, the value and its bounds.
            TellError: If the values or deviations do not fit.
        """
        codes = intake.points("add", params_or_x, self.space)
        found = intake.results(
            "add", values, noise, len(codes), lambda i: f"point {i} {self.space.params([codes[i]])[0]!r}"
        )
        with self._lock.computing():
            with self._journal.change() as record:
                first = len(self._ledger.codes)
                if codes:
                    record({"kind": "add", "codes": codes, **found})
            with self._lock.reading():
                batch = self._batch(range(first, first + len(codes)))
        _warn_failed("add", batch.ids, found["reasons"])
        return batch

    def refresh(self) -> None:
        """Learn what other workers recorded, as every ask, tell, fail, forget and add does first.

        Raises:
            StorageError: If the database cannot be read.
        """
        with self._lock.computing():
            self._journal.refresh()

    def close(self) -> None:
        """Close the database, and give up the lease. A later call opens it again."""
        with self._lock.computing():
            self._journal.close()

    @property
    def history(self) -> Trials:
        """Complete and failed trials, in order of telling."""
        with self._lock.reading():
            return self._ledger.history()

    @property
    def pending(self) -> Trials:
        """Trials handed out and not told, failed or forgotten yet, in order of asking."""
        with self._lock.reading():
            ids = list(self._ledger.pending)
            return Trials(ids, len(ids), self._ledger.trial)

    @property
    def asks(self) -> list[Ask]:
        """Every ask on record, with the trials it handed out and what it took."""
        with self._lock.reading():
            return list(self._ledger.record_of_asks)

    def trial(self, trial_id: int) -> Trial:
        """The trial with this id, as it is now.

        Raises:
            UnknownTrialError: If there is none.
        """
        with self._lock.reading():
            return self._ledger.trial(intake.known_id("trial", trial_id, self._ledger, self.space))

    def best(self) -> Trial:
        """The complete trial with the best value; the first of them when several are equal.

        Raises:
            NotReadyError: If no trial is complete.
        """
        with self._lock.reading():
            self._need_values("best()")
            return self._ledger.trial(self._ledger.complete[int(np.argmax(self._ledger.data().y))])

    def recommend(self) -> Trial:
        """The complete trial with the best posterior mean, which noise misleads less than the best value.

        Raises:
            NotReadyError: If no trial is complete.
        """
        with self._lock.computing(), interrupts_deferred():
            self._need_values("recommend()")
            return self._ledger.trial(self._ledger.complete[self._strategy.recommend(self._ledger.data())])

    def predict(self, params_or_x: Any) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation of the objective, without observation noise.

        Args:
            params_or_x: Points, as in :meth:`add`.

        Returns:
            Mean and standard deviation, each of shape (m,), in the user's units and direction.

        Raises:
            SpaceError: If a point does not lie in the space.
            NotReadyError: If no trial is complete.
        """
        codes = intake.points("predict", params_or_x, self.space)
        with self._lock.computing(), interrupts_deferred():
            self._need_values("predict()")
            if not codes:
                return np.empty(0), np.empty(0)
            mean, std = self._strategy.predict(self._ledger.data(), self.space.encode_codes(codes))
            return self._sign * mean, std

    def leave_one_out(self) -> tuple[Floats, Floats, Floats]:
        """What the model says of each complete trial, in order of telling, from all the others.

        Returns:
            Means and standard deviations, noise included, in the user's units and direction; and the residuals in
            standard deviations on the model's own scale, which are about standard normal when the model is right; each
            of shape (n,).

        Raises:
            NotReadyError: If no trial is complete.
        """
        with self._lock.computing(), interrupts_deferred():
            self._need_values("leave_one_out()")
            mean, std, z = self._strategy.leave_one_out(self._ledger.data())
            return self._sign * mean, std, self._sign * z

    def report(self, path: "str | os.PathLike[str]", title: str = "Study") -> "Path":
        """Write a self-contained HTML page about the study: summary, pictures, trials, and what to make of them.

        Args:
            path: Of the file, which is replaced if it is there.
            title: Heading of the page.

        Returns:
            The path.

        Raises:
            ImportError: If plotly is not installed; it comes with ``gpbo[report]``.
        """
        import importlib

        # by name: the report is made of this class, which knows nothing else of it
        written: Path = importlib.import_module("gpbo.report").write(self, path, title)
        return written

    @property
    def model(self) -> "SingleTaskGP":
        """The fitted Gaussian process: unit cube in, standardized outcome out, which is maximised.

        Raises:
            NotReadyError: If no trial is complete.
        """
        with self._lock.computing(), interrupts_deferred():
            self._need_values("model")
            return self._strategy.model(self._ledger.data())

    def acquisition(self, q: int = 1) -> "AcquisitionFunction":
        """The acquisition function for ``q`` points, on :attr:`model`: unit cube in, shape (b, q, D) -> (b,).

        Raises:
            ArgumentError: If ``q`` is not a positive integer.
            NotReadyError: If no trial is complete.
        """
        q = intake.whole("acquisition: q", q, 1, _MAX_BATCH)
        with self._lock.computing(), interrupts_deferred():
            self._need_values("acquisition()")
            return self._strategy.acquisition(self._ledger.data(), q)

    def _batch(self, ids: Sequence[int]) -> Batch:
        codes = [self._ledger.codes[i] for i in ids]
        x, U = self.space.x_of_codes(codes), self._ledger.rows(ids)
        return Batch(self._ledger.trials(ids), x, U, self._strategy.device)

    def _untried(self) -> int | None:
        """How many points were never proposed or added; None if the space is infinite."""
        if self.space.cardinality is None:
            return None
        return max(self.space.cardinality - len(self._ledger.data().taken), 0)

    def _need_values(self, what: str) -> None:
        if not self._ledger.complete:
            failed = len(self._ledger.failed)
            found = f"all {failed} trials told have failed" if failed else "nothing was told yet"
            raise NotReadyError(
                f"{what} needs at least one complete trial, but {found}; tell() or add() a finite value."
            )


def _settings(
    strategy: str, kernel: str, n_initial: int | None, device: str, memory_limit: int | str | None, exact_limit: int
) -> "Settings":
    from gpbo.strategy import Settings

    limit = intake.memory("memory_limit", memory_limit)
    exact = intake.whole("exact_limit", exact_limit, 4_000, 50_000)
    return Settings(kernel, n_initial, device, strategy, limit, exact)


def _make_strategy(space: Space, settings: "Settings", seed: int) -> "Strategy":
    """The engine or a baseline, imported here: it loads BoTorch."""
    from gpbo.strategy import make_strategy

    return make_strategy(space, settings, seed)


def _warn_failed(call: str, ids: Sequence[int], reasons: Sequence[str]) -> None:
    failed = [(trial_id, reason) for trial_id, reason in zip(ids, reasons, strict=True) if reason]
    if failed:
        shown = ", ".join(f"trial {trial_id} ({reason})" for trial_id, reason in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        warnings.warn(f"{call}: recorded as failed: {shown}{more}.", FailedTrialWarning, stacklevel=3)
