"""The documents tell the truth: examples run, links and named files exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path for folder in ("", "benchmarks/", "kernels/", "docs/") for path in ROOT.glob(f"{folder}*.md"))
each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def test_readme_examples_give_the_output_shown():
    done = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 10
    assert done.failed == 0


def test_readme_gives_the_two_commands():
    text = (ROOT / "README.md").read_text()
    targets = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in text
        assert re.search(rf"^{target}:", targets, re.MULTILINE)


@each
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = document.parent / target if target else document
        assert path.exists(), link
        if anchor:
            assert anchor in _anchors(path.read_text()), link


@each
def test_files_named_in_code_quotes_exist(document):
    folders = ("gpbo/", "kernels/", "tests/", "benchmarks/")
    for name in re.findall(r"`([\w./-]+)`", document.read_text()):
        if name.startswith(folders):
            assert (ROOT / name).exists(), name


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
