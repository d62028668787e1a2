"""What there is to say about a study, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gpbo.insight.axes import fraction
from gpbo.insight.calibration import LARGEST, Calibration, calibration
from gpbo.insight.importance import importance
from gpbo.insight.prospects import Prospects, prospects
from gpbo.insight.runs import completed, repeats
from gpbo.space import Categorical

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer

_FEW = 8  # values below which leave-one-out says little
_POOR, _ROUGH = 0.5, 0.75  # rank correlation of predictions below which a model predicts little, and only roughly
_EDGE = 0.01  # share of a range that counts as its end
_NEGLIGIBLE = 0.01  # share of the variance below which a parameter does not matter


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        topic: A word or two.
        verdict: "good", "note" or "warning".
        headline: The answer, in a few words.
        text: Why, and what can be done.
    """

    topic: str
    verdict: Literal["good", "note", "warning"]
    headline: str
    text: str


def findings(opt: Optimizer, shares: Mapping[str, float] | None = None) -> list[Finding]:
    """Trust, noise, progress, and whatever else stands out. Empty before anything was told.

    Args:
        opt: The study.
        shares: Its ``importance(opt)``, where that is known.
    """
    return [*_of_model(opt, shares), *_failures(opt)]


def _of_model(opt: Optimizer, shares: Mapping[str, float] | None) -> Iterator[Finding]:
    trials = completed(opt)
    if not trials:
        return
    if len(trials) <= LARGEST:
        found = calibration(opt)
        yield _trust(found)
        yield _noise(opt, found)
    yield _progress(prospects(opt))
    yield from _edges(opt)
    yield from _idle(opt, len(trials), shares)
    if opt.last_ask is not None and opt.last_ask.message:
        yield Finding("Numerics", "note", "The last ask had to work around something", f"{opt.last_ask.message}.")


def _trust(found: Calibration) -> Finding:
    n, covered, order = len(found.observed), found.coverage, found.rank_correlation
    if n < _FEW:
        text = f"{n} values are too few to tell. Predictions are rough; from about {_FEW} values on this is checked."
        return Finding("Trust", "note", "Too early to say", text)
    facts = (
        f"Predicted from all the others, {found.inside.sum()} of {n} values ({covered:.0%}) fall into their "
        f"95 % interval, and the rank correlation of predicted and observed values is {order:.2f}."
    )
    if order < _POOR:
        cure = (
            "Suggestions are little better than chance so far. More evaluations, a narrower space or a parameter on a "
            "logarithmic scale may help; so does a value that varies less from run to run."
        )
        return Finding("Trust", "warning", "The model does not predict yet", f"{facts} {cure}")
    if covered < 0.8:
        cure = (
            "Take its intervals as too narrow: the objective is rougher, or noisier in places, than the model thinks."
        )
        return Finding("Trust", "warning", "The model is too sure of itself", f"{facts} {cure}")
    if order < _ROUGH:
        return Finding("Trust", "note", "The model is a rough guide", f"{facts} Its order of points is often wrong.")
    return Finding("Trust", "good", "The model can be trusted", f"{facts} That is as it should be.")


