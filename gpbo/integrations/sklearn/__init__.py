"""gpbo within scikit-learn: hyperparameter search in place of ``RandomizedSearchCV``."""

from gpbo.integrations.sklearn.search import BayesSearchCV

__all__ = ["BayesSearchCV"]
