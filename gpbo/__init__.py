"""Bayesian optimization: a Gaussian process behind a thin ask/tell interface.

Names are loaded when they are first used, so that ``import gpbo`` stays cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpbo.errors import (
        ArgumentError,
        ArgumentTypeError,
        CorruptStudyError,
        DeviceError,
        FailedTrialWarning,
        GpboError,
        NotReadyError,
        SpaceError,
        SpaceExhausted,
        SpaceTypeError,
        StorageError,
        StudyMismatchError,
        StudyNotFoundError,
        StudyVersionError,
        TellError,
        TellTypeError,
        TrialStateError,
        UnknownTrialError,
        WorkerReplacedError,
    )
    from gpbo.integrations.hyperopt import from_hyperopt as from_hyperopt
    from gpbo.integrations.optuna import from_optuna as from_optuna
    from gpbo.integrations.optuna import to_optuna as to_optuna
    from gpbo.loop import minimize
    from gpbo.optimizer import Optimizer
    from gpbo.parameters import Categorical, Float, Int
    from gpbo.space import Space
    from gpbo.strategy import AskReport
    from gpbo.trials import Batch, Trial, Trials

__version__ = "0.1.0"

_HOME = {
    "ArgumentError": "errors",
    "ArgumentTypeError": "errors",
    "AskReport": "strategy",
    "Batch": "trials",
    "Categorical": "parameters",
    "CorruptStudyError": "errors",
    "DeviceError": "errors",
    "FailedTrialWarning": "errors",
    "Float": "parameters",
    "GpboError": "errors",
    "Int": "parameters",
    "NotReadyError": "errors",
    "Optimizer": "optimizer",
    "Space": "space",
    "SpaceError": "errors",
    "SpaceExhausted": "errors",
    "SpaceTypeError": "errors",
    "StorageError": "errors",
    "StudyMismatchError": "errors",
    "StudyNotFoundError": "errors",
    "StudyVersionError": "errors",
    "TellError": "errors",
    "TellTypeError": "errors",
    "Trial": "trials",
    "TrialStateError": "errors",
    "Trials": "trials",
    "UnknownTrialError": "errors",
    "WorkerReplacedError": "errors",
    "from_hyperopt": "integrations.hyperopt",
    "from_optuna": "integrations.optuna",
    "minimize": "loop",
    "to_optuna": "integrations.optuna",
}

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "AskReport",
    "Batch",
    "Categorical",
    "CorruptStudyError",
    "DeviceError",
    "FailedTrialWarning",
    "Float",
    "GpboError",
    "Int",
    "NotReadyError",
    "Optimizer",
    "Space",
    "SpaceError",
    "SpaceExhausted",
    "SpaceTypeError",
    "StorageError",
    "StudyMismatchError",
    "StudyNotFoundError",
    "StudyVersionError",
    "TellError",
    "TellTypeError",
    "Trial",
    "TrialStateError",
    "Trials",
    "UnknownTrialError",
    "WorkerReplacedError",
    "minimize",
]  # what needs an optional package is not among them, so that "from gpbo import *" works without


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gpbo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gpbo.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
