from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GroupKFold, KFold, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import gpbo
from gpbo.integrations.sklearn import BayesSearchCV
from gpbo.integrations.sklearn.spaces import Dimensions

X, Y = load_iris(return_X_y=True)
SPACE = {"C": stats.loguniform(1e-3, 1e3), "gamma": (1e-4, 1e1, "log-uniform"), "kernel": ["rbf", "sigmoid"]}
EXCUSED = {  # as scikit-learn excuses its own RandomizedSearchCV
    "check_supervised_y_2d": "DataConversionWarning not caught",
    "check_requires_y_none": "Doesn't fail gracefully",
}
CHECKED = [
    BayesSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, n_iter=2, cv=2, error_score="raise", random_state=0),
    BayesSearchCV(LogisticRegression(), {"C": (0.1, 1.0)}, n_iter=3, cv=2, error_score="raise", random_state=0),
    BayesSearchCV(
        Pipeline([("pca", PCA()), ("ridge", Ridge())]),
        {"ridge__alpha": gpbo.Float(0.1, 1.0)},
        n_iter=3,
        n_points=3,
        cv=2,
        error_score="raise",
        random_state=0,
    ),
]


def excused(search):
    """What is expected to fail; the first of the two does with regressors only."""
    return EXCUSED if sklearn.base.is_regressor(search) else {"check_requires_y_none": "Doesn't fail gracefully"}


@parametrize_with_checks(CHECKED, expected_failed_checks=excused)
@pytest.mark.filterwarnings("ignore")  # estimators warn about the checks' odd data
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def search(**settings):
    return BayesSearchCV(SVC(), SPACE, **{"n_iter": 8, "random_state": 0, "cv": 3, **settings})


def test_results_are_those_of_scikit_learn():
    ours = search(return_train_score=True).fit(X, Y)
    theirs = RandomizedSearchCV(SVC(), {"C": [1.0, 2.0]}, n_iter=2, cv=3, return_train_score=True).fit(X, Y)
    names = {name for name in theirs.cv_results_ if not name.startswith("param")}
    assert {name for name in ours.cv_results_ if not name.startswith("param")} == names
    assert set(ours.cv_results_["params"][0]) == set(SPACE)
    assert len(ours.cv_results_["mean_test_score"]) == 8
    assert ours.best_score_ == ours.cv_results_["mean_test_score"].max() > 0.9
    assert ours.best_estimator_.get_params()["C"] == ours.best_params_["C"]
    assert ours.score(X, Y) > 0.9
    assert ours.optimizers_[0].best().value == pytest.approx(ours.best_score_)


def test_random_state_decides():
    assert search().fit(X, Y).cv_results_["params"] == search().fit(X, Y).cv_results_["params"]
    assert search().fit(X, Y).cv_results_["params"] != search(random_state=1).fit(X, Y).cv_results_["params"]
    drawn = search(random_state=np.random.RandomState(3)).fit(X, Y)
    assert drawn.cv_results_["params"] == search(random_state=np.random.RandomState(3)).fit(X, Y).cv_results_["params"]


def test_rounds_hold_n_points():
    sizes = []
    search(n_points=3, callbacks=lambda optimizer, trials: sizes.append(len(trials)), n_jobs=2).fit(X, Y)
    assert sizes == [3, 3, 2]


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        (stats.uniform(1, 3), gpbo.Float(1, 4)),
        (stats.loguniform(1e-3, 10), gpbo.Float(1e-3, 10, log=True)),
        (stats.randint(2, 9), gpbo.Int(2, 8)),
        ((1, 9), gpbo.Int(1, 9)),
        ((1, 9, "log-uniform"), gpbo.Int(1, 9, log=True)),
        ((0.5, 9), gpbo.Float(0.5, 9)),
        ((0.5, 9, "uniform"), gpbo.Float(0.5, 9)),
        (["a", None], gpbo.Categorical(["a", None])),
        (("a", "b"), gpbo.Categorical(["a", "b"])),
        ([1, 10, 100], gpbo.Categorical([1, 10, 100], ordered=True)),
        (np.array([3.0, 1.0, 2.0]), gpbo.Categorical([3.0, 1.0, 2.0])),
        ([True, False], gpbo.Categorical([True, False])),
        (gpbo.Int(1, 3), gpbo.Int(1, 3)),
        (stats.poisson(3), gpbo.Int(0, 10)),
    ],
)
def test_what_can_be_searched(entry, parameter):
    assert Dimensions({"p": entry}).space["p"] == parameter


def test_dimensions_of_scikit_optimize_are_understood():
    class Real:
        low, high, prior = 1e-3, 1.0, "log-uniform"

    class Choice:
        categories = ("a", "b")

    space = Dimensions({"p": Real(), "q": Choice()}).space
    assert space["p"] == gpbo.Float(1e-3, 1.0, log=True)
    assert space["q"] == gpbo.Categorical(["a", "b"])


def test_other_distributions_are_searched_by_quantile():
    dimensions = Dimensions({"p": stats.expon(scale=100)})
    (low,), (high,) = (dimensions.native({"p": end}).values() for end in (0.0, 0.999))
    assert low == 0.0
    assert high == pytest.approx(stats.expon(scale=100).ppf(0.999))


def test_choices_may_be_any_objects():
    objects = [Ridge(1.0), Ridge(2.0), None]
    dimensions = Dimensions({"p": objects, "q": [1, 1]})
    assert dimensions.native({"p": 1, "q": 0}) == {"p": objects[1], "q": 1}


@pytest.mark.parametrize("entry", ["word", 3, {"a": 1}, (3, 1), [], stats.uniform])
def test_what_is_not_understood_is_named(entry):
    with pytest.raises(gpbo.ArgumentError, match="parameter 'p'"):
        Dimensions({"p": entry})


