#!/usr/bin/env bash
# Holds `watchpost bench --like pyloop` against a plain Python loop that does the same work (OpenCV, onnxruntime, paho), in turns.
#
#   bench_pyloop.sh PYLOOP.py MODEL.onnx VIDEO [PAIRS]
#
# The loop takes VIDEO MODEL HOST:PORT --streams N --frames K and prints one JSON line with frames, cpu_ms_per_frame, maxrss_mb, publishes.
# VIDEO is brought to 768×432 H.264 first. Packages of Python go into target/pyloop. PSS is looked at from outside, five times a second.
set -euo pipefail
cd "$(dirname "$0")/.."
loop=$(realpath "${1:?usage: bench_pyloop.sh PYLOOP.py MODEL.onnx VIDEO [PAIRS]}")
model=$(realpath "${2:?a YOLOX of COCO as ONNX}")
video=$(realpath "${3:?a video}")
pairs=${4:-9}
frames=${FRAMES:-300}
watchpost=$(realpath "${CARGO_TARGET_DIR:-target}")/release/watchpost
python=target/pyloop/bin/python

if [ ! -x "$python" ]; then
    python3 -m venv target/pyloop
    "$python" -m pip install -q opencv-python-headless onnxruntime numpy paho-mqtt
fi
mkdir -p target/bench
clip=target/bench/pyloop-768x432.mp4
gst-launch-1.0 -q filesrc location="$video" ! decodebin ! videoscale ! video/x-raw,width=768,height=432 ! videoconvert ! \
    x264enc bitrate=1200 key-int-max=50 bframes=0 speed-preset=faster ! video/x-h264,profile=main ! h264parse ! mp4mux ! filesink location="$clip"

port=$((20000 + RANDOM % 12000))
PATH=$PATH:/usr/sbin mosquitto -p "$port" >target/bench/pyloop-broker.log 2>&1 &
broker=$!
trap 'kill "$broker" 2>/dev/null || true' EXIT
for _ in {1..50}; do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

rows=target/bench/pyloop.jsonl
: >"$rows"
# measure WHO STREAMS COMMAND…: one row of what the command tells of itself, with its most PSS
measure() {
    local who=$1 streams=$2 most=0 pss
    shift 2
    "$@" >target/bench/pyloop.out &
    local pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        pss=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
        [ "${pss:-0}" -gt "$most" ] && most=$pss
        sleep 0.2
    done
    wait "$pid"
    "$python" - "$who" "$streams" "$most" target/bench/pyloop.out >>"$rows" <<'PY'
import json, sys
who, streams, pss, path = sys.argv[1:]
print(json.dumps({"who": who, "streams": int(streams), "pss_mib": round(int(pss) / 1024, 1), **json.loads(open(path).read().splitlines()[-1])}))
PY
    tail -n 1 "$rows"
}

for _ in $(seq "$pairs"); do
    for streams in 1 4; do
        measure pyloop "$streams" "$python" "$loop" "$clip" "$model" "127.0.0.1:$port" --streams "$streams" --frames "$frames"
        measure watchpost "$streams" "$watchpost" bench "$clip" --like pyloop --model "$model" --broker "127.0.0.1:$port" --streams "$streams" --frames "$frames"
    done
done

"$python" - "$rows" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
def of(who, streams, key):
    return [row[key] for row in rows if row["who"] == who and row["streams"] == streams]
print("| streams | | pyloop | watchpost | ratio, median of pairs (least–most) |\n|---|---|---|---|---|")
for streams in (1, 4):
    for key, name in (("cpu_ms_per_frame", "CPU ms a frame"), ("pss_mib", "most PSS, MiB"), ("maxrss_mb", "most RSS, MiB")):
        theirs, ours = of("pyloop", streams, key), of("watchpost", streams, key)
        ratios = [b / a for a, b in zip(theirs, ours)]
        print(f"| {streams} | {name} | {statistics.median(theirs):.1f} | {statistics.median(ours):.1f} | "
              f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f}) |")
PY
