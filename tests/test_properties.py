"""Random sequences of calls, held against a plain model of what must hold."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import gpbo

SPACES = [
    gpbo.Space({"k": gpbo.Int(0, 3), "c": gpbo.Categorical(["a", "b", "c"])}),
    gpbo.Space({"x": gpbo.Float(-1, 1), "b": gpbo.Categorical([True, False])}),
    gpbo.Space({"k": gpbo.Int(-(2**63), 2**63 - 1), "s": gpbo.Float(0, 1, step=0.25)}),
]
VALUES = st.one_of(st.floats(), st.integers(-(10**6), 10**6), st.sampled_from([1e-300, 1e300, 0.0]))


class Study(RuleBasedStateMachine):
    """An optimizer beside a dict from id to (params, state, value)."""

    n_initial = 10**6

    def __init__(self):
        super().__init__()
        self.opt = None

    @precondition(lambda self: self.opt is None)
    @rule(space=st.sampled_from(SPACES), direction=st.sampled_from(["minimize", "maximize"]), seed=st.integers(0, 5))
    def start(self, space, direction, seed):
        self.space = space
        self.opt = gpbo.Optimizer(space, direction, seed, n_initial=self.n_initial)
        self.known = {}
        self.told = []

    def ids(self, state):
        return [i for i, (_, s, _) in self.known.items() if s == state]

    def taken(self):
        return {self.space.key(p) for p, s, _ in self.known.values() if s != "forgotten"}

    @precondition(lambda self: self.opt is not None)
    @rule(q=st.integers(1, 5))
    def ask(self, q):
        left = math.inf if self.space.cardinality is None else self.space.cardinality - len(self.taken())
        if q > left:
            with pytest.raises(gpbo.SpaceExhausted) as info:
                self.opt.ask(q)
            assert info.value.left == left
            return
        batch = self.opt.ask(q)
        keys = {self.space.key(params) for params in batch.params}
        assert len(batch) == len(keys) == q
        assert not keys & self.taken()
        assert batch.ids == list(range(len(self.known), len(self.known) + q))
        self.known.update({t.id: (t.params, "pending", None) for t in batch})

    @precondition(lambda self: self.opt is not None and self.ids("pending"))
    @rule(data=st.data())
    def tell(self, data):
        ids = data.draw(st.lists(st.sampled_from(self.ids("pending")), unique=True, max_size=4))
        values = data.draw(st.lists(VALUES, min_size=len(ids), max_size=len(ids)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.opt.tell(ids, values)
        assert len(caught) == any(not math.isfinite(v) for v in values)
        self.settle(ids, values)

    @precondition(lambda self: self.opt is not None)
    @rule(data=st.data(), m=st.integers(0, 3))
    def add(self, data, m):
        rows = np.array(
            data.draw(st.lists(st.lists(st.floats(0, 0.999), min_size=2, max_size=2), min_size=m, max_size=m))
        )
        params = self.space.decode(self.space.sample(rows.reshape(m, 2)))
        values = data.draw(st.lists(VALUES, min_size=m, max_size=m))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = self.opt.add(params, values)
        assert batch.params == params
        self.known.update({t.id: (t.params, "pending", None) for t in batch})
        self.settle(batch.ids, values)

    def settle(self, ids, values):
        for trial_id, value in zip(ids, values, strict=True):
            done = ("complete", float(value)) if math.isfinite(value) else ("failed", None)
            self.known[trial_id] = (self.known[trial_id][0], *done)
        self.told += ids

    @precondition(lambda self: self.opt is not None and self.ids("pending"))
    @rule(data=st.data(), reason=st.text(max_size=5))
    def fail(self, data, reason):
        trial_id = data.draw(st.sampled_from(self.ids("pending")))
        self.opt.fail(trial_id, reason)
        assert self.opt.trial(trial_id).reason == reason
        self.settle([trial_id], [math.nan])

    @precondition(lambda self: self.opt is not None and self.ids("pending"))
    @rule(data=st.data())
    def forget(self, data):
        ids = data.draw(st.lists(st.sampled_from(self.ids("pending")), unique=True, max_size=3))
        self.opt.forget(ids)
        self.known.update({i: (self.known[i][0], "forgotten", None) for i in ids})

    @precondition(lambda self: self.opt is not None)
    @rule(data=st.data(), call=st.sampled_from(["tell", "fail", "forget"]), bad=st.integers(-3, 60))
    def refuse(self, data, call, bad):
        if self.known.get(bad, (None, None))[1] == "pending":
            return
        ids = [*self.ids("pending")[:2], bad]
        with pytest.raises(gpbo.TrialStateError if bad in self.known else gpbo.UnknownTrialError):
            self.opt.tell(ids, [1.0] * len(ids)) if call == "tell" else getattr(self.opt, call)(ids)

    @invariant()
    def everything_is_as_the_model_says(self):
        if self.opt is None:
            return
        opt = self.opt
        for trial_id, (params, state, value) in self.known.items():
            trial = opt.trial(trial_id)
            assert (trial.params, trial.state, trial.value) == (params, state, value)
        assert opt.pending.ids == self.ids("pending")
        assert opt.history.ids == self.told
        complete = [self.known[i][2] for i in self.told if self.known[i][1] == "complete"]
        if complete:
            assert opt.best().value == (min if opt.direction == "minimize" else max)(complete)
        else:
            with pytest.raises(gpbo.NotReadyError):
                opt.best()
        data = opt._ledger.data()
        sign = -1 if opt.direction == "minimize" else 1
        assert data.y.tolist() == [sign * value for value in complete]
        assert (len(data.X), len(data.pending), len(data.failed)) == tuple(
            len(self.ids(state)) for state in ("complete", "pending", "failed")
        )
        assert self.taken() <= set(data.taken)


class ModelledStudy(Study):
    """The same, with a model fitted from the second value on."""

    n_initial = 2


Study.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
ModelledStudy.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestStudy = Study.TestCase
TestModelledStudy = ModelledStudy.TestCase
