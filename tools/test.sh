#!/usr/bin/env bash
# Runs the tests, part by part, and ends with one true line per part.
#
#   tools/test.sh all        Rust, the executor contract, dashboard, independent clients, browser
#   tools/test.sh rust       the Rust tests only
#   tools/test.sh contracts  the executor contract's tests only
#   tools/test.sh fuzz       the fuzz targets under cargo-fuzz
#   tools/test.sh bytecode   the lives of pools of the real bytecode only, in an optimised build;
#                            TIDEKEEPER_SEQUENCES says how many acts they play
#   tools/test.sh fifty      the fifty pools behind a bad node only, in an optimised build;
#                            TIDEKEEPER_FIFTY says how many acts there are
#   tools/test.sh long       Rust with many more random cases, then the three above
#
# Needs `tools/setup.sh test`, and `tools/setup.sh fuzz` for the fuzz targets. All parts run even if one fails; the exit
# status is 0 only if none did.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
export PATH="$PATH:$HOME/.cargo/bin"
export TIDEKEEPER_CACHE="${TIDEKEEPER_CACHE:-$ROOT/.cache}"
LOGS="$TIDEKEEPER_CACHE/logs"
COUNT='^[0-9]+ passed, [0-9]+ failed$'
RUST_SUMMARY="tests? run:|$COUNT"
SUMMARY=()
MAKE_TARGET=test
FAILED=0

main() {
    mkdir -p "$LOGS"
    case "${1:-all}" in
        rust) part rust test_rust "$RUST_SUMMARY" ;;
        contracts) part contracts contracts/run.sh "$COUNT" ;;
        fuzz) part fuzz tools/fuzz.sh '^fuzz: ' ;;
        bytecode) part bytecode test_bytecode "$RUST_SUMMARY" ;;
        fifty) part fifty test_fifty "$RUST_SUMMARY" ;;
        long)
            MAKE_TARGET=long
            part rust test_rust_long "$RUST_SUMMARY"
            TIDEKEEPER_SEQUENCES=1200000 part bytecode test_bytecode "$RUST_SUMMARY"
            TIDEKEEPER_FIFTY=5000 part fifty test_fifty "$RUST_SUMMARY"
            part fuzz tools/fuzz.sh '^fuzz: '
            ;;
        all)
            part rust test_rust "$RUST_SUMMARY"
            part contracts contracts/run.sh "$COUNT"
            part dashboard test_dashboard '^ *Tests +'
            part clients tests/clients/run.sh "$COUNT"
            part browser test_browser "$COUNT"
            ;;
        *)
            echo "unknown part '$1' (all, rust, contracts, bytecode, fifty, fuzz, long)" >&2
            exit 2
            ;;
    esac
    echo
    printf '%s\n' "${SUMMARY[@]}"
    [ "$FAILED" -eq 0 ] || { echo "make $MAKE_TARGET: $FAILED of ${#SUMMARY[@]} parts failed" && exit 1; }
    echo "make $MAKE_TARGET: all ${#SUMMARY[@]} parts passed"
}

# The binary first: the integration tests, the clients and the browser all start it.
test_rust() {
    cargo build --locked || return
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast
    else
        cargo test --locked --no-fail-fast 2>&1 | awk '
            { print }
            /^test result:/ { passed += $4; failed += $6 }
            END { print passed + 0 " passed, " failed + 0 " failed" }'
    fi
}
test_rust_long() { PROPTEST_CASES=10000 TIDEKEEPER_POOLS=500 test_rust; }
test_bytecode() { optimised bytecode::; }
test_fifty() { optimised worlds::fifty::; }
# optimised MODULE: the integration tests whose names begin so, in an optimised build.
optimised() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --release --locked --no-fail-fast -E "test(/^$1/)"
    else
        cargo test --release --locked --no-fail-fast --test it "$1" -- --nocapture 2>&1 | awk '
            { print }
            /^test result:/ { passed += $4; failed += $6 }
            END { print passed + 0 " passed, " failed + 0 " failed" }'
    fi
}
test_dashboard() { npm test --prefix dashboard; }
test_browser() { "$TIDEKEEPER_CACHE/venv/bin/python" tests/clients/browser.py; }

# part NAME COMMAND PATTERN: runs COMMAND; the last line that matches PATTERN is what it says of itself.
part() {
    local name="$1" command="$2" pattern="$3" log="$LOGS/test-$1.log" began="$SECONDS" verdict=ok said
    echo "══ $name"
    "$command" 2>&1 | tee "$log" || verdict=FAILED
    said="$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E "$pattern" | tail -n 1 | sed 's/^ *//')" || true
    [ "$verdict" = ok ] || FAILED=$((FAILED + 1))
    SUMMARY+=("$name: $verdict in $((SECONDS - began)) s: ${said:-it said nothing of its tests, see $log}")
}

main "$@"
