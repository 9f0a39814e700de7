# The front door: `make run` and `make test` need nothing but Python 3.11, make and a C compiler.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Where every branch has a test; the rest is held by processes, which coverage does not see.
FULL_COVERAGE := gateway/domain/*,gateway/backends/*,gateway/transport/*,gateway/provisioning/*,gateway/api/*,gateway/settings/*,gateway/journals/*,gateway/identity/*,gateway/resilience/*,gateway/json_codec.py
INTEGRATION_TESTS := tests/model_check tests/twins tests/conformance tests/integration tests/architecture tests/performance
LOCK := deploy/requirements-dev.txt

.DEFAULT_GOAL := help
.PHONY: help install run test lint typecheck imports test-unit test-integration bench chaos mesh soak format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(VENV)/.installed ## create .venv from the lock, the project itself included

# The lock carries the hash of every package; the project itself is installed without asking an index again.
$(VENV)/.installed: $(LOCK) setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q gateway
	@touch $@

run: install ## start both twins and the gateway on 127.0.0.1:8000
	$(BIN)/module-gateway sandbox

# Two at a time: what waits for processes and what computes get along on two cores.
test: install ## everything that needs no outside service
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint typecheck imports test-integration test-unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

test-unit: install
	$(BIN)/pytest --numprocesses=2 $(addprefix --ignore=,$(INTEGRATION_TESTS)) --cov --cov-report=
	$(BIN)/coverage report --skip-covered --include='$(FULL_COVERAGE)' --fail-under=100

# What coverage would only slow down: histories by the thousand (a failure names its SIMULATION_SEED), other processes,
# the twins. More workers than cores, for some of it is waiting.
test-integration: install
	$(BIN)/pytest --numprocesses=3 --dist=worksteal $(INTEGRATION_TESTS)

mesh: install ## the long form of what is tried with a real Envoy
	MESH_LONG=1 $(BIN)/pytest tests/integration/envoy

soak: install ## twenty minutes at half load with faults; memory, descriptors and operations must not leak
	$(BIN)/python -m tests.integration.soak --minutes 20

bench: .venv-bench/.installed ## what a request costs, beside what others cost (needs nginx and wrk); fails where a target is missed
	.venv-bench/bin/python -m compileall -q gateway # as pip does with what it installs: it counts in the start
	.venv-bench/bin/python -m tests.performance

.venv-bench/.installed: deploy/requirements-bench.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements-bench.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

chaos: install ## the whole matrix of kills, with real processes, twins and databases; a table of figures
	$(BIN)/python -m tests.integration.chaos

format: install ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## compile the locks anew (needs uv)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --extra dev --extra redis --extra tracing setup.cfg -o $(LOCK)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra redis setup.cfg -o deploy/requirements.txt
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra redis --extra tracing setup.cfg -o deploy/requirements-tracing.txt
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -c $(LOCK) --extra dev --extra redis --extra tracing --extra bench setup.cfg -o deploy/requirements-bench.txt

clean: ## remove what was made here
	rm -rf $(VENV) .venv-bench var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
