#!/usr/bin/env bash
# The independent clients: unmodified ccxt against a fresh local exchange, unmodified DuckDB on an imported history, and the
# reconciler's own tests.
# Needs a built binary and `tools/setup.sh test`. Ends with one line: `N passed, N failed`.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
PYTHON="${TIDEKEEPER_CACHE:-$ROOT/.cache}/venv/bin/python"
BINARY="${CARGO_TARGET_DIR:-$ROOT/target}/debug/tidekeeper"
START_TIMEOUT_S=60
STOP_TIMEOUT_S=10

WORK="$(mktemp -d)"
EXCHANGE_PID=""
PASSED=0
FAILED=0

main() {
    trap stop EXIT
    trap 'exit 130' INT TERM
    [ -x "$BINARY" ] || give_up "$BINARY is missing; run: cargo build --locked"
    [ -x "$PYTHON" ] || give_up "$PYTHON is missing; run: tools/setup.sh test"

    run_client "the reconciler's unit tests" "$PYTHON" "$ROOT/tests/clients/units.py"
    run_client "DuckDB on the history" "$PYTHON" "$ROOT/tests/clients/history_check.py" --binary "$BINARY"
    start_exchange
    local url key secret
    read -r url key secret < <(sed -n 's/^listening \([^ ]*\) key=\([^ ]*\) secret=\([^ ]*\).*/\1 \2 \3/p' "$WORK/exchange.out")
    run_client "ccxt against $url" "$PYTHON" "$ROOT/tests/clients/ccxt_check.py" \
        --exchange "$url" --key "$key" --secret "$secret"

    echo "$PASSED passed, $FAILED failed"
    [ "$FAILED" -eq 0 ]
}

# Starts the exchange on a free port and waits for its one line on stdout.
start_exchange() {
    "$BINARY" exchange --listen 127.0.0.1:0 >"$WORK/exchange.out" 2>"$WORK/exchange.err" &
    EXCHANGE_PID=$!
    local end=$((SECONDS + START_TIMEOUT_S))
    until grep -q '^listening ' "$WORK/exchange.out"; do
        kill -0 "$EXCHANGE_PID" 2>/dev/null || give_up "the exchange ended: $(tail -n 20 "$WORK/exchange.err")"
        [ "$SECONDS" -lt "$end" ] || give_up "the exchange did not listen within $START_TIMEOUT_S s"
        sleep 0.1
    done
}

# run_client TEXT COMMAND...: the command's last line must be `N passed, N failed`; it is added to the sum.
run_client() {
    local text="$1" status=0 count
    shift
    echo "== $text"
    "$@" | tee "$WORK/client.out" || status=$?
    count="$(tail -n 1 "$WORK/client.out")"
    if [[ "$count" =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        PASSED=$((PASSED + BASH_REMATCH[1]))
        FAILED=$((FAILED + BASH_REMATCH[2]))
        # A status that says more than the count does is a failure of its own.
        [ "$status" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || FAILED=$((FAILED + 1))
    else
        echo "$text: ended with status $status and no count"
        FAILED=$((FAILED + 1))
    fi
}

give_up() {
    echo "clients: $*" >&2
    echo "$PASSED passed, $((FAILED + 1)) failed"
    exit 1
}

stop() {
    if [ -n "$EXCHANGE_PID" ] && kill -TERM "$EXCHANGE_PID" 2>/dev/null; then
        local end=$((SECONDS + STOP_TIMEOUT_S))
        while kill -0 "$EXCHANGE_PID" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
        kill -KILL "$EXCHANGE_PID" 2>/dev/null || true
    fi
    rm -rf "$WORK"
}

main "$@"
