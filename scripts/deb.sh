#!/usr/bin/env bash
# Builds the Debian package and the tarball of watchpostctl: target/package/*.deb, *.tar.gz (docs/release.md).
#
#   scripts/deb.sh [--built] [--ctl] [--revision N]
#
# --built     packs the programs that lie in the release folder of `cargo build --release`, as they are
# --ctl       only watchpostctl, built without the native features, as a tarball
# --revision  Debian's revision, 1 without it
#
# The same commit gives the same bytes wherever it is checked out, with the same Rust and the same Debian: paths of this machine are
# taken out of the programs, times are the commit's. For this it compiles into a folder of its own, target/deb.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$(pwd -P)
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

[ -z "$built$ctl" ] || [ "$built$ctl" = 1 ] || { echo "$0: the tarball is built without native features: --ctl without --built" >&2; exit 2; }

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
out=target/package
mkdir -p "$out/man" "$out/bin"
export CARGO_INCREMENTAL=0

# build FEATURES-AND-PROGRAMS…: into $release, without a path of this machine.
#
# Rust is told by a wrapper: RUSTFLAGS would take the place of those in cargo's configuration. Programs are stripped while they are linked,
# since the linker's build id is a digest of all that it writes: rustc names private symbols otherwise each time, in the same code.
build() {
    local home map crates sysroot
    home=$(realpath -m "${CARGO_HOME:-$HOME/.cargo}") sysroot=$(rustc --print sysroot)
    cargo fetch -q --locked
    map=("$here=/watchpost" "$(realpath -m "$target")=/watchpost/target" "$home=/cargo")
    for crates in "$home"/registry/src/*/; do map+=("${crates%/}=/cargo/crates"); done
    map+=("$sysroot=/rust" "$sysroot/lib/rustlib/src/rust=/rustc/$(rustc -vV | sed -n 's/^commit-hash: //p')")
    { echo '#!/bin/bash'; echo 'case " $* " in *" --crate-type bin "*) set -- "$@" -C strip=symbols ;; esac'; printf 'exec "$@"'; printf ' --remap-path-prefix=%q' "${map[@]}"; echo; } >"$out/rustc.new"
    # Cargo sees nothing of it: what was compiled with other paths (a checkout that was moved) must not be taken again.
    cmp -s "$out/rustc.new" "$out/rustc" || rm -rf "${target:?}/deb"
    mv "$out/rustc.new" "$out/rustc"
    chmod +x "$out/rustc"
    # C and C++ that crates compile; `cc` splits the flags as a shell does.
    map=("$(printf -- ' -ffile-prefix-map=%q' "${map[@]}")")
    CC_SHELL_ESCAPED_FLAGS=1 CFLAGS="${CFLAGS-}${map[*]}" CXXFLAGS="${CXXFLAGS-}${map[*]}" RUSTC_WRAPPER=$here/$out/rustc \
        cargo build --release --locked --target-dir "$target/deb" "$@"
}
release=$target/deb/release
[ -z "$built" ] || release=$target/release

if [ -n "$ctl" ]; then
    build --no-default-features --bin watchpostctl
    name=watchpostctl-$version-$(uname -m)-linux
    rm -rf "$out/$name"
    mkdir -p "$out/$name"
    install -m 755 "$release/watchpostctl" "$out/$name/"
    strip "$out/$name/watchpostctl"
    "$out/$name/watchpostctl" man >"$out/$name/watchpostctl.1"
    for shell in bash zsh fish; do "$out/$name/watchpostctl" completions $shell >"$out/$name/watchpostctl.$shell"; done
    cp LICENSE-MIT LICENSE-APACHE "$out/$name/"
    scripts/sbom.py "$out/$name" --ctl
    tar --sort=name --mode=u=rwX,go=rX --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$out" -c "$name" | gzip -9n >"$out/$name.tar.gz"
    rm -rf "${out:?}/$name"
    say "$(cd "$out" && sha256sum "$name.tar.gz"), $(stat -c %s "$out/$name.tar.gz") bytes"
    exit
fi

[ -n "$built" ] || build --bin watchpost --bin watchpostctl
for program in watchpost watchpostctl; do
    strip -o "$out/bin/$program" "$release/$program"
    "$release/$program" man >"$out/man/$program.1"
    "$release/$program" completions bash >"$out/$program.bash"
    "$release/$program" completions zsh >"$out/_$program"
    "$release/$program" completions fish >"$out/$program.fish"
done
scripts/sbom.py "$out"
gzip -9nc CHANGELOG.md >"$out/changelog.gz"
cat >"$out/changelog" <<EOF
watchpost ($version-$revision) bookworm; urgency=medium

  * What changed: /usr/share/doc/watchpost/changelog.gz

 -- The Watchpost developers <>  $(LC_ALL=C date -Rud "@$SOURCE_DATE_EPOCH")
EOF
cargo deb --no-build --no-strip --locked --deb-revision "$revision" --output "$out/"
package=$(ls -t "$out"/watchpost_*.deb | head -1)
say "$(cd "$out" && sha256sum "$(basename "$package")"), $(stat -c %s "$package") bytes, times of $(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
