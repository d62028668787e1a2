"""Where asks are computed: the choice, cards that are missing or broken, and one that is lost in the middle.

No card is needed: the torch path on the CPU stands for it, and what a driver would say is raised where it would be.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import gpbo
from gpbo.models import fit as fit_module
from gpbo.models.torch_posterior import TorchPosterior
from gpbo.numerics import available, memory
from gpbo.strategy import devices, policy, surrogate
from gpbo.strategy.devices import CPU, Place, Switch

BOX = gpbo.Space.from_bounds([0.0] * 3, [1.0] * 3)
GPU = torch.device("cuda")
LOST = [
    RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("No CUDA-capable device is detected"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasDgemm`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnXpotrf`"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
]


@pytest.fixture
def card(monkeypatch):
    """A machine with two cards, whose tensors are on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)
    monkeypatch.setattr(Place, "_try", lambda self, gpu: None)


@pytest.fixture
def studies(card, monkeypatch):
    """Studies on a card that is played by the torch path; with what it computed on."""
    monkeypatch.setattr(devices, "SWITCHES", (Switch(1, 10, "assumed"),))
    monkeypatch.setattr(memory, "free", lambda device: 2**34)
    monkeypatch.setattr(policy, "_reset_peak", lambda device: None)
    monkeypatch.setattr(policy, "_peak_memory", lambda device: 0)
    used = []

    def factorised(problem, theta, device):
        used.append(device.type)
        return TorchPosterior(problem, theta, CPU) if device.type == "cuda" else host(problem, theta, device)

    def fit(problem, previous=None, *, device=CPU, compiled=None):
        return plain(problem, previous, device=CPU, compiled=False if device.type == "cuda" else compiled)

    host, plain = surrogate.factorised, fit_module.fit
    monkeypatch.setattr(surrogate, "factorised", factorised)
    monkeypatch.setattr(surrogate, "fit", fit)
    return used


def started(n=30, **options):
    opt = gpbo.Optimizer(BOX, seed=0, n_initial=5, **options)
    X = np.random.default_rng(1).random((n, 3))
    opt.add(X, np.sin(6 * X).sum(1))
    return opt


# The choice ------------------------------------------------------------------------------------------------------


def test_without_a_card_auto_is_the_cpu():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    place = Place("auto")
    assert place.choose(10**6, 10**4) == place.user == CPU


def test_auto_follows_the_table(card):
    place = Place("auto")
    for switch in devices.SWITCHES:
        assert place.choose(switch.observations, switch.points) == GPU
    least = min(switch.observations for switch in devices.SWITCHES)
    assert place.choose(least - 1, 10**4) == CPU
    single = min(switch.observations for switch in devices.SWITCHES if switch.points == 1)
    assert place.choose(single - 1, 1) == CPU
    assert place.user == CPU


def test_a_named_card_is_used_whatever_the_size(card):
    place = Place("cuda:1")
    assert place.choose(1) == place.user == torch.device("cuda", 1)
    assert Place("cpu").choose(10**6) == CPU


def test_the_table_says_what_it_rests_on():
    assert all(switch.measured for switch in devices.SWITCHES)


# Cards that are not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda:2", "cuda:7"])
def test_a_missing_card_is_refused_and_those_that_are_there_named(card, name):
    with pytest.raises(gpbo.ArgumentError, match=r"2 CUDA devices: cuda:0 \(NVIDIA H100\), cuda:1 .*device='auto'"):
        gpbo.Optimizer(BOX, device=name)


def test_without_cuda_the_error_says_why(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(gpbo.ArgumentError, match=r"sees 0 CUDA devices: (this build of torch|no driver)"):
        Place("cuda")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "mps", ""])
def test_other_devices_are_unknown(name):
    with pytest.raises(gpbo.ArgumentError, match="is unknown"):
        Place(name)


def test_a_driver_that_cannot_be_asked_leaves_the_cpu(monkeypatch, caplog):
    def broken():
        raise RuntimeError("Unexpected error from cudaGetDeviceCount()")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", broken)
    assert Place("auto").choose(10**6) == CPU
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(gpbo.ArgumentError, match="sees 0 CUDA devices"):
        Place("cuda")


