"""Whether float32 finds the candidates that float64 does: ``python -m benchmarks.gpu.recall``.

A search starts from the best of a thousand raw candidates. Where a card computes in float32 many times faster, they may
be ranked in it, if that keeps those that would have been chosen. This is a question of rounding and not of the device:
IEEE arithmetic on the CPU answers it.

Recall is the share of the starts (the best eight of either half, of 1024 candidates) and of the shortlist (the best
256) that the ranking in float32 keeps. The result is the largest ratio on the factor's diagonal up to which it may be
used, ``_RANKED_IN_SINGLE`` in ``gpbo/acquisition/torch_screen.py``.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import torch

from benchmarks import record
from gpbo.acquisition.improvement import base_normals
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.acquisition.torch_screen import TorchScreen
from gpbo.models.exact import Problem
from gpbo.models.spec import Array, default_spec
from gpbo.models.torch_posterior import TorchPosterior

RESULTS = Path(__file__).parent / "results" / "recall"
EDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5)
STARTS, SHORTLIST, CANDIDATES = 16, 256, 1024


def model(
    n: int, d: int, kind: str, log_noise: float, reach: float, late: bool, seed: int
) -> tuple[TorchPosterior, Array]:
    """A posterior and candidates; late data are crowded around the best, as a study that closes in leaves them."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    best = rng.random(d)
    if late:
        half = n // 2
        X[half:] = np.clip(best + 10.0 ** rng.uniform(-3, -1, (n - half, 1)) * rng.standard_normal((n - half, d)), 0, 1)
    y = -np.square(X - best).sum(1) + 0.3 * np.cos(6.0 * (X - best)).mean(1)
    y += math.exp(0.5 * log_noise) * rng.standard_normal(n)
    problem = Problem(default_spec(kind, d), X, (y - y.mean()) / y.std())
    theta = np.concatenate([[0.0, log_noise, 0.0], np.full(d, math.log(reach * math.sqrt(d)))])
    steps = 10.0 ** rng.uniform(-3, -0.7, (CANDIDATES // 2, 1)) * rng.standard_normal((CANDIDATES // 2, d))
    near = np.clip(X[problem.y.argsort()[::-1][:5]][rng.integers(5, size=CANDIDATES // 2)] + steps, 0, 1)
    U = np.vstack([rng.random((CANDIDATES // 2, d)), near])
    return TorchPosterior(problem, theta, torch.device("cpu")), U


def kept(exact: Array, found: Array) -> tuple[float, float]:
    """Shares of starts and of shortlist that are kept."""

    def starts(values: Array) -> set[int]:
        order = np.argsort(-values, kind="stable")
        half = CANDIDATES // 2
        return {*order[order < half][: STARTS // 2].tolist(), *order[order >= half][: STARTS // 2].tolist()}

    best = [set(np.argsort(-values, kind="stable")[:SHORTLIST].tolist()) for values in (exact, found)]
    return len(starts(exact) & starts(found)) / STARTS, len(best[0] & best[1]) / SHORTLIST


def measured(posterior: TorchPosterior, U: Array, pending: int) -> record.Line:
    """Recall of starts and of shortlist, with so many points pending, and the condition of the factor with them."""
    outcomes = float((posterior.constant + posterior.L[: posterior.n] @ posterior.beta).max())
    acquisition = TorchImprovement(posterior, outcomes, base_normals(max(1, pending), 128, 0))
    acquisition.fantasise(U[:: len(U) // pending][:pending] if pending else U[:0])
    ranked = TorchScreen(acquisition, U, single=True)
    ranked._single = posterior.Li is not None  # whatever the condition
    starts, shortlist = kept(TorchScreen(acquisition, U, single=False).values(), ranked.values())
    ratio = posterior.ratio()
    posterior.release()
    return {"pending": pending, "ratio": ratio, "starts": starts, "shortlist": shortlist}


def main() -> None:
    """Appends a line per model, and prints recall by the condition of the factor."""
    lines, origin = [], record.origin()
    cases = itertools.product(
        (50, 200, 500, 1000, 2000),
        (2, 6, 20),
        ("matern52", "rbf"),
        (-18.4, -14.0, -10.0, -6.0, -3.0),
        (0.2, 0.6),
        (0, 1),
    )
    for seed, (n, d, kind, log_noise, reach, late) in enumerate(cases):
        posterior, U = model(n, d, kind, log_noise, reach, bool(late), seed)
        if posterior.Li is None:
            continue
        case = {"n": n, "d": d, "kernel": kind, "log_noise": log_noise, "reach": reach, "late": late}
        for pending in (0, 8) if n <= 500 else (0,):
            lines.append({"suite": "recall", **case, **measured(posterior, U, pending)})
            record.append(RESULTS / "recall.jsonl", {**lines[-1], **origin})
    print(f"{'ratio':>16s} {'models':>7s} {'starts':>16s} {'shortlist':>16s}   recall: mean (worst)")
    for low, high in itertools.pairwise((1.0, *EDGES)):
        some = [line for line in lines if low <= line["ratio"] < high]
        if some:
            columns = [np.array([line[name] for line in some]) for name in ("starts", "shortlist")]
            text = " ".join(f"{each.mean():9.4f} ({each.min():.2f})" for each in columns)
            print(f"{low:7g} ..{high:7g} {len(some):7d} {text}")


if __name__ == "__main__":
    main()
