from __future__ import annotations

import math

import numpy as np
import pytest
from hyperopt import hp
from hyperopt.pyll.stochastic import sample

import gpbo


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        (hp.uniform("p", -1, 2), gpbo.Float(-1, 2)),
        (hp.uniform("p", low=-1, high=2), gpbo.Float(-1, 2)),
        (hp.loguniform("p", -3, 2), gpbo.Float(math.exp(-3), math.exp(2), log=True)),
        (hp.quniform("p", 0, 10, 2), gpbo.Float(0, 10, step=2)),
        (hp.quniform("p", 1, 10, q=4), gpbo.Float(0, 8, step=4)),
        (hp.randint("p", 5), gpbo.Int(0, 4)),
        (hp.randint("p", 2, 5), gpbo.Int(2, 4)),
        (hp.uniformint("p", 1, 5), gpbo.Int(1, 5)),
        (hp.choice("p", ["x", 1, None, (1, 2)]), gpbo.Categorical(["x", 1, None, (1, 2)])),
        (hp.choice("p", [True, False]), gpbo.Categorical([True, False])),
        (3, gpbo.Categorical([3])),
    ],
)
def test_translation(entry, parameter):
    space = gpbo.from_hyperopt({"p": entry})
    assert space["p"] == parameter
    if hasattr(entry, "name"):
        rng = np.random.default_rng(0)
        assert all(space.contains({"p": sample(entry, rng=rng)}) for _ in range(50))
        assert gpbo.from_hyperopt(entry)["p"] == parameter


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (hp.normal("p", 0, 1), "'p' is hp.normal, which is not translated; use uniform"),
        (hp.qloguniform("p", 0, 1, 1), "'p' is hp.qloguniform"),
        (hp.choice("p", [{"a": hp.uniform("q", 0, 1)}, "b"]), "a choice of 'p' holds a dict expression. Nested"),
        (hp.choice("p", [hp.uniform("q", 0, 1), 2]), "a choice of 'p' holds a float expression"),
        (hp.uniform("p", 0, 1) + 1, "'p' is computed from other expressions"),
        (hp.pchoice("p", [(0.1, 1), (0.9, 2)]), "'p' is hp.pchoice; gpbo has no weights"),
    ],
)
def test_what_cannot_be_translated_is_named(entry, message):
    with pytest.raises(gpbo.ArgumentError, match=message):
        gpbo.from_hyperopt({"p": entry})


def test_other_things_are_no_space():
    with pytest.raises(gpbo.ArgumentError, match="needs a dict of hp expressions"):
        gpbo.from_hyperopt([hp.uniform("p", 0, 1)])
