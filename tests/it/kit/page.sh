# What a page of the documentation is run in (tests/it/doc_commands.rs): the blocks follow behind this text.
set -eEo pipefail
at= expected= seen=
begin() { at=$1; echo "=== $at"; }
fail() { echo "FAILED at $at: $*" >&2; exit 1; }
failed() {
    local code=$1
    if [ -n "$expected" ]; then
        [ "$code" = "$expected" ] || fail "exit $code, wanted $expected: $2"
        seen=1
    else
        fail "exit $code: $2"
    fi
}
trap 'failed $? "$BASH_COMMAND"' ERR

# beside FILE WORDS: runs it on, and waits until it has said them
beside() {
    (trap - ERR; set +eE; source "$1") >"$1.said" 2>&1 < /dev/null &
    local child=$! n=0
    until grep -qF -- "$2" "$1.said"; do
        kill -0 $child 2>/dev/null || { grep -qF -- "$2" "$1.said" && break; cat "$1.said"; fail "it ended and never said '$2'"; }
        n=$((n + 1))
        [ $n -lt 900 ] || { cat "$1.said"; fail "it never said '$2'"; }
        sleep 0.1
    done
}
say_beside() { local file=$META/$1.sh; cat > "$file"; beside "$file" "$2"; }

need_centre() { watchpost init --centre centre --dir site --site north --box box-1 > "$META/init.said"; }
need_broker() { say_beside broker running <<< 'exec mosquitto -c centre/broker/mosquitto.conf'; }
# The machine has 192.0.2.10 as well.
need_addresses() { ip addr add 192.0.2.10/32 dev lo; }
need_camera() {
    ip addr add 192.0.2.7/32 dev lo
    say_beside camera 'camera ready' <<< 'exec "$CAMERA" --exact doc_commands::camera --nocapture'
}
# A camera `gate` at 192.0.2.7 and its credential, and a list that has what passes there.
need_gate() {
    mkdir -p -m 700 site/data/credentials
    install -m 600 /dev/stdin site/data/credentials/gate <<< 'admin:password'
    mkdir -p site/conf.d
    cat > site/conf.d/page.toml <<TOML
[[camera]]
id = "gate"
number = 1
uri = "rtsp://192.0.2.7/stream1"
credential = "gate"
fps = 4

[[hotlist.list]]
id = "watched"
number = 9
file = "$REPOSITORY/tests/fixtures/hotlist.csv"
severity = "minor"
TOML
}
# The daemon, started again where it fails as systemd does; and a hit, whose id is in HIT.
need_daemon() {
    say_beside daemon 'session with the broker' <<< 'until watchpost run --config site/watchpost.toml; do sleep 1; done'
    local n=0
    until HIT=$(watchpostctl query hits --box box-1 --json --purpose maintenance --case K-1 --centre centre 2>/dev/null | first_hit); do
        n=$((n + 1))
        [ $n -lt 60 ] || fail 'no hit came'
        sleep 1
    done
    export HIT
}
first_hit() { python3 -c 'import json, sys
ids = [row["id"] for row in map(json.loads, sys.stdin) if "id" in row]
print(ids[0])' 2>/dev/null; }
# The packages of docs/examples are of Debian's own Python.
need_python() {
    mkdir "$META/bin"
    ln -s /usr/bin/python3 "$META/bin/python3"
    PATH=$META/bin:$PATH
    python3 -c 'import cbor2, cryptography, tomllib, paho.mqtt.client' || fail 'the packages of docs/examples are missing: scripts/setup.sh --tools'
}
# Two seconds of a street.
need_recording() {
    gst-launch-1.0 -q filesrc "location=$REPOSITORY/tests/fixtures/street-a.mp4" ! qtdemux ! h264parse ! identity eos-after=50 ! \
        mp4mux ! filesink location=recording.mp4
}
# own FOLDER: what the page writes there is in memory, and its own.
own() {
    local over=$META/over$1
    mkdir -p "$over"
    mount -t tmpfs none "$over"
    mkdir "$over/upper" "$over/work"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$over/upper,workdir=$over/work" "$1"
}
need_etc() {
    own /etc
    ln -s "$PWD/site" /etc/watchpost
}
# A machine that nothing of ours was installed on: it finds what the page installs, and not what the tests were built with.
need_machine() {
    local folder
    for folder in /etc /usr/local /var/lib; do
        own "$folder"
        # What is removed below is removed from a layer over it, or not at all.
        [ "$(findmnt -no FSTYPE --target "$folder")" = overlay ] && mountpoint -q "$folder" || { echo "$folder is not the page's own" >&2; exit 1; }
    done
    rm -rf /etc/watchpost /var/lib/watchpost /usr/local/bin/watchpost*
    PATH=/usr/local/bin:$PATH
    unset ORT_DYLIB_PATH
}
# The folder of the sources after `make demo`.
need_built() {
    mkdir -p target/release target/onnxruntime
    ln -s "$(command -v watchpost)" "$(command -v watchpostctl)" target/release/
    ln -s "$ORT_DYLIB_PATH" target/onnxruntime/
}
# A page is root already, in its namespaces.
sudo() { "$@"; }
ip link set lo up
# Where the programs lie far from the repository the models are found here.
[ -e models ] || ln -s "$REPOSITORY/models" models
