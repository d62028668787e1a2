"""The pages on other tools tell the truth: their examples run."""

from __future__ import annotations

import doctest
import logging
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
# What other packages warn of, in an example that users would run with warnings shown once.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script", "ignore:.*experimental", "ignore::DeprecationWarning"
)


SLOW = pytest.param("pytorch", marks=pytest.mark.slow)


@pytest.mark.parametrize("page", ["optuna", "sklearn", "ray", "hyperopt", SLOW])
def test_examples_give_the_output_shown(page):
    done = doctest.testfile(str(DOCS / f"{page}.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 4
    assert done.failed == 0


def blocks(page):
    """Code that the page shows without running it."""
    found = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    return [each for each in found if not each.startswith(">>>")]


def prompts(page):
    """All code that the page runs."""
    parser = doctest.DocTestParser()
    return "".join(example.source for example in parser.get_examples((DOCS / f"{page}.md").read_text()))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize("page", ["pytorch", "ray"])
def test_the_same_through_ray(page, tmp_path):
    ray = pytest.importorskip("ray")
    (code,) = [each for each in blocks(page) if "tune.Tuner" in each]
    code = re.sub(r"num_samples=\d+", "num_samples=3", code)
    code = code.replace(
        "trainable,\n", f"trainable, run_config=tune.RunConfig(storage_path={str(tmp_path)!r}, verbose=0),\n"
    )
    names: dict = {}
    if page == "pytorch":
        exec(prompts(page).partition("import optuna")[0], names)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        exec(code, names)
        assert not names["results"].errors
        assert len(names["results"]) == 3
    finally:
        ray.shutdown()
