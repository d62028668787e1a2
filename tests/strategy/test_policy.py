"""Suggestions: reproducible, independent of scale and of looks at the model, and there whatever the data."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import threadpoolctl
import torch

from gpbo import Categorical, Float, Int, Space
from gpbo.data import Data
from gpbo.errors import ArgumentError, NotReadyError
from gpbo.models import fit as fit_module
from gpbo.models.host_posterior import HostPosterior
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available
from gpbo.strategy import Settings, Strategy, sums
from gpbo.strategy import surrogate as surrogate_module

needs_numba = pytest.mark.skipif(not available(), reason="numba is not there")
MIXED = Space({"x": Float(0, 1), "n": Int(0, 30), "c": Categorical(list("abc"))})


def strategy(space, seed=0, **settings):
    return Strategy(space, Settings(**settings), seed)


def first(space, data, q=1, seed=0, **settings):
    return strategy(space, seed, **settings).suggest(data, q, 3)


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setattr(surrogate_module, "available", lambda: False)
    monkeypatch.setattr(fit_module, "available", lambda: False)


def valid(space, data, rows, q):
    keys = space.keys(rows)
    assert rows.shape == (q, space.dim)
    assert np.array_equal(space.snap(rows), rows)
    assert len(set(keys)) == q
    assert not set(keys) & set(data.taken)


# What a suggestion depends on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 4])
def test_same_seed_same_suggestions(box, snapshot, q):
    data = snapshot(box)
    one, other = first(box, data, q)[0], first(box, data, q)[0]
    np.testing.assert_array_equal(one, other)
    valid(box, data, one, q)


def test_the_seed_and_the_event_select_the_random_stream(box, snapshot):
    data = snapshot(box, 0)
    rows = [first(box, data, 3, seed=seed)[0] for seed in (0, 1)]
    assert not np.array_equal(*rows)
    assert not np.array_equal(
        strategy(box).suggest(snapshot(box), 5, 0)[0], strategy(box).suggest(snapshot(box), 5, 1)[0]
    )


def loop(space, snapshot, asks, look, start=6):
    """Rows suggested one after the other, with looks at the model between them."""
    one, rows = strategy(space), []
    X = space.sample(np.random.default_rng(0).random((start, space.n_params)))
    for event in range(asks):
        data = snapshot(space, X=X)
        if look:
            one.predict(data, X[:2])
            one.model(data)
            one.acquisition(data, 2)
            one.recommend(data)
        found, _ = one.suggest(data, 1 + event % 2, event)
        rows.append(found)
        for row in found:  # a look after every single tell
            X = np.vstack([X, row])
            if look:
                one.predict(snapshot(space, X=X), X[:2])
    return np.vstack(rows)


@pytest.mark.parametrize("start", [6, 230], ids=["refit every time", "bordered in between"])
def test_looking_at_the_model_changes_nothing(box, snapshot, start):
    np.testing.assert_array_equal(loop(box, snapshot, 8, False, start), loop(box, snapshot, 8, True, start))


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("exponent", [-900, -60, 40, 900])
def test_powers_of_two_change_nothing_at_all(box, snapshot, exponent, q):
    data = snapshot(box)
    scaled = snapshot(box, y=np.ldexp(data.y, exponent), X=data.X)
    np.testing.assert_array_equal(first(box, data, q)[0], first(box, scaled, q)[0])


@pytest.mark.parametrize(
    "change", [lambda y: 1e-30 * y, lambda y: 1e30 * y, lambda y: 3.0 * y - 7.0, lambda y: 1e300 * y]
)
def test_scale_of_the_outcome_does_not_matter(box, snapshot, change):
    data = snapshot(box)
    np.testing.assert_allclose(first(box, snapshot(box, X=data.X, y=change(data.y)))[0], first(box, data)[0], atol=1e-5)


def test_an_offset_of_a_billion_costs_digits_and_not_the_suggestion(box, snapshot):
    data = snapshot(box)
    y = data.y + 1e9  # outcomes are now known to 1e-7 of their range
    np.testing.assert_allclose(first(box, snapshot(box, X=data.X, y=y))[0], first(box, data)[0], atol=1e-2)


def test_noise_is_in_the_units_of_the_outcome(box, snapshot):
    data = snapshot(box)
    noise = np.full(20, 0.05)
    one = first(box, snapshot(box, X=data.X, y=data.y, noise=noise))[0]
    other = first(box, snapshot(box, X=data.X, y=1024.0 * data.y, noise=1024.0 * noise))[0]
    np.testing.assert_array_equal(one, other)


# Whatever the data -----------------------------------------------------------------------------------------------

AWKWARD = {
    "constant": {"y": np.full(20, 3.0)},
    "zero": {"y": np.zeros(20)},
    "constant and huge": {"y": np.full(20, -1e300)},
    "nearly constant": {"y": 1e9 + 1e-7 * np.arange(20.0)},
    "one outlier": {"y": np.append(np.zeros(19), 1e12)},
    "float64 limits": {"y": 1.7e308 * np.linspace(-1, 1, 20)},
    "denormal": {"y": np.linspace(0.0, 1e-310, 20)},
    "identical points": {"X": np.tile([[0.2, 0.4, 0.6]], (20, 1)), "y": np.arange(20.0)},
    "near duplicates": {"X": 0.5 + 1e-9 * np.arange(60.0).reshape(20, 3), "y": np.arange(20.0)},
    "a line of points": {"X": np.linspace(0, 1, 20)[:, None] * np.ones(3)},
    "exact noise": {"noise": np.zeros(20)},
    "known noise": {"noise": np.full(20, 0.1)},
    "noise for some": {"noise": np.append(np.full(10, 0.1), np.full(10, np.nan))},
    "uneven noise": {"noise": np.logspace(-12, 3, 20)},
    "noise beyond all measure": {"noise": np.append(np.full(19, 1e-3), 1e300)},
}


@pytest.mark.parametrize("torch_path", [False, True], ids=["default", "torch"])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_data_get_suggestions_and_predictions(box, snapshot, name, torch_path, request):
    if torch_path:
        request.getfixturevalue("without_numba")
    data = snapshot(box, 20, **AWKWARD[name])
    one = strategy(box)
    for event, q in enumerate((1, 3)):
        rows, report = one.suggest(data, q, event)
        valid(box, data, rows, q)
        assert "singular" not in report.message
    mean, std = one.predict(data, box.sample(np.random.default_rng(1).random((5, 3))))
    assert np.isfinite(mean).all()
    assert (std >= 0.0).all()
    assert not np.isnan(std).any()


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_observations(box, snapshot, n):
    data = snapshot(box, n)
    one = strategy(box, n_initial=1)
    rows, _ = one.suggest(data, 2, 0)
    valid(box, data, rows, 2)
    assert np.isfinite(one.predict(data, data.X)[0]).all()
    assert one.recommend(data) == int(data.y.argmax())


def test_identical_points_average_out(box, snapshot):
    X = np.tile([[0.2, 0.4, 0.6]], (20, 1))
    data = snapshot(box, X=X, y=np.arange(20.0))
    mean, std = strategy(box).predict(data, X[:1])
    assert mean[0] == pytest.approx(9.5, abs=2.0)
    assert std[0] > 0.0


def test_predictions_follow_the_observations_in_the_users_units(box, snapshot):
    data = snapshot(box, 40)
    scaled = snapshot(box, X=data.X, y=1e6 * data.y + 5e6)
    mean, std = strategy(box).predict(scaled, data.X)
    np.testing.assert_allclose(mean, scaled.y, atol=0.05e6)
    assert std.max() < 0.1e6


def test_given_noise_is_believed(box, snapshot):
    data = snapshot(box, 30)
    sure = strategy(box).predict(snapshot(box, X=data.X, y=data.y, noise=np.full(30, 1e-3)), data.X)[1]
    unsure = strategy(box).predict(snapshot(box, X=data.X, y=data.y, noise=np.full(30, 0.5)), data.X)[1]
    assert unsure.min() > 5.0 * sure.max()
    assert first(box, snapshot(box, X=data.X, y=data.y, noise=np.full(30, 0.5)))[1].strategy == "noisy LogEI"


def test_noise_of_zero_means_exact(box, snapshot):
    data = snapshot(box, 30, noise=np.zeros(30))
    one = strategy(box)
    np.testing.assert_allclose(one.predict(data, data.X)[0], data.y, atol=1e-2)
    assert one.suggest(data, 1, 0)[1].strategy == "LogEI"


def test_failures_and_pending_points_are_kept_away_from(box, snapshot):
    data = snapshot(box, 25)
    best = first(box, data)[0]
    for taken in ("pending", "failed"):
        again = snapshot(box, X=data.X, **{taken: best})
        other = first(box, again)[0]
        valid(box, again, other, 1)
        assert np.abs(other - best).max() > 1e-3


def test_thousands_pending(box, snapshot):
    pending = box.sample(np.random.default_rng(5).random((1500, 3)))
    data = snapshot(box, 20, pending=pending)
    rows, report = first(box, data, 2)
    valid(box, data, rows, 2)
    assert report.pending == 1500


def test_failures_only_go_on_with_the_design(box, snapshot):
    data = snapshot(box, 0, failed=box.sample(np.random.default_rng(6).random((9, 3))))
    rows, report = first(box, data, 4)
    valid(box, data, rows, 4)
    assert report.strategy == "design"
    with pytest.raises(NotReadyError):
        strategy(box).model(data)


def test_the_start_is_space_filling_and_then_the_model_takes_over(box, snapshot):
    data = snapshot(box, 3)
    rows, report = first(box, data, 4, n_initial=5)
    valid(box, data, rows, 4)
    assert report.strategy == "design + LogEI"
    assert first(box, snapshot(box, 5), n_initial=5)[1].strategy == "LogEI"


def test_single_points_are_at_first_the_models_and_space_filling_by_turns(box, snapshot):
    used = [first(box, snapshot(box, n), n_initial=5)[1].strategy for n in range(4, 12)]
    assert used == ["design", "LogEI", "design", "LogEI", "design", "LogEI", "LogEI", "LogEI"]
    pending = box.sample(np.random.default_rng(7).random((1, 3)))
    rows, report = first(box, snapshot(box, 5, pending=pending), n_initial=5)  # told or not, it is the seventh
    assert report.strategy == "design"
    valid(box, snapshot(box, 5, pending=pending), rows, 1)
    assert first(box, snapshot(box, 6), 3, n_initial=5)[1].strategy == "LogEI"  # batches are spread anyway


def test_failures_take_turns_too(box, snapshot):
    failed = box.sample(np.random.default_rng(8).random((4, 3)))
    used = [first(box, snapshot(box, 5, failed=failed[:n]), n_initial=5)[1].strategy for n in range(5)]
    assert used == ["LogEI", "design", "LogEI", "design", "LogEI"]


@pytest.mark.parametrize("seed", range(4))
def test_space_filling_points_between_are_on_both_sides_of_every_parameter(snapshot, seed):
    space = Space.from_bounds([0.0] * 6, [1.0] * 6)
    X = np.random.default_rng(seed).random((18, 6))
    spread = [first(space, snapshot(space, X=X[:n]), seed=seed)[0][0] for n in (8, 10, 12, 14, 16)]
    above = (np.array(spread) > 0.5).sum(0)
    assert ((above >= 1) & (above <= 4)).all()


def test_a_small_space_is_enumerated_to_its_last_point(snapshot):
    space = Space({"a": Int(0, 4), "b": Categorical(list("xyz"))})
    data = snapshot(space, X=np.array([space.point(i) for i in range(6)]))
    rows, report = first(space, data, 9, n_initial=1)
    valid(space, data, rows, 9)
    assert report.strategy.endswith("by enumeration")


@pytest.mark.parametrize("q", [1, 5])
def test_mixed_space(snapshot, q):
    data = snapshot(MIXED, 15)
    valid(MIXED, data, first(MIXED, data, q)[0], q)


@pytest.mark.parametrize("kernel", ["auto", "matern52", "matern32", "matern12", "rbf"])
def test_kernels(box, snapshot, kernel):
    report = first(box, snapshot(box), kernel=kernel)[1]
    assert report.kernel == kernel or (kernel == "auto" and report.kernel in ("matern52", "rbf"))


# Paths and fallbacks ---------------------------------------------------------------------------------------------


@needs_numba
def test_the_compiled_path_is_the_default(box, snapshot):
    one = strategy(box)
    one.suggest(snapshot(box), 1, 0)
    assert isinstance(one._surrogate._current[3].posterior, HostPosterior)


@pytest.mark.parametrize("noise", [None, np.full(20, 0.1)], ids=["inferred", "known"])
@pytest.mark.parametrize("q", [1, 4])
def test_the_torch_path_suggests_as_well(box, snapshot, q, noise, without_numba):
    data = snapshot(box, noise=noise, pending=[[0.5, 0.5, 0.5]])
    one = strategy(box)
    rows, _ = one.suggest(data, q, 0)
    valid(box, data, rows, q)
    assert isinstance(one._surrogate._current[3].posterior, TorchPosterior)


@needs_numba
def test_both_paths_suggest_the_same_point(box, snapshot, monkeypatch):
    monkeypatch.setattr(sums, "MOST", 0)  # only compiled code has sums
    data = snapshot(box, 25)
    compiled = first(box, data)[0]
    monkeypatch.setattr(surrogate_module, "available", lambda: False)
    monkeypatch.setattr(fit_module, "available", lambda: False)
    np.testing.assert_allclose(first(box, data)[0], compiled, atol=1e-2)


def failing(original, when):
    def fit(problem, previous=None, **options):
        found = original(problem, previous, **options)
        if not when(previous):
            return found
        return fit_module.Fit(np.full_like(found.theta, np.nan), np.full_like(found.curvature, np.nan), -np.inf, 1)

    return fit


def test_a_failed_fit_falls_back_says_so_and_is_forgotten(box, snapshot, monkeypatch):
    data, original = snapshot(box), surrogate_module.fit
    one = strategy(box)
    monkeypatch.setattr(surrogate_module, "fit", failing(original, lambda _: True))
    rows, report = one.suggest(data, 2, 0)
    valid(box, data, rows, 2)
    assert "fit failed" in report.message
    monkeypatch.setattr(surrogate_module, "fit", original)
    longer = snapshot(box, X=np.vstack([data.X, rows]))
    rows, report = one.suggest(longer, 1, 1)
    valid(box, longer, rows, 1)
    assert report.message == ""
    assert np.isfinite(one._surrogate.carry.chosen.log_posterior)


def test_a_failed_warm_start_is_tried_cold(box, snapshot, monkeypatch):
    data, original = snapshot(box), surrogate_module.fit
    one = strategy(box)
    rows, _ = one.suggest(data, 1, 0)
    monkeypatch.setattr(surrogate_module, "fit", failing(original, lambda previous: previous is not None))
    _, report = one.suggest(snapshot(box, X=np.vstack([data.X, rows])), 1, 1)
    assert report.message == ""
    assert np.isfinite(one._surrogate.carry.chosen.log_posterior)


def test_a_singular_covariance_falls_back_and_says_so(box, snapshot, monkeypatch):
    original = surrogate_module.factorised

    def factorised(problem, theta, device):
        if theta[1] != np.log(1e-2):
            raise surrogate_module.NotPositiveDefinite
        return original(problem, theta, device)

    monkeypatch.setattr(surrogate_module, "factorised", factorised)
    data = snapshot(box)
    rows, report = first(box, data)
    valid(box, data, rows, 1)
    assert "singular" in report.message


def test_devices_are_checked():
    space = Space({"x": Float(0, 1)})
    with pytest.raises(ArgumentError, match="unknown"):
        strategy(space, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ArgumentError, match="CUDA devices"):
            strategy(space, device="cuda:7")


@pytest.mark.gpu
@pytest.mark.parametrize("q", [1, 4])
def test_the_gpu_suggests_as_well(box, snapshot, q):
    data = snapshot(box, pending=[[0.5, 0.5, 0.5]])
    rows, report = first(box, data, q, device="cuda")
    valid(box, data, rows, q)
    assert report.device.startswith("cuda")


# The user's process ----------------------------------------------------------------------------------------------


def settings_of_the_process():
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        "python": random.getstate(),
        "warnings": list(warnings.filters),
        "errors": np.geterr(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "pools": sorted((pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()),
        "environment": dict(os.environ),
    }


def everything(space, snapshot):
    one, data = strategy(space), snapshot(space, 20)
    one.suggest(snapshot(space, 0), 3, 0)
    one.suggest(data, 1, 1)
    one.suggest(data, 3, 2)
    one.predict(data, data.X)
    one.model(data)
    one.acquisition(data, 2)


@pytest.mark.parametrize("torch_path", [False, True], ids=["default", "torch"])
def test_the_users_process_is_left_as_it_was(box, snapshot, torch_path, request):
    if torch_path:
        request.getfixturevalue("without_numba")
    torch.manual_seed(5)
    before = settings_of_the_process()
    everything(box, snapshot)
    assert settings_of_the_process() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("torch_path", [False, True], ids=["default", "torch"])
def test_the_users_default_dtype_changes_nothing(box, snapshot, dtype, torch_path, request):
    if torch_path:
        request.getfixturevalue("without_numba")
    expected = first(box, snapshot(box), 2)[0]
    old = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        np.testing.assert_array_equal(first(box, snapshot(box), 2)[0], expected)
        everything(box, snapshot)
    finally:
        torch.set_default_dtype(old)


def test_the_users_gradient_mode_changes_nothing(box, snapshot):
    expected = first(box, snapshot(box), 2)[0]
    with torch.no_grad():
        np.testing.assert_array_equal(first(box, snapshot(box), 2)[0], expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(first(box, snapshot(box), 2)[0], expected)


PRELUDE = """
import sys, warnings
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise ImportError(name)
if {block}:
    sys.meta_path.insert(0, Blocked())
