"""gpbo within Ray Tune: a search algorithm."""

from gpbo.integrations.ray.search import GPBOSearch

__all__ = ["GPBOSearch"]
