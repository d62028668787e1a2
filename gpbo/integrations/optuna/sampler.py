"""The engine as an Optuna sampler."""

from __future__ import annotations

import json
import logging
import math
import secrets
import statistics
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gpbo import intake
from gpbo.errors import ArgumentError
from gpbo.integrations.mirror import Mirror, Outcome
from gpbo.integrations.optuna.axes import Axes
from gpbo.space import Codes
from gpbo.strategy import Settings

_logger = logging.getLogger(__name__)

_ATTRIBUTE = "gpbo:params"
_LONGEST_ATTRIBUTE = 2000  # Optuna's databases hold 2046 characters
_KEPT = 8  # models kept at a time: one per search space of a study
_MOST = 1_000_000


class GPBOSampler(BaseSampler):
    """Suggests parameters with gpbo's Gaussian process; for studies with one objective and without constraints.

    All parameters that every completed trial has had, with the same range, are searched together. The first trial, and
    parameters that depend on others or change their range, are sampled by ``independent_sampler``, as with Optuna's own
    samplers. Trials that run, in this process or another, are taken into account. A failed trial's point is not
    suggested again. A pruned trial counts with its last report, but not as better than the median of the completed
    trials at that moment; without a report it counts as failed.

    Args:
        seed: Suggestions depend on it and on the study. Drawn at random when None.
        n_startup_trials: Trials that fill the space before the first of the model's; chosen by the engine when None.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        batch_size: Points that are planned together and handed out one by one. With as many workers, every round of
            results is answered by points that were chosen as a batch.
        kernel: As for ``gpbo.Optimizer``.
        independent_sampler: Samples what cannot be searched together; Optuna's ``RandomSampler`` when None.
        warn_independent_sampling: Whether to log a warning when it does so after the first trial.

    Raises:
        ArgumentError: If an argument is invalid.

    Example:
        >>> import optuna
        >>> from gpbo.integrations.optuna import GPBOSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=GPBOSampler(seed=0))
        >>> study.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=15)
        >>> abs(study.best_params["x"] - 0.3) < 0.02
        True
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        device: str = "auto",
        batch_size: int = 1,
        kernel: str = "auto",
        independent_sampler: BaseSampler | None = None,
        warn_independent_sampling: bool = True,
    ) -> None:
        self._seed = secrets.randbits(32) if seed is None else intake.whole("seed", seed, 0, 2**32 - 1)
        if n_startup_trials is not None:
            n_startup_trials = max(intake.whole("n_startup_trials", n_startup_trials, 0, _MOST), 1)
        self._settings = Settings(kernel=kernel, n_initial=n_startup_trials, device=str(device))
        self._batch_size = intake.whole("batch_size", batch_size, 1, _MOST)
        self._independent = independent_sampler or RandomSampler(seed=self._seed)
        self._warn = warn_independent_sampling
        self._shift = 0  # of the random streams, once this is the copy of a sampler in another worker
        self._lock = threading.Lock()
        self._followers: list[_Follower] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without the models, which are built again from the study."""
        return {**self.__dict__, "_lock": None, "_followers": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def reseed_rng(self) -> None:
        """Called by Optuna in each of its workers, which would otherwise draw the same random numbers."""
        self._shift = secrets.randbits(40)
        self._independent.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that every completed trial has had, with the same range; see Optuna."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return Axes(intersection_search_space(complete)).distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for all parameters of ``search_space``, chosen together; see Optuna.

        Raises:
            ArgumentError: If the study has several objectives, or constraints.
        """
        _check_single(study)
        axes = Axes(search_space)
        fixed = trial.system_attrs.get("fixed_params", {})
        if not len(axes) or axes.distributions.keys() <= fixed.keys():
            return {}
        with self._lock:
            values = self._follower(study, axes).next(study, trial.number, trial.number + self._shift)
        text = json.dumps(values)
        for start in range(0, len(text), _LONGEST_ATTRIBUTE):  # tells other processes, before the trial gets going
            name = f"{_ATTRIBUTE}:{start // _LONGEST_ATTRIBUTE}"
            study._storage.set_trial_system_attr(trial._trial_id, name, text[start : start + _LONGEST_ATTRIBUTE])
        return axes.outward(values)

    def _follower(self, study: Study, axes: Axes) -> _Follower:
        """The model of this search space, the last used one first."""
        for index, one in enumerate(self._followers):
            if one.is_of(study, axes):
                self._followers.insert(0, self._followers.pop(index))
                return one
        self._followers.insert(0, _Follower(study, axes, self._settings, self._seed, self._batch_size))
        del self._followers[_KEPT:]
        return self._followers[0]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value for one parameter; see Optuna.

        Raises:
            ArgumentError: If the study has several objectives.
        """
        _check_single(study)
        if self._warn and study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            _logger.warning(
                f"The parameter {param_name!r} of trial {trial.number} is sampled by "
                f"{type(self._independent).__name__}: not every completed trial has had it, with this range. "
                "Pass warn_independent_sampling=False to GPBOSampler to silence this."
            )
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self._independent.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """See Optuna."""
        self._independent.after_trial(study, trial, state, values)


class _Follower:
    """The model of one search space of one study, and the points planned for it."""

    def __init__(self, study: Study, axes: Axes, settings: Settings, seed: int, batch_size: int) -> None:
        self._place, self._axes, self._batch_size = _place(study), axes, batch_size
        self._maximize = study.direction == StudyDirection.MAXIMIZE
        self._space = axes.space()
        self._mirror = Mirror(self._space, self._maximize, settings, seed)
        self._planned: deque[tuple[Hashable, Codes]] = deque()

    def is_of(self, study: Study, axes: Axes) -> bool:
        """Whether this is the model for that search space of that study."""
        mine, theirs = self._place, _place(study)
        return mine[0] is theirs[0] and mine[1:] == theirs[1:] and self._axes == axes

    def next(self, study: Study, number: int, stream: int) -> dict[str, Any]:
        """The point for the trial with this number, as gpbo's values."""
        trials = study.get_trials(deepcopy=False)
        running: dict[Hashable, Codes] = {}
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.number != number:
                codes = self._axes.codes(self._space, self._values(trial))
                if codes is not None:
                    running[trial.number] = codes
        self._mirror.follow({**running, **dict(self._planned)}, self._ended(trials))
        busy = set(running.values())
        while self._planned:
            key, codes = self._planned.popleft()
            if codes not in busy and not self._mirror.tried(codes):  # by another process, which plans for itself
                self._mirror.rename(key, number)
                return self._space.params([codes])[0]
        keys: list[Hashable] = [number, *(("planned", number, i) for i in range(1, self._batch_size))]
        first, *later = self._mirror.suggest(keys, stream)
        self._planned.extend(zip(keys[1:], later, strict=True))
        return self._space.params([first])[0]

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        """What is known of the point of a trial that runs, as gpbo's values: as suggested, as enqueued, as used."""
        text, part = "", 0
        while (more := trial.system_attrs.get(f"{_ATTRIBUTE}:{part}")) is not None:
            text, part = text + more, part + 1
        values: dict[str, Any] = json.loads(text) if text else {}
        for known in (trial.system_attrs.get("fixed_params", {}), trial.params):
            try:
                values |= self._axes.inward(known)
            except (TypeError, ValueError):
                return {}
        return values

    def _ended(self, trials: list[FrozenTrial]) -> list[Outcome]:
        """What ended since the last look, in order of the trials' numbers."""
        fresh = [trial for trial in trials if trial.state.is_finished() and trial.number not in self._mirror]
        if any(name.startswith("constraints") for trial in fresh for name in trial.system_attrs):
            raise ArgumentError("GPBOSampler does not support constraints; use optuna.samplers.GPSampler for them.")
        median = math.nan
        if any(trial.state == TrialState.PRUNED for trial in fresh):
            values = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
            median = statistics.median(values) if values else math.nan
        outcomes = []
        for trial in fresh:
            codes = self._axes.codes_outside(self._space, trial.params)
            if codes is not None:
                value = self._value(trial, median)
                finite = value is not None and math.isfinite(value)
                reason = "" if finite else f"{trial.state.name}, value {value}"
                outcomes.append(Outcome(trial.number, codes, value if finite else None, reason))
        return outcomes

    def _value(self, trial: FrozenTrial, median: float) -> float | None:
        if trial.state == TrialState.COMPLETE:
            return trial.value
        if trial.state == TrialState.FAIL or trial.last_step is None:
            return None
        last = trial.intermediate_values[trial.last_step]
        return min(last, median) if self._maximize else max(last, median)


def _place(study: Study) -> tuple[Any, int, Any]:
    """What tells studies apart; Hyperband shows each of its brackets as a study of its own."""
    return study._storage, study._study_id, getattr(study, "_bracket_id", None)


def _check_single(study: Study) -> None:
    if len(study.directions) > 1:
        raise ArgumentError(
            f"GPBOSampler is for studies with one objective, and this one has {len(study.directions)}; "
            "use optuna.samplers.GPSampler or NSGAIISampler, or combine the objectives into one."
        )
