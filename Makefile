# `make run` and `make test` need only Python 3.11, make and a C compiler.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Packages with full branch coverage; other packages are tested in child processes, which coverage does not measure.
FULL_COVERAGE := gateway/client/*,gateway/domain/*,gateway/backends/*,gateway/transport/*,gateway/provisioning/*,gateway/api/*,gateway/settings/*,gateway/journals/*,gateway/identity/*,gateway/resilience/*,gateway/json_codec.py
# Debian packages with the programs without which some tests are skipped.
OUTSIDE_TOOLS := chromium curl docker-compose nginx-light pgbouncer prometheus wrk
LOCK := deploy/requirements-dev.txt

.DEFAULT_GOAL := help
# Empty: processes keep the compiled files for each other, though the environment may say otherwise.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help install run test lint typecheck imports tests test-all simulation bench chaos client mesh soak latest format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/.installed ## create .venv from the lock, the project itself included

# The lock contains the hash of every package; the project itself is installed without access to a package index.
$(VENV)/.installed: $(LOCK) setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q gateway
	@touch $@

run: install ## start both twins and the gateway on 127.0.0.1:8000
	$(BIN)/module-gateway sandbox

test: install lint typecheck imports tests ## run the linters, the type checker and all tests; prints what was skipped, and why

test-all: install ## install the outside tools that some tests need (Debian, as root), then do the same
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(OUTSIDE_TOOLS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements-outside.txt
	$(MAKE) --no-print-directory test

lint: install ## run ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: install ## run mypy
	$(BIN)/mypy

imports: install ## check the import rules between the packages
	$(BIN)/lint-imports

# More workers than cores, because some tests wait for processes. Coverage would disturb the counts of calls.
tests: install ## run all tests, with branch coverage of the code that unit tests reach
	$(BIN)/pytest --numprocesses=3 --dist=worksteal --cov --cov-report= --ignore=tests/performance
	$(BIN)/coverage report --skip-covered --include='$(FULL_COVERAGE)' --fail-under=100
	$(BIN)/pytest --numprocesses=2 tests/performance

simulation: install ## run ten thousand simulated histories, and a thousand generated examples; `make test` runs 600 and 50
	SIMULATION_HISTORIES=10000 $(BIN)/pytest --numprocesses=2 tests/model_check
	GENERATED_EXAMPLES=1000 $(BIN)/pytest --numprocesses=2 --timeout=1200 -m hypothesis tests/unit

mesh: install ## run the long version of the tests with a real Envoy
	MESH_LONG=1 $(BIN)/pytest tests/integration/envoy

soak: install ## run twenty minutes at half load with faults; memory, descriptors and operations must not leak
	SOAK_MINUTES=20 $(BIN)/pytest -s tests/integration/soak

bench: .venv-bench/.installed ## measure the cost of a request beside the alternatives (needs nginx and wrk); fails if a target is missed
	.venv-bench/bin/python -m compileall -q gateway # as pip does for installed packages; it affects the start time
	.venv-bench/bin/python -m tests.performance

.venv-bench/.installed: deploy/requirements-bench.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements-bench.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

chaos: install ## kill workers at every step, with real processes, twins and databases
	CHAOS_ALL=1 $(BIN)/pytest --numprocesses=4 -v tests/integration/chaos/test_kill_points.py
	$(BIN)/python -m tests.integration.chaos.updates

client: install ## create ten thousand modules by `module-gateway batch`, with faults and two interruptions
	CLIENT_ROWS=10000 CLIENT_TIMEOUT=3000 $(BIN)/pytest tests/integration/client/test_batch_command.py -k every_row

# Without a lock: each run upgrades.
latest: ## run the tests against the newest releases that setup.cfg allows
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[dev,redis,tracing]'
	.venv-latest/bin/pytest --numprocesses=2 tests/unit tests/contract tests/architecture

format: install ## apply ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## compile the dependency locks (needs uv)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --extra dev --extra redis --extra tracing setup.cfg -o $(LOCK)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra redis setup.cfg -o deploy/requirements.txt
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra redis --extra tracing setup.cfg -o deploy/requirements-tracing.txt
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra dev --extra redis --extra tracing --extra bench setup.cfg -o deploy/requirements-bench.txt

clean: ## remove generated files
	rm -rf $(VENV) .venv-bench .venv-latest var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
