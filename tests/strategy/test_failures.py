"""What an ask does when something inside it fails: a suggestion all the same, and a word about it."""

import numpy as np
import pytest

import gpbo
from gpbo.models.host_posterior import NotPositiveDefinite
from gpbo.strategy import composition, surrogate


@pytest.fixture
def opt() -> gpbo.Optimizer:
    opt = gpbo.Optimizer(gpbo.Space.from_bounds([0, 0], [1, 1]), seed=0)
    batch = opt.ask(8)
    opt.tell(batch, (batch.x**2).sum(1))
    return opt


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ((surrogate, "fit"), RuntimeError("boom")),
        ((surrogate, "fit"), MemoryError("42 GB")),
        ((surrogate, "fit"), np.linalg.LinAlgError("singular")),
        ((composition, "greedy"), RuntimeError("boom")),
        ((composition, "greedy"), np.linalg.LinAlgError("singular")),
    ],
)
def test_a_failure_inside_gives_space_filling_points_and_says_so(opt, monkeypatch, caplog, error, where):
    def broken(*_args, **_options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*where, broken)
        batch = opt.ask(3)
    assert len({tuple(x) for x in batch.x}) == 3
    assert opt.last_ask.strategy == "design"
    assert str(error) in opt.last_ask.message
    assert len(caplog.records) == 1
    opt.tell(batch, batch.x[:, 0])
    opt.ask()
    assert opt.last_ask.strategy == "LogEI"


def test_jitter_is_reported(opt, monkeypatch):
    class Fussy(surrogate.HostPosterior):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.jitter = 1e-8

    monkeypatch.setattr(surrogate, "HostPosterior", Fussy)
    monkeypatch.setattr(surrogate, "TorchPosterior", Fussy)
    opt.ask()
    assert "jitter of 1e-08" in opt.last_ask.message


def test_a_singular_covariance_falls_back_to_prior_hyperparameters(opt, monkeypatch):
    real = surrogate.factorised

    def singular_as_fitted(problem, theta, device):
        if theta[1] != np.log(1e-2):
            raise NotPositiveDefinite
        return real(problem, theta, device)

    monkeypatch.setattr(surrogate, "factorised", singular_as_fitted)
    opt.ask()
    assert "the covariance was singular" in opt.last_ask.message


def test_a_second_ask_without_news_does_not_refit(opt):
    opt.ask()
    assert opt.last_ask.refitted
    opt.ask()
    assert not opt.last_ask.refitted


def test_a_replicate_of_the_best_is_no_sign_of_steps(opt):
    plain = opt._strategy._incumbents
    best = opt.best()
    opt.add(best.params, best.value)
    data = opt._ledger.data()
    fitted = opt._strategy._fitted(data)
    assert plain(fitted)[1] == pytest.approx(fitted.problem.y.max())
    opt.add([0.123, 0.456], best.value)
    data = opt._ledger.data()
    fitted = opt._strategy._fitted(data)
    assert plain(fitted)[1] > fitted.problem.y.max()
