#!/usr/bin/env bash
# Installs the Debian package into a clean Debian 12, uses it, upgrades it, goes back, and purges it.
#
#   sudo scripts/test_deb.sh PACKAGE.deb [--base FOLDER]
#
# Needs root, debootstrap, and this machine's own package sources, which are used as they are configured. With --base the folder is
# copied instead of calling debootstrap (a minimal Debian 12, for a second try). Everything happens in a folder below TMPDIR, in a mount namespace
# of its own: when this ends, in whatever way, no mount is left; the folder goes as well, unless this is killed by force.
# Some minutes: not a part of `make test`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'test_deb: %4d s  %s\n' "$SECONDS" "$*"; }
fail() { printf 'test_deb: %s\n' "$*" >&2; exit 1; }

package=$(realpath "${1:?usage: $0 PACKAGE.deb [--base FOLDER]}")
base=''
if [ "${2-}" = --base ]; then base=$(realpath "$3"); fi
[ "$(id -u)" -eq 0 ] || fail "a chroot needs root: sudo $0 $*"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
if [ -z "${WATCHPOST_UNSHARED-}" ]; then
    WATCHPOST_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

work=$(mktemp -d)
root=$work/root
broker='' centre=''
finish() {
    code=$?
    for started in $centre $broker; do kill "$started" 2>/dev/null || true; done
    # The namespace takes what is mounted along; without a mount inside, nothing but the folder is removed.
    umount "$root/proc" 2>/dev/null || umount -l "$root/proc" 2>/dev/null || true
    if mountpoint -q "$root/proc"; then echo "test_deb: $root/proc stays mounted, the folder is left" >&2; exit 1; fi
    rm -rf --one-file-system "$work"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# Caches that libraries put into a person's home are no part of the package: here they go to /tmp.
clean=(/usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
inside() { chroot "$root" "${clean[@]}" "$@"; }
apt() { inside apt-get -qq -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false "$@" >"$work/apt.log" 2>&1 || { tail -30 "$work/apt.log" >&2; fail "apt-get $*"; }; }
# Every path, but what dpkg, apt and ld keep for themselves.
paths() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \) -prune -o -print | sort); }
users() { cut -d: -f1 "$root/etc/passwd" "$root/etc/group" | sort; }

# --- a clean Debian 12

sources() { apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' | sort -u | awk '$3 ~ /^bookworm/ && $4 == "main"'; }
main=$(sources | awk '$3 == "bookworm" { print $1; exit }')
[ -n "$main" ] || fail "no package source of Debian 12 (bookworm) is configured here, or apt-get update was never run"
if [ -n "$base" ]; then cp -a "$base" "$root"; else debootstrap --variant=minbase bookworm "$root" "$main" >"$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log" >&2; fail "debootstrap failed"; }; fi
mount -t proc proc "$root/proc"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump Acquire | grep -iE '^Acquire::(http|https)::.*proxy' >"$root/etc/apt/apt.conf.d/90host" || true
sources | awk '{ print "deb " $1 " " $3 " " $4 }' | sort -u >"$root/etc/apt/sources.list"
# Nothing is started in a chroot.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
apt update
say "a clean Debian 12: $(inside dpkg-query -W -f='.' | wc -c) packages"

# --- install

cp "$package" "$root/tmp/watchpost_first.deb"
# What apt brings along goes in first, so that it can be told what of ours a purge leaves.
inside apt-get -s -o APT::Install-Recommends=false install /tmp/watchpost_first.deb >"$work/plan" || fail "apt-get can't install it: $(tail -5 "$work/plan")"
mapfile -t along < <(sed -n 's/^Inst \([^ ]*\) .*/\1/p' "$work/plan" | grep -vx watchpost)
apt install "${along[@]}" mosquitto
say "${#along[@]} packages that it needs, and a broker for this test"
# The key of this chroot that SEAL=host seals to is systemd's.
inside systemd-creds setup 2>/dev/null
# udev's group, which any box has that was ever booted; without udev the user's groups would bring it, and it is not ours to delete.
inside sh -c 'getent group render >/dev/null || groupadd --system render'
paths >"$work/before"
users >"$work/users-before"
begin=$SECONDS
apt install /tmp/watchpost_first.deb
say "apt install ./$(basename "$package"): $((SECONDS - begin)) s"
inside dpkg --verify watchpost
inside watchpost --version >/dev/null
inside watchpostctl --version >/dev/null
for page in watchpost watchpostctl; do [ -f "$root/usr/share/man/man1/$page.1.gz" ] || fail "no man page of $page"; done
for unit in watchpost watchpost-firstboot; do inside systemctl --root=/ is-enabled "$unit.service" >/dev/null || fail "$unit is not enabled"; done

# --- first boot, with the key sealed (to a key of this chroot: there is no TPM)

inside env SEAL=host BOX=box-1 /usr/lib/watchpost/firstboot >"$work/firstboot" 2>&1 || { cat "$work/firstboot" >&2; fail "the first boot failed"; }
[ ! -e "$root/var/lib/watchpost/keys/store.key" ] || { cat "$work/firstboot" >&2; fail "the plain store key is still there"; }
[ ! -e "$root/etc/watchpost/.firstboot" ] || fail "the first boot did not end"
inside mkdir -m 700 /tmp/credentials
inside systemd-creds decrypt --name=store.key /etc/credstore.encrypted/watchpost-store.key /tmp/credentials/store.key
[ "$(stat -c %s "$root/tmp/credentials/store.key")" -eq 32 ] || fail "the sealed key is not the key"
inside chmod 400 /tmp/credentials/store.key
inside env CREDENTIALS_DIRECTORY=/tmp/credentials watchpost check keys >"$work/keys" || true
grep -q 'a systemd credential' "$work/keys" || fail "check does not see the credential"
inside rm -rf /tmp/credentials /var/lib/watchpost /etc/watchpost /etc/credstore.encrypted
# A name out of the machine's id.
inside env SEAL=no /usr/lib/watchpost/firstboot >/dev/null 2>&1 || fail "the first boot without a name failed"
grep -qE '^id = "box-[0-9a-f]{12}"$' "$root/etc/watchpost/watchpost.toml" || fail "the box has no name of its own"
inside rm -rf /var/lib/watchpost /etc/watchpost
say "first boot: names, keys, the store key sealed and opened"

