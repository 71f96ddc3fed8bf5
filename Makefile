# `make train` and `make test` need nothing but Python 3.11 to 3.13: they make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup train test lint types format

setup: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

train: setup
	$(BIN)/python train.py experiment=phantom_cpu

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
