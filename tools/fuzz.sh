#!/usr/bin/env bash
# Runs the fuzz targets under cargo-fuzz, each for FUZZ_SECONDS (60), from its committed corpus.
#
#   tools/fuzz.sh              all targets
#   tools/fuzz.sh v3_swap      one of them
#
# Needs a nightly toolchain and cargo-fuzz; where one is missing nothing runs, and it says so. The tests run the same
# targets on stable in any case. New inputs that reach new code are kept in .cache/fuzz, and an input that breaks a
# target in fuzz/artifacts: put it into tests/data/fuzz/TARGET, so that the tests run it from then on.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
export PATH="$PATH:$HOME/.cargo/bin"
CACHE="${TIDEKEEPER_CACHE:-$ROOT/.cache}"
SECONDS_EACH="${FUZZ_SECONDS:-60}"
INPUT_BYTES_MAX=4096
INPUT_SECONDS_MAX=60

main() {
    local targets=("$@") target failed=0
    if [ "${#targets[@]}" -eq 0 ]; then
        mapfile -t targets < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
    fi
    if ! cargo +nightly --version >/dev/null 2>&1; then
        not_run "no nightly toolchain" "rustup toolchain install nightly"
    fi
    if ! cargo fuzz --version >/dev/null 2>&1; then
        not_run "no cargo-fuzz" "cargo install cargo-fuzz --locked"
    fi
    for target in "${targets[@]}"; do
        echo "── $target"
        mkdir -p "$CACHE/fuzz/$target"
        cargo +nightly fuzz run "$target" "$CACHE/fuzz/$target" "tests/data/fuzz/$target" -- \
            -max_total_time="$SECONDS_EACH" -max_len="$INPUT_BYTES_MAX" -timeout="$INPUT_SECONDS_MAX" ||
            failed=$((failed + 1))
    done
    echo "fuzz: ${#targets[@]} targets for $SECONDS_EACH s each, $failed of them broken"
    [ "$failed" -eq 0 ]
}

# not_run WHY COMMAND: nothing can be run here, which is no failure and no success of the targets.
not_run() {
    echo "fuzz: NOT RUN under cargo-fuzz: $1 (get it: $2; then: tools/fuzz.sh)"
    exit 0
}

main "$@"
