"""Which strategy a name means."""

from gpbo.space import Space
from gpbo.strategy.baselines import baseline
from gpbo.strategy.policy import Strategy
from gpbo.strategy.settings import Settings


def make_strategy(space: Space, settings: Settings, seed: int) -> Strategy:
    """The engine, or the baseline that ``settings`` name.

    Raises:
        ArgumentError: If the baseline needs a package that is not installed, or the device is not there.
    """
    made = Strategy if settings.strategy == "auto" else baseline(settings.strategy)
    return made(space, settings, seed)
