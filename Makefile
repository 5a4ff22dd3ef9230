# make demo | test | test-matrix | lint | bench | clean
# Each makes .venv as needed (with uv where there is one, else venv and pip) and writes nothing outside this folder.
# Another interpreter: make test PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)

# Downloads, fonts and interpreters stay in the clone too, unless the environment says where they belong.
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
export UV_PYTHON_INSTALL_DIR ?= $(CURDIR)/.cache/python
unexport VIRTUAL_ENV
# nltk, which LlamaIndex loads, refuses files that are hard links into a cache.
export UV_LINK_MODE ?= copy

.PHONY: demo test test-matrix lint bench clean
.DEFAULT_GOAL := test

demo: $(VENV)/.installed-demo
	$(BIN)/emafusion demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# Oldest and newest versions of the frameworks, each in an environment of its own; CELLS="a b" runs only those.
test-matrix: | $(BIN)/python
	$(BIN)/python tests/matrix.py $(CELLS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python tests/benchmarks/bench_overhead.py

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks dist build demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
ifeq ($(UV),uv)
	uv venv --quiet --allow-existing $(if $(PYTHON),--python $(PYTHON)) $(VENV)
else
	$(or $(PYTHON),python3) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
endif

# The stamps make a second run fast; a changed pyproject.toml installs anew.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	$(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet) --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet) --editable '.[demo]' --group dev
	@touch $@ $(VENV)/.installed-demo
