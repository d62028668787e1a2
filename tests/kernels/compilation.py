"""Compiles kernels for a Hopper GPU, which need not be there; run as a script, in a process that does not interpret.

Reads a list of cases from standard input, each a dictionary with ``module``, ``kernel``, ``dtype`` ("fp64"),
``pointers``, ``constants`` and ``warps``, and optionally ``absent`` (arguments that are None), ``types`` (of arguments,
in Triton's words) and ``wide`` (int64 arguments; other ones are int32). Writes a list of
``{"registers": ..., "stack": ...}``, or exits with 3 where Triton's compiler does not run at all.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def compiled(case: dict[str, Any]) -> Any:
    kernel = getattr(importlib.import_module(case["module"]), case["kernel"])
    constants = dict(case["constants"]) | dict.fromkeys(case.get("absent", ()))
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in case.get("types", {}):
            signature[name] = case["types"][name]
        elif name in case["pointers"]:
            signature[name] = f"*{case['dtype']}"
        else:
            signature[name] = "i64" if name in case.get("wide", ()) else "i32"
    options = {"num_warps": case["warps"], "num_stages": 1, "enable_fp_fusion": True}
    return triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32), options=options)


def resources(program: Any) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(program.asm["cubin"])
        file.flush()
        command = [str(TOOLS / "cuobjdump"), "-res-usage", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = re.search(r"REG:(\d+) STACK:(\d+)", report)
    assert used is not None, report
    return {"registers": int(used[1]), "stack": int(used[2])}


def main() -> None:
    probe = {"module": "gpbo_kernels.probe", "kernel": "_exponential", "dtype": "fp64", "pointers": ["x", "out"]}
    try:
        resources(compiled(probe | {"constants": {}, "warps": 1}))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
    print(json.dumps([resources(compiled(case)) for case in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
