# Needs Python 3.11 or 3.12 and make; Java, Redis and all packages are fetched by `make setup`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
export PYTHON

.PHONY: help setup demo bench test check lint format types imports unit archive lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

setup: ## Make .venv and find Java, Spark, Delta and Redis (does nothing the second time)
	@scripts/bootstrap.sh

demo: archive ## Run the flights example from raw files to lookups
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m definitions.flights.demo

bench: setup ## Measure against Feast and bare Redis (SIZE=small|full, ROWS="lookups memory")
	@$(BIN)/python -m benchmarks --size $(or $(SIZE),small) $(if $(ROWS),--rows $(ROWS))

test: archive check ## Check style, types and imports, then run all tests (WORKERS=2: as many processes)
	@scripts/ensure_postgres.sh
	@scripts/ensure_redis7.sh
	@$(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile --max-worker-restart=0 $(PYTEST_OPTIONS)

unit: setup ## Run the tests that need neither Spark, Airflow nor PostgreSQL
	@$(BIN)/python -m pytest -m "not spark and not airflow and not postgres" tests/unit tests/architecture

check: lint types imports ## Check style, types and imports

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports --no-logo

format: setup ## Put the code into the house format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

archive: setup ## Set up, and make local Spark jobs start some 8 s faster (takes a minute and 200 MB, once)
	@$(BIN)/python -m featurestore.embedded.setup --archive

lock: ## Write requirements.lock anew from pyproject.toml (UPGRADE=1: take newer versions)
	@scripts/lock.sh $(UPGRADE)

clean: ## Remove the environment, caches and build products
	rm -rf .venv .build build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
