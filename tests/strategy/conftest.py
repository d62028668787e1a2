"""Snapshots of studies, made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gpbo import Space
from gpbo.data import Data


def outcome(U):
    return np.sin(4 * U[:, 0]) - ((U - 0.37) ** 2).sum(1)


@pytest.fixture
def box():
    return Space.from_bounds([0.0] * 3, [1.0] * 3)


@pytest.fixture
def snapshot():
    """What is known after n observations at random points, or at those given."""

    def make(space, n=20, *, X=None, y=None, noise=None, pending=None, failed=None, seed=0):
        rng = np.random.default_rng(seed)
        X = space.sample(rng.random((n, space.n_params))) if X is None else np.asarray(X)
        y = outcome(X) if y is None else np.asarray(y, dtype=float)
        nothing = np.empty((0, space.dim))
        pending = nothing if pending is None else np.asarray(pending)
        failed = nothing if failed is None else np.asarray(failed)
        taken = set(space.keys(np.vstack([X, pending, failed])))
        asked = len(X) + len(pending) + len(failed)
        return Data(X, y, noise, pending, failed, asked, taken, asked)

    return make


@pytest.fixture
def goes_on_alike():
    """Whether a strategy suggests the same after its state went through JSON into another."""

    def check(one, other, snapshots):
        other.restore_state(json.loads(json.dumps(one.carry_state())))
        for event, data in enumerate(snapshots, 50):
            np.testing.assert_array_equal(one.suggest(data, 1, event)[0], other.suggest(data, 1, event)[0])

    return check
