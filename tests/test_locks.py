"""Threads, forks and Ctrl-C leave a study whole."""

import os
import signal
import threading
import time

import pytest

import gpbo
from gpbo.locks import interrupts_deferred

BOX = gpbo.Space({"x": gpbo.Float(-5, 10), "y": gpbo.Float(1e-3, 1e2, log=True)})


def random_start(space=BOX):
    """An optimizer that stays in its space-filling phase: fast."""
    return gpbo.Optimizer(space, seed=0, n_initial=100_000)


def test_threads_ask_and_tell_together_without_repeats_or_losses():
    space = gpbo.Space({"k": gpbo.Int(0, 10**6), "x": gpbo.Float(0, 1)})
    opt = random_start(space)
    errors = []

    def work():
        try:
            for _ in range(25):
                batch = opt.ask(2)
                opt.tell(batch[0], batch[0]["x"])
                opt.fail(batch[1])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(opt.history) == 200
    assert len({space.key(trial.params) for trial in opt.history}) == 200


def test_the_record_can_be_read_while_another_thread_asks(monkeypatch):
    opt = random_start()
    opt.tell(opt.ask(2), [1.0, 2.0])
    asking, go_on = threading.Event(), threading.Event()
    suggest = opt._strategy.suggest

    def slow(*arguments):
        asking.set()
        assert go_on.wait(10)
        return suggest(*arguments)

    monkeypatch.setattr(opt._strategy, "suggest", slow)
    thread = threading.Thread(target=opt.ask)
    thread.start()
    assert asking.wait(10)
    assert (len(opt.history), len(opt.pending), opt.best().value) == (2, 0, 1.0)
    go_on.set()
    thread.join()
    assert len(opt.pending) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_holds_the_locks_can_go_on():
    opt = random_start()
    opt.tell(opt.ask(2), [1.0, 2.0])
    held, done = threading.Event(), threading.Event()

    def hold():
        with opt._lock.computing():
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            opt.tell(opt.ask(), 3.0)
            os._exit(len(opt.history))
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 3
    opt.tell(opt.ask(), 3.0)


def test_ctrl_c_while_the_record_changes_takes_effect_afterwards(monkeypatch):
    opt = random_start()
    batch = opt.ask(2)
    apply = opt._ledger.apply

    def interrupted(event):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        apply(event)

    monkeypatch.setattr(opt._ledger, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opt.tell(batch, [1.0, 2.0])
    assert [t.value for t in opt.history] == [1.0, 2.0]


class Interrupted:
    """Presses Ctrl-C within a method of the strategy, which goes on to its end."""

    def __init__(self, monkeypatch, opt, name):
        self.ended = 0
        method = getattr(opt._strategy, name)

        def pressed(*arguments):
            if not self.ended:
                signal.raise_signal(signal.SIGINT)
            result = method(*arguments)
            self.ended += 1
            return result

        monkeypatch.setattr(opt._strategy, name, pressed)


@pytest.mark.parametrize("storage", [None, "study.db"])
def test_ctrl_c_during_an_ask_takes_effect_when_the_computation_has_ended(monkeypatch, tmp_path, storage):
    where = {} if storage is None else {"storage": tmp_path / storage}
    plain, opt = gpbo.Optimizer(BOX, seed=0, n_initial=3), gpbo.Optimizer(BOX, seed=0, n_initial=3, **where)
    for one in (plain, opt):
        one.tell(one.ask(4), [3.0, 1.0, 2.0, 4.0])
        one.tell(one.ask(), 0.5)
    report = opt.last_ask
    interrupted = Interrupted(monkeypatch, opt, "suggest")
    with pytest.raises(KeyboardInterrupt):
        opt.ask(2)
    assert interrupted.ended == 1
    assert (opt.pending.ids, len(opt.asks), opt.last_ask) == ([], 2, report)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for one in (plain, opt):
        one.add({"x": 1.0, "y": 1.0}, 2.5)
    assert opt.ask(2).params == plain.ask(2).params


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("recommend", lambda opt: opt.recommend()),
        ("predict", lambda opt: opt.predict({"x": 1.0, "y": 1.0})),
        ("leave_one_out", lambda opt: opt.leave_one_out()),
        ("model", lambda opt: opt.model),
        ("acquisition", lambda opt: opt.acquisition()),
    ],
)
def test_ctrl_c_during_an_answer_takes_effect_when_the_computation_has_ended(monkeypatch, name, call):
    opt = random_start()
    opt.tell(opt.ask(3), [3.0, 1.0, 2.0])
    interrupted = Interrupted(monkeypatch, opt, name)
    with pytest.raises(KeyboardInterrupt):
        call(opt)
    assert interrupted.ended == 1
    call(opt)
    assert interrupted.ended == 2
    assert (opt.pending.ids, len(opt.ask())) == ([], 1)


def test_a_second_ctrl_c_acts_at_once_within_blocks_within_each_other():
    reached = []

    def press_twice():
        with interrupts_deferred(), interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            reached.append(1)
            signal.raise_signal(signal.SIGINT)
            reached.append(2)

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
