#!/usr/bin/env bash
# Builds the Debian package and the tarball of watchpostctl: target/package/*.deb, *.tar.gz (docs/release.md).
#
#   scripts/deb.sh [--built] [--ctl] [--revision N]
#
# --built     packs the programs that lie in the release folder, as they are
# --ctl       only watchpostctl, built without the native features, as a tarball
# --revision  Debian's revision, 1 without it
#
# The same commit gives the same bytes wherever it is checked out, with the same Rust and the same Debian: paths of this machine are
# taken out of the programs, times are the commit's.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'deb: %s\n' "$*"; }

built='' ctl='' revision=1
while [ $# -gt 0 ]; do
    case $1 in
    --built) built=1 ;;
    --ctl) ctl=1 ;;
    --revision) revision=$2; shift ;;
    *) echo "usage: $0 [--built] [--ctl] [--revision N]" >&2; exit 2 ;;
    esac
    shift
done

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
out=target/package
mkdir -p "$out/man" "$out/bin"
export CARGO_INCREMENTAL=0
remap="--remap-path-prefix=$PWD=/watchpost --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$(rustc --print sysroot)=/rust"

if [ -n "$ctl" ]; then
    [ -n "$built" ] || RUSTFLAGS="${RUSTFLAGS-} $remap" cargo build --release --locked --no-default-features --bin watchpostctl --target-dir "$target/ctl"
    name=watchpostctl-$version-$(uname -m)-linux
    rm -rf "$out/$name"
    mkdir -p "$out/$name"
    install -m 755 "$target/ctl/release/watchpostctl" "$out/$name/"
    strip "$out/$name/watchpostctl"
    "$out/$name/watchpostctl" man >"$out/$name/watchpostctl.1"
    for shell in bash zsh fish; do "$out/$name/watchpostctl" completions $shell >"$out/$name/watchpostctl.$shell"; done
    cp LICENSE-MIT LICENSE-APACHE "$out/$name/"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$out" -c "$name" | gzip -9n >"$out/$name.tar.gz"
    rm -rf "${out:?}/$name"
    say "$(cd "$out" && sha256sum "$name.tar.gz"), $(stat -c %s "$out/$name.tar.gz") bytes"
    exit
fi

[ -n "$built" ] || RUSTFLAGS="${RUSTFLAGS-} $remap" cargo build --release --locked --bin watchpost --bin watchpostctl
for program in watchpost watchpostctl; do
    strip -o "$out/bin/$program" "$target/release/$program"
    "$target/release/$program" man >"$out/man/$program.1"
    "$target/release/$program" completions bash >"$out/$program.bash"
    "$target/release/$program" completions zsh >"$out/_$program"
    "$target/release/$program" completions fish >"$out/$program.fish"
done
scripts/sbom.py "$out"
cargo deb --no-build --no-strip --locked --deb-revision "$revision" --output "$out/"
package=$(ls -t "$out"/watchpost_*.deb | head -1)
say "$(cd "$out" && sha256sum "$(basename "$package")"), $(stat -c %s "$package") bytes, times of $(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