import gpbo
optimizer = gpbo.Optimizer(gpbo.Space.from_bounds([0, 0], [1, 1]), seed=0, n_initial=3, device="cpu")
before = list(warnings.filters)  # SciPy and torch have added theirs on import
for _ in range(6):
    batch = optimizer.ask()
    optimizer.tell(batch, (batch.x ** 2).sum(1))
print(optimizer.last_ask.strategy, "numba" in sys.modules, list(warnings.filters) == before)
"""


@pytest.mark.integration
@pytest.mark.parametrize("block", [pytest.param(False, marks=needs_numba), True], ids=["with numba", "without numba"])
def test_a_fresh_process_with_and_without_numba(block):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(block=block)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["LogEI", str(not block), "True"]
    assert done.stderr == ""


def test_the_report_says_what_was_done(box, snapshot):
    data = snapshot(box, 20, pending=[[0.1, 0.2, 0.3]])
    report = first(box, data, 2)[1]
    assert (report.n, report.pending, report.q, report.device, report.refitted) == (20, 1, 2, "cpu", True)
    assert report.seconds >= report.fit_seconds + report.acquisition_seconds > 0.0
    assert report.peak_memory > 1e6


def test_suggesting_changes_no_array_of_the_snapshot(box, snapshot):
    data = snapshot(box, 20, pending=[[0.1, 0.2, 0.3]], failed=[[0.3, 0.2, 0.1]])
    for array in (data.X, data.y, data.pending, data.failed):
        array.flags.writeable = False
    taken = set(data.taken)
    first(box, data, 3)
    assert isinstance(data, Data)
    assert data.taken == taken
