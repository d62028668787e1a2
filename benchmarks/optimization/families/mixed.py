"""Floats, integers, categories and switches together, with known minimum 0."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.optimization.families import shapes
from benchmarks.optimization.member import Array, Member, Params, Recipe, generator
from gpbo import Categorical, Float, Int, Space

FAMILY = "mixed"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _member(key: str, index: int, parameters: dict[str, Any], objective: Any, minimiser: Params) -> Member:
    space = Space(parameters)
    draws = np.random.default_rng(0).random((256, space.n_params))
    typical = float(np.median([objective(each) for each in space.decode(space.sample(draws))]))
    return Member(f"{key}#{index}", FAMILY, space, objective, 0.0, 1e-6 * typical, minimiser)


def _branches(key: str, n_floats: int, n_choices: int, index: int) -> Member:
    """A category chooses which function of the floats counts; a grid of integers adds a bowl."""
    rng = generator(key, index)
    kinds: list[tuple[shapes.Shape, float]] = [(shapes.sphere, 4.0), (shapes.levy, 16.0), (shapes.griewank, 30.0)]
    branches = [shapes.place(*_pick(kinds, k, n_floats), index, rng) for k in range(n_choices)]
    scales = [float(np.median(each(np.random.default_rng(0).random((64, n_floats))))) for each in branches]
    offsets = rng.uniform(0.1, 0.6, n_choices)
    best = int(rng.integers(n_choices))
    offsets[best] = 0.0
    layers, width = int(rng.integers(1, 9)), int(rng.integers(16, 257))

    def objective(params: Params) -> float:
        k = LETTERS.index(params["kind"])
        u = np.array([[params[f"x{i}"] for i in range(n_floats)]])
        whole = 0.05 * abs(params["layers"] - layers) + 0.3 * np.log(params["width"] / width) ** 2
        return float(branches[k](u)[0]) / scales[k] + float(offsets[k]) + float(whole)

    parameters: dict[str, Any] = {f"x{i}": Float(0, 1) for i in range(n_floats)}
    parameters |= {"layers": Int(1, 8), "width": Int(16, 256, log=True), "kind": Categorical(list(LETTERS[:n_choices]))}
    minimiser: Params = {f"x{i}": float(x) for i, x in enumerate(branches[best].centre)}
    return _member(
        key, index, parameters, objective, minimiser | {"layers": layers, "width": width, "kind": LETTERS[best]}
    )


def _pick(kinds: list[tuple[shapes.Shape, float]], k: int, dimension: int) -> tuple[shapes.Shape, int, float]:
    shape, width = kinds[k % len(kinds)]
    return shape, dimension, width


def _latent(key: str, n_floats: int, sizes: tuple[int, ...], index: int) -> Member:
    """Each choice is a hidden place; a smooth function of hidden places and floats, so that near choices are alike."""
    rng = generator(key, index)
    places = [rng.random((size, 2)) for size in sizes]
    best = [int(rng.integers(size)) for size in sizes]
    centre = rng.uniform(0.15, 0.85, n_floats)
    dimension = n_floats + 2 * len(sizes)
    turn = shapes.rotation(dimension, rng)
    names = [f"c{j}" for j in range(len(sizes))]

    def objective(params: Params) -> float:
        parts: list[Array] = [np.array([params[f"x{i}"] for i in range(n_floats)]) - centre]
        for j, name in enumerate(names):
            parts.append(places[j][LETTERS.index(params[name])] - places[j][best[j]])
        return float(shapes.levy(12.0 * np.concatenate(parts)[None, :] @ turn)[0])

    parameters: dict[str, Any] = {f"x{i}": Float(0, 1) for i in range(n_floats)}
    parameters |= {n: Categorical(list(LETTERS[:size])) for n, size in zip(names, sizes, strict=True)}
    minimiser: Params = {f"x{i}": float(x) for i, x in enumerate(centre)}
    return _member(
        key, index, parameters, objective, minimiser | {n: LETTERS[b] for n, b in zip(names, best, strict=True)}
    )


def _switches(key: str, n: int, index: int) -> Member:
    """Booleans that act in pairs (a random Ising model); the minimum by enumeration of 2^n points."""
    rng = generator(key, index)
    couplings = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4))
    states = (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # 2^n x n
    energies = (states @ couplings * states).sum(-1)
    lowest = float(energies.min())

    def objective(params: Params) -> float:
        x = np.array([float(params[f"s{i}"]) for i in range(n)])
        return float(max((x @ couplings * x).sum() - lowest, 0.0))

    best = states[int(energies.argmin())]
    return _member(
        key,
        index,
        {f"s{i}": Categorical([False, True]) for i in range(n)},
        objective,
        {f"s{i}": bool(best[i]) for i in range(n)},
    )


def _integers(key: str, n: int, index: int) -> Member:
    """Integers only, some on log scales: a rotated Levy function of their positions."""
    rng = generator(key, index)
    highs = [int(rng.choice([3, 10, 40, 500])) for _ in range(n)]
    logs = [high >= 40 and bool(rng.random() < 0.5) for high in highs]
    best = [int(rng.integers(1, high + 1)) for high in highs]
    turn = shapes.rotation(n, rng)
    spans = [float(np.log(high)) if log else high - 1.0 for high, log in zip(highs, logs, strict=True)]

    def place(values: list[int]) -> Array:
        return np.array([(np.log(v) if log else v - 1.0) / s for v, log, s in zip(values, logs, spans, strict=True)])

    centre = place(best)

    def objective(params: Params) -> float:
        return float(shapes.levy(12.0 * (place([params[f"n{i}"] for i in range(n)]) - centre)[None, :] @ turn)[0])

    parameters = {f"n{i}": Int(1, high, log=log) for i, (high, log) in enumerate(zip(highs, logs, strict=True))}
    return _member(key, index, parameters, objective, {f"n{i}": b for i, b in enumerate(best)})


RECIPES = [
    Recipe("branches3", FAMILY, 6, partial(_branches, "branches3", 3, 3)),
    Recipe("branches6", FAMILY, 9, partial(_branches, "branches6", 6, 6)),
    Recipe("latent4", FAMILY, 4, partial(_latent, "latent4", 3, (8,))),
    Recipe("latent6", FAMILY, 6, partial(_latent, "latent6", 3, (5, 5, 10))),
    Recipe("latent_wide", FAMILY, 3, partial(_latent, "latent_wide", 2, (25,))),
    Recipe("switches12", FAMILY, 12, partial(_switches, "switches12", 12)),
    Recipe("integers5", FAMILY, 5, partial(_integers, "integers5", 5)),
    Recipe("integers10", FAMILY, 10, partial(_integers, "integers10", 10)),
]
