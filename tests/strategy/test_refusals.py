"""Allocation failures at every large step: the batch is whole, nearly as good, and the user hears of it once."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

import gpbo
from gpbo.acquisition import improvement, paths, torch_improvement, torch_screen
from gpbo.acquisition.paths import Paths
from gpbo.acquisition.torch_improvement import TorchImprovement
from gpbo.models import batched_posterior, leave_one_out
from gpbo.models import fit as fit_module
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available
from gpbo.search import gradient, mixed
from gpbo.search.candidates import Candidates
from gpbo.strategy import composition, policy, regions, surrogate

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
BOX = gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3)
MIXED = gpbo.Space({"x": gpbo.Float(0, 1), "n": gpbo.Int(0, 300), "c": gpbo.Categorical(list("abc"))})
FINITE = gpbo.Space({"m": gpbo.Int(0, 39), "n": gpbo.Int(0, 39)})
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 42 GiB")

COMMON = {
    "comparison of models": (surrogate, "fit", 1),
    "factor": (surrogate, "factorised", 1),
    "fit of a region": (regions, "fit", 1),
    "candidates of a region": (Candidates, "draw", 1),
    "candidates of the whole": (Candidates, "draw", 2),
    "candidates of paths": (Candidates, "draw", 3),
    "paths": (composition, "Paths", 1),
    "table of paths": (Paths, "table", 1),
    "gradients of paths": (paths, "path_gradients", 1),
    "searches of paths": (gradient, "minimise_many", 1),
}
HOST = {
    **COMMON,
    "factor of a region": (regions, "factorised", 1),
    "room in a region": (HostPosterior, "reserve", 1),
    "room in the whole": (HostPosterior, "reserve", 2),
    "pending points": (improvement.HostImprovement, "believe", 1),
    "failed points": (improvement.HostImprovement, "disappoint", 2),
    "fantasies": (improvement.HostImprovement, "fantasise", 1),
    "fantasies of a later block": (improvement.HostImprovement, "fantasise", 30),
    "screen": (improvement.HostImprovement, "screen", 1),
    "moments of candidates": (HostPosterior, "whiten", 1),
    "moments of shortlists": (improvement, "condition_rows", 3),
    "search": (gradient, "maximise_compiled", 1),
    "second sweep": (gradient, "maximise_compiled", 2),
    "correction of paths": (HostPosterior, "weights", 1),
}
TORCH = {
    "factor": COMMON["factor"],
    "paths": COMMON["paths"],
    "factor of a region": (regions, "factorised", 1),
    "pending points": (TorchImprovement, "believe", 1),
    "failed points": (TorchImprovement, "disappoint", 2),
    "fantasies": (TorchImprovement, "fantasise", 1),
    "moments of candidates": (torch_screen, "Table", 1),
    "solve": (TorchPosterior, "solve", 1),
    "gradient": (torch_improvement, "log_expected_improvement", 2),
    "search": (gradient, "minimise", 1),
    "growth": (TorchPosterior, "condition", 3),
    "correction of paths": (TorchPosterior, "weights", 1),
}


def started(space=BOX, n=60, **options):
    """A study with observations, pending and failed points."""
    opt = gpbo.Optimizer(space, seed=0, n_initial=5, **options)
    U = space.sample(np.random.default_rng(1).random((n, space.n_params)))
    U = U[sorted({key: row for row, key in enumerate(space.keys(U))}.values())]
    opt.add(space.decode(U), outcomes(U))
    batch = opt.ask(60)
    opt.fail(batch[:4], "broken")
    opt.tell(batch[4:8], outcomes(np.asarray(batch.u)[4:8]))  # time to fit again
    return opt


def outcomes(U):
    return np.sin(6 * U).sum(1) + ((U - 0.4) ** 2).sum(1)


def refusing(patch, target, name, when, error=None):
    """The named function fails at the calls for which ``when(number)`` holds; returns the numbers of all calls."""
    original, calls = getattr(target, name), []

    def failing(*arguments, **options):
        calls.append(len(calls) + 1)
        if when(calls[-1]):
            raise MemoryError if error is None else error
        return original(*arguments, **options)

    patch.setattr(target, name, failing)
    return calls


def whole(opt, batch, q):
    space = opt.space
    keys = {space.key(params) for params in batch.params}
    others = {space.key(each.params) for each in (*opt.history, *opt.pending) if each.id not in set(batch.ids)}
    assert len(batch) == len(keys) == q
    assert not keys & others
    assert all(space.contains(params) for params in batch.params)


def reported(opt, caplog):
    assert opt.last_ask.message.count("memory was short") == 1
    (record,) = (each for each in caplog.records if each.name.startswith("gpbo"))
    assert record.levelno == logging.WARNING


def goes_on(opt, batch):
    opt.tell(batch[:40], outcomes(np.asarray(batch.u)[:40]))
    whole(opt, opt.ask(9), 9)
    assert opt.last_ask.message == ""
    assert "design" not in opt.last_ask.strategy


@pytest.fixture
def without_numba(monkeypatch):
    for module in (surrogate, fit_module, regions):
        monkeypatch.setattr(module, "available", lambda: False)


@needs_numba
@pytest.mark.parametrize("step", HOST)
def test_a_refusal_on_the_host_costs_no_more_than_a_smaller_step(step, monkeypatch, caplog):
    target, name, number = HOST[step]
    opt = started()
    with monkeypatch.context() as patch:
        calls = refusing(patch, target, name, lambda call: call == number)
        batch = opt.ask(120)
    assert len(calls) > number
    whole(opt, batch, 120)
    assert opt.last_ask.strategy == "local LogEI + LogEI + Thompson"
    reported(opt, caplog)
    goes_on(opt, batch)


@pytest.mark.parametrize("step", TORCH)
def test_a_refusal_on_a_device_costs_no_more_than_a_smaller_step(step, without_numba, monkeypatch, caplog):
    target, name, number = TORCH[step]
    opt = started(n=30)
    with monkeypatch.context() as patch:
        calls = refusing(patch, target, name, lambda call: call == number, GPU)
        batch = opt.ask(70)
    assert len(calls) >= number
    whole(opt, batch, 70)
    assert "LogEI" in opt.last_ask.strategy
    assert "design" not in opt.last_ask.strategy
    reported(opt, caplog)


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("space", [BOX, MIXED], ids=["continuous", "mixed"])
@pytest.mark.parametrize("step", HOST)
def test_a_step_that_is_always_refused_leaves_a_whole_batch(step, space, monkeypatch, caplog):
    target, name, _ = HOST[step]
    opt = started(space)
    with monkeypatch.context() as patch:
        refusing(patch, target, name, lambda call: True)
        batch = opt.ask(100)
    whole(opt, batch, 100)
    assert opt.last_ask.message
    assert len(caplog.records) == 1
    goes_on(opt, batch)


@needs_numba
@pytest.mark.parametrize("step", ["room in a region", "screen", "search", "candidates of a region"])
def test_what_log_ei_has_no_memory_for_comes_from_sample_paths(step, monkeypatch, caplog):
    target, name, _ = HOST[step]
    opt = started()
    with monkeypatch.context() as patch:
        refusing(patch, target, name, lambda call: step != "candidates of a region" or call <= 10)
        batch = opt.ask(20)
    whole(opt, batch, 20)
    assert "Thompson" in opt.last_ask.strategy
    assert "design" not in opt.last_ask.strategy
    reported(opt, caplog)


@needs_numba
def test_sample_paths_that_do_not_fit_are_those_of_fewer_observations(monkeypatch, caplog):
    original = composition.Paths

    def paths(posterior, deviation, rng):
        if posterior.n > 100:
            raise MemoryError
        return original(posterior, deviation, rng)

    opt = started(n=300)
    with monkeypatch.context() as patch:
        patch.setattr(composition, "Paths", paths)
        batch = opt.ask(100)
    whole(opt, batch, 100)
    assert opt.last_ask.strategy == "local LogEI + LogEI + Thompson"
    assert "sample paths of 76 observations" in opt.last_ask.message
    reported(opt, caplog)


@needs_numba
def test_where_nothing_can_be_searched_points_fill_the_space(monkeypatch, caplog):
    opt = started()
    with monkeypatch.context() as patch:
        for target, name in ((improvement.HostImprovement, "screen"), (composition, "Paths")):
            refusing(patch, target, name, lambda call: True)
        batch = opt.ask(30)
    whole(opt, batch, 30)
    assert opt.last_ask.strategy == "design"
    reported(opt, caplog)
    goes_on(opt, opt.ask(50))


@needs_numba
@pytest.mark.parametrize(
    ("target", "name", "number"),
    [(improvement, "evaluate", 1), (mixed, "climb", 1), (improvement.HostImprovement, "screen", 1)],
    ids=["neighbours", "relaxed search", "screen"],
)
def test_refusals_in_a_mixed_space(target, name, number, monkeypatch, caplog):
    opt = started(MIXED)
    with monkeypatch.context() as patch:
        refusing(patch, target, name, lambda call: call == number)
        batch = opt.ask(30)
    whole(opt, batch, 30)
    assert opt.last_ask.strategy == "local LogEI + LogEI"
    reported(opt, caplog)


@needs_numba
@pytest.mark.parametrize("always", [False, True])
def test_a_finite_space_that_cannot_be_enumerated_is_searched(always, monkeypatch, caplog):
    opt = started(FINITE)
    with monkeypatch.context() as patch:
        refusing(patch, composition, "enumerate_best", lambda call: always or call == 1)
        batch = opt.ask(30)
    whole(opt, batch, 30)
    assert opt.last_ask.strategy == "LogEI"
    reported(opt, caplog)
    whole(opt, opt.ask(5), 5)
    assert opt.last_ask.strategy == "LogEI by enumeration"


@needs_numba
def test_a_refused_region_gets_half_of_its_observations(monkeypatch, caplog):
    original, sizes = regions.factorised, []

    def factorised(problem, theta, device):
        sizes.append(len(problem.y))
        if len(problem.y) > 20:
            raise MemoryError
        return original(problem, theta, device)

    opt = started(n=180)
    with monkeypatch.context() as patch:
        patch.setattr(regions, "factorised", factorised)
        batch = opt.ask(20)
    whole(opt, batch, 20)
    assert sizes == [61, 30, 15]
    assert opt.last_ask.strategy == "local LogEI + LogEI"
    assert "a region of 15 observations" in opt.last_ask.message
    reported(opt, caplog)


@needs_numba
def test_a_chain_is_as_long_as_there_is_room_for(monkeypatch, caplog):
    """A factor that may not grow has room for some picks; sample paths provide the others."""
    opt = started(n=300)
    with monkeypatch.context() as patch:
        patch.setattr(HostPosterior, "reserve", _never_grows)
        batch = opt.ask(200)
    whole(opt, batch, 200)
    assert opt.last_ask.strategy == "local LogEI + LogEI + Thompson"
    assert "pending points and picks" in opt.last_ask.message
    reported(opt, caplog)


def _never_grows(self, room):
    if room > self.room:
        raise MemoryError


def test_regions_whose_batched_factorisation_is_refused_come_in_smaller_batches(without_numba, monkeypatch):
    monkeypatch.setattr(regions, "_size", lambda n, d: min(n, 20))
    original, sizes = torch.linalg.cholesky_ex, []

    def cholesky_ex(A, *arguments, **options):
        sizes.append(A.shape[:-2].numel())
        if sizes[-1] > 1:
            raise GPU
        return original(A, *arguments, **options)

    opt = started(n=120)
    data, fitted = opt._ledger.data(), opt._strategy._fitted(opt._ledger.data())
    rows = regions.centres(data, fitted, 4, data.y).tolist()
    assert len(rows) == 4

    def models():
        return list(
            regions.regions_around(data, fitted, rows, "rbf", noisy=False, turn=False, device=torch.device("cpu"))
        )

    expected = models()
    monkeypatch.setattr(batched_posterior.torch.linalg, "cholesky_ex", cholesky_ex)
    for one, other in zip(models(), expected, strict=True):
        torch.testing.assert_close(one.posterior.L, other.posterior.L, rtol=1e-12, atol=1e-12)
    assert [size for size in sizes if size > 1] == [4, 2]


@needs_numba
@pytest.mark.parametrize("call", [1, 2])
def test_a_look_at_the_model_goes_on_and_says_so(call, monkeypatch, caplog):
    opt = started(n=700)
    expected = np.array(opt.leave_one_out())
    with monkeypatch.context() as patch:
        refusing(patch, leave_one_out, "solve_triangular", lambda number: number == call)
        np.testing.assert_allclose(np.array(opt.leave_one_out()), expected, rtol=1e-6, equal_nan=True)
    assert [each.message for each in caplog.records] == [
        f"memory was short: columns of the inverse factor in pieces of {256 if call == 1 else 96}"
    ]


@needs_numba
def test_a_stored_study_whose_factor_is_refused_after_it_was_opened_refits(tmp_path, monkeypatch, caplog):
    opt = started(n=230, storage=tmp_path / "study.db")
    batch = opt.ask(2)
    opt.tell(batch[0], 0.1)
    opt.close()
    opt = gpbo.Optimizer.open(tmp_path / "study.db")
    with monkeypatch.context() as patch:
        refusing(patch, surrogate, "factorised", lambda call: call == 1)
        batch = opt.ask(3)
    whole(opt, batch, 3)
    assert "LogEI" in opt.last_ask.strategy
    assert opt.last_ask.refitted


@pytest.mark.parametrize("space", [BOX, MIXED], ids=["continuous", "mixed"])
def test_the_start_of_a_study_comes_in_pieces(space, monkeypatch, caplog):
    expected = gpbo.Optimizer(space, seed=0).ask(500)
    opt = gpbo.Optimizer(space, seed=0)
    with monkeypatch.context() as patch:
        refusing(patch, policy, "sobol", lambda call: call <= 2)
        batch = opt.ask(500)
    assert batch.params == expected.params
    assert "space-filling points in pieces of 125" in opt.last_ask.message
    reported(opt, caplog)


CAPPED = """
import resource
import numpy as np
import gpbo

def study(n):
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3), seed=0, n_initial=5, device="cpu")
    X = np.random.default_rng(1).random((n, 3))
    opt.add(X, np.sin(6 * X).sum(1))
    return opt

study(40).ask(70)  # everything is loaded and compiled
opt = study(2500)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10 * 10**6,) * 2)
batch = opt.ask(300)
print(len({tuple(x) for x in batch.x}), opt.last_ask.strategy, opt.last_ask.message, sep="|")
"""


@needs_numba
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited and measured on Linux")
def test_ten_megabytes_are_enough_for_a_batch_of_three_hundred():
    """What a process really meets: refusals by NumPy, torch and compiled code alike, wherever they happen to be."""
    done = subprocess.run([sys.executable, "-c", CAPPED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    count, strategy, message = done.stdout.strip().split("|")
    assert int(count) == 300
    assert "LogEI" in strategy
    assert "memory was short: a model of" in message
