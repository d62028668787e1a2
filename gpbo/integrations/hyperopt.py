"""Search spaces written for hyperopt, as gpbo's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpbo.errors import ArgumentError, SpaceError
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.scalars import shown
from gpbo.space import Space

_SUPPORTED = "uniform, loguniform, quniform, randint, uniformint and choice"


def from_hyperopt(space: Any) -> Space:
    """The search space that hyperopt's expressions describe.

    ``hp.uniform`` and ``hp.loguniform`` (whose bounds are exponents) become ``Float``; ``hp.quniform`` a ``Float`` with
    a step, whose values are multiples of q as hyperopt's are; ``hp.randint`` (whose upper bound is excluded) and
    ``hp.uniformint`` ``Int``; ``hp.choice`` ``Categorical``. A plain value becomes a constant.

    Args:
        space: A dict from name to expression, as the objective receives it; or one expression, named by its label.

    Raises:
        ArgumentError: If an expression is another one, or depends on others, as nested choices do; names it.

    Example:
        >>> from hyperopt import hp
        >>> import gpbo
        >>> space = gpbo.from_hyperopt({"lr": hp.loguniform("lr", -7, 0), "depth": hp.randint("depth", 1, 10)})
        >>> space["depth"]
        Int(1, 9)
    """
    if _is_expression(space):
        return Space({_label(space): _parameter(_label(space), space)})
    if not isinstance(space, Mapping):
        raise ArgumentError(f"from_hyperopt needs a dict of hp expressions, or one of them; got {shown(space)}.")
    return Space({name: _parameter(name, entry) for name, entry in space.items()})


def _parameter(name: str, entry: Any) -> Parameter:
    try:
        if not _is_expression(entry):
            return Categorical([entry])
        if entry.name == "switch" and entry.pos_args[0].pos_args[1].name == "categorical":
            raise ArgumentError(f"from_hyperopt: {name!r} is hp.pchoice; gpbo has no weights, use hp.choice.")
        if entry.name == "switch":
            return Categorical([_constant(name, option) for option in entry.pos_args[1:]])
        return _number(name, _stochastic(name, entry))
    except SpaceError as error:
        raise ArgumentError(f"from_hyperopt: {name!r}: {error}") from None


def _number(name: str, draw: Any) -> Parameter:
    named = dict(draw.named_args)
    given = [*draw.pos_args, *(named[key] for key in ("low", "upper", "high", "q") if key in named)]
    arguments = [_constant(name, one) for one in given]
    if draw.name == "uniform":
        return Float(*arguments)
    if draw.name == "loguniform":
        return Float(math.exp(arguments[0]), math.exp(arguments[1]), log=True)
    if draw.name == "uniformint":
        return Int(round(arguments[0]), round(arguments[1]))
    if draw.name == "quniform":
        low, high, q = arguments
        return Float(round(low / q) * q, round(high / q) * q, step=q)
    if draw.name == "randint":
        low, high = arguments if len(arguments) == 2 else (0, arguments[0])
        return Int(int(low), int(high) - 1)
    raise ArgumentError(f"from_hyperopt: {name!r} is hp.{draw.name}, which is not translated; use {_SUPPORTED}.")


def _stochastic(name: str, entry: Any) -> Any:
    """The draw behind ``float(hyperopt_param(label, draw))``, the form of all numbers.

    A ``uniformint`` is an ``int`` of a ``quniform`` with a step of 1.
    """
    whole = entry.name == "int"
    while entry.name in ("float", "int"):
        entry = entry.pos_args[0]
    if entry.name != "hyperopt_param":
        raise ArgumentError(f"from_hyperopt: {name!r} is computed from other expressions; use {_SUPPORTED} alone.")
    draw = entry.pos_args[1]
    return _Uniformint(draw) if whole and draw.name == "quniform" else draw


class _Uniformint:
    """The integers of a ``quniform`` with a step of 1."""

    name = "uniformint"

    def __init__(self, draw: Any) -> None:
        self.pos_args: list[Any] = draw.pos_args[:2]
        self.named_args = [(key, value) for key, value in draw.named_args if key != "q"]


def _constant(name: str, node: Any) -> Any:
    """The plain value of an expression that holds no draw."""
    if not _is_expression(node):
        return node
    if node.name == "literal":
        return node.obj
    if node.name == "pos_args":
        return tuple(_constant(name, part) for part in node.pos_args)
    raise ArgumentError(
        f"from_hyperopt: a choice of {name!r} holds a {node.name} expression. Nested spaces are not translated: make "
        "each part a parameter of its own that the objective ignores where it does not apply, or tune each branch by "
        "itself; for a dict, choose among its names and look it up in the objective."
    )


def _label(entry: Any) -> str:
    while entry.name != "hyperopt_param":
        if not entry.pos_args:
            raise ArgumentError(f"from_hyperopt needs hp expressions; got {shown(entry)}.")
        entry = entry.pos_args[0]
    return str(entry.pos_args[0].obj)


def _is_expression(entry: Any) -> bool:
    return all(hasattr(entry, part) for part in ("name", "pos_args", "named_args"))
