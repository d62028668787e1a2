"""Problem families: every member can be made, is what it says, and is the same each time."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from benchmarks.optimization.families import RECIPES, bbob, member, tuning

COCO = importlib.util.find_spec("cocoex") is not None
OWN = [key for key, recipe in RECIPES.items() if recipe.family != "tuning" and not recipe.family.startswith("bbob")]
BORROWED = [
    *(f"bbob_f{f}_d5" for f in range(1, 25)),
    *(f"mixint_f{f}_d5" for f in (1, 2, 8, 15, 20, 21)),
    *(f"bbob_{model}_f8_d2" for model in ("gauss", "uniform", "cauchy")),
]
KEYS = [*OWN, *(BORROWED if COCO else [])]
KINDS = [key.rstrip("0123456789") for key in OWN]
REPEATED = {key for i, key in enumerate(OWN) if KINDS[i] in KINDS[:i]}  # larger ones of a kind


@pytest.mark.parametrize("key", [pytest.param(key, marks=[pytest.mark.slow] * (key in REPEATED)) for key in KEYS])
def test_member_is_what_its_recipe_says(key):
    for index in (0, 3) if key in OWN else (0,):
        problem = RECIPES[key].make(index)
        assert problem.name == f"{key}#{index}"
        assert (problem.family, problem.dimension) == (RECIPES[key].family, RECIPES[key].dimension)
        assert problem.floor > 0
        points = problem.design(0, 16)
        values = [problem.objective(params) for params in points]
        assert np.isfinite(values).all()
        again = RECIPES[key].make(index)
        assert values[:4] == [again.objective(params) for params in points[:4]]
        if problem.minimum is not None:
            assert min(values) >= problem.minimum
        if problem.minimiser is not None:
            assert problem.space.contains(problem.minimiser)
            gap = problem.objective(problem.minimiser) - problem.minimum
            assert abs(gap) <= max(
                problem.floor, 1e-3 * (np.median(values) - problem.minimum) * key.startswith("mixint")
            )


@pytest.mark.parametrize("key", ["levy5", "rover60", "regulator12", "branches3", "cliffs2", "hartmann6_in25"])
def test_members_differ(key):
    one, two = member(f"{key}#0"), member(f"{key}#1")
    draws = np.random.default_rng(0).random((4, one.space.n_params))
    values = [[m.objective(p) for p in m.space.decode(m.space.sample(draws))] for m in (one, two)]
    assert values[0] != values[1]


@pytest.mark.parametrize("kind", ["gaussian", "growing", "outliers", "proportional", "sided"])
def test_measurements_scatter_about_the_truth(kind):
    problem = member(f"{kind}_noise2#0")
    point = problem.design(0, 1)[0]
    rng = np.random.default_rng(0)
    values = [problem.observe(point, rng) for _ in range(400)]
    assert np.std(values) > 0
    assert abs(np.median(values) - problem.objective(point)) < 0.3 * np.std(values)


@pytest.mark.parametrize("model", ["gauss", "uniform", "cauchy"])
def test_bbob_noise_never_makes_the_best_worse(model):
    assert bbob.noise(model, 1e-9, 5, np.random.default_rng(0)) == 1e-9
    assert bbob.noise(model, 10.0, 5, np.random.default_rng(1)) >= 0


@pytest.mark.parametrize(
    "key",
    ["svm_cancer", *(pytest.param(key, marks=pytest.mark.slow) for key in ("neighbours_digits", "network_digits"))],
)
def test_tuning_is_deterministic_and_cached(key, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "CACHE", tmp_path)
    problem = member(f"{key}#1")
    params = problem.design(0, 1)[0]
    first = problem.objective(params)
    tuning._read.cache_clear()
    assert problem.objective(params) == first
    (path,) = tmp_path.iterdir()
    assert len(path.read_text().splitlines()) == 1
    path.unlink()
    tuning._read.cache_clear()
    assert problem.objective(params) == first
