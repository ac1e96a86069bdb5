# Two commands matter: `make demo` and `make test`. Both bring what is missing first (scripts/setup.sh).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

export ORT_DYLIB_PATH ?= $(CURDIR)/target/onnxruntime/libonnxruntime.so.1.31.1
# The vendor's build of the library tells its vendor of what it runs, unless this is set before it is loaded.
export ORT_DISABLE_TELEMETRY := 1
export PATH := $(CURDIR)/target/tools:$(PATH)
export RUST_BACKTRACE ?= 1
# The RTSP server of tests and demo; the product's default features stay as they are.
FEATURES := --features testkit

.PHONY: help setup demo test check bench campaign fuzz eval deb testdeb ctl yocto-lint doc clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 16

setup:  ## bring Debian packages, ONNX Runtime and lint tools, if missing
	@scripts/setup.sh --tools

demo:  ## see vehicles pass, plates being read and alerts arriving
	@scripts/setup.sh
	scripts/demo.sh

test: setup  ## all checks and tests
	@begin=$$SECONDS
	step() { printf '\n=== %s\n' "$$*"; "$$@"; }
	step cargo fmt --check
	step typos
	step cargo deny --log-level warn check bans licenses sources
	step cargo clippy -q --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" step cargo doc -q --no-deps --document-private-items $(FEATURES)
	step cargo test -q --no-default-features --lib
	step cargo test $(FEATURES)
	printf '\nmake test: formatting, spelling, licences, clippy, docs and all tests are fine (%d s)\n' $$((SECONDS - begin))

check:  ## the fast ones, without native libraries: formatting, clippy, unit tests
	@cargo fmt --check
	cargo clippy -q --no-default-features --lib --bins -- -D warnings
	cargo test -q --no-default-features --lib

bench: setup  ## what a frame, a camera and the whole daemon cost here (docs/performance.md); PAIRS=9, TIMES=9 as in the docs
	@cargo build --release --bin watchpost
	scripts/bench_clip.sh target/bench/street-1080p.mp4
	"$${CARGO_TARGET_DIR:-target}/release/watchpost" bench --pairs $(or $(PAIRS),3) target/bench/street-1080p.mp4
	for bench in convert follow gate hotlist preprocess store view wire; do
		cargo bench -q --bench $$bench -- --quick
	done
	cargo bench -q --features testkit --bench whole -- --times $(or $(TIMES),1) $(if $(TIMES),,--quick)

campaign: setup  ## faults against a fed daemon, and a judge (docs/reliability.md); LONG=1 full counts, FAULT="kill power" some
	@cargo test -q --release $(FEATURES) --test campaign -- $(if $(LONG),--full) $(FAULT)

fuzz:  ## what reads others' bytes, given altered ones for SECONDS=60 each; TARGETS="wire ledger" some (needs nightly Rust)
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

eval: setup  ## how well the models read, and where they go wrong, on WATCHPOST_DATA (docs/models.md); EVAL="--only PART"
	@cargo bench -q --bench eval -- $(EVAL)

deb:  ## the Debian package in target/package, with models, ONNX Runtime, SBOM (docs/release.md)
	@scripts/setup.sh --package
	scripts/deb.sh

testdeb:  ## install, use, upgrade and purge it in a clean Debian 12 (root, debootstrap; some minutes)
	@scripts/test_deb.sh "$$(ls -t target/package/watchpost_*.deb | head -1)"

ctl:  ## watchpostctl alone as a tarball, without native libraries
	@scripts/deb.sh --ctl

yocto-lint:  ## the Yocto layer without a finding: recipes, kas files, shell, the list of crates (docs/yocto.md)
	@yocto/lint.sh

doc:  ## the crate's documentation, in target/doc
	@RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	echo "open target/doc/watchpost/index.html"

clean:  ## everything that was built or fetched
	@rm -rf target
