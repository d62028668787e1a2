"""The real objective of the demo and of two benchmark cases: the cross-validated accuracy of a random forest.

Fixed folds and a fixed forest seed make it a deterministic function of three integers. Nothing here imports torch, so
that worker processes start quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpbo import Space

FOLDS = {"digits": 3, "iris": 5}
CACHE = Path(__file__).parent.parent / ".cache" / "forest"


def space() -> Space:
    """What is tuned: three integers, two of them on a log scale."""
    import gpbo

    return gpbo.Space(
        {
            "max_depth": gpbo.Int(1, 20),
            "n_estimators": gpbo.Int(10, 200, log=True),
            "max_leaf_nodes": gpbo.Int(2, 256, log=True),
        }
    )


def accuracy(dataset: str, params: Mapping[str, int]) -> float:
    """Mean accuracy over the folds of "digits" or "iris", higher is better."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    x, y = _load(dataset)
    folds = StratifiedKFold(FOLDS[dataset], shuffle=True, random_state=0)
    return float(cross_val_score(RandomForestClassifier(**params, random_state=0), x, y, cv=folds).mean())


def cached_error(dataset: str, params: Mapping[str, int]) -> float:
    """One minus the accuracy; a value that was computed before, by any process, is read from ``.cache/``."""
    key = ",".join(f"{name}={params[name]}" for name in sorted(params))
    path = CACHE / f"{dataset}.jsonl"
    known = _read(path)
    if key not in known:
        known[key] = 1 - accuracy(dataset, params)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps([key, known[key]]) + "\n")
    return known[key]


@cache
def _load(dataset: str) -> tuple[Any, Any]:
    from sklearn import datasets

    loaders = {"digits": datasets.load_digits, "iris": datasets.load_iris}
    return loaders[dataset](return_X_y=True)  # type: ignore[no-any-return]


@cache
def _read(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    return dict(json.loads(line) for line in path.read_text().splitlines())
