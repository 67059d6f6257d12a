# The two commands of the README are `make demo` and `make test`; each does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
CORE := .venv-core

.PHONY: demo test check bench clean

demo: .venv/installed
	$(BIN)/calotype demo

test: .venv/installed $(CORE)/installed
	$(BIN)/python -m pytest -m ""

# What continuous integration runs before the tests.
check: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/installed
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/score.py
	$(BIN)/python benchmarks/train.py --short
	$(BIN)/python benchmarks/quality.py elpv --seeds 1
	$(BIN)/python benchmarks/serve.py --short
	$(BIN)/python benchmarks/front_door.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Calotype without torch: the tests prove that it scores there.
$(CORE)/installed: pyproject.toml
	$(PYTHON) -m venv $(CORE)
	$(CORE)/bin/python -m pip install --quiet --editable .
	touch $@

clean:
	rm -rf .venv $(CORE) calotype-demo
