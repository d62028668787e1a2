"""Optuna's own tests of samplers; with another version of Optuna, run this file in an environment that has it."""

from __future__ import annotations

import logging

import optuna
import pytest
from optuna.testing import pytest_samplers

from gpbo.integrations.optuna import GPBOSampler


class Suite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.SingleOnlySamplerTestCase,
):
    @pytest.fixture(autouse=True)
    def quiet(self):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("gpbo").setLevel(logging.ERROR)
        yield
        logging.getLogger("gpbo").setLevel(logging.NOTSET)


class TestDefaults(Suite):
    @pytest.fixture
    def sampler(self):
        return lambda: GPBOSampler(seed=0)


class TestModelAtOnce(Suite):
    @pytest.fixture
    def sampler(self):
        return lambda: GPBOSampler(seed=0, n_startup_trials=0)
