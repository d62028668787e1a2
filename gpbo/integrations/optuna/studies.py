"""Studies carried over: gpbo's to Optuna, for its dashboard and plots, and Optuna's to gpbo."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from gpbo.errors import ArgumentError, SpaceError
from gpbo.integrations.optuna.axes import choice, distribution
from gpbo.optimizer import Optimizer
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.space import Space
from gpbo.trials import Trial

_MOST_LEVELS = 10_000
_STATES = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL, "pending": TrialState.RUNNING}


def to_optuna(
    optimizer: Optimizer, storage: str | optuna.storages.BaseStorage | None = None, study_name: str | None = None
) -> optuna.Study:
    """Write a study that Optuna's dashboard and plots can show.

    Trials keep their order and outcome; those that are pending are running there, and forgotten ones are left out.
    A choice that is a tuple, or equal to another as 1 and True are, is written as its ``repr``.

    Args:
        optimizer: What is written. It does not change.
        storage: An Optuna storage, or its URL; None for memory.
        study_name: Name of the new study; chosen by Optuna when None.

    Raises:
        optuna.exceptions.DuplicatedStudyError: If there is a study of that name.

    Example:
        >>> import gpbo
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
        >>> opt.tell(opt.ask(2), [3.0, 2.0])
        >>> gpbo.to_optuna(opt).best_value
        2.0
    """
    direction = StudyDirection[optimizer.direction.upper()]
    study = optuna.create_study(storage=storage, study_name=study_name, direction=direction)
    distributions = {name: distribution(parameter) for name, parameter in optimizer.space.items()}
    trials = sorted([*optimizer.history, *optimizer.pending], key=lambda trial: trial.id)
    study.add_trials([_frozen(optimizer.space, trial, distributions) for trial in trials])
    return study


def _frozen(space: Space, trial: Trial, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    attributes: dict[str, Any] = {"gpbo_id": trial.id}
    attributes |= {} if trial.noise is None else {"noise": trial.noise}
    attributes |= {"reason": trial.reason} if trial.reason else {}
    params = trial.params
    for name, parameter in space.items():
        if isinstance(parameter, Categorical):
            params[name] = choice(parameter, params[name])
    return create_trial(
        state=_STATES[trial.state],
        value=trial.value,
        params=params,
        distributions=distributions,
        user_attrs=attributes,
    )


def from_optuna(study: optuna.Study, **settings: Any) -> Optimizer:
    """An optimizer that starts from the completed and failed trials of a study.

    The space is that of the parameters which every completed trial has had, with the same range. Running, waiting and
    pruned trials are left out.

    Args:
        study: Has one objective.
        settings: As for :class:`gpbo.Optimizer`, apart from the space and the direction.

    Raises:
        ArgumentError: If the study has several objectives, no completed trial, or no parameter common to all; or if a
            range or a choice is one that gpbo does not have.
    """
    if len(study.directions) > 1:
        raise ArgumentError(f"from_optuna: gpbo has one objective, and the study has {len(study.directions)}.")
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    common = intersection_search_space(complete)
    if not common:
        found = "no parameter is common to its completed trials" if complete else "it has no completed trial"
        raise ArgumentError(
            f"from_optuna: there is no search space to be learnt from study {study.study_name!r}: {found}."
        )
    space = {name: _parameter(name, each) for name, each in common.items()}
    optimizer = Optimizer(space, direction=study.direction.name.lower(), **settings)
    points: list[dict[str, Any]] = []
    values: list[float] = []
    for trial in trials:
        point = {name: trial.params[name] for name in common if name in trial.params}
        if optimizer.space.contains(point):
            points.append(point)
            values.append(trial.value if trial.value is not None else math.nan)
    optimizer.add(points, values)
    return optimizer


def _parameter(name: str, distribution: BaseDistribution) -> Parameter:
    """The parameter for a distribution of Optuna's.

    Raises:
        ArgumentError: If there is none.
    """
    try:
        if isinstance(distribution, FloatDistribution):
            return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        if isinstance(distribution, CategoricalDistribution):
            return Categorical(distribution.choices)
        if isinstance(distribution, IntDistribution) and distribution.step == 1:
            return Int(distribution.low, distribution.high, log=distribution.log)
        if isinstance(distribution, IntDistribution):
            levels = range(distribution.low, distribution.high + 1, distribution.step)
            if len(levels) > _MOST_LEVELS:
                raise SpaceError(f"is {distribution!r}, with too many levels; gpbo's integers have no step.")
            return Categorical(levels, ordered=True)
    except ValueError as error:
        raise ArgumentError(f"from_optuna: parameter {name!r}: {error}") from None
    raise ArgumentError(f"from_optuna: parameter {name!r} has an unknown distribution, {distribution!r}.")
