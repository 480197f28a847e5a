#!/usr/bin/env bash
# Runs the fuzz targets under cargo-fuzz, each for FUZZ_SECONDS (60), from its committed corpus.
#
#   tools/fuzz.sh              all targets
#   tools/fuzz.sh v3_swap      one of them
#
# Needs `tools/setup.sh fuzz`. No sanitizer: those need a nightly toolchain, and look for what code without `unsafe`
# cannot do; what a target asserts, panics and endless loops break it without one. New inputs that reach new code are
# kept in .cache/fuzz, and an input that breaks a target in fuzz/artifacts: put it into tests/data/fuzz/TARGET, so that
# the tests run it from then on.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
CACHE="${TIDEKEEPER_CACHE:-$ROOT/.cache}"
export PATH="$CACHE/cargo-fuzz/bin:$PATH:$HOME/.cargo/bin"
SECONDS_EACH="${FUZZ_SECONDS:-60}"
INPUT_BYTES_MAX=4096
INPUT_SECONDS_MAX=60

main() {
    local targets=("$@") target failed=0
    if [ "${#targets[@]}" -eq 0 ]; then
        mapfile -t targets < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
    fi
    cargo fuzz build --sanitizer none
    for target in "${targets[@]}"; do
        echo "── $target"
        mkdir -p "$CACHE/fuzz/$target"
        cargo fuzz run --sanitizer none "$target" "$CACHE/fuzz/$target" "tests/data/fuzz/$target" -- \
            -max_total_time="$SECONDS_EACH" -max_len="$INPUT_BYTES_MAX" -timeout="$INPUT_SECONDS_MAX" ||
            failed=$((failed + 1))
    done
    echo "fuzz: ${#targets[@]} targets for $SECONDS_EACH s each, $failed of them broken"
    [ "$failed" -eq 0 ]
}

main "$@"
