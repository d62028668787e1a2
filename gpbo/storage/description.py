"""What a study is, apart from what happened in it: its space, direction and settings, to and from JSON, exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.space import Space


@dataclass(frozen=True)
class Description:
    """The fixed part of a study. Attributes as for ``Optimizer``."""

    space: Space
    direction: str
    seed: int
    n_initial: int | None
    kernel: str
    device: str
    strategy: str = "auto"

    def dumps(self) -> str:
        """As JSON, in ASCII."""
        plain = {
            "unnamed": self.space.unnamed,
            "parameters": [[name, *_dump(parameter)] for name, parameter in self.space.items()],
            "direction": self.direction,
            "seed": self.seed,
            "n_initial": self.n_initial,
            "kernel": self.kernel,
            "device": self.device,
            "strategy": self.strategy,
        }
        return json.dumps(plain, allow_nan=False, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Description:
        """From what :meth:`dumps` gave."""
        plain = json.loads(text)
        space = Space({name: _load(kind, fields) for name, kind, fields in plain["parameters"]})
        space.unnamed = plain["unnamed"]
        names = ("direction", "seed", "n_initial", "kernel", "device")
        return cls(space=space, strategy=plain.get("strategy", "auto"), **{name: plain[name] for name in names})

    def difference(self, other: Description) -> str:
        """What ``other`` has that this has not, in words; empty if a study of one can go on as the other.

        The device is free: it changes where things are computed, not what is looked for.
        """
        if self.space != other.space:
            return _space_difference(self.space, other.space)
        for field in ("direction", "n_initial", "kernel", "strategy", "seed"):
            stored, given = getattr(self, field), getattr(other, field)
            if stored != given:
                return f"{field} is {stored!r} there and {given!r} here"
        return ""


def _space_difference(stored: Space, given: Space) -> str:
    there, here = dict(stored.items()), dict(given.items())
    for name, parameter in there.items():
        if name not in here:
            return f"parameter {name!r} is {parameter!r} there and missing here"
        if here[name] != parameter:
            return f"parameter {name!r} is {parameter!r} there and {here[name]!r} here"
    for name, parameter in here.items():
        if name not in there:
            return f"parameter {name!r} is missing there and {parameter!r} here"
    return f"the parameters' order is {', '.join(map(repr, there))} there and {', '.join(map(repr, here))} here"


def _dump(parameter: Parameter) -> tuple[str, dict[str, Any]]:
    if isinstance(parameter, Float):
        return "float", {"low": parameter.low, "high": parameter.high, "log": parameter.log, "step": parameter.step}
    if isinstance(parameter, Int):
        return "int", {"low": parameter.low, "high": parameter.high, "log": parameter.log}
    return "categorical", {"choices": _dump_choice(parameter.choices), "ordered": parameter.ordered}


def _load(kind: str, fields: Mapping[str, Any]) -> Parameter:
    if kind == "float":
        return Float(fields["low"], fields["high"], log=fields["log"], step=fields["step"])
    if kind == "int":
        return Int(fields["low"], fields["high"], log=fields["log"])
    return Categorical([_load_choice(choice) for choice in fields["choices"]], ordered=fields["ordered"])


def _dump_choice(choice: Any) -> Any:
    """JSON tells strings, ints, finite floats, bools and null apart; a list stands for a tuple."""
    if isinstance(choice, tuple):
        return [_dump_choice(part) for part in choice]
    if isinstance(choice, float) and choice in (float("inf"), float("-inf")):
        return {"float": repr(choice)}
    return choice


def _load_choice(choice: Any) -> Any:
    if isinstance(choice, list):
        return tuple(_load_choice(part) for part in choice)
    return float(choice["float"]) if isinstance(choice, dict) else choice
