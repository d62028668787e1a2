"""Options and fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():  # kernels are interpreted; Triton has to know before it is first imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a script starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu", action="store_true", help="fail, rather than skip, tests marked gpu where CUDA is missing"
    )
    parser.addoption(
        "--require-postgres", action="store_true", help="fail, rather than skip, tests that need a PostgreSQL server"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    if item.config.getoption("--require-gpu"):
        pytest.fail("CUDA is not available, and --require-gpu was given", pytrace=False)
    pytest.skip("needs a CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Ctrl-C keeps its meaning: Ray, for one, leaves its own handler behind."""
    before = signal.getsignal(signal.SIGINT)
    try:
        return (yield)
    finally:
        signal.signal(signal.SIGINT, before)
