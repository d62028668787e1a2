"""One study for all pictures, and axes that have to survive being drawn."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

import gpbo

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    figure.canvas.draw()
    plt.close(figure)


@pytest.fixture(scope="session")
def opt():
    """Nine values, three failures, two trials under way."""
    space = {
        "a": gpbo.Float(0.01, 1, log=True),
        "b": gpbo.Int(0, 1000),
        "c": gpbo.Categorical(["u", "v", "w"]),
        "step": gpbo.Float(0, 1, step=0.25),
    }
    opt = gpbo.Optimizer(space, direction="maximize", seed=0)
    for _ in range(3):
        batch = opt.ask(4)
        opt.tell(batch[:3], [-(np.log(t["a"]) ** 2) - (t["b"] / 1000) + (t["c"] == "v") for t in batch[:3]])
        opt.fail(batch[3])
    opt.ask(2)
    return opt


HOSTILE = "<b>$x_1$</b> & {0} %s \\ \"'"


@pytest.fixture(scope="session")
def awkward():
    """Names and choices that mean something to matplotlib, to HTML and to Python; a constant; extreme ranges."""
    space = {
        HOSTILE: gpbo.Categorical(["$\\frac{1}", "</script><script>", "_" * 90]),
        "constant": gpbo.Int(3, 3),
        "wide": gpbo.Float(-1e307, 1e307),
        "large": gpbo.Int(-(2**63), 2**63 - 1),
    }
    opt = gpbo.Optimizer(space, seed=0)
    opt.tell(opt.ask(6), [1e300, -1e300, 0.0, 1e299, 5e299, 1e10])
    return opt
