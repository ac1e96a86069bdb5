#!/usr/bin/env bash
# Makes a 1920×1080 H.264 clip (25 fps, a key frame every 2 s) of the drawn street, to measure on: bench_clip.sh TARGET.mp4
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?usage: bench_clip.sh TARGET.mp4}
[ -s "$target" ] && exit 0
mkdir -p "$(dirname "$target")"
gst-launch-1.0 -q filesrc location=tests/fixtures/street-a.mp4 ! qtdemux ! h264parse ! avdec_h264 ! videoscale method=lanczos ! \
    video/x-raw,width=1920,height=1080 ! videoconvert ! x264enc bitrate=4000 key-int-max=50 bframes=0 speed-preset=faster ! \
    video/x-h264,profile=main ! h264parse ! mp4mux ! filesink location="$target.part"
mv "$target.part" "$target"
