# Everything a newcomer needs: `make demo` to look, `make test` to check. Needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

.PHONY: help demo serve test check lint types layers bench schema docs lock clean

help: ## Say what each target does.
	@grep -hE '^[a-z]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(RUN): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	touch $(RUN)

$(DEV): $(RUN) requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	touch $(DEV)

demo: $(RUN) ## Install, load 90 days of a realistic company, serve, and say where to click.
	$(BIN)/apportion demo

serve: $(RUN) ## Install, migrate and serve with everything embedded.
	$(BIN)/apportion serve

test: $(DEV) lint types layers ## Install, lint, types, layers, all tests on real engines.
	$(BIN)/python -m pytest -n 2

check: $(DEV) lint types layers ## The quick part: lint, types, layers and the tests that need no server.
	$(BIN)/python -m pytest -n 2 -m "not slow and not server"

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

layers: $(DEV)
	$(BIN)/lint-imports

bench: $(DEV) ## Measure the hot paths against their physical limits.
	$(BIN)/python -m bench

schema: $(RUN) ## Write api/schema.graphql from the code.
	$(BIN)/apportion schema > $(VENV)/schema.graphql
	mv $(VENV)/schema.graphql api/schema.graphql

docs: $(RUN) ## Write the generated tables of docs/ from the code.
	$(BIN)/python -m api.reference

LOCK := uv pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --quiet

lock: ## Pin every dependency with hashes. Needs uv.
	$(LOCK) --extra build --extra grpc --output-file requirements.lock
	$(LOCK) --extra build --extra grpc --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## Remove what can be made again, demo data included.
	rm -rf $(VENV) .apportion .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
