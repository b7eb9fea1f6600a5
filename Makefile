.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench sync clean

LIARS ?= 0

help:  ## What there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: sync  ## A real job, verified by five nodes on this machine; LIARS=1 or 2: so many of them cheat
	@.venv/bin/quorate demo --liars $(LIARS)

test: sync  ## Everything that can be checked; SYSTEM=no installs nothing outside of this folder
	@scripts/system.sh
	@scripts/test.sh

lint: sync  ## Style, format, types and layers: the fast part of test
	@scripts/test.sh lint

fmt: sync  ## Put the code into the one format
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only --quiet .

bench: sync  ## What is measured: latency, throughput, memory
	@.venv/bin/pytest -s tests/bench

sync:  ## The virtual environment as uv.lock says; the others do it by themselves
	@scripts/bootstrap.sh

clean:  ## Remove what the above made
	rm -rf .venv .tools .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
