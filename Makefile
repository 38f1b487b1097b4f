# make demo    the whole domain on one machine, with made-up people      make check  every check, counted
# make test    setup, then all tests (ARGS="tests/unit -k …" for some)   make fix    mend what a tool can mend
# make setup   Python packages, jars, system parts                       make bench  the measurements
# make lock    renew requirements.lock from pyproject.toml            make bench-jail  what the jail costs
# make redteam every attack on the gate, each with a twin         make bench-peers  the same tables, asked of a peer

SHELL := /bin/bash
.DEFAULT_GOAL := test
.PHONY: setup demo test check fix bench bench-jail bench-peers redteam lock
ARGS ?=

# python3 is another version on many machines; only 3.11 will do.
PYTHON := $(firstword $(foreach name,python3.11 python3,$(shell $(name) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && command -v $(name))))

setup:
ifeq ($(PYTHON),)
	@echo "setup: Python 3.11 is needed; on Debian 12 type: sudo apt-get install -y python3.11 python3.11-venv" >&2; exit 30
endif
	@$(PYTHON) -m infra.setup

demo: setup
	@.venv/bin/shuzha demo $(ARGS)

test: setup
	@.venv/bin/python -m $(if $(ARGS),pytest $(ARGS),infra.tests)

check: setup
	@.venv/bin/python -m infra.checks

fix: setup
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

bench: setup
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; .venv/bin/python "$$file" $(ARGS); done

bench-jail: setup
	@.venv/bin/python benchmarks/bench_jail.py $(ARGS)

bench-peers: setup
	@.venv/bin/python benchmarks/peers.py

redteam: setup
	@.venv/bin/python benchmarks/redteam.py $(ARGS)

lock: setup
	@.tools/uv/bin/uv pip compile --quiet --system-certs pyproject.toml --extra dev --generate-hashes --python-version 3.11 -o requirements.lock
	@$(PYTHON) -m infra.setup