def test_several_spaces_are_searched_one_after_the_other():
    spaces = [({"kernel": ["linear"], "C": (0.1, 10.0)}, 2), {"kernel": ["rbf"], "gamma": (0.1, 1.0)}]
    done = BayesSearchCV(SVC(), spaces, n_iter=3, random_state=0).fit(X, Y)
    assert [params["kernel"] for params in done.cv_results_["params"]] == ["linear"] * 2 + ["rbf"] * 3
    assert len(done.optimizers_) == 2


def test_a_small_space_is_tried_out():
    with pytest.warns(UserWarning, match="The space has 2 points, fewer than n_iter=50"):
        done = BayesSearchCV(SVC(), {"kernel": ["rbf", "linear"]}).fit(X, Y)
    assert len(done.cv_results_["params"]) == 2


def test_failed_fits_are_no_end():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = ["accuracy", "f1_macro"]
        done = BayesSearchCV(SVC(), {"C": (-1.0, 1.0)}, n_iter=6, scoring=scores, refit="accuracy", random_state=0)
        done.fit(X, Y)
    failed = np.isnan(done.cv_results_["mean_test_accuracy"])
    assert 0 < failed.sum() < 6
    assert (failed == [params["C"] <= 0 for params in done.cv_results_["params"]]).all()
    assert (np.isnan(done.cv_results_["split0_test_f1_macro"]) == failed).all()
    assert len(done.cv_results_["rank_test_accuracy"]) == 6
    assert [trial.state == "failed" for trial in done.optimizers_[0].history] == failed.tolist()
    with pytest.raises(ValueError, match="'C' parameter of SVC"):
        BayesSearchCV(SVC(), {"C": (-1.0, 1.0)}, n_iter=6, random_state=0, error_score="raise").fit(X, Y)


def test_clone_and_pickle():
    done = search(optimizer_kwargs={"n_initial": 3}).fit(X, Y)
    assert clone(done).get_params()["optimizer_kwargs"] == {"n_initial": 3}
    again = pickle.loads(pickle.dumps(done))
    assert again.best_params_ == done.best_params_
    assert (again.predict(X) == done.predict(X)).all()
    assert not hasattr(again, "optimizers_")
    assert hasattr(done, "optimizers_")


def test_within_and_around_a_pipeline():
    inner = BayesSearchCV(SVC(), {"C": (0.1, 10.0)}, n_iter=3, random_state=0)
    assert Pipeline([("pca", PCA(2)), ("search", inner)]).fit(X, Y).score(X, Y) > 0.9
    outer = BayesSearchCV(
        Pipeline([("pca", PCA()), ("svc", SVC())]),
        {"pca__n_components": (1, 4), "svc__C": (0.1, 10.0)},
        n_iter=4,
        random_state=0,
    )
    assert isinstance(outer.fit(X, Y).best_params_["pca__n_components"], int)


def test_groups_and_weights_are_routed():
    groups = np.arange(len(Y)) % 5
    assert search(cv=GroupKFold(5)).fit(X, Y, groups=groups).n_splits_ == 5
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = make_scorer(lambda y, p, sample_weight: sample_weight.sum()).set_score_request(sample_weight=True)
        svc = SVC().set_fit_request(sample_weight=True)
        done = BayesSearchCV(svc, {"C": (0.1, 1.0)}, n_iter=2, cv=KFold(3), scoring=weighted, random_state=0)
        done.fit(X, Y, sample_weight=np.full(len(Y), 2.0))
        assert done.best_score_ == pytest.approx(100.0)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_of_several_scores_refit_names_the_one_to_maximise():
    scores = ["accuracy", "neg_log_loss"]
    done = BayesSearchCV(
        LogisticRegression(),
        {"C": (1e-3, 10.0, "log-uniform")},
        n_iter=6,
        scoring=scores,
        refit="neg_log_loss",
        random_state=0,
    ).fit(X, Y)
    assert done.optimizers_[0].best().value == pytest.approx(done.cv_results_["mean_test_neg_log_loss"].max())
    with pytest.raises(ValueError, match="refit must name the one"):
        BayesSearchCV(LogisticRegression(), {"C": (1.0, 2.0)}, n_iter=2, scoring=scores, refit=False).fit(X, Y)


def test_regression_without_refit():
    x, y = make_regression(50, 4, random_state=0)
    done = BayesSearchCV(Ridge(), {"alpha": (1e-3, 1e3, "log-uniform")}, n_iter=4, refit=False, random_state=0).fit(
        x, y
    )
    assert not hasattr(done, "best_estimator_")
    assert done.best_params_["alpha"] < 1.0


def test_a_callback_may_stop_the_search():
    def stop(optimizer, trials):
        if len(optimizer.history) == 3:
            raise StopIteration

    assert len(search(callbacks=[stop]).fit(X, Y).cv_results_["params"]) == 3


def test_progress(capsys):
    search(progress="always", n_iter=2).fit(X, Y)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The estimator SVC does not support callbacks")
@pytest.mark.skipif(not hasattr(BayesSearchCV, "set_callbacks"), reason="scikit-learn has callbacks since 1.9")
def test_callbacks_of_scikit_learn():
    from sklearn.callback import ProgressBar

    done = search(n_iter=3, n_points=2).set_callbacks(ProgressBar())
    done.fit(X, Y)
    assert len(done.cv_results_["params"]) == 3


def test_every_candidate_failing_is_reported():
    with pytest.raises(ValueError, match="fits failed"), pytest.warns(FitFailedWarning):
        BayesSearchCV(DummyClassifier(strategy="constant"), {"constant": [7, 8]}, n_iter=2).fit(X, Y)
