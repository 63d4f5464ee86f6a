# Everything a developer or a curious stranger runs. Needs Python 3.11 or newer and make; the rest is installed into .venv.

bin := .venv/bin
ready := .venv/ready
# Test processes: many tests wait, so three suit two cores.
workers ?= 3

.PHONY: help demo up check test format format-check lint types imports lock lock-check docs reference soak bench clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(ready): requirements.lock pyproject.toml scripts/environment
	@scripts/environment

demo: $(ready)  ## See three customer texts answered: no account, no key, nothing left running
	@$(bin)/hookflash demo

up: $(ready)  ## The same, staying up; chat with it by `.venv/bin/hookflash text`
	@$(bin)/hookflash up

test: $(ready)  ## Run all tests
	@$(bin)/python -m pytest -n $(workers) --dist loadfile

check: $(ready) format-check lint types imports lock-check docs test  ## Everything that must hold before a change is proposed

format: $(ready)  ## Rewrite the code in the house's format
	@$(bin)/ruff check --fix --select I --quiet .
	@$(bin)/ruff format .

format-check: $(ready)
	@$(bin)/ruff format --check .

lint: $(ready)  ## Look for mistakes
	@$(bin)/ruff check .

types: $(ready)  ## Check the types
	@$(bin)/mypy

imports: $(ready)  ## Check that no room imports a higher one
	@$(bin)/lint-imports

lock: $(ready)  ## Write requirements.lock anew from pyproject.toml, keeping the versions that still fit
	@scripts/lock

lock-check: $(ready)  ## Check that requirements.lock is what pyproject.toml says
	@scripts/lock --check

docs: $(ready)  ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --strict --quiet
	@! grep -rnoE --include='*.html' '<(script|img|iframe)[^>]+src="(https?:)?//[^"]*|<link[^>]+href="(https?:)?//[^"]*' site
	@echo "documentation built: site/index.html"

reference: $(ready)  ## Write the generated pages of docs/ anew from the code
	@$(bin)/python scripts/reference.py

soak: $(ready)  ## 10,000 messages, 100 kills, three seeds: nothing lost, doubled or out of order; then 100 calls, 10 minutes (long)
	@SOAK=1 $(bin)/python -m pytest tests/chaos -q -s
	@$(bin)/python benchmarks/voice_soak.py

bench: $(ready)  ## Measure; each benchmark prints JSON and a ratio to a reference of the same run
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(bin)/python "$$file" || exit 1; done

clean:  ## Remove what can be made again (not the data directory)
	rm -rf .venv site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis
