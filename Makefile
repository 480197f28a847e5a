# Two commands matter: `make demo` and `make test`. Each does all its own set-up; a second call does none again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test long clean

# A fresh rustup puts cargo here before the shell knows about it.
export PATH := $(PATH):$(HOME)/.cargo/bin
BINARY := $(or $(CARGO_TARGET_DIR),target)/debug/tidekeeper

help:
	@echo 'make demo          a self-contained world and the agent in it; prints the page; Ctrl-C ends it'
	@echo 'make demo FOR=90   the same for 90 seconds, then target/demo/report.json, judged by both reconcilers'
	@echo 'make test          all tests: Rust, contracts, dashboard, independent clients, browser'
	@echo 'make long          the Rust tests again with 10000 cases per property and 500 pools to load, 1200000 random acts on'
	@echo '                   pools of the real bytecode against ours and 5000 on fifty pools behind a node that loses logs and'
	@echo '                   takes blocks back (optimised; make test plays a slice of both), cargo-fuzz'
	@echo 'make clean         removes everything that set-up and builds made'

# FOR=seconds needs the independent reconciler, hence `judge` (Python).
demo:
	@tools/setup.sh demo $(if $(FOR),judge)
	@cargo build --locked
	@exec $(BINARY) demo $(if $(FOR),--for $(FOR))

test:
	@tools/setup.sh test
	@exec tools/test.sh all

long:
	@tools/setup.sh test fuzz
	@exec tools/test.sh long

clean:
	rm -rf .cache target fuzz/target dashboard/dist dashboard/node_modules
