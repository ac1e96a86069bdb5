#!/usr/bin/env bash
# A box and its centre on this machine, from key generation to verified alerts: `make demo`.
#
# Three cameras (two files, one RTSP stream on loopback) play drawn street clips; a mosquitto with TLS, client certificates
# and the generated ACL carries the alerts; `watchpostctl tail` is the centre. With WATCHPOST_DATA set, a real clip plays too.
# Everything lives in a temporary folder; the annotated pictures stay in target/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

clips=$PWD/tests/fixtures
pictures=$PWD/target/demo
work=$(mktemp -d)
children=()

finish() {
    local code=$?
    trap - EXIT INT TERM
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    for child in "${children[@]}"; do wait "$child" 2>/dev/null || true; done
    if [ $code -ne 0 ]; then
        for log in "$work"/*.log; do [ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 15 "$log"; }; done >&2
    fi
    rm -rf "$work"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 20000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# until_port PORT NAME: waits until something listens there, 10 s at most
until_port() {
    for _ in {1..100}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    echo "demo: $2 does not listen on port $1" >&2
    exit 1
}

# camera ID NUMBER URI [LINE ...]
camera() {
    printf '[[camera]]\nid = "%s"\nnumber = %d\nuri = "%s"\n' "$1" "$2" "$3"
    shift 3
    printf '%s\n' "$@" ''
}

say "Building (the first time takes some minutes)"
cargo build --release --features testkit --bins --example rtsp_server
PATH=$PWD/target/release:$PWD/target/release/examples:/usr/sbin:$PATH

say "Making keys, certificates and the broker's configuration"
broker_port=$(free_port)
rtsp_port=$(free_port)
watchpost init --centre "$work" --port "$broker_port"

mkdir -p "$work/conf.d"
{
    camera street-a 1 "file://$clips/street-a.mp4"
    camera street-b 2 "file://$clips/street-b.mp4"
    camera gate 3 "rtsp://127.0.0.1:$rtsp_port/stream"
    if [ -f "${WATCHPOST_DATA-}/videos/toll-parkpow.mp4" ]; then
        camera toll 4 "file://$(realpath "$WATCHPOST_DATA")/videos/toll-parkpow.mp4"
    fi
    cat <<TOML
[[hotlist.list]]
id = "watched"
number = 1
file = "$clips/hotlist.csv"
severity = "info"
match = "confusable"

[[hotlist.list]]
id = "stolen"
number = 2
file = "$clips/hotlist-serious.csv"
severity = "serious"
match = "confusable"
TOML
} >"$work/conf.d/demo.toml"

mosquitto -c "$work/centre/broker/mosquitto.conf" >"$work/broker.log" 2>&1 &
children+=($!)
rtsp_server "$clips/street-a.mp4" "$rtsp_port" >"$work/rtsp.log" 2>&1 &
children+=($!)
until_port "$broker_port" mosquitto
until_port "$rtsp_port" "the RTSP server"

say "What the centre sees (verified, acknowledged, each alert once)"
watchpostctl --centre "$work/centre" tail &
centre=$!
children+=("$centre")
SECONDS=0
watchpost run --config "$work/watchpost.toml" --until-eos >"$work/box.log" 2>&1
seconds=$SECONDS
kill -INT "$centre" # it prints its summary: alerts, duplicates, gaps
wait "$centre" || true

say "Annotated pictures"
rm -rf "$pictures"
mkdir -p "$pictures/frames"
for clip in street-a street-b; do # a still every two seconds, read like any picture
    gst-launch-1.0 -q filesrc location="$clips/$clip.mp4" ! decodebin ! videorate ! video/x-raw,framerate=1/2 ! videoconvert ! \
        jpegenc quality=92 ! multifilesink location="$pictures/frames/$clip-%02d.jpg"
done
watchpost read --draw "$pictures" "$pictures"/frames/*.jpg
rm -r "$pictures/frames"

say "Done: the cameras ran for $seconds s; $(find "$pictures" -type f | wc -l) annotated pictures are in ${pictures#"$PWD"/}"
