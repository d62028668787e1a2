# Aliases of bare tools. The first call sets up .venv with the pinned versions of constraints.txt; PYTHON picks the interpreter.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
OLDER := .venv/older

.PHONY: demo test integration slow lint bench

demo: $(READY)
	$(BIN)/python -m benchmarks.demo

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not integration"

integration: $(READY) $(OLDER)  # against other packages, real servers and a browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "integration and not slow"
	PYTHONPATH=$(CURDIR)/$(OLDER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integrations/test_optuna.py tests/integrations/test_optuna_suite.py

slow: $(READY)  # everything that takes long, browser and soak included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks.optimization.run
	$(BIN)/python -m benchmarks.optimization.report

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("gpbo needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(OLDER): $(READY)  # the older major version that adapters are tested with; shadows the one in .venv
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(OLDER) optuna==4.9.0
	@touch $@
