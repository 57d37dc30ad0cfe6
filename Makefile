# make run       the whole system on this machine, http://127.0.0.1:5000
# make test      the tests that hold the essence of every promise (under 5 minutes)
# make test-slow soak and other long suites
# make bench     runyard and a naive server, alternating in one run
# make lint      ruff and mypy
# make dev       an editable install for working on the code

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
BESIDE := -n 2 --dist loadfile
FOLDERS := daemon protocols sched worker
SOURCES := $(shell find $(FOLDERS) twisted -name "*.py") $(wildcard sched/page/*) setup.py pyproject.toml

.PHONY: run test test-slow bench lint dev clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed
	@exec $(BIN)/twistd --nodaemon --pidfile= --logfile=- scheduler --banner $(ARGS)

test: $(VENV)/.installed
	$(BIN)/pytest $(BESIDE) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed
	$(BIN)/pytest $(BESIDE) -m slow $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python bench/compare.py $(ARGS)

lint: $(VENV)/.installed $(VENV)/.tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(VENV)/tree $(BIN)/mypy $(foreach f,$(FOLDERS),-p runyard.$(f))
	MYPYPATH=$(VENV)/tree:tests/helpers $(BIN)/mypy tests
	MYPYPATH=$(VENV)/tree:bench $(BIN)/mypy bench

dev: $(VENV)/.dependencies
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e . -C editable_mode=strict
	@touch $(VENV)/.installed
	@echo "Editable; run 'make dev' again after adding a file."

clean:
	rm -rf build dist *.egg-info

# A wheel, not a plain editable install: twistd would not find the plugin (docs/design.md).
# build/ goes first, or modules that were removed would stay in the wheel.
$(VENV)/.installed: $(VENV)/.dependencies $(SOURCES)
	@rm -rf build
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@rm -rf build *.egg-info
	@touch $@

# All dependencies, without the project itself.
$(VENV)/.dependencies: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "runyard needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what runyard needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=24'
	@$(BIN)/pip install --quiet '.[dev]'
	@$(BIN)/pip uninstall --quiet --yes runyard
	@rm -rf build *.egg-info
	@touch $@

# What mypy reads: the folders under their import name.
$(VENV)/.tree: Makefile
	@rm -rf $(VENV)/tree && mkdir -p $(VENV)/tree/runyard
	@for f in $(FOLDERS); do ln -s ../../../$$f $(VENV)/tree/runyard/$$f; done
	@touch $@
