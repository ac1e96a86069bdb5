#!/usr/bin/env bash
# Proves that the daemon reads plates under what systemd/watchpost.service forbids it, where systemd is not PID 1 (a container, CI).
#
#   scripts/test_unit.sh WATCHPOST [CLIP]
#
# 1. `systemd-analyze verify`, and the unit's exposure is at most 1.2.
# 2. The unit's namespaces by bubblewrap, everything else by scripts/as_unit.py: `watchpost check decoding`, `watchpost read CLIP` and
#    `watchpost run --until-eos` with a camera that is that clip. Plates have to come out of both.
# 3. systemd-timedated, on a bus of its own, says there that the clock is kept, and then says nothing: `watchpost check clock` follows.
# 4. Memory that can be written and run is refused there: the restrictions are really in force.
#
# Writes to a folder below TMPDIR, and removes it.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'test_unit: %s\n' "$*"; }
fail() { printf 'test_unit: %s\n' "$*" >&2; exit 1; }
[ $# -ge 1 ] || fail "usage: $0 WATCHPOST [CLIP]"
program=$(realpath "$1")
clip=$(realpath "${2-$here/tests/fixtures/street-a.mp4}")
unit=$here/systemd/watchpost.service
most=12 # tenths

for tool in systemd-analyze bwrap python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing: scripts/setup.sh installs it"
done
work=$(mktemp -d)
children=()
trap 'for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done; rm -rf "$work"' EXIT

# --- the file

# The program lies elsewhere here; the words that verify has about that are of no interest.
for name in watchpost.service watchpost-firstboot.service; do
    sed -E "s,^(ExecStart|ExecReload|ExecStartPre)=([-+]*)/usr/(bin|lib/watchpost)/[a-z-]+,\1=\2/bin/true," "$here/systemd/$name" >"$work/$name"
done
SYSTEMD_UNIT_PATH="$work:" systemd-analyze --no-pager --man=no verify "$work/watchpost.service" "$work/watchpost-firstboot.service" >"$work/verify" 2>&1 ||
    { cat "$work/verify" >&2; fail "systemd-analyze verify does not like the units"; }
# A word that this systemd does not know is a warning there, and a restriction less.
if grep -E 'watchpost.*(Unknown|ignoring|Failed to parse)' "$work/verify"; then fail "the units have words that this systemd does not know"; fi
systemd-analyze --no-pager security --offline=true --threshold=$most "$unit" >"$work/security" ||
    { cat "$work/security" >&2; fail "the unit's exposure is above 1.2"; }
say "$(tail -1 "$work/security" | sed 's/^[^A-Za-z]*//')"

# --- the restrictions

mkdir "$work/state" "$work/run" "$work/etc"
cat >"$work/etc/watchpost.toml" <<EOF
[box]
site = "north"
id = "box-1"
data_dir = "$work/state"

[[camera]]
id = "street"
number = 1
uri = "file://$clip"
EOF
mkdir -m 700 "$work/state/keys"
head -c 32 /dev/urandom >"$work/state/keys/store.key"
chmod 600 "$work/state/keys/store.key"

# ProtectSystem=strict, ProtectHome=, PrivateTmp=, PrivateIPC=, PrivateUsers=, PrivateMounts=, DevicePolicy=closed. Homes that the
# program, its library or the clip lie in stay, read-only.
walls=(bwrap --die-with-parent --unshare-user --unshare-ipc --unshare-uts --unshare-cgroup-try --uid 990 --gid 990
    --ro-bind / / --dev /dev --proc /proc --tmpfs /dev/shm --tmpfs /var/tmp --tmpfs /mnt
    --bind "$work/state" "$work/state" --bind "$work/run" "$work/run"
    --setenv RUNTIME_DIRECTORY "$work/run" --setenv HOME "$work/run" --setenv GST_REGISTRY "$work/run/gstreamer-registry.bin")
means="bubblewrap's namespaces and scripts/as_unit.py"
if ! "${walls[@]}" true 2>"$work/bwrap"; then
    say "no namespaces here ($(head -1 "$work/bwrap")): without them"
    walls=(env RUNTIME_DIRECTORY="$work/run" HOME="$work/run" GST_REGISTRY="$work/run/gstreamer-registry.bin")
    means="scripts/as_unit.py alone"
    export WITHOUT_WALLS=1
fi
inside() { "${walls[@]}" python3 "$here/scripts/as_unit.py" "$unit" "$@"; }
say "PID 1 is $(cat /proc/1/comm); restricted by $means"

# In force at all? orc and others would do just this.
inside python3 - <<'EOF' 2>"$work/told" || { cat "$work/told" >&2; fail "the restrictions are not in force"; }
import ctypes, errno, mmap, os, socket
def refused(what):
    try:
        what()
    except (OSError, PermissionError):
        return
    raise SystemExit("not refused: " + what.__name__)
def writable_code(): mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
def raw_packets(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
def netlink(): socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
def system_files(): open("/usr/watchpost-was-here", "w")
for what in (writable_code, raw_packets, netlink): refused(what)
if "WITHOUT_WALLS" not in os.environ: refused(system_files)
libc = ctypes.CDLL(None, use_errno=True)
for call in (lambda: libc.unshare(0x10000000), lambda: libc.mount(b"none", b"/mnt", b"tmpfs", 0, None), lambda: libc.ptrace(0, 0, 0, 0)):
    if call() != -1: raise SystemExit("a call is not refused")
EOF
sed -n 's/^as_unit: /test_unit: in force: /p' "$work/told"

inside "$program" check --config "$work/etc/watchpost.toml" decoding 2>"$work/told" | sed 's/^/  /' || fail "check decoding: $(tail -3 "$work/told")"
inside "$program" read --json "$clip" >"$work/read" 2>"$work/told" || { cat "$work/told" >&2; fail "watchpost read failed under the unit's restrictions"; }
reads=$(grep -o '"plate":"[^"]*"' "$work/read" | sort -u | wc -l)
[ "$reads" -gt 0 ] || { cat "$work/read" >&2; fail "watchpost read saw no plate under the unit's restrictions"; }
say "read: $reads plates of $(basename "$clip")"

inside "$program" run --config "$work/etc/watchpost.toml" --until-eos >"$work/ran" 2>"$work/told" ||
    { cat "$work/ran" "$work/told" >&2; fail "watchpost run failed under the unit's restrictions"; }
stored=$(awk '$1 == "street" { print $6 }' "$work/ran")
[ "${stored:-0}" -gt 0 ] || { cat "$work/ran" "$work/told" >&2; fail "watchpost run stored no read under the unit's restrictions"; }
say "run --until-eos: $stored reads stored"
! grep -iE 'orc.*(fail|error)|not fenced' "$work/told" || fail "see above"
# --- the clock: the unit forbids asking the kernel, so systemd-timedated is asked over the system bus

if ! command -v dbus-daemon >/dev/null || ! command -v cc >/dev/null || [ ! -x /usr/lib/systemd/systemd-timedated ]; then
    say "no dbus-daemon, cc or systemd-timedated here: the clock is not tried"
else
    cat >"$work/bus.conf" <<EOF
<busconfig><listen>unix:path=$work/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
EOF
    # What the kernel says when a time service keeps its clock.
    echo '#include <string.h>
#include <sys/timex.h>
int adjtimex(struct timex *t) { memset(t, 0, sizeof *t); return TIME_OK; }' | cc -shared -fPIC -x c -o "$work/kept.so" -
    dbus-daemon --config-file="$work/bus.conf" --nofork 2>"$work/bus.log" & children+=($!)
    export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$work/run/bus
    for _ in $(seq 50); do [ -S "$work/run/bus" ] && break; sleep 0.1; done
    LD_PRELOAD=$work/kept.so /usr/lib/systemd/systemd-timedated 2>"$work/timedated.log" & timedated=$!
    children+=("$timedated")
    [ ! -e /run/systemd/timesync/synchronized ] || say "systemd-timesyncd keeps this machine's clock: that the question is asked is not shown"
    asked() { inside "$program" check --config "$work/etc/watchpost.toml" clock 2>/dev/null; }
    for _ in $(seq 5); do
        asked >"$work/clock" || true
        grep -q 'Z, kept by a time service' "$work/clock" && break
        sleep 1
    done
    grep -q 'Z, kept by a time service' "$work/clock" || { cat "$work/clock" "$work"/*.log >&2; fail "systemd-timedated is not asked, or not believed"; }
    kill "$timedated"
    wait "$timedated" 2>/dev/null || true
    unset 'children[-1]'
    asked >"$work/clock" || true
    grep -q 'not known to be kept' "$work/clock" || [ -e /run/systemd/timesync/synchronized ] ||
        { cat "$work/clock" >&2; fail "the clock is said to be kept, and nobody said so"; }
    say "clock: kept where systemd-timedated says so, not known to be where it does not answer"
fi

say "fine"
