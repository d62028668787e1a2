"""The policy: from what is known to the next suggestions. The only layer that knows the whole pipeline."""

from gpbo.strategy.choice import make_strategy
from gpbo.strategy.policy import Strategy
from gpbo.strategy.settings import AskReport, Settings

__all__ = ["AskReport", "Settings", "Strategy", "make_strategy"]
