# `make help` lists the targets. Each sets up what it needs, in a folder .venv* of its own; all that is
# asked for is Python 3.11 or newer.

CANDIDATES := python3 python3.13 python3.12 python3.11 python
IS_NEW := import sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(IS_NEW)' 2>/dev/null && echo $$p && break; done)

# The version that the transformers engine is tested with; a build for the CPU will do.
TORCH ?= torch==2.13.0

PIP := -m pip --disable-pip-version-check --quiet install

ATHERIS ?= atheris==3.0.0
# How long `make fuzz` takes, and what of it: the names of targets in tests/fuzz/targets.py, or all.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=

.PHONY: help demo test bench bench-check chaos check format lock fuzz test-lowest test-transformers test-ray \
	integration clean

help: ## List the targets (so does plain `make`)
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS="$$(printf '\t')" read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

demo: .venv/demo ## Stream a story from the bundled model
	@printf 'Once upon a time'
	@.venv/bin/hfgen generate --local --temperature 0.7 --details "Once upon a time"

# Files are shared out to processes: most tests wait for something.
SHARED_OUT := -n auto --maxprocesses 4 --dist loadfile
test: .venv/dev ## Run the whole test suite
	.venv/bin/python -m pytest $(SHARED_OUT)

# Rounds of the chaos test with new seeds, for so many seconds.
CHAOS_SECONDS ?= 300
chaos: .venv/dev ## Run the chaos test with new seeds, for CHAOS_SECONDS
	HFGEN_CHAOS_SECONDS=$(CHAOS_SECONDS) .venv/bin/python -m pytest -s tests/chaos

check: .venv/dev ## Check format, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/dev ## Format the code, and mend its style
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

# Looks for what no test thought of, in all that reads what servers send. What it finds, and what it
# has learned, is in build/fuzz. It needs a Python that atheris is built for: Linux, up to 3.13.
fuzz: ## Fuzz all that reads what servers send, for FUZZ_SECONDS
	@test -x .venv-fuzz/bin/python || $(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python $(PIP) --editable . '$(ATHERIS)'
	.venv-fuzz/bin/python tools/fuzz/run.py --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Everything against every peer that can be installed here, into benchmarks/RESULTS.md: half an hour.
# `transformers serve` is among them once `make integration-transformers` has installed it.
BENCH_PEERS := huggingface_hub text-generation openai litellm
bench: .venv-bench/base/ready ## Measure against every peer, into benchmarks/RESULTS.md: half an hour
	-@$(MAKE) --no-print-directory --keep-going $(BENCH_PEERS:%=.venv-bench/%/ready) \
		.venv-bench/plot/ready
	-@if command -v npm >/dev/null; then npm install --prefix benchmarks/node --no-package-lock \
		--no-audit --no-fund --loglevel=error; else echo "no Node here: its packages are not compared"; fi
	.venv-bench/base/bin/python -m benchmarks $(BENCH)

# Whether the goals in benchmarks/goals.py hold, with the peers that have been installed: 5 minutes.
bench-check: .venv-bench/base/ready ## Check the goals of the benchmarks: 5 minutes
	.venv-bench/base/bin/python -m benchmarks --check $(BENCH)

.venv-bench/%/ready: benchmarks/requirements/%.txt
	@echo "setting up $* for the benchmarks (once) ..."
	@$(PYTHON) -m venv .venv-bench/$*
	@.venv-bench/$*/bin/python $(PIP) --requirement $<
	@test $* != base || .venv-bench/$*/bin/python $(PIP) --no-deps --editable .
	@touch $@

# The suite once more, with the oldest dependencies that pyproject.toml allows.
test-lowest: .venv/dev ## Run the suite with the oldest dependencies allowed
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv/bin/uv pip compile --quiet --system-certs --resolution lowest-direct --extra bulk \
		--extra report --extra server --no-header --no-annotate pyproject.toml \
		--output-file .venv-lowest/lowest.txt
	.venv-lowest/bin/python $(PIP) --constraint .venv-lowest/lowest.txt \
		--editable '.[bulk,report,server]' pytest pytest-asyncio pytest-xdist hypothesis sybil httpx httpx2 \
		requests trustme
	.venv-lowest/bin/python -m pytest $(SHARED_OUT) tests --ignore tests/server/test_other_clients.py

# What needs torch, which the other environments do without.
test-transformers: .venv/dev ## Run the tests that need torch
	@test -x .venv-transformers/bin/python || $(PYTHON) -m venv .venv-transformers
	.venv-transformers/bin/python $(PIP) '$(TORCH)'
	.venv-transformers/bin/python $(PIP) --editable '.[transformers]' pytest pytest-asyncio sybil
	.venv-transformers/bin/python -m pytest tests/server/engine

# What needs Ray: a cluster of a few processes, on this machine.
test-ray: ## Run the tests that need Ray
	@test -x .venv-ray/bin/python || $(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python $(PIP) --editable '.[ray,server]' pytest pytest-asyncio sybil
	.venv-ray/bin/python -m pytest tests/ray docs/ray.md

# The client against servers that others wrote. Installing them takes a while, once.
SERVERS := llama-cpp transformers vllm
INTEGRATION := $(SERVERS:%=integration-%)
.PHONY: $(INTEGRATION)

integration: .venv/dev $(SERVERS:%=.venv-%/serves) ## Test against llama.cpp, transformers serve and vLLM
	.venv/bin/python -m pytest tests/integration

$(INTEGRATION): integration-%: .venv/dev .venv-%/serves
	.venv/bin/python -m pytest tests/integration -k 'hfgen or $*'

$(SERVERS:%=.venv-%/serves): .venv-%/serves: tools/integration/%.sh
	@PYTHON='$(PYTHON)' TORCH='$(TORCH)' tools/integration/$*.sh .venv-$*
	@touch $@

.venv-llama-cpp/serves: tools/model/export_gguf.py src/hfgen/server/bundled/model.safetensors

# The development environment, anew, within what pyproject.toml allows.
lock: .venv/dev ## Renew requirements/dev.txt from pyproject.toml
	.venv/bin/uv pip compile --quiet --system-certs --universal --upgrade --generate-hashes --no-annotate \
		--python-version 3.11 --extra bulk --extra report --extra server --group dev \
		--custom-compile-command "make lock" pyproject.toml --output-file requirements/dev.txt

.venv/demo: pyproject.toml | .venv/bin/python
	@echo "setting up what the demo needs (once, about a minute) ..."
	@.venv/bin/python $(PIP) --editable '.[server]'
	@touch $@

.venv/dev: pyproject.toml requirements/dev.txt | .venv/bin/python
	.venv/bin/python $(PIP) --requirement requirements/dev.txt
	.venv/bin/python $(PIP) --no-deps --editable .
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "hfgen needs Python 3.11 or newer; if there is one under" \
		"another name: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv

clean: ## Remove the environments and what was built
	rm -rf .venv .venv-bench .venv-fuzz .venv-lowest .venv-ray $(SERVERS:%=.venv-%) build/benchmarks.json \
		build/fuzz benchmarks/node/node_modules \
		.mypy_cache .pytest_cache .ruff_cache
