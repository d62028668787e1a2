"""Which modules pytest searches for examples: those that import Triton only where it is installed."""

from importlib.util import find_spec
from pathlib import Path

collect_ignore = (
    []
    if find_spec("triton")
    else [str(path) for path in Path(__file__).parent.rglob("*.py") if "\nimport triton\n" in path.read_text()]
)
