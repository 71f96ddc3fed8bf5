# `make train` and `make test` need nothing but Python 3.11 to 3.13: they make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup train test test-lowest lint types docs format tour bench accuracy

setup: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

train: setup
	$(BIN)/python train.py experiment=phantom_cpu budget_minutes=6

# A process a core, each file of tests in one of them; threads of torch would only wait for each other. They run
# in the order of their names, tests/app first: its files take longest, and xdist would leave them for the end, as they hold the
# fewest tests.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# The lowest versions that pyproject.toml promises, in an environment of their own; tests that take long are left out.
test-lowest: .venv-lowest/installed
	LTS_LOWEST_VERSIONS=1 OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -m "not slow" \
		--numprocesses auto --dist loadfile

.venv-lowest/installed: pyproject.toml
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable ".[dev]"
	touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

# The pages, the tour and a reference from docstrings as a site, build/site/index.html; any warning is an error.
docs: setup
	rm -rf build/site docs/reference
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs/site . build/site

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Runs docs/tour.ipynb and keeps in it what its cells print and show.
tour: setup
	$(BIN)/python tests/kits/notebook_kit.py docs/tour.ipynb

# On a machine with nothing else to do; writes docs/benchmarks.md. nnU-Net is measured if the extra `nnunet` is installed.
bench: setup
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks

# 36 trainings of 8 or 12 minutes on one core: lts, MONAI, segmentation_models.pytorch, nnU-Net (if the extra `nnunet` is
# installed). Results in data/accuracy are not run again. Writes docs/accuracy.md. AT_ONCE=2 runs two at a time.
AT_ONCE ?= 1
accuracy: setup
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.accuracy --page --keep benchmarks/results/accuracy.jsonl --at-once $(AT_ONCE)
