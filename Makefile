# Everything runs in .venv, made from the first Python that is 3.11 or newer. PYTHON=... names another one.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint format docs bench clean

help:
	@echo "make demo    compile the example, run its test images in the interpreter, compare with the float model"
	@echo "make test    the test suite"
	@echo "make lint    ruff and basedpyright"
	@echo "make format  let ruff format the code"
	@echo "make docs    generate the reference pages and build the documentation in site/"
	@echo "make bench   the benchmarks"

demo: $(VENV)/.kpuir
	$(BIN)/python examples/digits/demo.py

test: $(VENV)/.kpuir-dev
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.kpuir-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

format: $(VENV)/.kpuir-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.kpuir-docs
	$(BIN)/python tools/generate_docs.py
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.kpuir-dev
	for benchmark in benchmarks/bench_*.py; do PYTHONPATH=. $(BIN)/python $$benchmark || exit 1; done

clean:
	rm -rf $(VENV) site build

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "kpuir needs Python 3.11 or newer"; exit 1; }
	$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.kpuir: $(BIN)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.kpuir-dev: $(BIN)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	$(BIN)/python -m compileall -q src
	touch $@ $(VENV)/.kpuir

$(VENV)/.kpuir-docs: $(BIN)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@ $(VENV)/.kpuir
