# The one list of things to do here; CI calls the same ones.

TARGET := $(or $(CARGO_TARGET_DIR),target)
LOCAL := $(TARGET)/release/runlatch-local
# What the tests run can be made to die at any step (ops/src/kill.rs). The same for every command, so that nothing is built twice.
TESTED := --workspace --features kill-points
# Not Cargo's: schemathesis, which reads the contract, and what the examples in Python and TypeScript need.
TOOLS := $(TARGET)/tools

.DEFAULT_GOAL := help
.PHONY: help run up status down test tools model soak bench bench-peers lint fuzz timing
# `make -j` must not run two of these at once, and Cargo schedules its own jobs.
.NOTPARALLEL:
unexport MAKEFLAGS MFLAGS

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start everything, show a delivery become a run, and stay until Ctrl-C
	@$(build)
	@exec $(LOCAL) run

up: ## The same in the background [GATEWAYS=n WORKERS=n]; addresses in .local/stack.env
	@$(build)
	@exec $(LOCAL) up --gateways '$(or $(GATEWAYS),1)' --workers '$(or $(WORKERS),1)'

status: ## Show its processes: name, pid, port, state
	@if [ -x $(LOCAL) ]; then exec $(LOCAL) status; else echo 'nothing is up'; exit 3; fi

down: ## Stop it
	@if [ -x $(LOCAL) ]; then exec $(LOCAL) down; else echo 'nothing is up'; fi

test: tools ## Install what is missing, then build and test everything
	cargo build $(TESTED) --bins
	$(TARGET)/debug/runlatch-local install
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -ex; cargo nextest run $(TESTED); cargo test $(TESTED) --doc; \
	else \
		set -ex; cargo test $(TESTED); \
	fi

tools: $(TOOLS)/installed ## Install what tests run that is not Rust's, in target/tools; wants python3 with venv, node and npm

$(TOOLS)/installed: tests/tools/requirements.txt tests/tools/package.json
	@for tool in python3 node npm; do command -v $$tool >/dev/null || { echo "$$tool is missing: apt-get install python3-venv nodejs npm"; exit 1; }; done
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/tools/requirements.txt
	cp tests/tools/package.json $(TOOLS)/
	npm install --prefix $(TOOLS) --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

model: ## Look at every state of the protocol, within wider bounds than the tests do [REQUESTS=n LOSSES=n]
	cargo run --release --quiet -p runlatch-model --example check -- --requests '$(or $(REQUESTS),3)' --losses '$(or $(LOSSES),2)'

soak: ## Chaos with new seeds, round after round [MINUTES=n], or one round again [SEED=n]
	@$(build)
	@cargo build --release -p runlatch-tests --example soak $(if $(wildcard $(TARGET)/release/examples/soak),--quiet)
	@MINUTES='$(MINUTES)' SEED='$(SEED)' SIZE='$(SIZE)' exec $(TARGET)/release/examples/soak

bench: ## Measure beside what could be used instead [ROUNDS=n ONLY=names]; report and plots in target/bench
	@$(build)
	@exec $(TARGET)/release/runlatch-bench $(BENCH)

bench-peers: ## The same, with Restate from npm in the same run
	@$(build)
	@exec $(TARGET)/release/runlatch-bench --peers $(BENCH)

lint: ## Format, clippy and documentation without a warning; cargo-deny where it is installed
	cargo fmt --all --check
	cargo clippy $(TESTED) --all-targets -- -D warnings
	@tree=$$(cargo tree --workspace --format '{p} {f}') || exit; \
	if echo "$$tree" | grep kill-points; then echo 'a build without being asked carries kill points'; exit 1; fi
	@cargo check --release -p runlatch-ops --features kill-points 2>&1 | grep -q 'kill points are for tests' || \
		{ echo 'a release build does not refuse kill points'; exit 1; }
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz
	RUSTDOCFLAGS='-D warnings' cargo doc $(TESTED) --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then set -x; cargo deny check bans licenses sources; fi

fuzz: ## Throw bytes at every parser [MINUTES=n PARSER=request|envelope|claim|catalog]; needs cargo-fuzz
	@set -e; for target in $(or $(PARSER),request envelope claim catalog); do \
		echo "· $$target"; mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$$(( $(or $(MINUTES),1) * 60 )) -max_len=65536 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1; \
	done

timing: ## Does the time to refuse a wrong secret tell how much of it was right? [ROUNDS=100000]; wants a quiet machine
	@$(build)
	@cargo run --release --quiet -p runlatch-tests --example timing -- $(ROUNDS)

BENCH = --rounds '$(or $(ROUNDS),5)' $(if $(ONLY),--only '$(ONLY)')

# Cargo shows what it does only where that takes long: the first time.
define build
if [ -x $(LOCAL) ]; then quiet=--quiet; else quiet=; echo '· building (the first time takes some minutes) …'; fi; \
cargo build --release --workspace --bins $$quiet
endef
