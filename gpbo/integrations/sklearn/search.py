"""The engine as a search of scikit-learn's."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from inspect import signature
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from gpbo.errors import ArgumentError, SpaceExhausted
from gpbo.integrations.sklearn.spaces import Dimensions, plans
from gpbo.optimizer import Optimizer
from gpbo.progress import Progress
from gpbo.space import Params
from gpbo.trials import Batch

Evaluate = Callable[..., dict[str, Any]]


class BayesSearchCV(BaseSearchCV):  # type: ignore[misc]
    """Search of hyperparameters with cross-validation, where gpbo suggests what to try.

    Used like ``RandomizedSearchCV``, whose results it shares (``best_params_``, ``cv_results_``, ...).

    Args:
        estimator: As for ``RandomizedSearchCV``.
        search_spaces: A dict from parameter name to what is searched: ``gpbo.Float``, ``gpbo.Int`` or
            ``gpbo.Categorical``; a list of choices, which may be any objects; a frozen SciPy distribution; or, as in
            scikit-optimize, a tuple (low, high) or (low, high, "log-uniform") or a dimension. Or a list of such dicts,
            which are searched one after the other, each alone or as (dict, number of candidates). Of an unbounded
            distribution all but a thousandth at either end is searched.
        n_iter: Number of candidates, of each space without a number of its own.
        n_points: Candidates suggested together and evaluated in one round, over all folds in parallel.
        scoring: As for ``RandomizedSearchCV``. Of several scores the one named by ``refit`` is maximised.
        n_jobs: As for ``RandomizedSearchCV``.
        refit: As for ``RandomizedSearchCV``.
        cv: As for ``RandomizedSearchCV``.
        verbose: As for ``RandomizedSearchCV``.
        pre_dispatch: As for ``RandomizedSearchCV``.
        random_state: As for ``RandomizedSearchCV``.
        error_score: As for ``RandomizedSearchCV``. A candidate whose score is not finite counts as failed.
        return_train_score: As for ``RandomizedSearchCV``.
        optimizer_kwargs: Further arguments of ``gpbo.Optimizer``, as ``{"n_initial": 10}``.
        callbacks: One or several functions, called as ``callback(optimizer, trials)`` after every round; may raise
            StopIteration to end the search of that space.
        progress: Whether to show a progress bar if standard error is a terminal; "always" shows it anyhow.

    Attributes:
        optimizers_: One ``gpbo.Optimizer`` per space; not kept in a pickle.

    Example:
        >>> from scipy.stats import loguniform
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.svm import SVC
        >>> from gpbo.integrations.sklearn import BayesSearchCV
        >>> search = BayesSearchCV(SVC(), {"C": loguniform(1e-3, 1e3), "kernel": ["rbf", "linear"]}, n_iter=12,
        ...                        random_state=0)
        >>> bool(search.fit(*load_iris(return_X_y=True)).best_score_ > 0.97)
        True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "search_spaces": "no_validation",
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "n_points": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "optimizer_kwargs": [dict, None],
        "callbacks": "no_validation",
        "progress": "no_validation",
    }

    def __init__(
        self,
        estimator: Any,
        search_spaces: Any,
        *,
        n_iter: int = 50,
        n_points: int = 1,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        optimizer_kwargs: dict[str, Any] | None = None,
        callbacks: Any = (),
        progress: Any = False,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.search_spaces = search_spaces
        self.n_iter = n_iter
        self.n_points = n_points
        self.random_state = random_state
        self.optimizer_kwargs = optimizer_kwargs
        self.callbacks = callbacks
        self.progress = progress

    def __getstate__(self) -> dict[str, Any]:
        """Without the optimizers, which hold locks."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "optimizers_"}

    def _run_search(self, evaluate_candidates: Evaluate, *, callback_ctx: Any = None) -> None:
        """Called by ``fit``; ``callback_ctx`` is for scikit-learn's own callbacks, since 1.9."""
        self._lost: dict[int, Params] = {}
        todo = plans(self.search_spaces, self.n_iter)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=len(todo))
        total = sum(count for _, count in todo)
        progress = Progress(total, self.progress)
        rounds = None
        if callback_ctx is not None:
            rounds = callback_ctx.subcontext(task_name="search", max_subtasks=total).call_on_fit_task_begin(
                estimator=self
            )
        evaluate = _Evaluate(self, evaluate_candidates, rounds)
        self.optimizers_ = []
        try:
            for (dimensions, count), seed in zip(todo, seeds.tolist(), strict=True):
                optimizer = Optimizer(dimensions.space, "maximize", seed=seed, **(self.optimizer_kwargs or {}))
                self.optimizers_.append(optimizer)
                _search(optimizer, dimensions, count, self.n_points, evaluate, _callbacks(self.callbacks), progress)
        finally:
            progress.close()
        if evaluate.trouble is not None:
            evaluate.finish()
        del self._lost, self._formatted
        if rounds is not None:
            rounds.call_on_fit_task_end(estimator=self)

    def _format_results(self, candidate_params: list[Params], n_splits: int, out: list[Any], more: Any = None) -> Any:
        """As scikit-learn does it, with the candidates of rounds that failed altogether put back in their places."""
        self._formatted = (candidate_params, n_splits, out, more)
        params, fits = list(candidate_params), list(out)
        lost = {"fit_time": np.nan, "score_time": np.nan, **_all_scores(out[0], self.error_score)}
        for place, each in sorted(self._lost.items()):
            params.insert(place, each)
            fits[place * n_splits : place * n_splits] = [out[0] | lost] * n_splits
        return super()._format_results(params, n_splits, fits, more)


