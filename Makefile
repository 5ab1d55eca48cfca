# What a newcomer types. Needs Python 3.11 to 3.13 and make; `make test` also needs a C++ compiler.
# PYTHON=... names the interpreter, JOBS=... how many compilers run at once.

PY := .venv/bin/python
JOBS :=
# Tests of one file stay in one process and in their order; many of them wait for other processes, so two cores halve the time.
a_process_a_core := --numprocesses logical --maxprocesses 4 --dist loadfile
build_llama_server := $(PY) scripts/build_llama_server.py $(if $(JOBS),--jobs $(JOBS))

.PHONY: help demo test test-servers test-sim test-mesh check bench bench-peers runtime dev editor llama-server lock clean

help:
	@echo 'make demo          set everything up, apply a real manifest, ask it, and show the answers'
	@echo 'make test          every check and every test, with a real model server built once'
	@echo 'make test-servers  real model servers that are installed for it: minutes, and gigabytes of disk'
	@echo 'make test-sim      thousands of simulated fleets, each with faults of its own; SEEDS=0-9999 names which'
	@echo 'make test-mesh     a fleet on separate machines (network namespaces), and what breaks between them; as root: sudo make test-mesh'
	@echo 'make check         format, lint, types and imports only'
	@echo 'make bench         measure; make bench-peers also measures the peers that it installs'
	@echo 'make dev           .venv with everything for development; make runtime: only what a user needs'
	@echo 'make editor        the YAML language server that the tests of editors use; needs Node.js'
	@echo 'make llama-server  build the real model server that the tests use'
	@echo 'make lock          pin the dependencies again; LOCK_FLAGS=--upgrade takes newer versions'
	@echo 'make clean         remove what make made here'

demo: runtime
	@$(PY) examples/retail-kiosk/demo.py

# pytest comes last, so that its summary is the last thing to read.
test: dev editor llama-server check
	@$(PY) -m pytest $(a_process_a_core) tests tests/installed/check_foundry.py

test-servers: dev llama-server
	@$(PY) -m pytest -o python_files='check_*.py' tests/installed

test-sim: dev
	@$(PY) -m tests.mesh.simulation --seeds $(or $(SEEDS),500-4999)
	@$(PY) -m tests.mesh.simulation --seeds $(or $(LARGE_SEEDS),5-24) --nodes 50 --agents 200

test-mesh: dev
	@$(PY) -m pytest -o python_files='check_*.py' -rs tests/apart

check: dev
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy orchestrator tests scripts benchmarks
	@.venv/bin/lint-imports

bench: dev
	@$(PY) -m benchmarks

bench-peers: dev
	@sh scripts/peers.sh
	@LITELLM_LOCAL_MODEL_COST_MAP=True $(PY) -m benchmarks --peers .venv-peers/bin/python

runtime:
	@PYTHON='$(PYTHON)' sh scripts/environment.sh runtime

dev:
	@PYTHON='$(PYTHON)' sh scripts/environment.sh dev

editor:
	@sh scripts/editor.sh

llama-server: dev
	@$(build_llama_server) >/dev/null

lock: dev
	@sh scripts/lock.sh $(LOCK_FLAGS)

clean:
	rm -rf .venv .venv-peers tests/editor/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
