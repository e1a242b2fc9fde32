# One command each: `make demo` shows jobtree at work, `make test` tests it, `make check` is all that CI asks for.
# Everything is set up in .venv on first use; nothing else is needed than Python 3.11 or newer with venv and pip.

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
READY  := $(VENV)/.ready
PY     := $(VENV)/bin/python

.PHONY: help setup demo test again lint format types check clusters torture museum bench bench-check clean

help:
	@echo "make demo     sort a real file of 200 MB or more on the local workers, and compare with sort(1)"
	@echo "make test     the tests (JOBS=$(JOBS) at a time)"
	@echo "make again    the tests that failed last (SELECT='-m clusters tests/clusters' for those)"
	@echo "make lint     ruff: rules and format;  make format  rewrites"
	@echo "make types    mypy --strict, and pyright on the typing tests"
	@echo "make check    test, lint and types: all that must be green"
	@echo "make clusters the tests on a real Grid Engine and Slurm, which they install and start (root, Debian)"
	@echo "make torture  the long tests: all offsets, many seeds, slow runs"
	@echo "make museum   bring back classic bugs one at a time: each must turn a test red"
	@echo "make bench    the benchmarks"
	@echo "make bench-check  whether ratios of speed are still those that were committed, by wide margins"
	@echo "make clean    remove .venv, build and caches"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "jobtree needs Python 3.11 or newer; $(PYTHON) is older. Say which one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

demo: $(READY)
	$(PY) examples/demo.py

test: $(READY)
	$(PY) -m pytest -n $(JOBS)

again: $(READY)
	$(PY) -m pytest -n $(JOBS) --last-failed --last-failed-no-failures none $(SELECT)

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(READY)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(READY)
	$(PY) -m mypy src tests/typing
	$(PY) -m pyright --pythonpath $(PY) tests/typing

check: test lint types

clusters: $(READY)
	$(PY) -m pytest -m clusters tests/clusters --durations 5

torture: $(READY)
	$(PY) -m pytest -n $(JOBS) -m "torture or slow" --timeout 3600

museum: $(READY)
	$(PY) -m tests.museum

bench: $(READY)
	$(PY) -m benchmarks

bench-check: $(READY)
	$(PY) -m benchmarks.check

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
