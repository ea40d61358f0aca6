# One target for each thing a person does. Everything runs in .venv, which is made when it is first needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip knows dependency groups from 25.1 on, which is newer than some Pythons bring along.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

.PHONY: run
run: $(VENV)/installed ## run the exporter on the default configuration: every process, grouped by comm
	$(BIN)/vmem-exporter $(ARGS)

.PHONY: test
test: $(VENV)/installed ## run the tests, with coverage; what can't run here is listed with its reason
	$(PYTEST) --cov --cov-report=term $(ARGS)
