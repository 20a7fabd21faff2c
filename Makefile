# Every target makes the environment it needs; VENV=dir uses another one, PYTHON=python3.12 another interpreter.
PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= auto
PY      := $(VENV)/bin/python
STAMP   := $(VENV)/.speechaug-installed
BENCH_STAMP := $(VENV)/.speechaug-bench-installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all bench docs lint

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "speechaug needs Python 3.10 or newer: PYTHON=...")'
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Making the environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing speechaug and what it needs into $(VENV) (the first time this takes minutes: torch is large)"
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## train a small recognizer without and with augmentation, write report.html
	$(VENV)/bin/speechaug demo

test: $(STAMP)  ## the fast tests
	$(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal -m "not slow and not gpu"

test-all: $(STAMP)  ## every test; those for a GPU are skipped without one
	$(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

$(BENCH_STAMP): $(STAMP)
	@echo "Installing the libraries to measure beside"
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

bench: $(BENCH_STAMP)  ## measure speed beside other libraries
	$(PY) -m benchmarks

docs: $(STAMP)  ## build the documentation with its pictures and sounds into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "Open site/index.html"

lint: $(STAMP)  ## style and types
	$(PY) -m ruff check .
	$(PY) -m mypy
