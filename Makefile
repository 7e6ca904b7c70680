# Everything a newcomer needs: `make demo` to look, `make test` to check. Needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo serve test check lint types layers bench schema docs lock clean

help: ## Say what each target does.
	@grep -hE '^[a-z]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: $(STAMP) ## Install, load 90 days of a realistic company, serve, and say where to click.
	$(BIN)/apportion demo

serve: $(STAMP) ## Install, migrate and serve with everything embedded.
	$(BIN)/apportion serve

test: $(STAMP) lint types layers ## Install, lint, types, layers, all tests on real engines.
	$(BIN)/python -m pytest -n 2

check: $(STAMP) lint types layers ## The quick part: lint, types, layers and the tests that need no server.
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP) ## Measure the hot paths against their physical limits.
	$(BIN)/python -m bench

schema: $(STAMP) ## Write api/schema.graphql from the code.
	$(BIN)/apportion schema > api/schema.graphql

docs: $(STAMP) ## Write the generated tables of docs/ from the code.
	$(BIN)/python -m api.reference

lock: ## Pin every dependency with hashes. Needs uv.
	uv pip compile pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## Remove what can be made again, demo data included.
	rm -rf $(VENV) .apportion .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
