# Every target works from a bare checkout: what is missing is installed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
# Hundreds of short processes: their modules are compiled once, whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE
# JupyterLab refuses to run as root unless it is told.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup report test test-setup test-slow test-compose test-compose-lab test-compose-users chaos lint format floor bench bench-setup test-bench env up down lab \
	compose-engine mutation clean

help:
	@echo "make report     run the throughput experiment and write its report"
	@echo "make test       all tests this machine can run, on real services"
	@echo "make up | down  a platform to play with: start it, stop it; in containers if there are any"
	@echo "make env        the passwords of the compose stack, in .env"
	@echo "make lab        JupyterLab on the notebooks, with a platform up"
	@echo "make lint       ruff and mypy"
	@echo "make test-slow  the long tests"
	@echo "make test-compose    the tests of the compose stack, on a container engine"
	@echo "make compose-engine  a container engine and images without a registry, on Debian"
	@echo "make test-bench the tests of the bench, beside the peer it compares with"
	@echo "make chaos N=20 random faults under load, every task judged; run again to go on"
	@echo "make mutation   runs corrupted on purpose: does the verdict notice each of them?"
	@echo "make floor      what bare loops reach on the same servers"
	@echo "make bench      the platform's speed against its targets, in some 8 minutes"

setup: $(READY)
	@bash experiments/install_servers.sh

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "the venv module is missing: on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[lab,dev]'
	@touch $@

test-bench: bench-setup
	$(BIN)/pytest tests/integration/test_bench_*.py tests/e2e/test_bench.py $(ARGS)

bench: bench-setup
	$(BIN)/task-lab bench $(ARGS)

# What only the bench needs: the peer that it compares with, and the client that sends single POSTs.
bench-setup: setup $(BENCH_READY)
	@bash experiments/install_wrk.sh

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[lab,dev,bench]'
	@touch $@

report: setup
	$(BIN)/task-lab run throughput $(ARGS)

# What only the tests need: a browser, which looks at the pages.
test-setup: setup
	@bash experiments/install_chromium.sh

# In the order of the folders: the long files, which have few tests, come first, so that none is left
# to run alone at the end.
test: test-setup
	$(BIN)/pytest -m "not slow and not compose" --numprocesses 3 --dist loadfile \
		--no-loadscope-reorder $(ARGS)

test-slow: setup
	$(BIN)/pytest -m slow $(ARGS)

# The lab's stack and the users' stack have a project each: their tests run side by side.
test-compose: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-compose-lab test-compose-users

test-compose-lab: $(READY)
	$(BIN)/pytest -m compose tests/compose/cases tests/contract/test_runtime_contract.py $(ARGS)

test-compose-users: $(READY)
	$(BIN)/pytest -m compose --ignore tests/compose/cases tests/compose $(ARGS)

chaos: setup
	$(BIN)/task-lab chaos --schedules $(or $(N),20) --seed $(or $(SEED),1) $(ARGS)

mutation: setup
	$(BIN)/task-lab mutation $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

floor: setup
	$(BIN)/task-lab floor $(ARGS)

env:
	@bash platform/docker/env.sh

compose-engine:
	@bash platform/docker/debian/engine.sh

up: setup
	$(BIN)/task-lab up $(ARGS)

down: $(READY)
	$(BIN)/task-lab down

# Only a stack that was started here is taken down here. The shell waits for JupyterLab on Ctrl-C.
lab: setup
	@trap : INT; \
	if [ "$$($(BIN)/task-lab status --json)" = null ]; then \
		$(BIN)/task-lab up $(ARGS) || exit; \
		trap '$(BIN)/task-lab down' EXIT; \
	else \
		$(BIN)/task-lab status; \
	fi; \
	$(BIN)/jupyter lab $(ALLOW_ROOT) --notebook-dir notebooks notebooks/00_start_here.ipynb

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