def _noise(opt: Optimizer, found: Calibration) -> Finding:
    size = float(np.abs(found.observed).max()) or 1.0
    spread = float(np.std(found.observed / size)) * size
    given = [trial.noise for trial in found.trials if trial.noise is not None]
    if any(given):
        typical = float(np.median(given))
        compared = f", {typical / spread:.0%} of the spread of the values" if spread > 0 else ""
        text = f"Standard deviations were told with the values; half of them are above {typical:.3g}{compared}."
        return Finding("Noise", "note", "Known noise", f"{text} Choose with recommend() rather than best().")
    repeated = repeats(found.trials)
    if repeated is not None:
        deviation, points = repeated
        compared = f", {deviation / spread:.0%} of the spread of all values" if spread > 0 else ""
        text = f"At the {points} points evaluated more than once, values have a standard deviation of {deviation:.3g}"
        return Finding("Noise", "note" if deviation > 0 else "good", "Measured by repetition", f"{text}{compared}.")
    if found.rank_correlation < _ROUGH:
        text = (
            "Noise and ruggedness look alike to a model that predicts so little. Evaluate the best point again with "
            "add(): what the two values differ by is the noise."
        )
        return Finding("Noise", "note", "Cannot be told", text)
    model = opt.model
    noise = float(model.likelihood.noise.detach().median())  # outliers have more
    signal = float(model.covar_module.outputscale.detach())
    share = float(np.sqrt(noise / (noise + signal)))
    if share < 0.01:
        text = f"Repeating a point should give the same value: inferred noise is {share:.1g} of the model's variation."
        return Finding("Noise", "good", "Practically none", text)
    if share < 0.1:
        text = f"The model takes {share:.0%} of the variation (as standard deviations) for noise; best() is reliable."
        return Finding("Noise", "good", "A little", text)
    text = (
        f"The model takes {share:.0%} of the variation (as standard deviations) for noise. The best value seen owes "
        "something to luck; recommend() gives the point with the best expected value."
    )
    return Finding("Noise", "note" if share < 0.5 else "warning", "The values are noisy", text)


def _progress(found: Prospects) -> Finding:
    since = found.since
    ago = "The last evaluation was an improvement" if since == 0 else f"{since} evaluations without an improvement"
    hope = f"the model expects a gain of at most {found.gain:.3g} from one more"
    if found.gain_share < 0.01 and since >= found.patience:
        text = f"{ago}, and {hope}, less than 1 % of what was gained so far. Stopping here costs little."
        return Finding("Progress", "good", "Converged, as far as the model sees", text)
    if since >= found.patience:
        text = (
            f"{ago} ({found.n} in all), although {hope}. Go on if evaluations are cheap. If this lasts, doubt the "
            "model (see Trust), widen the space, or look at whether the objective can get any better."
        )
        return Finding("Progress", "warning", "Stalled", text)
    return Finding("Progress", "good", "Under way", f"{ago}; {hope}.")


def _edges(opt: Optimizer) -> Iterator[Finding]:
    best = opt.best()
    for name in opt.space:
        parameter = opt.space[name]
        if isinstance(parameter, Categorical) or parameter.count == 1:
            continue
        at = fraction(parameter, best[name])
        if at <= _EDGE or at >= 1 - _EDGE:
            end = "lower" if at <= _EDGE else "upper"
            text = (
                f"The best value of {name} is {best[name]!r}, at the {end} end of {parameter!r}. If the range can be "
            )
            yield Finding(
                "Range", "note", f"{name}: best at the {end} end", f"{text}widened, better values may lie beyond."
            )


def _idle(opt: Optimizer, n: int, shares: Mapping[str, float] | None) -> Iterator[Finding]:
    if n < 2 * opt.space.n_params + _FEW or opt.space.n_params < 2:
        return
    shares = importance(opt) if shares is None else shares
    idle = [name for name, share in shares.items() if share < _NEGLIGIBLE and opt.space[name].count != 1]
    if idle:
        shown = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
        text = f"{shown}: less than 1 % of what the model sees varies with it. Fixing it makes the search easier."
        yield Finding("Importance", "note", "Parameters that do not matter", text)


def _failures(opt: Optimizer) -> Iterator[Finding]:
    failed = [trial for trial in opt.history if trial.state == "failed"]
    if not failed:
        return
    told = len(opt.history)
    reasons = Counter(trial.reason.strip().rpartition("\n")[2][:200] for trial in failed if trial.reason.strip())
    (reason, times), *_ = reasons.most_common(1) or [("", 0)]
    most = f" Most often ({times}): {reason}" if reason else ""
    serious = len(failed) > 0.2 * told
    text = f"{len(failed)} of {told} trials failed. They are avoided, but teach nothing about values.{most}"
    yield Finding("Failures", "warning" if serious else "note", f"{len(failed)} failed", text)
