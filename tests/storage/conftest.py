"""A study to play with."""

from __future__ import annotations

import pytest

import gpbo


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


@pytest.fixture(scope="session")
def space():
    return gpbo.Space(
        {
            "rate": gpbo.Float(1e-5, 1.0, log=True),
            "depth": gpbo.Int(0, 50),
            "kind": gpbo.Categorical(["round", True, None, 2.5, ("a", (1, 2.0)), float("inf")]),
            "angle": gpbo.Float(-1.0, 1.0),
            "level": gpbo.Float(0.0, 1.0, step=0.1),
        }
    )


@pytest.fixture(scope="session")
def objective():
    def f(params):
        kind = {"round": 0.0, None: 0.3}.get(params["kind"], 1.0)
        return (params["rate"] - 0.1) ** 2 + (params["depth"] - 20) ** 2 / 400 + params["angle"] ** 2 / 3 + kind

    return f


@pytest.fixture(scope="session")
def drive(objective):
    """Asks and tells ``n`` times; the points."""

    def run(opt, n):
        points = []
        for _ in range(n):
            (trial,) = opt.ask()
            points.append(trial.params)
            opt.tell(trial, objective(trial.params))
        return points

    return run


@pytest.fixture(scope="session")
def record():
    """Everything an optimizer knows, as plain data."""

    def read(opt):
        trials = [opt.trial(i) for i in range(len(opt._ledger.codes))]
        return {
            "trials": [(t.id, repr(t.params), t.state, t.value, t.noise, t.reason) for t in trials],
            "history": opt.history.ids,
            "pending": opt.pending.ids,
            "asks": opt._ledger.asks,
            "taken": dict(opt._ledger._taken),
            "X": opt._ledger.data().X.tobytes(),
            "y": opt._ledger.data().y.tobytes(),
            "asked": opt._ledger.data().asked,
        }

    return read
