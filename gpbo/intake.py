"""Reads what users hand in (trials, values, noise, points) and says precisely what is wrong with it.

Nothing here changes any state. NumPy arrays, torch tensors on any device, pandas objects and plain Python all serve.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, MappingView, Sequence, Set
from numbers import Integral, Real
from typing import Any

import numpy as np

from gpbo.errors import (
    ArgumentError,
    ArgumentTypeError,
    SpaceError,
    TellError,
    TellTypeError,
    TrialStateError,
    UnknownTrialError,
)
from gpbo.ledger import Ledger, Outcomes
from gpbo.scalars import shown
from gpbo.space import Codes, Space
from gpbo.trials import Trial

_CURES = {
    "complete": "its value is known already; use add() for another measurement of the same point",
    "failed": "it failed before; use add() to record a result for its point after all",
    "forgotten": "it was forgotten; use add() to record a result for its point after all",
}


def pending_ids(call: str, target: Any, ledger: Ledger, space: Space) -> list[int]:
    """Ids of the pending trials that ``target`` means: a Batch, a Trial, an id, or several ids or Trials.

    Raises:
        TellTypeError: If it is none of these.
        UnknownTrialError: If an id, or a trial with that id and those parameters, was never handed out.
        TrialStateError: If a trial is not pending.
        TellError: If a trial is named twice.
    """
    ids = [known_id(call, one, ledger, space) for one in _several(call, target)]
    seen: set[int] = set()
    for trial_id in ids:
        state = ledger.states[trial_id]
        if state != "pending":
            raise TrialStateError(f"{call}: {named(trial_id, ledger, space)} is {state}: {_CURES[state]}.")
        if trial_id in seen:
            raise TellError(f"{call}: {named(trial_id, ledger, space)} is there twice; name each trial once.")
        seen.add(trial_id)
    return ids


def named(trial_id: int, ledger: Ledger, space: Space) -> str:
    """A trial's id and parameters, for messages."""
    return f"trial {trial_id} {space.params([ledger.codes[trial_id]])[0]!r}"


def _outcomes(call: str, values: Any, count: int, label: Callable[[int], str]) -> list[float]:
    """``count`` floats; NaN and infinities pass, everything else that is not a real number does not.

    Args:
        call: Name of the public call, for messages.
        values: What the user gave.
        count: How many there must be.
        label: From the position of a value to the name of its trial, for messages.

    Raises:
        TellError: If the number of values is wrong.
        TellTypeError: If a value is not a real number.
    """
    items = _items(call, "value", values, count)
    return [_real(call, "value", item, label, index) for index, item in enumerate(items)]


def _deviations(call: str, noise: Any, values: Sequence[float], label: Callable[[int], str]) -> list[float | None]:
    """The noise that belongs to each value: one standard deviation per value, or one for all; None where there is none.

    Raises:
        TellError: If the number of deviations is wrong, or one is negative or not finite though its value is finite.
        TellTypeError: If one is not a real number.
    """
    if noise is None:
        return [None] * len(values)
    scalar = isinstance(noise, Real) or getattr(noise, "shape", None) == ()
    items = [noise] * len(values) if scalar else _items(call, "noise", noise, len(values))
    result: list[float | None] = []
    for index, (item, value) in enumerate(zip(items, values, strict=True)):
        deviation = _real(call, "noise", item, label, index)
        if not math.isfinite(value):
            result.append(None)
        elif math.isfinite(deviation) and deviation >= 0:
            result.append(deviation)
        else:
            cure = "pass the standard deviation of the value, finite and not negative"
            raise TellError(f"{call}: noise of {label(index)} is {deviation!r}; {cure}.")
    return result


def results(call: str, values: Any, noise: Any, count: int, label: Callable[[int], str]) -> Outcomes:
    """Checked values and deviations, as an event holds them."""
    numbers = _outcomes(call, values, count, label)
    return {
        "values": [number if math.isfinite(number) else None for number in numbers],
        "noise": _deviations(call, noise, numbers, label),
        "reasons": ["" if math.isfinite(number) else f"value is {number!r}" for number in numbers],
    }


def points(call: str, given: Any, space: Space) -> list[Codes]:
    """Codes of the points that ``given`` means: a dict, a Trial, a list of these, an array of x, or a data frame.

    Raises:
        SpaceError: If a point does not lie in the space; says which point, parameter and value.
        SpaceTypeError: If a part of it has the wrong type.
    """
    if isinstance(given, (Mapping, Trial)):
        given = [given]
    elif hasattr(given, "columns") and hasattr(given, "to_dict"):  # by name: the order of a frame's columns is free
        given = given.to_dict(orient="records")
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) and not hasattr(given, "shape"):
        given = list(given)
        if not given:
            return []
        if any(isinstance(one, (Mapping, Trial)) or one is None for one in given):
            return [_point(call, one, index, len(given), space) for index, one in enumerate(given)]
    try:
        return space.codes_of_x(given)
    except SpaceError as error:
        raise type(error)(f"{call}: {error}") from None


def _point(call: str, one: Any, index: int, count: int, space: Space) -> Codes:
    try:
        return space.codes(one.params if isinstance(one, Trial) else one)
    except SpaceError as error:
        where = f"point {index}: " if count > 1 else ""
        raise type(error)(f"{call}: {where}{error}") from None


