# make train: set up and train the quick start.   make test: set up and run every check.
# make web: build the page of `cyclegan-jax web`; it needs Node and npm.
# make faults: break runs in every way that docs/reliability.md names, for hours.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test web faults format

train: .venv/installed
	$(BIN)/python scripts/train.py --config=configs/quickstart.py --workdir=runs/quickstart
	@echo "open runs/quickstart/report.html"

test: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto --dist=worksteal

web:
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	npm run --prefix web --silent build

faults: .venv/installed-dev
	$(BIN)/pytest -n auto --dist=worksteal --full \
	  tests/faults tests/checkpoints tests/training/train_test.py tests/system/workdir_test.py

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/installed
