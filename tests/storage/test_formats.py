"""Files of every format there ever was open for ever; nothing on a load path runs what it reads.

``python tests/storage/test_formats.py`` writes the files of the present format, to be done once for each new format.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import gpbo
from gpbo.storage import schema

FORMATS = Path(__file__).parent / "formats"
PACKAGE = Path(gpbo.__file__).parent
LOADING = [*(PACKAGE / "storage").glob("*.py"), *(PACKAGE / name for name in ("journal.py", "ledger.py", "cli.py"))]
LOADING += [PACKAGE / "persistence.py", PACKAGE / "strategy" / "state.py"]


def known(opt):
    """What an optimizer knows, in JSON."""
    trials = [opt.trial(i) for i in range(len(opt._ledger.codes))]
    return {
        "space": repr(opt.space),
        "direction": opt.direction,
        "seed": opt.seed,
        "trials": [[t.id, repr(t.params), t.state, repr(t.value), repr(t.noise), t.reason] for t in trials],
        "history": opt.history.ids,
        "pending": opt.pending.ids,
        "owners": list(opt._ledger.pending.values()),
        "asks": opt._ledger.asks,
    }


def write():
    """A study with everything in it."""
    path = FORMATS / f"format-{schema.FORMAT}.db"
    space = {
        "rate": gpbo.Float(1e-5, 1.0, log=True),
        "depth": gpbo.Int(-(2**63), 2**63 - 1),
        "units": gpbo.Int(1, 1024, log=True),
        "kind": gpbo.Categorical(["r'ou\"nd", True, None, 2.5, 2, ("a", (1, 2.0)), float("-inf"), "\ud800\0é"]),
        "size": gpbo.Categorical(["s", "m", "l"], ordered=True),
        "level": gpbo.Float(0.0, 1.0, step=0.1),
        "constant": gpbo.Float(0.1, 0.1),
        "'; DROP TABLE gpbo_events; --": gpbo.Float(-1e308, 1e308),
    }
    opt = gpbo.Optimizer(space, "maximize", seed=2**62 + 1, n_initial=3, kernel="rbf", storage=path, worker="w1")
    first = opt.ask(4)
    opt.tell(first[:3], [1e-300, -0.1 - 0.2, 1e300], noise=[0.0, 0.1, 2.0])
    opt.fail(first[3], "out of memory\n\0\ud800")
    second = opt.ask(3)
    opt.forget(second[0])
    opt.add([{**first[0].params, "rate": 0.3}], [0.5])
    opt.tell(opt.ask(2), [0.25, 0.75], noise=0.5)
    opt.close()
    dead = gpbo.Optimizer.open(path, worker="w2", lease=1e8)
    dead.ask()
    dead.close()
    opt = gpbo.Optimizer.open(path, worker="w1")
    opt.ask(3)
    path.with_suffix(".json").write_text(json.dumps(known(opt), indent=1) + "\n")
    opt.close()


@pytest.mark.parametrize("file", sorted(FORMATS.glob("*.db")), ids=lambda file: file.stem)
def test_files_of_every_format_open_and_go_on(file, tmp_path):
    path = Path(shutil.copy(file, tmp_path / "study.db"))
    path.chmod(0o600)
    expected = json.loads(file.with_suffix(".json").read_text())
    opt = gpbo.Optimizer.open(path)
    assert known(opt) == expected
    opt.tell(opt.ask(2), [1.0, 2.0])
    opt.tell(opt.pending.ids, [3.0] * len(opt.pending))
    assert known(gpbo.Optimizer.open(path)) == known(opt)


def test_the_present_format_has_a_file():
    assert (FORMATS / f"format-{schema.FORMAT}.db").exists()


FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "globals", "getattr", "setattr"}
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "importlib", "runpy", "joblib", "yaml"}


@pytest.mark.parametrize("file", LOADING, ids=lambda file: file.stem)
def test_no_load_path_runs_what_it_reads(file):
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN_MODULES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_NAMES:
            # reading an attribute with a name written in the code is harmless
            assert node.func.id == "getattr", ast.unparse(node)
            assert isinstance(node.args[1], ast.Constant) or ast.unparse(node.args[1]) == "field", ast.unparse(node)


@pytest.mark.parametrize("file", list((PACKAGE / "storage").glob("*.py")), ids=lambda file: file.stem)
def test_every_value_in_a_statement_is_bound(file):
    """Statements are SQLAlchemy's, or constants: no text with holes in it reaches the database."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and re.search(r"(\btext|execute|exec_driver_sql)$", ast.unparse(node.func)):
            for inner in ast.walk(node.args[0]):
                assert not isinstance(inner, (ast.JoinedStr, ast.BinOp, ast.Mod)), ast.unparse(node)


if __name__ == "__main__":
    write()
    sys.stdout.write("written\n")