def _several(call: str, target: Any) -> list[Any]:
    """The trials or ids a target consists of."""
    if isinstance(target, (Trial, Integral)) and not isinstance(target, bool):
        return [target]
    if isinstance(target, (Set, MappingView)):
        raise TellTypeError(f"{call}: the trials are {shown(target)}; pass them in order, as a list.")
    if isinstance(target, Mapping):
        raise TellTypeError(f"{call}: got a dict; pass the trial or its id, or use add(params, value) for a new point.")
    if hasattr(target, "tolist"):
        target = target.tolist()
        target = target if isinstance(target, list) else [target]
    if isinstance(target, Iterable) and not isinstance(target, (str, bytes)):
        return list(target)
    raise TellTypeError(f"{call}: {shown(target)} is no trial; pass a Batch, a Trial, an id, or a list of ids.")


def known_id(call: str, one: Any, ledger: Ledger, space: Space) -> int:
    """The id that a Trial or an integer means.

    Raises:
        TellTypeError: If it is neither.
        UnknownTrialError: If there is no such trial here.
    """
    if isinstance(one, Trial):
        known = 0 <= one.id < len(ledger.codes)
        if known and space.contains(one.params) and space.codes(one.params) == ledger.codes[one.id]:
            return one.id
        raise UnknownTrialError(
            f"{call}: {one!r} was not handed out by this optimizer; use add() for results of others."
        )
    if isinstance(one, bool) or not isinstance(one, Integral):
        cure = "pass a Batch, a Trial, an id, or a list of ids; use add(x, values) for points that were never asked for"
        raise TellTypeError(f"{call}: {shown(one)} is no trial; {cure}.")
    if not 0 <= int(one) < len(ledger.codes):
        held = f"the ids so far are 0 to {len(ledger.codes) - 1}" if ledger.codes else "none was asked for yet"
        raise UnknownTrialError(f"{call}: there is no trial {int(one)}; {held}.")
    return int(one)


def _items(call: str, what: str, given: Any, count: int) -> list[Any]:
    """``count`` single items: a bare number counts as one, and so does a row of one number; a masked one is NaN."""
    hidden = np.ma.getmaskarray(given).reshape(-1).tolist() if isinstance(given, np.ma.MaskedArray) else None
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.double().numpy() if given.dtype.is_floating_point else given.numpy()
    elif hasattr(given, "__array__") and not isinstance(given, np.generic):
        given = np.asarray(given)
    if isinstance(given, np.ndarray):
        if given.ndim > 2 or (given.ndim == 2 and given.shape[1] != 1):
            raise TellError(f"{call}: {what}s have shape {given.shape}; pass one {what} per trial, shape ({count},).")
        given = given.reshape(-1).tolist()
        if hidden is not None:
            given = [math.nan if masked else item for item, masked in zip(given, hidden, strict=True)]
    elif isinstance(given, (Mapping, set, frozenset)):
        raise TellTypeError(f"{call}: {what}s are {shown(given)}; pass them in the order of the trials, as a list.")
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        given = [_single(item) for item in given]
    else:
        given = [given]
    if len(given) != count:
        trials = "1 trial" if count == 1 else f"{count} trials"
        got = f"1 {what}" if len(given) == 1 else f"{len(given)} {what}s"
        hint = ", nan for a failed run" if what == "value" else ""
        raise TellError(f"{call}: got {got} for {trials}; pass one {what} per trial{hint}.")
    return list(given)


def _single(item: Any) -> Any:
    """The number within a row of one; NaN if it is masked."""
    if isinstance(item, (list, tuple)) and len(item) == 1:
        item = item[0]
    if isinstance(item, np.ma.MaskedArray) and item.size == 1 and np.ma.is_masked(item):
        return math.nan
    if getattr(item, "shape", None) in ((), (1,)) and hasattr(item, "item"):
        return item.item()
    return item


def _real(call: str, what: str, item: Any, label: Callable[[int], str], index: int) -> float:
    item = _single(item)
    if isinstance(item, bool) or not isinstance(item, Real):
        hint = ", nan for a failed run" if what == "value" else ""
        raise TellTypeError(f"{call}: {what} of {label(index)} is {shown(item)}; pass a real number{hint}.")
    try:
        return float(item)
    except OverflowError:
        raise TellError(
            f"{call}: {what} of {label(index)} is too large for a float64; pass nan for a failed run."
        ) from None


def memory(what: str, value: Any) -> int | None:
    """Bytes from a number or a text like "2 GB"; None stays None.

    Raises:
        ArgumentTypeError: If it is neither.
        ArgumentError: If the text cannot be read, or it is less than 64 MB, with which nothing can be done.
    """
    if value is None:
        return None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?\s*", value)
        if match is None:
            raise ArgumentError(f'{what} must be a number of bytes or a text like "2 GB", got {value!r}.')
        number, prefix, binary = match.groups()
        unit = (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " ")
        value = int(min(float(number), 2.0**63) * unit)
    return whole(what, value, 64 * 10**6, 2**60)


def whole(what: str, value: Any, low: int, high: int) -> int:
    """An integer from ``low`` to ``high``.

    Raises:
        ArgumentTypeError: If it is not an integer; True and 1.0 are not.
        ArgumentError: If it lies outside.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{what} must be an integer, got {shown(value)}.")
    if not low <= int(value) <= high:
        raise ArgumentError(f"{what} must lie in [{low}, {high}], got {int(value)}.")
    return int(value)
