import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(0, 1), "k": gpbo.Int(1, 5), "c": gpbo.Categorical(["a", True, None])})


@pytest.fixture
def opt():
    return gpbo.Optimizer(SPACE, seed=0, n_initial=1000)


def test_a_batch_is_a_sequence_of_trials(opt):
    batch = opt.ask(3)
    assert len(batch) == 3
    assert [trial.id for trial in batch] == batch.ids == [0, 1, 2]
    assert [trial.params for trial in batch] == batch.params
    assert batch[-1] == batch[2]
    assert batch[1] in batch


def test_one_suggestion_is_a_batch_too(opt):
    batch = opt.ask()
    assert isinstance(batch, gpbo.Batch)
    assert len(batch) == 1


def test_a_slice_is_a_batch_with_its_rows(opt):
    batch = opt.ask(5)
    part = batch[1:4:2]
    assert isinstance(part, gpbo.Batch)
    assert part.ids == [1, 3]
    np.testing.assert_array_equal(part.x, batch.x[[1, 3]])
    assert torch.equal(part.u, batch.u[[1, 3]])


def test_index_out_of_range_ends_iteration(opt):
    with pytest.raises(IndexError):
        opt.ask(2)[2]


def test_x_holds_native_numbers(opt):
    batch = opt.ask(4)
    np.testing.assert_array_equal(batch.x, SPACE.to_x(batch.params))
    np.testing.assert_array_equal(batch[2].x, batch.x[2])


def test_u_is_a_float64_tensor_in_the_unit_cube(opt):
    batch = opt.ask(4)
    assert (batch.u.dtype, tuple(batch.u.shape)) == (torch.float64, (4, SPACE.dim))
    np.testing.assert_array_equal(batch.u.numpy(), SPACE.encode(batch.params))


def test_changing_what_a_batch_gives_out_changes_nothing(opt):
    batch = opt.ask(2)
    x, u, params = batch.x, batch.u, batch.params
    batch.x[:] = -1
    batch.u[:] = -1
    batch[0].params["x"] = -1
    np.testing.assert_array_equal(batch.x, x)
    assert torch.equal(batch.u, u)
    assert batch.params == params
    opt.tell(batch, [1, 2])


def test_trials_answer_by_parameter_name(opt):
    (trial,) = opt.ask()
    assert trial["k"] == trial.params["k"]
    with pytest.raises(gpbo.SpaceError, match="no parameter 'z'; it has x, k, c"):
        trial["z"]


def test_trials_are_frozen_snapshots(opt):
    (trial,) = opt.ask()
    opt.tell(trial, 1.0)
    assert trial.state == "pending"
    assert opt.trial(trial.id).state == "complete"
    with pytest.raises(dataclasses.FrozenInstanceError):
        trial.value = 3.0


@pytest.mark.parametrize(
    "copied", [lambda trial: trial, copy.deepcopy, lambda trial: pickle.loads(pickle.dumps(trial))]
)
def test_the_numbers_of_a_trial_are_read_only(opt, copied):
    batch = opt.ask(2)
    for trial in (batch[0], opt.trial(0), opt.pending[0]):
        with pytest.raises(ValueError, match="read-only"):
            copied(trial).x[0] = 0.5
    assert batch.x.flags.writeable


def test_repr_tells_what_is_known(opt):
    batch = opt.ask(2)
    opt.tell(batch[0], 1.5, noise=0.5)
    opt.fail(batch[1], "oom")
    assert repr(opt.trial(0)).endswith("state='complete', value=1.5, noise=0.5)")
    assert repr(opt.trial(1)).endswith("state='failed', reason='oom')")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_batches_can_be_copied_and_pickled(opt, copied):
    batch = opt.ask(2)
    again = copied(batch)
    assert again == batch
    assert hash(again) == hash(batch)
    opt.tell(again, [1.0, 2.0])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda trials: pickle.loads(pickle.dumps(trials))])
def test_sequences_of_trials_can_be_copied_and_pickled(opt, copied):
    opt.tell(opt.ask(4)[:3], [1.0, 2.0, 3.0])
    history, pending = copied(opt.history), copied(opt.pending)
    opt.tell(pending, [4.0])
    assert [(t.id, t.value, t.params) for t in history] == [(t.id, t.value, t.params) for t in opt.history[:3]]
    np.testing.assert_array_equal(history[1].x, opt.trial(1).x)
    assert pending[0].state == "pending"
    assert history[1:].ids == [1, 2]
    assert copied(history).to_dataframe().equals(opt.history[:3].to_dataframe())


def test_history_holds_complete_and_failed_trials_in_order_of_telling(opt):
    batch = opt.ask(4)
    opt.tell(batch[3], 4.0)
    opt.fail(batch[1], "oom")
    opt.forget(batch[2])
    opt.tell(batch[0], 1.0)
    assert [(t.id, t.state, t.value, t.reason) for t in opt.history] == [
        (3, "complete", 4.0, ""),
        (1, "failed", None, "oom"),
        (0, "complete", 1.0, ""),
    ]
    assert opt.history.ids == [3, 1, 0]


def test_history_does_not_grow_under_the_hands_of_its_holder(opt):
    opt.tell(opt.ask(2), [1.0, 2.0])
    history = opt.history
    opt.tell(opt.ask(), 3.0)
    assert (len(history), len(opt.history)) == (2, 3)
    assert history[-1].value == 2.0


def test_history_slices_and_indexes(opt):
    opt.tell(opt.ask(4), [1.0, 2.0, 3.0, 4.0])
    assert [t.value for t in opt.history[1:3]] == [2.0, 3.0]
    assert [t.value for t in opt.history[::-1]] == [4.0, 3.0, 2.0, 1.0]
    with pytest.raises(IndexError):
        opt.history[4]


def test_pending_is_in_order_of_asking(opt):
    batch = opt.ask(4)
    opt.tell(batch[1], 1.0)
    assert opt.pending.ids == [0, 2, 3]
    assert {t.state for t in opt.pending} == {"pending"}


def test_reprs_of_long_sequences_stay_short(opt):
    opt.tell(opt.ask(50), np.zeros(50))
    assert "50 in all" in repr(opt.history)
    assert len(repr(opt.history)) < 1000


def test_data_frame_has_a_row_per_trial_and_a_column_per_parameter(opt):
    batch = opt.ask(2)
    opt.tell(batch[0], 1.0)
    opt.fail(batch[1], "oom")
    frame = opt.history.to_dataframe()
    assert list(frame.columns) == ["id", "params_x", "params_k", "params_c", "value", "noise", "state", "reason"]
    assert frame["params_x"].tolist() == [t["x"] for t in batch]
    assert frame["value"].isna().tolist() == [False, True]
    assert opt.pending.to_dataframe().empty


def test_forgotten_trials_are_neither_history_nor_pending(opt):
    opt.forget(opt.ask(2))
    assert (len(opt.history), len(opt.pending)) == (0, 0)
    assert opt.trial(1).state == "forgotten"
