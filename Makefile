# A fresh clone needs Python 3.11 or later and nothing else: `make test` and `make demo` set up what they use.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-slow test-lowest test-newest fuzz lint types

help:  ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

setup: $(READY)  ## Make the virtual environment .venv with all three frameworks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(READY)

demo: $(READY)  ## Run the main job from end to end; the last line names the page
	$(BIN)/danet demo

test: $(READY)  ## Run every test but the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(READY)  ## Run the slow tests
	$(BIN)/python -m pytest -m "slow and not serial" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "slow and serial"

test-lowest:  ## Run `make test` with the lowest versions that pyproject.toml allows, in .venv-lowest
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/pip install --quiet -c constraints-lowest.txt -e ".[dev]"
	.venv-lowest/bin/python -m pytest -m "not slow" -n 2 --dist loadfile

test-newest:  ## Run `make test` with the newest versions, in .venv-newest
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/pip install --quiet -e ".[dev]"
	.venv-newest/bin/python -m pytest -m "not slow" -n 2 --dist loadfile

fuzz: $(READY)  ## Read 120,000 mutated files of every format (ten minutes on two cores; FUZZ="--count N --first N")
	$(BIN)/python -m shared_tests.fuzzing.fuzz $(FUZZ)

lint: $(READY)  ## Hold the code to ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Hold the code to its types
	$(BIN)/mypy
	MYPYPATH=benchmarks $(BIN)/mypy benchmarks/*.py
