"""What an ask does when memory is short: the same points in smaller pieces, or a smaller model, and a word about it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import gpbo
from gpbo.acquisition import improvement as improvement_module
from gpbo.acquisition import paths as paths_module
from gpbo.acquisition.paths import Paths
from gpbo.models.host_posterior import HostPosterior, NotPositiveDefinite
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo.search import gradient
from gpbo.strategy import regions, surrogate

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
BOX = gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3)
ERRORS = {
    "numpy": MemoryError("Unable to allocate 42 GiB"),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 42 GiB"),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you"),
}


def started(n=60, **options):
    opt = gpbo.Optimizer(BOX, seed=0, n_initial=5, **options)
    X = np.random.default_rng(1).random((n, 3))
    opt.add(X, np.sin(6 * X).sum(1) + ((X - 0.4) ** 2).sum(1))
    return opt


def whole_batch(opt, batch, q):
    assert len({tuple(x) for x in batch.x}) == len(batch) == q
    assert ((batch.x >= 0.0) & (batch.x <= 1.0)).all()


def once(target, name, error, patch):
    """The named function fails when it is called first."""
    original, calls = getattr(target, name), []

    def failing(*arguments, **options):
        calls.append(None)
        if len(calls) == 1:
            raise error
        return original(*arguments, **options)

    patch.setattr(target, name, failing)
    return calls


CHUNKED = {
    "values": (improvement_module, "evaluate"),
    "ranking by paths": (Paths, "table"),
    "gradients of paths": (paths_module, "path_gradients"),
    "searches of paths": (gradient, "minimise_many"),
    "prediction": (HostPosterior, "whiten"),
    "correction of paths": (HostPosterior, "weights"),
}


@needs_numba
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("ranking by paths", "numpy"),
        ("gradients of paths", "torch"),
        ("searches of paths", "gpu"),
        ("correction of paths", "numpy"),
    ],
)
def test_a_refused_piece_changes_rounding_only_and_is_reported_once(step, error, monkeypatch, caplog):
    expected = started().ask(100)
    opt = started()
    with monkeypatch.context() as patch:
        calls = once(*CHUNKED[step], ERRORS[error], patch)
        batch = opt.ask(100)
    assert len(calls) > 1
    whole_batch(opt, batch, 100)
    assert "design" not in opt.last_ask.strategy
    assert opt.last_ask.message.count("memory was short") == 1
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    np.testing.assert_allclose(batch.x, expected.x, rtol=0, atol=1e-4)
    opt.tell(batch, batch.x[:, 0])
    opt.ask(9)
    assert opt.last_ask.message == ""


@needs_numba
@pytest.mark.parametrize("error", ERRORS)
def test_values_that_are_refused_above_a_size_come_in_pieces(error, monkeypatch, caplog):
    space = gpbo.Space({"x": gpbo.Float(0, 1), "n": gpbo.Int(0, 300), "c": gpbo.Categorical(list("abc"))})

    def study():
        opt = gpbo.Optimizer(space, seed=0, n_initial=5)
        params = space.decode(space.sample(np.random.default_rng(1).random((40, 3))))
        opt.add(params, [(p["x"] - 0.3) ** 2 + p["n"] / 300 for p in params])
        return opt

    expected = study().ask(30).params
    original = improvement_module.evaluate

    def evaluate(U, *arguments):
        if len(U) > 20:
            raise ERRORS[error]
        return original(U, *arguments)

    opt = study()
    with monkeypatch.context() as patch:
        patch.setattr(improvement_module, "evaluate", evaluate)
        batch = opt.ask(30)
    assert batch.params == expected
    assert "memory was short: values of the acquisition in pieces of" in opt.last_ask.message
    assert len(caplog.records) == 1


@needs_numba
@pytest.mark.parametrize(("most", "error"), [(40, "numpy"), (40, "gpu"), (7, "torch")])
def test_a_factor_that_is_refused_holds_fewer_observations(most, error, monkeypatch, caplog):
    original = surrogate.factorised

    def factorised(problem, theta, device):
        if len(problem.y) > most:
            raise ERRORS[error]
        return original(problem, theta, device)

    opt = started()
    with monkeypatch.context() as patch:
        patch.setattr(surrogate, "factorised", factorised)
        patch.setattr(regions, "factorised", original)
        batch = opt.ask(70)
    whole_batch(opt, batch, 70)
    assert "design" not in opt.last_ask.strategy
    assert "memory was short: " in opt.last_ask.message
    assert "a model of" in opt.last_ask.message
    assert len(caplog.records) == 1


@needs_numba
def test_a_refusal_while_the_factor_grows_leads_to_a_new_one(monkeypatch):
    opt = started(230)
    for turn in range(4):
        batch = opt.ask(2)
        opt.tell(batch[0], batch.x[0].sum())
        with monkeypatch.context() as patch:
            if turn in (1, 2):
                once(HostPosterior, "_append", MemoryError(), patch)
            mean, _ = opt.predict([[0.5] * 3])
        assert np.isfinite(mean).all()
    batch = opt.ask(3)
    whole_batch(opt, batch, 3)
    assert "LogEI" in opt.last_ask.strategy


def test_a_covariance_that_stays_singular_gives_space_filling_points_and_says_so(monkeypatch, caplog):
    def singular(*_arguments):
        raise NotPositiveDefinite

    opt = started()
    with monkeypatch.context() as patch:
        patch.setattr(surrogate, "factorised", singular)
        batch = opt.ask(9)
    whole_batch(opt, batch, 9)
    assert opt.last_ask.strategy == "design"
    assert "NotPositiveDefinite" in opt.last_ask.message
    assert len(caplog.records) == 1
    opt.ask()
    assert opt.last_ask.message == ""


# The user's limit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["lots", "", "-1 GB", "1,5 GB", "64", "10 MB", 0, -5, 10**6, 2**70, "1e9", "9" * 400])
def test_limits_that_cannot_be_are_refused_by_name(value):
    with pytest.raises(gpbo.ArgumentError, match="memory_limit"):
        gpbo.Optimizer(BOX, memory_limit=value)


@pytest.mark.parametrize("value", [1e9, True, [1], b"2 GB", 2.0])
def test_limits_of_another_type_are_refused_by_name(value):
    with pytest.raises(gpbo.ArgumentTypeError, match="memory_limit"):
        gpbo.Optimizer(BOX, memory_limit=value)


@pytest.mark.parametrize("value", ["64 MB", "2GB", "1.5 GiB", " 3 TB ", 64_000_000, np.int64(10**9), "100000000", None])
def test_limits_are_taken_as_numbers_and_texts(value):
    gpbo.Optimizer(BOX, memory_limit=value).ask()


@pytest.fixture
def subset(monkeypatch):
    """Factors of at most 40 observations."""
    monkeypatch.setattr(surrogate, "most_modelled", lambda n, limit, exact: min(n, 40))


@pytest.mark.parametrize("n", [41, 90, 230])
def test_a_factor_of_a_part_answers_for_all(n, subset):
    opt = started(n)
    opt.tell(opt.ask(3), [1.0, 2.0, 3.0])
    fitted = opt._strategy._fitted(opt._ledger.data())
    assert len(fitted.rows) == fitted.posterior.n < n + 3
    assert (np.diff(fitted.rows) > 0).all()
    mean, std = opt.predict(np.full((4, 3), 0.5))
    assert mean.shape == std.shape == (4,)
    table = np.array(opt.leave_one_out())
    assert table.shape == (3, n + 3)
    held = np.zeros(n + 3, dtype=bool)
    held[fitted.rows] = True
    assert np.isfinite(table[:, held]).all()
    assert np.isnan(table[:, ~held]).all()
    assert opt.recommend().id in opt.history.ids
    best = min(opt.history, key=lambda trial: trial.value)
    assert opt.recommend().value <= best.value + 0.5
    assert opt.model.train_inputs[0].shape == (len(fitted.rows), 3)
    batch = opt.ask(70)
    whole_batch(opt, batch, 70)
    assert opt.last_ask.message == ""


def test_a_factor_of_a_part_does_not_depend_on_how_tells_were_grouped(subset, tmp_path):
    def run(groups, **options):
        opt = started(230, **options)
        points = []
        for _ in range(3):
            batch = opt.ask(12)
            points += batch.params
            for part in np.array_split(np.arange(12), groups):
                opt.tell([batch[int(i)] for i in part], batch.x[part].sum(1))
                if groups > 1:
                    opt.predict(points[:1])
            if options:
                opt = gpbo.Optimizer.open(options["storage"])
        return points

    assert run(1) == run(4) == run(1, storage=tmp_path / "study.db")


def test_a_refused_factor_is_remembered_by_a_stored_study(tmp_path, monkeypatch):
    def run(**options):
        opt, original = started(230, **options), surrogate.factorised

        def factorised(problem, theta, device):
            if len(problem.y) > 200:
                raise MemoryError
            return original(problem, theta, device)

        with monkeypatch.context() as patch:
            patch.setattr(surrogate, "factorised", factorised)
            first = opt.ask(3)
        points = first.params
        for _ in range(2):
            if options:
                opt = gpbo.Optimizer.open(options["storage"])
            batch = opt.ask(2)
            points += batch.params
            opt.tell(batch[0], batch.x[0].sum())
        return points

    assert run() == run(storage=tmp_path / "study.db")


def test_a_look_at_the_model_keeps_to_the_limit(monkeypatch):
    """Predictions build the model that the next ask uses, so the limit counts for them as well."""
    limits = []

    def most_modelled(n, limit, exact):
        limits.append(limit)
        return n if limit is None else min(n, 40)

    monkeypatch.setattr(surrogate, "most_modelled", most_modelled)
    asked = started(60, memory_limit="64 MB").ask(3).params
    for look in ("predict", "recommend", "leave_one_out", "model", "acquisition"):
        opt = started(60, memory_limit="64 MB")
        if look == "predict":
            opt.predict([[0.5] * 3])
        elif look == "acquisition":
            opt.acquisition(1)
        elif look == "model":
            assert len(opt.model.train_targets) == 40
        else:
            getattr(opt, look)()
        assert opt.ask(3).params == asked
    assert set(limits) == {64_000_000}


def test_predictions_that_are_refused_come_in_pieces(monkeypatch):
    opt = started(60)
    U = np.random.default_rng(2).random((500, 3))
    expected = opt.predict(U)
    target = HostPosterior if available() else TorchPosterior
    name = "whiten" if available() else "solve"
    original = getattr(target, name)

    def limited(self, rows):
        if len(rows) > 100:
            raise MemoryError
        return original(self, rows)

    monkeypatch.setattr(target, name, limited)
    for found, before in zip(opt.predict(U), expected, strict=True):
        np.testing.assert_allclose(found, before, rtol=1e-9)


@pytest.mark.slow
def test_four_thousand_observations_in_64_megabytes():
    opt = started(4000, memory_limit="64 MB")
    for q in (1, 20, 300):
        batch = opt.ask(q)
        whole_batch(opt, batch, q)
        assert opt.last_ask.message == ""
        assert "design" not in opt.last_ask.strategy
    assert np.isfinite(opt.predict(np.full((3, 3), 0.5))).all()
    table = np.array(opt.leave_one_out())
    assert 1000 <= np.isfinite(table[0]).sum() <= 2000
    assert opt.recommend().value <= np.quantile([trial.value for trial in opt.history], 0.01)


def test_the_budget_of_an_ask_ends_with_it():
    opt = started(30, memory_limit="64 MB")
    opt.ask(20)
    assert memory.current().limit is None
