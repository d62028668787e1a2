"""Hyperparameters of real models on the data that comes with scikit-learn.

A member draws rows, columns and folds. Fixed seeds make each a deterministic function; values are kept in ``.cache/``.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.optimization.member import Member, Params, Recipe, Rng, generator
from gpbo import Categorical, Float, Int, Space

FAMILY = "tuning"
CACHE = Path(__file__).parents[3] / ".cache" / "tuning"
Data = tuple[Any, Any]


@cache
def _load(dataset: str) -> Data:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{dataset}")(return_X_y=True)
    return np.asarray(x, dtype=np.float64), np.asarray(y)


def _draw(dataset: str, rows: int, rng: Rng) -> Data:
    """Some rows and four fifths of the columns."""
    x, y = _load(dataset)
    some = rng.permutation(len(x))[:rows]
    columns = np.sort(rng.permutation(x.shape[1])[: max(2, round(0.8 * x.shape[1]))])
    return x[some][:, columns], y[some]


def _validated(model: Any, data: Data, seed: int) -> float:
    """Cross-validated log loss of a classifier, mean squared error of a regressor over the variance."""
    from sklearn.base import is_classifier
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data
    classifier = is_classifier(model)
    folds = (StratifiedKFold if classifier else KFold)(3, shuffle=True, random_state=seed)
    metric = "accuracy" if classifier else "neg_mean_squared_error"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: that is what is being tuned
        score = float(cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=folds, scoring=metric).mean())
    return 1 - score if classifier else -score / float(y.var())


def _svm(params: Params, seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(**params, cache_size=50)


def _boosting(params: Params, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(**params, random_state=seed)


def _elastic(params: Params, seed: int) -> Any:
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        Nystroem(gamma=params["gamma"], n_components=params["components"], random_state=seed), Ridge(params["alpha"])
    )


def _neighbours(params: Params, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(**params)


def _perceptron(params: Params, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    layers = (params["width"],) * params["layers"]
    chosen = {name: params[name] for name in ("learning_rate_init", "alpha", "activation", "batch_size")}
    return MLPClassifier(layers, **chosen, max_iter=15, random_state=seed)


def _forest(params: Params, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(**params, n_estimators=30, random_state=seed)


Build = Callable[[Params, int], Any]
MODELS: dict[str, tuple[str, int, Build, dict[str, Any]]] = {
    "svm_cancer": (
        "breast_cancer",
        300,
        _svm,
        {
            "C": Float(1e-3, 1e3, log=True),
            "gamma": Float(1e-5, 10, log=True),
            "kernel": Categorical(["rbf", "sigmoid", "poly"]),
        },
    ),
    "boosting_diabetes": (
        "diabetes",
        300,
        _boosting,
        {
            "learning_rate": Float(1e-3, 1, log=True),
            "n_estimators": Int(10, 150, log=True),
            "max_depth": Int(1, 6),
            "subsample": Float(0.3, 1.0),
            "min_samples_leaf": Int(1, 40, log=True),
        },
    ),
    "ridge_diabetes": (
        "diabetes",
        300,
        _elastic,
        {
            "gamma": Float(1e-5, 10, log=True),
            "alpha": Float(1e-6, 1e3, log=True),
            "components": Int(5, 150, log=True),
        },
    ),
    "neighbours_digits": (
        "digits",
        500,
        _neighbours,
        {"n_neighbors": Int(1, 50, log=True), "weights": Categorical(["uniform", "distance"]), "p": Float(1, 5)},
    ),
    "perceptron_digits": (
        "digits",
        500,
        _perceptron,
        {
            "learning_rate_init": Float(1e-4, 0.3, log=True),
            "alpha": Float(1e-6, 10, log=True),
            "layers": Int(1, 3),
            "width": Int(4, 64, log=True),
            "batch_size": Int(8, 128, log=True),
            "activation": Categorical(["relu", "tanh", "logistic"]),
        },
    ),
    "trees_wine": (
        "wine",
        178,
        _forest,
        {
            "max_depth": Int(1, 20),
            "max_features": Float(0.05, 1.0),
            "min_samples_leaf": Int(1, 30, log=True),
            "criterion": Categorical(["gini", "entropy"]),
            "bootstrap": Categorical([False, True]),
        },
    ),
}
NETWORK: dict[str, Any] = {
    "learning_rate": Float(1e-4, 1, log=True),
    "batch": Int(8, 256, log=True),
    "layers": Int(1, 4),
    "width": Int(8, 128, log=True),
    "dropout": Float(0, 0.7),
    "decay": Float(1e-6, 1e-1, log=True),
    "optimizer": Categorical(["adam", "sgd"]),
}


def network_loss(params: Params, data: Data, seed: int, epochs: int = 6) -> float:
    """Validation log loss of a small PyTorch net after a few epochs; at most 10, which also stands for a NaN."""
    import torch
    from torch import nn

    x, y = torch.tensor(data[0] / 16, dtype=torch.float32), torch.tensor(data[1])
    split = len(x) * 2 // 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [x.shape[1], *[params["width"]] * params["layers"]]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(params["dropout"])]
        net = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
        chosen = {"lr": params["learning_rate"], "weight_decay": params["decay"]}
        optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(net.parameters(), **chosen)
            if params["optimizer"] == "adam"
            else torch.optim.SGD(net.parameters(), momentum=0.9, **chosen)
        )
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(split), params["batch"]):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        net.eval()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(net(x[split:]), y[split:]))
    return min(loss, 10.0) if loss == loss else 10.0


def _cached(path: Path, key: str, compute: Callable[[], float]) -> float:
    known = _read(path)
    if key not in known:
        known[key] = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps([key, known[key]]) + "\n")
    return known[key]


@cache
def _read(path: Path) -> dict[str, float]:
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}


def _member(key: str, parameters: dict[str, Any], loss: Callable[[Params], float], floor: float, index: int) -> Member:
    name = f"{key}#{index}"

    def objective(params: Params) -> float:
        text = json.dumps(params, sort_keys=True)
        return _cached(CACHE / f"{key}-{index}.jsonl", text, lambda: loss(params))

    return Member(name, FAMILY, Space(parameters), objective, None, floor)


def _model(key: str, index: int) -> Member:
    dataset, rows, build, parameters = MODELS[key]
    data = _draw(dataset, rows, generator(key, index))
    return _member(key, parameters, lambda params: _validated(build(params, index), data, index), 0.2 / rows, index)


def _network(key: str, index: int) -> Member:
    data = _draw("digits", 900, generator(key, index))
    return _member(key, NETWORK, lambda params: network_loss(params, data, index), 1e-3, index)


RECIPES = [
    *(Recipe(key, FAMILY, len(MODELS[key][3]), partial(_model, key)) for key in MODELS),
    Recipe("network_digits", FAMILY, len(NETWORK), partial(_network, "network_digits")),
]
