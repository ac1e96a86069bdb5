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
    while port=$((20000 + RANDOM % 20000)); listens "$port"; do :; done
    echo "$port"
}

# await WHAT COMMAND...: until the command succeeds, 10 s at most
await() {
    local what=$1
    shift
    for _ in {1..100}; do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    echo "demo: $what did not come up within 10 s" >&2
    exit 1
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# camera ID NUMBER URI: a section of the configuration; files play at their own speed
camera() {
    printf '[[camera]]\nid = "%s"\nnumber = %d\nuri = "%s"\n' "$1" "$2" "$3"
    [[ $3 == rtsp:* ]] || echo 'realtime = true'
    echo
}

say "Building (the first time takes some minutes)"
cargo build --release --bins
built=$(realpath "${CARGO_TARGET_DIR:-target}")/release
PATH=$built:$built/examples:/usr/sbin:$PATH

say "The first plates"
watchpost read "$clips/street-a.mp4"

say "Building a test camera (it is in no product build)"
cargo build --release --features testkit --example rtsp_server

say "Making keys, certificates and the broker's configuration"
port=$(free_port)
watchpost init --centre "$work/centre" --dir "$work" --site demo --box box-1 --port "$port" >"$work/init.log"

mosquitto -c "$work/centre/broker/mosquitto.conf" >"$work/broker.log" 2>&1 &
children+=($!)
rtsp_server "$clips/street-a.mp4" 0 >"$work/rtsp.url" 2>"$work/rtsp.log" & # a port of its own choice; it prints its address
children+=($!)
await "mosquitto" listens "$port"
await "the RTSP server" grep -q rtsp: "$work/rtsp.url"

mkdir -p "$work/conf.d"
{
    camera street-a 1 "$clips/street-a.mp4"
    camera street-b 2 "$clips/street-b.mp4"
    camera gate 3 "$(cat "$work/rtsp.url")"
    if [ -f "${WATCHPOST_DATA-}/videos/toll-parkpow.mp4" ]; then
        camera toll 4 "$(realpath "$WATCHPOST_DATA")/videos/toll-parkpow.mp4"
    fi
    cat <<TOML
[vision]
vehicles = "objects-1"

[[hotlist.list]]
id = "watched"
number = 1
file = "$clips/hotlist.csv"
severity = "info"
policy = "confusable"

[[hotlist.list]]
id = "stolen"
number = 2
file = "$clips/hotlist-serious.csv"
severity = "serious"
policy = "confusable"
TOML
} >"$work/conf.d/demo.toml"

say "What the centre sees (verified, acknowledged, each alert once)"
watchpostctl tail --centre "$work/centre" &
centre=$!
children+=("$centre")
SECONDS=0
watchpost run --config "$work/watchpost.toml" --until-eos >"$work/box.log" 2>&1
seconds=$SECONDS
kill -TERM "$centre" # it prints its summary: alerts, duplicates, gaps
wait "$centre"

say "Annotated pictures"
rm -rf "$pictures"
mkdir -p "$pictures/frames"
for clip in street-a street-b; do # a still every two seconds, read like any picture
    gst-launch-1.0 -q filesrc location="$clips/$clip.mp4" ! decodebin ! videorate ! video/x-raw,framerate=1/2 ! videoconvert ! \
        jpegenc quality=92 ! multifilesink location="$pictures/frames/$clip-%02d.jpg"
done
watchpost read --vehicles objects-1 --draw "$pictures" "$pictures"/frames/*.jpg
rm -r "$pictures/frames"

say "Done: the cameras ran for $seconds s; $(find "$pictures" -type f | wc -l) annotated pictures are in ${pictures#"$PWD"/}"
