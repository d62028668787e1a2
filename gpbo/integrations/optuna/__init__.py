"""gpbo within Optuna: a sampler, and studies carried over in both directions."""

from gpbo.integrations.optuna.sampler import GPBOSampler
from gpbo.integrations.optuna.studies import from_optuna, to_optuna

__all__ = ["GPBOSampler", "from_optuna", "to_optuna"]
