#!/usr/bin/env bash
# The executor contract: its tests and its committed products. Needs `tools/setup.sh test`.
#
#   contracts/run.sh test       products are fresh, sources are formatted, forge's tests, gas
#   contracts/run.sh build      writes contracts/Executor.json, abis/Executor.json and
#                               tests/data/evm/bytecode.json
#   contracts/run.sh gas        writes contracts/snapshots/Executor.json
#   contracts/run.sh mutate     breaks the contract one check at a time; each break must fail a test
#   contracts/run.sh forge ...  forge as the tests run it
#
# `test` ends with one line: `N passed, N failed`.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${TIDEKEEPER_CACHE:-$ROOT/.cache}"
FORGE_SUMMARY='s/^Ran .* suites\{0,1\} in .*: \([0-9]*\) tests passed, \([0-9]*\) failed.*/\1 \2/p'
PASSED=0
FAILED=0

export SOLC_NODE_MODULES="$CACHE/solidity/node_modules"
export FOUNDRY_SOLC="$ROOT/tools/solc/solc"

cd "$ROOT/contracts"

main() {
    local command="${1:-test}"
    [ "$#" -eq 0 ] || shift
    FORGE="$(find_forge)" || give_up "forge is missing; run: tools/setup.sh test"
    export FORGE
    link_bytecode
    case "$command" in
        test) run_tests ;;
        build) node "$ROOT/tools/solc-build.mjs" ;;
        gas) "$FORGE" test --match-contract GasTest ;;
        mutate) node "$ROOT/tools/solc-mutate.mjs" "$@" ;;
        forge) "$FORGE" "$@" ;;
        *) give_up "unknown command '$command' (test, build, gas, mutate, forge)" ;;
    esac
}

run_tests() {
    check "products are fresh" node "$ROOT/tools/solc-build.mjs" --check
    check "sources are formatted" "$FORGE" fmt --check
    local log status=0 passed failed
    log="$(mktemp)"
    # A changed gas number fails too: `contracts/run.sh gas` accepts it, and git shows it.
    FORGE_SNAPSHOT_CHECK=true "$FORGE" test 2>&1 | tee "$log" || status=$?
    read -r passed failed < <(sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -n "$FORGE_SUMMARY") || true
    rm -f "$log"
    PASSED=$((PASSED + ${passed:-0}))
    FAILED=$((FAILED + ${failed:-0}))
    # A status that says more than the count does is a failure of its own.
    [ "$status" -eq 0 ] || [ "${failed:-0}" -gt 0 ] || FAILED=$((FAILED + 1))
    echo "$PASSED passed, $FAILED failed"
    [ "$FAILED" -eq 0 ]
}

# check TEXT COMMAND...: counts as one test.
check() {
    local text="$1"
    shift
    echo "== $text"
    if "$@"; then PASSED=$((PASSED + 1)); else FAILED=$((FAILED + 1)); fi
}

find_forge() {
    local found
    for found in "$CACHE"/solidity/node_modules/@foundry-rs/forge-*/bin/forge \
        "$HOME/.foundry/bin/forge"; do
        [ -x "$found" ] && echo "$found" && return 0
    done
    command -v forge
}

# foundry.toml allows tests to read one fixed path; the cache may be anywhere.
link_bytecode() {
    [ -f "$CACHE/contracts/SushiV2Factory.json" ] ||
        give_up "contract bytecode is missing in $CACHE/contracts; run: tools/setup.sh test"
    mkdir -p "$ROOT/target/contracts"
    ln -sfn "$CACHE/contracts" "$ROOT/target/contracts/bytecode"
}

give_up() {
    echo "contracts: $*" >&2
    echo "$PASSED passed, $((FAILED + 1)) failed"
    exit 1
}

main "$@"