@pytest.mark.parametrize("name", ["auto", "cuda:0"])
def test_a_card_that_fails_its_first_computation_is_given_up_with_one_warning(card, name, monkeypatch, caplog):
    def broken(*_arguments, **_options):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    place = Place(name)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", broken)
        assert place.choose(10**6) == CPU
    assert place.choose(10**6) == place.user == CPU
    assert len(caplog.records) == 1
    assert "no kernel image" in place.notice()
    assert place.notice() == ""


# After a fork ----------------------------------------------------------------------------------------------------


def test_a_forked_process_is_told_clearly_or_computes_on_the_cpu(card, monkeypatch, caplog):
    named, auto = Place("cuda"), Place("auto")
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(gpbo.DeviceError, match=r"forked after CUDA.*spawn.*device='cpu'"):
        named.choose(1)
    assert not caplog.records
    assert auto.choose(100) == CPU  # too small for a card in any case: nothing to say
    assert not caplog.records
    assert auto.choose(10**6) == auto.choose(10**6) == CPU
    assert len(caplog.records) == 1
    assert "forked" in auto.notice()


def test_an_ask_in_a_forked_process_changes_nothing(studies, monkeypatch):
    opt = started(device="cuda")
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
        with pytest.raises(gpbo.DeviceError):
            opt.ask()
        with pytest.raises(gpbo.DeviceError):
            opt.predict([[0.5] * 3])
    assert len(opt.pending) == 0
    assert opt._strategy.carry_state() is None


# Lost in the middle ----------------------------------------------------------------------------------------------


def failing_once(error, target, name, patch):
    original, calls = getattr(target, name), []

    def failing(*arguments, **options):
        calls.append(None)
        if len(calls) == 1:
            raise error
        return original(*arguments, **options)

    patch.setattr(target, name, failing)


def test_a_card_that_vanishes_between_asks_costs_one_warning(studies, monkeypatch, caplog):
    opt = started()
    opt.ask(2)
    monkeypatch.setattr(memory, "free", lambda device: 2**30 if device.type == "cpu" else lost_for_good())
    batch = opt.ask(3)
    assert len({tuple(x) for x in batch.x}) == 3
    assert opt.last_ask.device == "cpu"
    assert len(caplog.records) == 1
    opt.ask()
    assert len(caplog.records) == 1


def lost_for_good():
    raise RuntimeError("CUDA error: unspecified launch failure")


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error)[:25])
@pytest.mark.parametrize("where", [(surrogate, "fit"), (TorchPosterior, "condition"), (TorchPosterior, "covariance")])
def test_a_card_that_vanishes_costs_one_warning(studies, error, where, monkeypatch, caplog):
    expected = started(device="cpu")
    expected.ask(3)
    opt = started()
    opt.ask(3)
    assert opt.last_ask.device == "cuda"
    for each in (opt, expected):
        each.tell(each.pending, [0.1, 0.2, 0.3])
    state = opt._strategy.carry_state()
    studies.clear()
    with monkeypatch.context() as patch:
        failing_once(error, *where, patch)
        batch = opt.ask(4)
    assert opt.last_ask.device == "cpu"
    assert "computed on the CPU" in opt.last_ask.message
    assert "LogEI" in opt.last_ask.strategy
    assert len({tuple(x) for x in batch.x}) == 4
    assert len(caplog.records) == 1
    opt.ask()
    assert opt.last_ask.message == ""
    assert opt.last_ask.device == "cpu"
    assert len(caplog.records) == 1
    # The repeated ask began anew: it is the one that a study would have made that had the CPU from this ask on.
    other = started()
    other.ask(3)
    other.tell(other.pending, [0.1, 0.2, 0.3])
    assert other._strategy.carry_state() == state
    other._strategy._place = Place("cpu")
    np.testing.assert_array_equal(other.ask(4).x, batch.x)


