# `make train` and `make test` need nothing but Python 3.11 to 3.13: they make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup train test lint types format bench

setup: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

train: setup
	$(BIN)/python train.py experiment=phantom_cpu

# A process a core, each file of tests in one of them; threads of torch would only wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# On a machine with nothing else to do; writes docs/benchmarks.md.
bench: setup
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks
