"""HEBO with its defaults, behind JSON lines.

Reads ``{"space": [...], "seed": s}`` once, then ``{"points": [...], "values": [...]}``, which it learns, or
``{"ask": q}``, which it answers with a list of q points.
"""

from __future__ import annotations

import json
import os
import random
import sys
import warnings
from typing import Any, TextIO


def main(lines: TextIO, answers: TextIO) -> None:
    """Answers until the input ends."""
    import numpy as np
    import pandas as pd
    import torch
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    first = json.loads(lines.readline())
    random.seed(first["seed"])
    np.random.seed(first["seed"])  # noqa: NPY002  # HEBO draws from the global state
    torch.manual_seed(first["seed"])
    torch.set_num_threads(1)
    choices = [entry["name"] for entry in first["space"] if entry["kind"] == "choice"]
    optimizer = HEBO(DesignSpace().parse([_parameter(entry) for entry in first["space"]]), scramble_seed=first["seed"])
    for line in lines:
        message = json.loads(line)
        if "ask" in message:
            found = optimizer.suggest(n_suggestions=message["ask"])
            points = [{name: float(value) for name, value in row.items()} for row in found.to_dict("records")]
            answers.write(json.dumps(points) + "\n")
            answers.flush()
        else:
            known = pd.DataFrame(message["points"]).astype(dict.fromkeys(choices, str))
            optimizer.observe(known, np.array(message["values"])[:, None])


def _parameter(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["kind"] == "choice":
        return {"name": entry["name"], "type": "cat", "categories": [str(i) for i in range(entry["high"] + 1)]}
    linear, log = {"int": ("int", "pow_int"), "float": ("num", "pow")}[entry["kind"]]
    scale = {"type": log, "base": 10} if entry["log"] else {"type": linear}
    return {"name": entry["name"], "lb": entry["low"], "ub": entry["high"], **scale}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    reserved = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the package prints must not get between the answers
    main(sys.stdin, reserved)