def test_a_card_that_vanishes_during_a_prediction(studies, monkeypatch, caplog):
    opt = started()
    for look in ("predict", "recommend", "leave_one_out", "model"):
        opt = started()
        caplog.clear()
        with monkeypatch.context() as patch:
            failing_once(LOST[0], surrogate, "fit", patch)
            found = opt.predict([[0.5] * 3]) if look == "predict" else getattr(opt, look)
            found = found() if look in ("recommend", "leave_one_out") else found
        assert len(caplog.records) == 1
        assert opt._strategy._place.choose(10**6) == CPU
    opt.ask()
    assert "computed on the CPU" in opt.last_ask.message  # of the last study, whose model was looked at


def test_a_named_card_that_vanishes_leaves_batches_on_the_cpu(studies, monkeypatch):
    opt = started(device="cuda")
    with monkeypatch.context() as patch:
        failing_once(LOST[1], surrogate, "fit", patch)
        batch = opt.ask(2)
    assert batch.u.device == CPU


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), ValueError("CUDA error"), torch.OutOfMemoryError("CUDA error")]
)
def test_other_errors_are_not_taken_for_a_lost_card(card, error):
    assert not Place("cuda").lost(error)
    assert not Place("cpu").lost(LOST[0])


# Memory of the card ----------------------------------------------------------------------------------------------


class Full:
    """A ``TorchPosterior`` whose allocator refuses so many times."""

    def __init__(self, times):
        self.left, self.sizes = times, []

    def __call__(self, problem, theta, device):
        self.sizes.append(len(problem.y))
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.2 GiB")
        return TorchPosterior(problem, theta, CPU)


@pytest.mark.parametrize(("times", "sizes"), [(0, [30]), (1, [30, 30]), (2, [30, 30, 15]), (3, [30, 30, 15, 15])])
def test_a_factor_that_is_refused_is_tried_again_without_graphs_and_then_made_smaller(
    studies, times, sizes, monkeypatch, caplog
):
    full, dropped = Full(times), []
    monkeypatch.setattr(surrogate, "TorchPosterior", full)
    monkeypatch.setattr(surrogate.GRAPHS, "clear", lambda: dropped.append(None))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(surrogate, "factorised", ORIGINAL)
    opt = started()
    batch = opt.ask(3)
    assert len(batch) == 3
    assert full.sizes == sizes
    assert len(dropped) == (times + 1) // 2
    assert ("memory was short" in opt.last_ask.message) == (times > 0)
    assert len(caplog.records) == (times > 0)
    assert "design" not in opt.last_ask.strategy


ORIGINAL = surrogate.factorised


# The same again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 3, 20])
def test_the_same_seed_on_the_same_device_gives_the_same_bits(studies, q):
    def run():
        opt, found = started(24, device="cuda"), []
        for _ in range(4):  # over a size of the buffers: from 24 to more than 32
            batch = opt.ask(q)
            found.append(batch.x)
            opt.tell(batch, np.sin(6 * batch.x).sum(1))
        return np.vstack(found)

    np.testing.assert_array_equal(run(), run())


@pytest.mark.skipif(not available(), reason="numba is not there")
def test_both_devices_lead_to_acquisition_values_that_are_alike(studies):
    for n in (12, 31, 33, 70):
        values = []
        for device in ("cpu", "cuda"):
            opt = started(n, device=device)
            point = torch.tensor(opt.ask().x)  # the box is the unit cube
            values.append(started(n, device="cpu").acquisition()(point[:, None]))
        assert abs(values[0] - values[1]).item() < 1e-3


# With a card -----------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("q", [1, 4, 100])
def test_a_card_gives_the_same_bits_again(q):
    def run():
        opt, found = started(60, device="cuda"), []
        for _ in range(3):
            batch = opt.ask(q)
            found.append(batch.x)
            opt.tell(batch, np.sin(6 * batch.x).sum(1))
        return np.vstack(found)

    np.testing.assert_array_equal(run(), run())


@pytest.mark.gpu
def test_a_card_leads_to_acquisition_values_like_those_of_the_cpu():
    for n in (31, 200, 500):
        judge = started(n, device="cpu").acquisition()
        values = [judge(torch.tensor(started(n, device=device).ask().x)[:, None]) for device in ("cpu", "cuda")]
        assert abs(values[0] - values[1]).item() < 1e-3