# --- a box and its centre

cp "$here/tests/fixtures/street-a.mp4" "$here/tests/fixtures/hotlist.csv" "$root/srv/"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
inside watchpost init --centre /srv/centre --site north --box box-1 --port "$port" >/dev/null
cat >>"$root/etc/watchpost/watchpost.toml" <<EOF

[[camera]]
id = "gate"
number = 1
uri = "rtsp://127.0.0.1:9/stream1"

[[hotlist.list]]
id = "stolen"
number = 1
file = "/srv/hotlist.csv"
severity = "serious"
EOF
inside systemd-tmpfiles --create watchpost.conf
inside chown -R watchpost:watchpost /var/lib/watchpost
# Not by the function: what is ended then has to be the program itself.
chroot "$root" "${clean[@]}" mosquitto -c /srv/centre/broker/mosquitto.conf >"$work/broker.log" 2>&1 &
broker=$!
sleep 1
as_daemon() { inside env HOME=/var/lib/watchpost GSETTINGS_BACKEND=memory setpriv --reuid=watchpost --regid=watchpost --init-groups --no-new-privs --bounding-set=-all "$@"; }
as_daemon watchpost check --json >"$work/check" || true
python3 - "$work/check" <<'EOF' || fail "watchpost check has something to say besides the camera"
import json, sys
text = open(sys.argv[1]).read()
try:
    found = json.loads(text)
    found = found.get("findings", found) if isinstance(found, dict) else found
except ValueError:
    found = [json.loads(line) for line in text.splitlines()]
bad = [f for f in found if f["level"] == "failure" and f["check"] != "cameras"]
for f in found:
    if f["level"] != "ok":
        print(f"test_deb:         {f['level']}: {f['check']}: {f['what']}")
assert len(found) > 10, text
sys.exit(bool(bad))
EOF
say "watchpost check: no failure but for the camera"
inside watchpost read /srv/street-a.mp4 --json >"$work/read"
reads=$(grep -o '"plate":"[^"]*"' "$work/read" | sort -u | wc -l)
[ "$reads" -gt 0 ] || fail "watchpost read saw no plate"
say "watchpost read: $reads plates of street-a.mp4"
sed -i 's,^uri = .*,uri = "file:///srv/street-a.mp4",' "$root/etc/watchpost/watchpost.toml"
chroot "$root" "${clean[@]}" watchpostctl --centre /srv/centre tail >"$work/tail" 2>&1 &
centre=$!
as_daemon watchpost run --until-eos >"$work/run" 2>&1 || { cat "$work/run" >&2; fail "watchpost run failed as the unit's user"; }
[ "$(awk '$1 == "gate" { print $6 }' "$work/run")" -gt 0 ] || { cat "$work/run" >&2; fail "no read was stored"; }
kill "$centre" && wait "$centre" 2>/dev/null || true
centre=''
say "watchpost run, as user watchpost: $(awk '$1 == "gate" { print $6 " reads, " $8 " hits" }' "$work/run"); $(grep '^alerts' "$work/run")"

# --- upgrade, and back

digest() { (cd "$root" && find var/lib/watchpost etc/watchpost etc/default/watchpost -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum); }
echo 'SITE=mine' >>"$root/etc/default/watchpost"
was=$(digest)
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
echo '# another version' >>"$work/next/etc/default/watchpost"
dpkg-deb --root-owner-group -Znone -b "$work/next" "$root/tmp/watchpost_next.deb" >/dev/null
apt -o Dpkg::Options::=--force-confold install /tmp/watchpost_next.deb
inside dpkg-query -W -f='${Version}' watchpost | grep -q '+next$' || fail "the upgrade did not happen"
[ "$(digest)" = "$was" ] || fail "the upgrade changed configuration or state"
as_daemon watchpost check store keys config >/dev/null || fail "the store does not open after the upgrade"
apt -o Dpkg::Options::=--force-confold --allow-downgrades install /tmp/watchpost_first.deb
[ "$(digest)" = "$was" ] || fail "going back changed configuration or state"
say "upgrade and back: configuration, conffile and state as they were"

# --- remove, and purge

apt remove watchpost
[ "$(digest)" = "$was" ] || fail "removing changed configuration or state"
kill "$broker" && wait "$broker" 2>/dev/null || true
broker=''
apt purge watchpost
inside rm -rf /srv/centre /srv/street-a.mp4 /srv/hotlist.csv
paths >"$work/after"
users >"$work/users-after"
diff "$work/before" "$work/after" >"$work/left" || { cat "$work/left" >&2; fail "purge left something, or took too much"; }
diff "$work/users-before" "$work/users-after" >"$work/left" || { cat "$work/left" >&2; fail "purge left users or groups"; }
say "purge: $(wc -l <"$work/after") paths, users and groups are the same as before"
say "fine"
