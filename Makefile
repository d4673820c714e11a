# make run    set up if needed, then play the demo on http://127.0.0.1:8000
# make test   set up if needed, then lint, types and all tests but those that need an NVIDIA GPU
# make bench  set up if needed, then the benchmarks of docs/performance.md, which is written anew
# make test-gpu  the tests that need an NVIDIA GPU; each that cannot run says why
# make clean  remove what these made
#
# ARGS is passed on: make run ARGS="--image me.jpg --port 9000", make test ARGS="tests/unit -q"

VENV ?= .venv
# The first Python that is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Set-up is done again only when the dependencies change, so without a network all still runs.
WANTED := $(shell cksum < pyproject.toml | cut -d' ' -f1)
RUN_STAMP := $(VENV)/.run-$(WANTED)
DEV_STAMP := $(VENV)/.dev-$(WANTED)

BENCH_STAMP := $(VENV)/.bench-$(WANTED)

.PHONY: run test test-gpu lint bench compiled clean

run: $(RUN_STAMP) compiled
	@exec $(VENV)/bin/lipstream serve $(ARGS)

# Tests of values, and of requests one by one, run on all cores; what plays in real time runs alone.
QUICK := tests/unit tests/golden tests/check tests/security
TIMED := tests/ffmpeg tests/fleet tests/browser tests/compat tests/faults
# Of those that need a GPU, what can compare the CPU with itself: so they are at least known to run.
PARITY := tests/gpu/test_parity.py

test: lint compiled
	@tools/packages.sh
	@VENV=$(VENV) tools/promtool.sh
ifeq ($(strip $(ARGS)),)
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile $(QUICK)
	LIPSTREAM_TEST_RUNTIME=onnx-cpu $(VENV)/bin/python -m pytest $(PARITY)
	$(VENV)/bin/python -m pytest $(TIMED)
	@echo "left out: $(GPU) on an NVIDIA GPU, for which there is make test-gpu"
else
	$(VENV)/bin/python -m pytest $(ARGS)
endif

# Not part of `make test`, which skips nothing and says that it left them out.
GPU := tests/gpu

test-gpu: $(DEV_STAMP)
	$(VENV)/bin/python -m pytest $(GPU) $(ARGS)

lint: $(DEV_STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(BENCH_STAMP) compiled
	@tools/packages.sh
	$(VENV)/bin/python -m benchmarks $(ARGS)

# A wheel is compiled when it is installed, a folder is not; and where PYTHONDONTWRITEBYTECODE is set
# each process would compile it all anew, while somebody waits for the stream that it makes.
CODE := $(wildcard *.py) client encoder inference server static

compiled: | $(VENV)/bin/python
	@$(VENV)/bin/python -m compileall -q $(CODE) || echo "not compiled: each start takes longer"

$(RUN_STAMP): | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --disable-pip-version-check --editable '.[dev,docs]'
	@touch $@ $(RUN_STAMP)

$(BENCH_STAMP): | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --disable-pip-version-check --editable '.[dev,docs,bench]'
	@touch $@ $(DEV_STAMP) $(RUN_STAMP)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { \
		echo "lipstream needs Python 3.11 or newer; found: $$(python3 --version 2>&1)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtualenv; on Debian: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
	rm -rf __pycache__
