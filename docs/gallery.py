"""Draws docs/images/gallery.png: ``python docs/gallery.py``."""

from __future__ import annotations

import math
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

import gpbo
from gpbo import plot

PICTURE = Path(__file__).parent / "images" / "gallery.png"


def accuracy(params: dict[str, object], rng: np.random.Generator) -> float:
    """Stands for the accuracy of a net that was trained with these hyperparameters."""
    rate = math.log10(float(params["learning rate"])) + 2.6  # type: ignore[arg-type]
    depth = (float(params["depth"]) - 11) / 10  # type: ignore[arg-type]
    best = {"relu": 0.0, "gelu": 0.01, "tanh": -0.03}[str(params["activation"])]
    bump = 0.02 * math.sin(4 * rate)
    return 0.94 - 0.03 * (rate + 0.3 * depth) ** 2 - 0.03 * depth**2 + best + bump + 0.002 * rng.standard_normal()


def study() -> gpbo.Optimizer:
    """Twelve batches of four, with failures, and a batch under way."""
    space = {
        "learning rate": gpbo.Float(1e-5, 1e-1, log=True),
        "depth": gpbo.Int(2, 32),
        "activation": gpbo.Categorical(["relu", "gelu", "tanh"]),
        "dropout": gpbo.Float(0, 0.5),
    }
    opt = gpbo.Optimizer(space, direction="maximize", seed=3)
    rng = np.random.default_rng(0)
    for _ in range(9):
        batch = list(opt.ask(4))
        for trial in rng.permutation(np.array(batch, dtype=object)):
            time.sleep(0.02 + 0.05 * rng.random())
            if trial.id % 13 == 6:
                opt.fail(trial, "out of memory")
            else:
                opt.tell(trial, accuracy(trial.params, rng))
    opt.ask(4)
    return opt


def main() -> None:
    """Draws it."""
    opt = study()
    plt.rcParams.update({"font.size": 7.5, "legend.fontsize": 6.5, "axes.labelpad": 2})
    figure, axes = plt.subplots(3, 4, figsize=(13, 8.6), layout="constrained")
    rate, depth = "learning rate", "depth"
    pictures = {
        "convergence(opt)": plot.convergence,
        "posterior(opt, name)": lambda opt, ax: plot.posterior(opt, rate, ax=ax),
        "posterior(opt, category)": lambda opt, ax: plot.posterior(opt, "activation", ax=ax),
        "acquisition(opt, name)": lambda opt, ax: plot.acquisition(opt, rate, ax=ax),
        "surface(opt, x, y)": lambda opt, ax: plot.surface(opt, rate, depth, ax=ax),
        'surface(..., of="sd")': lambda opt, ax: plot.surface(opt, rate, depth, of="sd", ax=ax),
        "parallel(opt)": plot.parallel,
        "importance(opt)": plot.importance,
        "leave_one_out(opt)": plot.leave_one_out,
        "batch_spread(opt)": plot.batch_spread,
        "timeline(opt)": plot.timeline,
        "ask_seconds(opt)": plot.ask_seconds,
    }
    for ax, (name, draw) in zip(axes.flat, pictures.items(), strict=True):
        draw(opt, ax=ax)
        ax.set_title("")
        ax.set_title(name, loc="left", fontsize=9, fontweight="bold", family="monospace")
    figure.savefig(PICTURE, dpi=90, pil_kwargs={"optimize": True})
    plt.close(figure)


if __name__ == "__main__":
    main()
