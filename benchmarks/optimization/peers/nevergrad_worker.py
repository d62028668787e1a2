"""Nevergrad's ``NGOpt``, which chooses among Nevergrad's optimizers by itself, behind JSON lines.

Reads ``{"space": [...], "seed": s, "budget": b}`` once, then ``{"points": [...], "values": [...]}``, which it learns,
or ``{"ask": q}``, which it answers with a list of q points. The first points are the initial design, told as points
that the optimizer did not ask for; all others are those of the last answer.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any, TextIO


def main(lines: TextIO, answers: TextIO) -> None:
    """Answers until the input ends."""
    import nevergrad
    import numpy as np

    first = json.loads(lines.readline())
    parametrization = nevergrad.p.Dict(**{entry["name"]: _parameter(nevergrad.p, entry) for entry in first["space"]})
    parametrization.random_state = np.random.RandomState(first["seed"])
    known = json.loads(lines.readline())
    optimizer: Any = None
    candidates: list[Any] = []
    for line in lines:
        message = json.loads(line)
        if "ask" not in message:
            for candidate, value in zip(candidates, message["values"], strict=True):
                optimizer.tell(candidate, value)
            continue
        if optimizer is None:
            optimizer = nevergrad.optimizers.NGOpt(parametrization, budget=first["budget"], num_workers=message["ask"])
            for point, value in zip(known["points"], known["values"], strict=True):
                optimizer.tell(parametrization.spawn_child(new_value=point), value)
        candidates = [optimizer.ask() for _ in range(message["ask"])]
        points = [{name: float(value) for name, value in candidate.value.items()} for candidate in candidates]
        answers.write(json.dumps(points) + "\n")
        answers.flush()


def _parameter(kinds: Any, entry: dict[str, Any]) -> Any:
    low, high = entry["low"], entry["high"]
    if entry["kind"] == "choice":
        return kinds.Choice(list(range(high + 1)))
    made = (kinds.Log if entry["log"] else kinds.Scalar)(lower=low, upper=high)
    return made.set_integer_casting() if entry["kind"] == "int" else made


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    reserved = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the package prints must not get between the answers
    main(sys.stdin, reserved)
