"""The engine as a search algorithm of Ray Tune."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from gpbo import intake
from gpbo.errors import ArgumentError, NotReadyError
from gpbo.integrations.mirror import Mirror, Outcome
from gpbo.integrations.ray.axes import Axes, Axis
from gpbo.space import Codes
from gpbo.storage import Description
from gpbo.strategy import Settings

_logger = logging.getLogger(__name__)
_FORMAT = 1
_MOST = 1_000_000


class GPBOSearch(Searcher):
    """Suggests configurations with gpbo's Gaussian process; for one metric.

    A trial that ends with an error, without the metric, or with a NaN or infinite one, counts as failed: its point is
    not suggested again. A trial that a scheduler stops counts with its last result.

    Args:
        space: What is searched: a dict of ``tune.uniform`` and the like, or of gpbo's parameters, nested or not. None:
            the ``param_space`` of the Tuner.
        metric: Name of the result; None: that of the Tuner.
        mode: "min" or "max"; None: that of the Tuner.
        points_to_evaluate: Configurations to try first.
        seed: Suggestions depend on it and on the results. Drawn at random when None.
        n_initial: Trials that fill the space before the first of the model's; chosen by the engine when None.
        max_concurrent: Most trials that run at a time; None for as many as Ray starts.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        kernel: As for ``gpbo.Optimizer``.

    Raises:
        ArgumentError: If an argument is invalid.
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        points_to_evaluate: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
        n_initial: int | None = None,
        max_concurrent: int | None = None,
        device: str = "auto",
        kernel: str = "auto",
    ) -> None:
        if mode not in (None, "min", "max"):
            raise ArgumentError(f"mode must be 'min' or 'max', got {mode!r}.")
        super().__init__(metric=metric, mode=mode)
        self._seed = secrets.randbits(32) if seed is None else intake.whole("seed", seed, 0, 2**63 - 1)
        self._settings = Settings(kernel=kernel, n_initial=n_initial, device=str(device))
        self._first = [dict(each) for each in points_to_evaluate]
        self._max_concurrent = max_concurrent
        self._axes = None if space is None else Axes.of(space)
        self._mirror: Mirror | None = None
        self._live: dict[str, Codes] = {}
        self._suggested = 0
        self._evaluated = 0

    def __getstate__(self) -> dict[str, Any]:
        """With the record in place of the model."""
        mirror = None if self._mirror is None else self._mirror.dump()
        return {**self.__dict__, "_mirror": mirror}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _mirror=None)
        if state["_mirror"] is not None:
            self._ready().load(state["_mirror"])

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Called by Ray with what the Tuner was given; False if the search space was known before."""
        if self._axes is not None and config and not self._same(config):
            return False
        self._axes = self._axes or Axes.of(config)
        self._metric, self._mode = metric or self._metric, mode or self._mode
        return True

    def _same(self, config: dict[str, Any]) -> bool:
        try:
            return Axes.of(config).space == (self._axes and self._axes.space)
        except ArgumentError:
            return False

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Called by Ray's ``ConcurrencyLimiter``, whose bound is kept here."""
        self._max_concurrent = max_concurrent
        return True

    def suggest(self, trial_id: str) -> Any:
        """A configuration for a new trial; None while as many run as may, FINISHED when all points were tried."""
        mirror, axes = self._ready(), self._known_axes()
        if self._max_concurrent is not None and len(self._live) >= self._max_concurrent:
            return None
        if self._first:
            given = self._first.pop(0)
            codes = axes.codes(given)
            mirror.follow({**self._live, trial_id: codes}, [])
        elif mirror.exhausted():
            return Searcher.FINISHED
        else:
            (codes,) = mirror.suggest([trial_id], self._suggested)
        self._suggested += 1
        self._live[trial_id] = codes
        return axes.outward(axes.space.params([codes])[0])

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Only the last result counts."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn how a trial ended."""
        codes = self._live.pop(trial_id, None)
        if codes is None:
            _logger.warning(f"Trial {trial_id} is not running, or ended before; its result is ignored: {result}")
            return
        value = None if error or not result else result.get(str(self._metric))
        self._learn(trial_id, codes, value, "error" if error else f"{self._metric} is {value}")

    def add_evaluated_point(
        self,
        parameters: Mapping[str, Any],
        value: float,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: list[float] | None = None,
    ) -> None:
        """Learn a result from elsewhere; with ``pruned``, the last of ``intermediate_values`` if ``value`` is None.

        Raises:
            SpaceError: If the configuration does not lie in the search space.
        """
        if pruned and value is None and intermediate_values:
            value = intermediate_values[-1]
        codes = self._known_axes().codes(parameters)
        self._learn(f"evaluated {self._evaluated}", codes, None if error else value, "error" if error else str(value))
        self._evaluated += 1

    def _learn(self, key: str, codes: Codes, value: Any, reason: str) -> None:
        number = None if value is None or not math.isfinite(value) else float(value)
        outcome = Outcome(key, codes, number, "" if number is not None else reason)
        self._ready().follow(self._live, [outcome])

    def save(self, checkpoint_path: str) -> None:
        """Write everything that is known, running trials included, as JSON."""
        axes = self._known_axes()
        maximize, settings = self._mode == "max", self._settings
        described = Description(
            space=axes.space,
            direction="maximize" if maximize else "minimize",
            seed=self._seed,
            n_initial=settings.n_initial,
            kernel=settings.kernel,
            device=settings.device,
        )
        state = {
            "format": _FORMAT,
            "description": described.dumps(),
            "values": {name: _plain([one.choices, one.low, one.step]) for name, one in axes.axes.items()},
            "metric": self._metric,
            "first": _plain(self._first),
            "max_concurrent": self._max_concurrent,
            "live": self._live,
            "counts": [self._suggested, self._evaluated],
            "record": self._ready().dump(),
        }
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what :meth:`save` wrote; trials that ran then still do.

        Raises:
            ArgumentError: If choices could not be written, being no plain data, and the search space was not given to
                the constructor; or if another version wrote the file.
        """
        state = json.loads(Path(checkpoint_path).read_text())
        if state["format"] != _FORMAT:
            raise ArgumentError(f"{checkpoint_path!r} has format {state['format']}, and this gpbo reads {_FORMAT}.")
        described = Description.loads(state["description"])
        if self._axes is None or self._axes.space != described.space:
            if None in [*state["values"].values(), state["first"]]:
                raise ArgumentError("The choices are no plain data; pass the search space to GPBOSearch, then restore.")
            self._axes = Axes({name: Axis(described.space[name], *parts) for name, parts in state["values"].items()})
        self._seed, self._metric = described.seed, state["metric"]
        self._mode = "max" if described.direction == "maximize" else "min"
        self._settings = Settings(described.kernel, described.n_initial, described.device)
        self._first = self._first if state["first"] is None else state["first"]
        self._max_concurrent = state["max_concurrent"]
        self._live = {name: tuple(codes) for name, codes in state["live"].items()}
        self._suggested, self._evaluated = state["counts"]
        self._mirror = None
        self._ready().load(state["record"])

    def _known_axes(self) -> Axes:
        if self._axes is None:
            raise NotReadyError("GPBOSearch has no search space; pass space= here, or param_space to the Tuner.")
        return self._axes

    def _ready(self) -> Mirror:
        """The engine, once the search space, the metric and the mode are known."""
        if self._mirror is None:
            if not self._metric or not self._mode:
                raise NotReadyError("GPBOSearch has no metric or mode; pass them here, or in the TuneConfig.")
            self._mirror = Mirror(self._known_axes().space, self._mode == "max", self._settings, self._seed)
        return self._mirror


def _plain(value: Any) -> Any:
    """The value, if JSON holds it without loss, else None."""
    try:
        return value if json.loads(json.dumps(value, allow_nan=False)) == value else None
    except (TypeError, ValueError):
        return None
