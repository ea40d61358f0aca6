# One target for each thing a person does. Everything runs in .venv, which is made when it is first needed.

PYTHON ?= python3
PYTHONS ?= 3.11 3.12 3.13
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip knows dependency groups from 25.1 on, which is newer than some Pythons bring along.
%/installed: pyproject.toml
	test -x $*/bin/python || $(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$*/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

.PHONY: run
run: $(VENV)/installed ## run the exporter on the default configuration: every process, grouped by comm
	$(BIN)/vmem-exporter $(ARGS)

.PHONY: test
test: $(VENV)/installed ## run the tests, with coverage; what can't run here is listed with its reason
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

.PHONY: coverage
coverage: ## hold what the whole of `make test` covered, as root, to its bounds
	$(BIN)/coverage report --format=total --fail-under=95
	$(BIN)/coverage report --format=total --fail-under=100 --precision=2 --include='exporter/kernel/*,exporter/watch/*'

.PHONY: test-all
test-all: $(PYTHONS:%=.venv-%/installed) ## run the tests on every supported Python
	for version in $(PYTHONS); do .venv-$$version/bin/python -m pytest -q $(ARGS) || exit 1; done

# The interpreter of a version is on the PATH, or where pyenv has it.
.venv-%/installed: VERSION = $(*:.venv-%=%)
.venv-%/installed: PYTHON = $(firstword \
	$(shell python$(VERSION) -c 'import sys; print(sys.executable)' 2>/dev/null) \
	$(wildcard $(HOME)/.pyenv/versions/$(VERSION).*/bin/python) \
	python$(VERSION))

.PHONY: kernel-test
kernel-test: $(VENV)/installed ## cgroups on another kernel, under emulation, and on this one
	$(BIN)/python -m pytest -v tests/kernel $(ARGS)

.PHONY: check
check: $(VENV)/installed ## lint, types, and whether generated files are up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/metrics_doc.py --check
	$(BIN)/python tools/alerts_doc.py --check
	$(BIN)/python tools/manual.py --check
	$(BIN)/python grafana/dashboards.py --check
	$(BIN)/python helm/readme.py --check
	$(BIN)/python tools/audit.py

.PHONY: docs
docs: $(VENV)/installed ## write the generated documents and dashboards again
	$(BIN)/python tools/metrics_doc.py
	$(BIN)/python tools/alerts_doc.py
	$(BIN)/python tools/manual.py
	$(BIN)/python grafana/dashboards.py
	$(BIN)/python helm/readme.py

.PHONY: fixtures
fixtures: $(VENV)/installed ## capture the kernels' files again, as root
	PYTHONPATH=tests $(BIN)/python -m kernel.specimen tests/fixtures/6.18-hybrid
	$(BIN)/python tests/kernel/machine.py capture tests/fixtures/6.1-v2

.PHONY: golden
golden: $(VENV)/installed ## write the golden pages again, to be looked at before they are committed
	VMEM_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/golden

.PHONY: bench
bench: $(VENV)/installed ## measure against peers and against the same reads in C; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/installed ## take the pictures of the pages in docs/pictures again, as root, in Chromium
	$(BIN)/python -m pip install --quiet --group pictures
	PYTHONPATH=tests $(BIN)/python tools/screenshots.py $(ARGS)

.PHONY: pictures
pictures: $(VENV)/installed ## play a shop in trouble and draw the dashboards in docs/pictures from it, as root: three minutes
	$(BIN)/python -m pip install --quiet --group pictures
	rm -rf build/pictures
	PYTHONPATH=tests $(BIN)/python tools/pictures.py play build/pictures
	PYTHONPATH=tests $(BIN)/python tools/pictures.py draw build/pictures

.PHONY: profile
profile: $(VENV)/installed ## where the CPU of one scrape of 1,000 processes goes, by a sampler from outside
	$(BIN)/python -m pip install --quiet --group profile
	$(BIN)/python benchmarks/run.py --profile $(ARGS)

.PHONY: lock
lock: $(VENV)/installed ## lock what the exporter depends on, with hashes; ARGS=--upgrade for newer versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml $(ARGS)

.PHONY: sbom
sbom: build/locked/installed ## list what an image holds beside the interpreter: build/sbom.cdx.json, in CycloneDX
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json \
		build/locked

build/locked/installed: requirements.lock pyproject.toml $(VENV)/installed
	rm -rf build/locked
	$(PYTHON) -m venv --without-pip build/locked
	$(BIN)/python -m pip --python build/locked/bin/python install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip --python build/locked/bin/python install --quiet --no-deps .
	touch $@

.PHONY: fuzz
fuzz: MINUTES ?= 10
fuzz: $(VENV)/installed ## fuzz the parsers and the configuration, MINUTES=10 each
	$(BIN)/python -m pip install --quiet --group fuzz
	for group in process host configuration web; do nice $(BIN)/python tests/fuzz/run.py $$group $(MINUTES) || exit 1; done

.PHONY: faults
faults: $(VENV)/installed ## the tests of faults in full, of the kernel and of the machine: every byte, every repetition
	VMEM_TESTS_FULL=1 $(BIN)/python -m pytest -v tests/faults tests/machine $(ARGS)

.PHONY: hostile
hostile: SECONDS ?= 60
hostile: $(VENV)/installed ## hostile web clients all at once for SECONDS=60, and a scrape over TLS beside them
	PYTHONPATH=tests $(BIN)/python -m web.hostile $(SECONDS)

.PHONY: soak
soak: MINUTES ?= 60
soak: $(VENV)/installed ## two Prometheus, churn, reloads and a faulty client for MINUTES=60, as root
	PYTHONPATH=tests $(BIN)/python -m soak.run $(MINUTES)
