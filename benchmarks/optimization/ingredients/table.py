"""All ingredients with what is changed, and the suites on which that can make a difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.optimization.ingredients import (
    averaging,
    batches,
    doubt,
    draws,
    endgame,
    escape,
    hedge,
    maps,
    margin,
    predictive,
    sampled,
    second,
    stall,
    steps,
    warping,
)
from benchmarks.optimization.ingredients.patches import Patches, replaced
from gpbo import Space
from gpbo.models import spec as spec_module
from gpbo.models.spec import Array, Bounds, Prior
from gpbo.search import candidates, gradient, greedy
from gpbo.search.box import Box
from gpbo.strategy import clipped, composition, policy, regimes, regions, surrogate
from gpbo.transforms import OutcomeMap

Change = Callable[[Patches], None]
SINGLE = ("sequential", "bbob")
EVERYWHERE = (*SINGLE, "mixed", "noisy", "tuning")
LONG = (*EVERYWHERE, "long")
BATCHES = ("batch5", "batch10", "bbob_batch10")


@dataclass(frozen=True)
class Ingredient:
    """One change.

    Attributes:
        group: What it belongs to.
        what: What the variant does.
        change: Makes it.
        suites: Where it is tried.
        settings: Of ``gpbo.Optimizer``, from the space and the size of the initial design that all share.
    """

    group: str
    what: str
    change: Change
    suites: tuple[str, ...] = SINGLE
    settings: Callable[[Space, int], dict[str, Any]] = lambda space, designed: {}


def _kernel(kernel: str) -> Callable[[Space, int], dict[str, Any]]:
    return lambda space, designed: {"kernel": kernel}


def _designed(points: int, most: int = 10**9) -> Callable[[Space, int], dict[str, Any]]:
    """A longer space-filling start: so many points a parameter, up to a number."""
    return lambda space, designed: {"n_initial": max(designed, min(most, points * space.n_params))}


def _nothing(patches: Patches) -> None:
    """The change is a setting, or in the engine since."""


def _spec(**changes: Any) -> Change:
    """Other priors, bounds or parts of the model; a value that is a function is called with the dimension."""

    def change(patches: Patches) -> None:
        original = spec_module.default_spec

        def spec(kind: str, d: int, *, infer_noise: bool = True) -> Any:
            made = original(kind, d, infer_noise=infer_noise)
            return replace(made, **{key: value(d) if callable(value) else value for key, value in changes.items()})

        patches.set(surrogate, "default_spec", spec)

    return change


def _maps(*kinds: str) -> Change:
    def change(patches: Patches) -> None:
        patches.set(surrogate, "MAPS", kinds)
        patches.set(surrogate, "OutcomeMap", maps.MoreMaps)

    return change


def _odds(nats: float) -> Change:
    """A map other than the identity has to be that much more probable."""

    def change(patches: Patches) -> None:
        def make(original: Any) -> Any:
            def log_derivative(self: Any, y: Array) -> float:
                return float(original(self, y)) - (0.0 if self.kind == "identity" else nats)

            return log_derivative

        patches.wrap(OutcomeMap, "log_derivative", make)

    return change


def _winsorised(patches: Patches) -> None:
    original = surrogate.Surrogate.get

    def get(self: Any, data: Any, *arguments: Any, **named: Any) -> Any:
        return original(self, replace(data, y=maps.winsorised(data.y)), *arguments, **named)

    patches.set(surrogate.Surrogate, "get", get)


def _starts(count: int) -> Change:
    return lambda patches: patches.set(greedy, "FIRST", replace(greedy.FIRST, starts=count))


def _raw(count: int) -> Change:
    def change(patches: Patches) -> None:
        original = regimes.plan
        patches.set(policy, "plan", lambda *a, **named: replace(original(*a, **named), candidates=count))

    return change


def _no_local_starts(patches: Patches) -> None:
    original = candidates.Candidates.draw

    def draw(self: Any, ranked: Array, rng: Any, size: int = 1024, box: Any = None) -> Any:
        return original(self, ranked[:0], rng, 2 * size, box)

    patches.set(candidates.Candidates, "draw", draw)


def _region(share: float, times: int = 3) -> Change:
    """A region for a share of single points as soon as there are so many observations a dimension."""

    def change(patches: Patches) -> None:
        patches.set(regimes, "SHARES", ((8, (share, 1.0 - share)), *regimes.SHARES[1:]))
        patches.set(policy, "most_regions", lambda n, q, determined: 1)
        patches.set(policy, "enough", lambda n, dim: n >= max(times * dim, 12))

    return change


def _no_region(patches: Patches) -> None:
    patches.set(policy, "most_regions", lambda n, q, determined: 0)


def _unturned(patches: Patches) -> None:
    original = regions.regions_around
    patches.set(policy, "regions_around", lambda *a, **named: original(*a, **(named | {"turn": False})))


def _spread(every: int, until: int = 10**9) -> Change:
    """Now and then a space-filling point, up to so many observations a dimension."""

    def change(patches: Patches) -> None:
        def make(original: Any) -> Any:
            def suggest(self: Any, data: Any, q: int, *arguments: Any) -> Any:
                n = len(data.y)
                if q > 1 or n < self._n_initial or n % every or n > until * self._space.n_params:
                    return original(self, data, q, *arguments)
                with replaced(self, "_n_initial", n + len(data.pending) + 1):
                    return original(self, data, q, *arguments)

            return suggest

        patches.wrap(policy.Strategy, "suggest", make)

    return change


def _thompson(patches: Patches) -> None:
    original = regimes.plan
    patches.set(policy, "plan", lambda n, q, *a, **named: replace(original(n, q, *a, **named), whole=0, paths=q))
    patches.set(composition, "EXPLOIT", 1.0)


def _incumbents(of: Callable[[Any, Any, Array], tuple[Array, float | None]]) -> Change:
    def change(patches: Patches) -> None:
        patches.set(policy.Strategy, "_incumbents", lambda self, fitted: of(self, fitted, fitted.problem.y))

    return change


def _smoothed(strategy: Any, fitted: Any, y: Array) -> tuple[Array, float | None]:
    smooth = fitted.posterior.smoothed(y)
    return smooth, float(smooth.max())


def _relaxed(patches: Patches) -> None:
    """Integers and categories as if they were continuous, rounded at the end."""

    def maximise(acquisition: Any, space: Any, starts: Array, effort: Any, box: Any = None) -> tuple[Array, Array]:
        box = box or Box.whole(space.dim)
        lower, upper = np.broadcast_to(box.lower, starts.shape), np.broadcast_to(box.upper, starts.shape)
        points = space.snap(gradient.climb(acquisition, starts, lower, upper, effort)[0])
        return points, acquisition.values(points)

    patches.set(greedy, "maximise", maximise)


def _log_normal(mode: float, sd: float, grows: float = 0.0) -> Callable[[int], Prior]:
    """By the mode and the standard deviation of the logarithm, as the search for the most probable value sees them."""
    return lambda d: Prior("lognormal", mode + sd**2 + grows * math.log(d), sd)


def _narrow(patches: Patches) -> None:
    _spec(lengthscale=_log_normal(_LENGTH, 1.0, 0.5))(patches)


def _no_outliers(patches: Patches) -> None:
    patches.set(surrogate.Surrogate, "_divided", lambda *arguments: None)


def _unclipped(patches: Patches) -> None:
    patches.set(surrogate.Surrogate, "guide", lambda self, fitted: fitted)


def _clipping(**changes: Any) -> Change:
    """Another margin in nats, other levels."""

    def change(patches: Patches) -> None:
        for name, value in changes.items():
            patches.set(clipped, name, value)

    return change


_FLOOR: Bounds = (1e-4, 10.0)
_LENGTH, _WIDTH = math.sqrt(2.0) - 3.0, math.sqrt(3.0)  # those in the engine that rows are paired with, d = 1


def _turns(least: int, times: int = 3, most: int = 24) -> Change:
    """Every second single point fills the space up to so many points."""

    def still_spread(asked: int, start: int, n_params: int) -> bool:
        return start <= asked < max(least, min(most, times * n_params)) and (asked - start) % 2 == 1

    return lambda patches: patches.set(policy, "still_spread", still_spread)


INGREDIENTS: dict[str, Ingredient] = {
    "matern52": Ingredient("kernel", "Matern-5/2 only", _nothing, EVERYWHERE, _kernel("matern52")),
    "rbf": Ingredient("kernel", "RBF only", _nothing, SINGLE, _kernel("rbf")),
    "averaged_kernels": Ingredient("kernel", "LogEI averaged over both, by evidence", averaging.over_kernels),
    "sums": Ingredient(
        "kernel", "plus sums over single parameters, for single points (in the engine since)", _nothing, EVERYWHERE
    ),
    "averaged_8": Ingredient(
        "averaging", "LogEI averaged over 8 draws of the hyperparameters", averaging.over_hyperparameters
    ),
    "one_draw": Ingredient("averaging", "hyperparameters drawn anew for each ask", averaging.one_draw),
    "drawn": Ingredient("averaging", "the same, searched by the engine", draws.every(1), EVERYWHERE),
    "drawn_half": Ingredient("averaging", "the same for every second ask", draws.every(2), EVERYWHERE),
    "drawn_third": Ingredient("averaging", "for every third", draws.every(3), EVERYWHERE),
    "sampled_model": Ingredient(
        "averaging", "outcome map and kernel drawn by evidence", sampled.by_evidence, EVERYWHERE
    ),
    "predictive": Ingredient(
        "evidence", "outcome map and kernel by leave-one-out prediction", predictive.chosen(1.0), EVERYWHERE
    ),
    "predictive_half": Ingredient(
        "evidence", "by half of it and half of the evidence", predictive.chosen(0.5), EVERYWHERE
    ),
    "noise_botorch": Ingredient(
        "noise prior",
        "LogNormal(-4, 1) from 1e-4 on",
        _spec(noise=Prior("lognormal", -4.0, 1.0), noise_bounds=_FLOOR),
        (*SINGLE, "noisy"),
    ),
    "noise_lower": Ingredient(
        "noise prior", "LogNormal(-8, 2)", _spec(noise=Prior("lognormal", -8.0, 2.0)), (*SINGLE, "noisy")
    ),
    "noise_mode_6": Ingredient(
        "noise prior",
        "its mode at exp(-6), not exp(-15)",
        _spec(noise=_log_normal(-6.0, 3.0)),
        (*SINGLE, "noisy", "mixed", "tuning"),
    ),
    "noise_mode_10": Ingredient(
        "noise prior", "its mode at exp(-10)", _spec(noise=_log_normal(-10.0, 3.0)), (*SINGLE, "noisy")
    ),
    "noise_floor_1e-6": Ingredient("noise prior", "from 1e-6 on", _spec(noise_bounds=(1e-6, 10.0))),
    "noise_flat": Ingredient("noise prior", "none", _spec(noise=Prior()), (*SINGLE, "noisy", "tuning")),
    "no_outputscale": Ingredient("outputscale", "none", _spec(scaled=False)),
    "outputscale_1": Ingredient(
        "outputscale", "prior mode 1, not exp(-4)", _spec(scale=_log_normal(0.0, 2.0)), (*SINGLE, "noisy")
    ),
    "outputscale_1_narrow": Ingredient(
        "outputscale", "the same, half as wide", _spec(scale=_log_normal(0.0, 1.0)), (*SINGLE, "noisy")
    ),
    "lengthscales_without_d": Ingredient(
        "lengthscale prior", "the same in all dimensions", _spec(lengthscale=_log_normal(_LENGTH, _WIDTH))
    ),
    "lengthscales_narrow": Ingredient(
        "lengthscale prior",
        "logarithm's deviation 1, not 1.7 (in the engine since)",
        _narrow,
        EVERYWHERE,
    ),
    "lengthscales_narrower": Ingredient(
        "lengthscale prior", "0.7", _spec(lengthscale=_log_normal(_LENGTH, 0.7, 0.5)), EVERYWHERE
    ),
    "lengthscales_short": Ingredient(
        "lengthscale prior", "half the length", _spec(lengthscale=_log_normal(_LENGTH - math.log(2.0), _WIDTH, 0.5))
    ),
    "lengthscales_long": Ingredient(
        "lengthscale prior", "twice the length", _spec(lengthscale=_log_normal(_LENGTH + math.log(2.0), _WIDTH, 0.5))
    ),
    "lengthscales_gamma": Ingredient(
        "lengthscale prior", "Gamma(3, 6), BoTorch's former one", _spec(lengthscale=Prior("gamma", 3.0, 6.0))
    ),
    "no_outliers": Ingredient("outliers", "none are looked for", _no_outliers, EVERYWHERE),
    "odds_3": Ingredient("outcome maps", "only where 3 nats better than none", _odds(3.0)),
    "odds_8": Ingredient("outcome maps", "only where 8 nats better", _odds(8.0)),
    "hedge_3": Ingredient("outcome maps", "none for every third point", hedge.every(3)),
    "standardize": Ingredient("outcome maps", "none but standardizing", _maps("identity"), EVERYWHERE),
    "no_bilog": Ingredient("outcome maps", "without the symmetric logarithm", _maps("identity", "log"), EVERYWHERE),
    "no_log": Ingredient("outcome maps", "without the logarithm", _maps("identity", "bilog")),
    "also_power": Ingredient("outcome maps", "Yeo-Johnson as well", _maps("identity", "log", "bilog", "power")),
    "also_tenth": Ingredient("outcome maps", "a steeper logarithm as well", _maps("identity", "log", "bilog", "tenth")),
    "only_power": Ingredient("outcome maps", "Yeo-Johnson always", _maps("power", "identity")),
    "only_rank": Ingredient("outcome maps", "normal scores always", _maps("rank")),
    "winsorised": Ingredient("outcome maps", "bad outliers clipped before", _winsorised, (*SINGLE, "noisy")),
    "clip_none": Ingredient("clipped outcomes", "none", _unclipped, EVERYWHERE),
    "clip_margin_3": Ingredient("clipped outcomes", "where 3 nats better, not 12", _clipping(MARGIN=3.0)),
    "clip_margin_6": Ingredient("clipped outcomes", "where 6 nats better", _clipping(MARGIN=6.0)),
    "clip_margin_24": Ingredient("clipped outcomes", "where 24 nats better", _clipping(MARGIN=24.0)),
    "clip_always": Ingredient("clipped outcomes", "always, at the median", _clipping(MARGIN=-math.inf, LEVELS=(0.5,))),
    "clip_quarter": Ingredient(
        "clipped outcomes", "at the lower quartile only, judged above it", _clipping(LEVELS=(0.25,))
    ),
    "clip_deeper": Ingredient(
        "clipped outcomes", "at the upper quartile as well, judged above that", _clipping(LEVELS=(0.25, 0.5, 0.75))
    ),
    "input_warping": Ingredient("input warping", "inputs warped where outcomes gain by it", warping.input_warping),
    "starts_4": Ingredient("search", "4 starts instead of 16", _starts(4)),
    "starts_64": Ingredient("search", "64 starts", _starts(64)),
    "raw_256": Ingredient("search", "256 raw candidates instead of 1024", _raw(256)),
    "raw_8192": Ingredient("search", "8192 raw candidates", _raw(8192)),
    "no_local_starts": Ingredient("search", "no starts around the best observations", _no_local_starts, EVERYWHERE),
    "no_region": Ingredient("trust region", "none for single points", _no_region, ("long",)),
    "region_unturned": Ingredient("trust region", "along the parameters, not the curvature", _unturned, ("long",)),
    "region_half": Ingredient("trust region", "every second point, from 3 observations a dimension on", _region(0.5)),
    "region_quarter": Ingredient("trust region", "every fourth, from 3 a dimension on", _region(0.25)),
    "region_from_5": Ingredient("trust region", "every second, from 5 a dimension on", _region(0.5, 5)),
    "region_from_10": Ingredient("trust region", "every second, from 10 a dimension on", _region(0.5, 10)),
    "spread_5": Ingredient("exploration", "every fifth point space-filling", _spread(5)),
    "spread_10": Ingredient("exploration", "every tenth point space-filling", _spread(10)),
    "spread_early": Ingredient("exploration", "every third, up to 5 observations a dimension", _spread(3, 5)),
    "doubt_2": Ingredient(
        "exploration", "every second where it predicts next to nothing", doubt.spread(2, 0.1), EVERYWHERE
    ),
    "doubt_graded": Ingredient(
        "exploration",
        "every second, third or fifth, by how much it predicts",
        doubt.graded(((0.0, 2), (0.3, 3), (0.5, 5))),
        EVERYWHERE,
    ),
    "doubt_5": Ingredient(
        "exploration", "every fifth space-filling where the model predicts badly", doubt.spread(5, 0.5), EVERYWHERE
    ),
    "doubt_3": Ingredient("exploration", "every third space-filling there", doubt.spread(3, 0.3), EVERYWHERE),
    "stalled_paths": Ingredient("stall", "a sample path every second ask", stall.paths, (*SINGLE, "mixed")),
    "stalled_coarse": Ingredient("stall", "a model with more noise every second ask", stall.coarse, (*SINGLE, "mixed")),
    "stalled_plain": Ingredient("stall", "without an outcome map every second ask", stall.plain),
    "stalled_spread_2": Ingredient("stall", "every second point space-filling", stall.spread(2)),
    "stalled_spread_3": Ingredient("stall", "every third point space-filling", stall.spread(3)),
    "stalled_spread_late": Ingredient("stall", "every second, after twice as long", stall.spread(2, 2.0)),
    "stalled_spread_later": Ingredient("stall", "every second, after three times as long", stall.spread(2, 3.0)),
    "escape_spread_3": Ingredient(
        "stall",
        "every third point space-filling while five and more gain less than a thousandth",
        escape.by_spread(3, 1e-3),
        EVERYWHERE,
    ),
    "escape_spread_2": Ingredient("stall", "every second", escape.by_spread(2, 1e-3), EVERYWHERE),
    "escape_plain_3": Ingredient(
        "stall",
        "then every third by improvement of a tenth of a deviation, without an outcome map",
        escape.by_margin(3, 1e-3, 0.1, plain=True),
        EVERYWHERE,
    ),
    "escape_high_3": Ingredient(
        "stall", "by three tenths, with the map", escape.by_margin(3, 1e-3, 0.3, plain=False), EVERYWHERE
    ),
    "strict_spread_3": Ingredient(
        "stall", "every third space-filling while they gain less than a millionth", escape.by_spread(3, 1e-6), LONG
    ),
    "strict_spread_2": Ingredient("stall", "every second", escape.by_spread(2, 1e-6), LONG),
    "strict_plain_2": Ingredient(
        "stall", "by improvement of a tenth, without a map", escape.by_margin(2, 1e-6, 0.1, plain=True), LONG
    ),
    "strict_high_2": Ingredient(
        "stall", "by three tenths, with the map", escape.by_margin(2, 1e-6, 0.3, plain=False), LONG
    ),
    "endgame_2": Ingredient(
        "budget known", "the highest mean, not improvement, for the last two points", endgame.last(2)
    ),
    "endgame_6": Ingredient("budget known", "for the last six", endgame.last(6)),
    "margin_3_high": Ingredient(
        "exploration", "improvement by a standard deviation, every third ask", margin.every(3, 1.0), EVERYWHERE
    ),
    "margin_settled_high": Ingredient(
        "exploration", "every second ask while gains are small", margin.every(2, 1.0, settled=True), EVERYWHERE
    ),
    "thompson": Ingredient("acquisition", "a sample path's optimum instead of LogEI", _thompson, (*SINGLE, "noisy")),
    "no_step": Ingredient(
        "plateaus",
        "improvement on the best also where outcomes are tied",
        _incumbents(
            lambda strategy, fitted, y: (
                (fitted.posterior.smoothed(y), None) if strategy._noisy(fitted) else (y, float(y.max()))
            )
        ),
        EVERYWHERE,
    ),
    "design_2d": Ingredient(
        "initial design",
        "two points a parameter",
        _nothing,
        EVERYWHERE,
        _designed(2),
    ),
    "design_2d_24": Ingredient(
        "initial design", "two points a parameter, 24 at most", _nothing, EVERYWHERE, _designed(2, 24)
    ),
    "narrow_2d_24": Ingredient(
        "initial design", "the same with the narrow lengthscale prior", _narrow, EVERYWHERE, _designed(2, 24)
    ),
    "alternate": Ingredient(
        "initial design",
        "every second point, up to three a parameter and 24 (in the engine since)",
        _nothing,
        EVERYWHERE,
    ),
    "alternate_narrow": Ingredient(
        "initial design", "the same with the narrow lengthscale prior (in the engine since)", _narrow, EVERYWHERE
    ),
    "turns_10": Ingredient(
        "initial design", "every second point space-filling up to ten at least", _turns(10), EVERYWHERE
    ),
    "turns_14": Ingredient("initial design", "up to 14 at least", _turns(14), EVERYWHERE),
    "near_ties": Ingredient(
        "plateaus",
        "a step more where the best was seen twice, up to jitter",
        steps.threshold(always=0.0, tied=1.0),
        ("tuning",),
    ),
    "half_step": Ingredient(
        "plateaus", "the same, half a step elsewhere", steps.threshold(always=0.5, tied=1.0), ("tuning",)
    ),
    "whole_step": Ingredient("plateaus", "a step everywhere", steps.threshold(always=1.0, tied=1.0), ("tuning",)),
    "step_noise": Ingredient(
        "plateaus", "rounding to steps is noise at least", steps.noise(math.sqrt(1 / 12)), ("tuning",)
    ),
    "step_12": Ingredient("plateaus", "a whole step is", steps.noise(1.0), ("tuning",)),
    "step_48": Ingredient("plateaus", "two steps are", steps.noise(2.0), ("tuning",)),
    "step_192": Ingredient("plateaus", "four steps are", steps.noise(4.0), ("tuning",)),
    "step_flat_12": Ingredient(
        "plateaus", "a whole step is, without a preference for little noise", steps.noise(1.0, Prior()), ("tuning",)
    ),
    "second_3": Ingredient(
        "noise prior", "none for every third ask, where that finds noise", second.every(3, Prior()), (*SINGLE, "noisy")
    ),
    "second_5": Ingredient("noise prior", "for every fifth", second.every(5, Prior()), (*SINGLE, "noisy")),
    "observed_best": Ingredient(
        "noise",
        "improvement on the best observation",
        _incumbents(lambda strategy, fitted, y: (y, float(y.max()))),
        ("noisy", "tuning"),
    ),
    "smoothed_best": Ingredient("noise", "improvement on the best posterior mean", _incumbents(_smoothed), ("noisy",)),
    "recommend_observed": Ingredient("noise", "recommends the best observation", _nothing, ("noisy",)),
    "relaxed": Ingredient("integers and categories", "searched as continuous, then rounded", _relaxed, ("mixed",)),
    "batch_no_sums": Ingredient("batches", "none from sums over single parameters", batches.sums(0.0), BATCHES),
    "batch_sums": Ingredient(
        "batches", "all by improvement on the whole from sums, not half", batches.sums(1.0), BATCHES
    ),
    "batch_no_regions": Ingredient("batches", "none from regions", batches.regions(0.0), BATCHES[1:]),
    "batch_regions": Ingredient("batches", "half from regions", batches.regions(0.5), BATCHES[1:]),
    "batch_runner_up": Ingredient(
        "batches",
        "a quarter of those on the whole by the second best outcome map or kernel",
        batches.half_by(batches.runner_up),
        BATCHES,
    ),
    "batch_drawn": Ingredient(
        "batches", "a quarter by hyperparameters drawn from their posterior", batches.half_by(batches.drawn), BATCHES
    ),
}