def _all_scores(fit: dict[str, Any], score: float) -> dict[str, Any]:
    """The scores of a fit, all of them replaced by one."""
    names = [name for name in ("test_scores", "train_scores") if name in fit]
    return {name: dict.fromkeys(fit[name], score) if isinstance(fit[name], dict) else score for name in names}


class _Evaluate:
    """Evaluates candidates and finds their scores in the results.

    Scikit-learn gives up when all fits of one call fail, which would end a search whose rounds are small. Here, such a
    round is set aside as lost, with a warning, unless all others are lost as well.
    """

    def __init__(self, search: BayesSearchCV, evaluate_candidates: Evaluate, context: Any) -> None:
        self._search, self._evaluate, self._context = search, evaluate_candidates, context
        self.done = 0
        self.trouble: ValueError | None = None
        self._latest: dict[str, Any] = {}
        self.seconds = 0.0
        self.seconds_suggest = 0.0

    def __call__(self, candidates: list[Params]) -> list[float]:
        began = time.perf_counter()
        try:
            results = self._results(candidates)
            scores: list[float] = results[self._metric(results)][self.done :].tolist()
            self._latest = results
        except ValueError as error:
            if self._search.error_score == "raise" or not str(error).lstrip().startswith("All the "):
                raise
            self.trouble = self.trouble or error
            self._search._lost |= dict(enumerate(candidates, self.done))
            warnings.warn(str(error), FitFailedWarning, stacklevel=7)
            scores = [math.nan] * len(candidates)
        self.seconds += time.perf_counter() - began
        self.done += len(candidates)
        return scores

    def _results(self, candidates: list[Params]) -> dict[str, Any]:
        if self._context is None or "callback_ctx" not in signature(self._evaluate).parameters:
            return self._evaluate(candidates)
        fits = len(candidates) * self._search.n_splits_
        context = self._context.subcontext(task_name="round", max_subtasks=fits, sequential_subtasks=False)
        context.call_on_fit_task_begin(estimator=self._search)
        results = self._evaluate(candidates, callback_ctx=context)
        context.call_on_fit_task_end(estimator=self._search)
        return results

    def finish(self) -> None:
        """Put the rounds that were lost after the last good one into the results, which scikit-learn keeps.

        Raises:
            ValueError: If all rounds were lost.
        """
        if not self._latest:
            assert self.trouble is not None
            raise self.trouble
        if len(self._latest["params"]) < self.done:
            self._latest.update(self._search._format_results(*self._search._formatted))

    def _metric(self, results: dict[str, Any]) -> str:
        refit = self._search.refit
        name = f"mean_test_{refit}" if isinstance(refit, str) else "mean_test_score"
        if name not in results and "mean_test_score" in results:
            name = "mean_test_score"
        if name not in results:
            raise ArgumentError("With several scores, refit must name the one to be maximised, as in refit='accuracy'.")
        return name


def _search(
    optimizer: Optimizer,
    dimensions: Dimensions,
    count: int,
    n_points: int,
    evaluate: _Evaluate,
    callbacks: tuple[Callable[..., Any], ...],
    progress: Progress,
) -> None:
    """Try ``count`` candidates of one space."""
    size = dimensions.space.cardinality
    if size is not None and size < count:
        warnings.warn(
            f"The space has {size} points, fewer than n_iter={count}; all of them are tried.", UserWarning, stacklevel=6
        )
        count = size
    done = 0
    while done < count:
        began = time.perf_counter()
        batch = _ask(optimizer, min(n_points, count - done))
        evaluate.seconds_suggest += time.perf_counter() - began
        if batch is None:
            return
        scores = evaluate([dimensions.native(params) for params in batch.params])
        for trial, score in zip(batch, scores, strict=True):
            if math.isfinite(score):
                optimizer.tell(trial, score)
            else:
                optimizer.fail(trial, reason=f"mean test score is {score}")
        done += len(batch)
        progress.update(optimizer, evaluate.done, 0, evaluate.seconds, evaluate.seconds_suggest)
        try:
            for callback in callbacks:
                callback(optimizer, [optimizer.trial(trial.id) for trial in batch])
        except StopIteration:
            return


def _ask(optimizer: Optimizer, q: int) -> Batch | None:
    """Up to ``q`` points; None where all were tried, as in a stored study that is continued."""
    try:
        return optimizer.ask(q)
    except SpaceExhausted as exhausted:
        return optimizer.ask(exhausted.left) if exhausted.left else None


def _callbacks(given: Any) -> tuple[Callable[..., Any], ...]:
    return (given,) if callable(given) else tuple(given) if isinstance(given, Iterable) else ()
