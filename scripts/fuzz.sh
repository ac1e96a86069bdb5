#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, one after the other, each from the samples of src/fuzz.rs and what earlier runs found.
#
#   scripts/fuzz.sh SECONDS [TARGET ...]
#
# Needs nightly Rust and cargo-fuzz, which it installs into target/tools; writes below target/ only. Ends with 1 at the first
# input that a target fails on, which then lies in target/fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'fuzz: %s\n' "$*" >&2; exit 1; }
seconds=${1:?seconds a target}; shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(envelope wire hotlist config manifest outputs proofs ledger)

cargo +nightly --version >/dev/null 2>&1 || fail "nightly Rust is missing: rustup toolchain install nightly"
export PATH="$PWD/target/tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root target/tools cargo-fuzz
export CARGO_TARGET_DIR="$PWD/target/fuzz/build"
WATCHPOST_SEEDS="$PWD/target/fuzz/samples" cargo test -q --no-default-features --lib fuzz::tests::samples >/dev/null

for target in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$target
    artifacts=target/fuzz/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    printf '=== %s, %d s\n' "$target" "$seconds"
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer "${SANITIZER:-address}" "$target" "$corpus" "target/fuzz/samples/$target" -- \
        -max_total_time="$seconds" -max_len=32768 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$artifacts/" -print_final_stats=1 \
        2>&1 | grep -E '^(==|stat::|SUMMARY|thread|artifact|Test unit|.*panicked)|DONE' || fail "$target failed: see above and $artifacts"
done
