# `make` alone lists the targets. Everything is installed into .venv, beside this file.

.DEFAULT_GOAL := help
.PHONY: help install demo servers test test-fast soak lint bench bench-placement

BASE_PYTHON ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet

PYTEST_ARGS ?=
# Most tests wait for processes and servers, so more of them than cores run side by side.
WORKERS ?= 4
SOAK_ARGS ?=
BENCH_ARGS ?=
FAST := $(wildcard tests/unit tests/property tests/contract)
BENCH := $(filter-out bench/_%,$(sort $(wildcard bench/*.py)))

# The stamps say what was installed, and are older than what they were installed from when
# that has changed since.
MADE := $(VENV)/.stamp-made
CORE := $(VENV)/.stamp-cli
FULL := $(VENV)/.stamp-all
PEERS := $(VENV)/.stamp-bench
SOURCES := pyproject.toml constraints.txt $(wildcard native/*)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

install: $(FULL) ## make .venv with every extra, the test tools and the linters

demo: $(CORE) ## run the sharded bank, with its contrast runs; needs Python alone
	$(VENV)/bin/concordant demo bank --contrast --contrast-transfers 600

servers: ## install the servers that the tests start (as root), or name what is missing
	@tools/install_servers.sh

test: servers $(FULL) ## run every test, each crash point once
	@$(PYTHON) -m pytest -n $(WORKERS) $(PYTEST_ARGS)

test-fast: $(FULL) ## run what needs no server: unit, property and contract tests
	@$(PYTHON) -m pytest -n $(WORKERS) $(FAST) -m "not server and not slow" $(PYTEST_ARGS)

soak: servers $(FULL) ## run the whole product of crash points, resumable (SOAK_ARGS)
	@$(PYTHON) tools/soak.py $(SOAK_ARGS)

lint: $(FULL) ## check style, types, generated files and the rules of the house
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --strict src tools tests/provision
	$(PYTHON) tools/unasync.py --check
	$(PYTHON) tools/tidy.py

bench: servers $(PEERS) ## run every benchmark, each against its peers (BENCH=, BENCH_ARGS=)
	@for file in $(BENCH); do echo "== $$file"; $(PYTHON) $$file $(BENCH_ARGS) || exit 1; done

bench-placement: $(PEERS) ## compare placement with its peers: balance, moves, cost (BENCH_ARGS)
	@$(PYTHON) bench/placement_tables.py $(BENCH_ARGS)

$(MADE):
	@command -v $(BASE_PYTHON) >/dev/null || { \
	    echo "No $(BASE_PYTHON) here: install Python 3.11 or newer, or name another one:" >&2; \
	    echo "make BASE_PYTHON=python3.12 ..." >&2; exit 1; }
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "concordant needs Python 3.11 or newer; $(BASE_PYTHON) is $$($(BASE_PYTHON) -V 2>&1)." >&2; \
	    echo "Name another one: make BASE_PYTHON=python3.12 ..." >&2; exit 1; }
	@$(BASE_PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(BASE_PYTHON) lacks the module venv: install the Debian package python3-venv." >&2; exit 1; }
	@$(BASE_PYTHON) -m venv $(VENV)
	@touch $@

$(CORE): $(SOURCES) | $(MADE)
	@echo "Installing concordant[cli] into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[cli]'
	@touch $@

$(FULL): $(SOURCES) | $(MADE)
	@echo "Installing concordant[all,test,lint] into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[all,test,lint]'
	@touch $(CORE) $@

$(PEERS): bench/requirements.txt $(FULL)
	@echo "Installing what the benchmarks compare with into $(VENV)"
	@$(PIP) install -c constraints.txt -r bench/requirements.txt
	@touch $@
