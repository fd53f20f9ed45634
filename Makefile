# Two commands matter: `make demo` and `make test`. Both set up .venv first; a fresh clone needs
# only Python 3.11 or newer, make and a package index.
#
#   PYTHON          the interpreter that .venv is made from
#   TORCH_PIP_ARGS  extra arguments for the one `pip install torch`, for example
#                   --index-url https://download.pytorch.org/whl/cpu
#   DEMO_ARGS       extra arguments for the demo's run, for example --rounds 2
#   PYTEST_ARGS     extra arguments for the tests, for example -k masks
#   FUZZ_SECONDS    how long `make fuzz` tries each decoder
#   NER_ARGS        extra arguments for `make ner`, for example --epochs 2 --out /tmp/model
#   MODULE          what `make mutants` puts faults into, for example crypto/masking.py

PYTHON ?= python3
TORCH_PIP_ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
MODULE ?=
MUTANTS_ARGS ?=
NER_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
FUZZER := $(VENV)/fuzzer
NER_LISTS := $(VENV)/ner-lists
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
TORCH := torch==2.13.0
CODE := secure_fl privacy crypto domains audits

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types contract tests bench docs fuzz mutants ner lock clean

help:
	@echo "make demo   install, then tune one model over four sites and write a signed run folder"
	@echo "make test   install, then check style, types, imports and documents, and run the tests"
	@echo "make lint | types | contract | docs | tests   one part of make test"
	@echo "make bench  install, then run every benchmark and print its table"
	@echo "make fuzz   fuzz every decoder, guided by coverage; FUZZ_SECONDS=60 for each"
	@echo "make mutants MODULE=crypto/masking.py   put small faults in, and say which no test finds"
	@echo "make ner    make the names model of scrubbing anew, from generated text; NER_ARGS=--help"
	@echo "make lock   resolve the dependencies of pyproject.toml into requirements.lock again"
	@echo "make clean  remove what tools left behind (never .venv, runs or a site's state)"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "secure-fl needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# Torch goes first and alone: its build depends on the machine, and its local version
# (2.13.0+cpu) is on no index, so the lock leaves it out. Everything else comes by hash.
$(LOCKED): requirements.lock | $(PY)
	$(PY) -m pip install --quiet $(TORCH_PIP_ARGS) $(TORCH)
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	@touch $@

$(READY): pyproject.toml $(LOCKED)
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	$(PY) tests/house/check_installation.py
	@touch $@

setup: $(READY)

# A run never overwrites another, so each demo gets a folder of its own.
demo: $(READY)
	@out=runs/demo; n=1; while [ -e "$$out" ]; do n=$$((n + 1)); out="runs/demo-$$n"; done; \
	echo "secure-fl run examples/finance.toml --fresh-state --out $$out $(DEMO_ARGS)"; \
	$(VENV)/bin/secure-fl run examples/finance.toml --fresh-state --out "$$out" $(DEMO_ARGS)

test: lint types contract docs tests

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/mypy $(CODE)

contract: $(READY)
	$(VENV)/bin/lint-imports

docs: $(READY)
	$(PY) tests/house/check_documents.py

tests: $(READY)
	$(PY) tests/run_offline.py $(PYTEST_ARGS)

bench: $(READY)
	@set -e; for file in benchmarks/*.py; do \
		grep -qs '^def main' "$$file" || continue; name=$$(basename "$$file" .py); \
		echo "python -m benchmarks.$$name"; $(PY) -m benchmarks.$$name; \
	done

# Atheris stands apart from the locked libraries: nothing but this target needs it.
$(FUZZER): pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --no-deps --upgrade --target $(FUZZER) \
		"$$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["fuzz"])')"
	@touch $@

fuzz: $(READY) $(FUZZER)
	PYTHONPATH=$(FUZZER) $(PY) tests/fuzz/fuzz_with_atheris.py --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

mutants: $(READY)
	@[ -n "$(MODULE)" ] || { echo "Name a module: make mutants MODULE=crypto/masking.py"; exit 2; }
	$(PY) tests/mutation/run_mutations.py $(MODULE) $(MUTANTS_ARGS)

# The lists that the names model is made from stand apart from the locked libraries, likewise.
$(NER_LISTS): pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --no-deps --upgrade --target $(NER_LISTS) \
		$$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["ner"])')
	@touch $@

ner: $(READY) $(NER_LISTS)
	PYTHONPATH=$(NER_LISTS) $(PY) -m recipes.names $(NER_ARGS)

lock:
	uv pip compile pyproject.toml --extra demo --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-package torch --no-header --no-annotate -o requirements.lock

clean:
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find $(CODE) benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
