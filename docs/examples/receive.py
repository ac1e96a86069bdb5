#!/usr/bin/env python3
"""The receiving side of a centre, whole and small: verifies, stores, acknowledges, and watches the audit logs.

For people who write their own centre; docs/for-centre-developers.md goes through it step by step. Envelope, folder and
session are those of centre.py beside it.

    receive.py DIR --db alerts.db --count 3

What was acknowledged is in the database, durably; the same message twice is one row. JSON on stdout, an object a row.
"""

import argparse, base64, hashlib, json, sqlite3, sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_pem_private_key, load_pem_public_key)

import cbor2
from centre import SEVERITIES, STAGES, Centre, sign, verify

DELIVERY = 0        # role of a key in the keyring, docs/wire.cddl
MOST_RANGES = 16    # of an ack

TABLES = """
create table if not exists alert (box text, epoch blob, seq integer, topic text, message blob,
                                  primary key (box, epoch, seq)) strict;
create table if not exists shed (box text, epoch blob, first integer, last integer) strict;
create table if not exists head (box text, log text, size integer, root text, note blob, primary key (box, log)) strict;
"""


class Refused(Exception):
    pass


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Receiver:
    def __init__(self, folder, file):
        self.centre = Centre(folder)
        self.db = sqlite3.connect(file, isolation_level=None)
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = full")        # committed is on the medium
        self.db.executescript(TABLES)
        self.key = self.delivery_key()

    def delivery_key(self):
        """The key that signs acks; refused here and now when no box would believe it."""
        folder = self.centre.folder
        key = load_pem_private_key((folder / "keys/delivery.key").read_bytes(), None)
        root = load_pem_public_key((folder / "root.pub").read_bytes())
        keyring = verify((folder / "keyring.cbor").read_bytes(), "watchpost keyring 1", root)
        entry = next((entry for entry in keyring[3] if entry[0] == raw(key.public_key())), None)
        if entry is None or entry[2] != DELIVERY:
            sys.exit("delivery.key is no delivery key of the keyring that the root signed")
        return key

    def alert(self, site, box, topic, message):
        """Stores an entry of a box's outbox; what it has of that box's epoch, when it is to be acknowledged."""
        entry = verify(message, topic, self.centre.boxes[box][1])
        if entry[0] != 1:
            raise Refused(f"version {entry[0]}")
        severity = topic.rsplit("/", 1)[1]
        is_shed = severity == "shed"
        if not is_shed and SEVERITIES[entry[5]] != severity:
            raise Refused("an alert under the topic of another severity")
        epoch, seq = (entry[1], entry[2]) if is_shed else (entry[2], entry[3])
        self.db.execute("begin")
        new = self.db.execute("insert or ignore into alert values (?, ?, ?, ?, ?)",
                              (box, epoch, seq, topic, message)).rowcount
        if new and is_shed:
            self.db.execute("insert into shed values (?, ?, ?, ?)", (box, epoch, entry[3], entry[4]))
        self.db.execute("commit")
        if new and not is_shed:
            self.show(box, entry)
        ack = cbor2.dumps(self.has(box, epoch))
        to = f"{self.centre.root}/{site}/{box}/ack"
        return to, sign(ack, to, self.key), bool(new) and not is_shed

    def has(self, box, epoch):
        """An ack of wire.cddl: all up to a number, and ranges above it."""
        rows = self.db.execute("select seq, seq from alert where box = ?1 and epoch = ?2 "
                               "union select first, last from shed where box = ?1 and epoch = ?2 order by 1", (box, epoch))
        ranges = []
        for first, last in rows:
            if ranges and first <= ranges[-1][1] + 1:
                ranges[-1][1] = max(ranges[-1][1], last)
            else:
                ranges.append([first, last])
        upto = ranges.pop(0)[1] if ranges and ranges[0][0] == 1 else 0
        return {0: 1, 1: epoch, 2: upto, 3: ranges[-MOST_RANGES:]}

    def show(self, box, alert):
        print(json.dumps({"box": box, "id": alert[1].hex(), "seq": alert[3], "stage": STAGES[alert[4]],
                          "severity": SEVERITIES[alert[5]], "time_ms": alert[6], "camera": alert[8],
                          "plate": alert.get(10), "confidence": alert.get(11, 0) / 1000}), flush=True)

    def checkpoint(self, site, box, note):
        """Keeps the newest head of a box's audit log; refuses one that is shorter, or other at the same size."""
        text, _, signatures = note.decode().partition("\n\n")
        origin, size, root, log = (text + "\n").split("\n")[:4]
        if origin != f"watchpost/{site}/{box}":
            raise Refused("a checkpoint of another box")
        key = self.centre.boxes[box][1]
        name = hashlib.sha256(origin.encode() + b"\n\x01" + raw(key)).digest()[:4]
        wanted = [base64.b64decode(line.rsplit(" ", 1)[1]) for line in signatures.splitlines()
                  if line.startswith(f"— {origin} ")]
        signature = next((bytes[4:] for bytes in wanted if bytes[:4] == name), None)
        if signature is None:
            raise Refused("a checkpoint by another key")
        key.verify(signature, (text + "\n").encode())
        before = self.db.execute("select size, root from head where box = ? and log = ?", (box, log)).fetchone()
        if before and (int(size) < before[0] or (int(size) == before[0] and root != before[1])):
            raise Refused(f"ALARM: the audit log of {box} had {before[0]} records and has {size}")
        self.db.execute("insert or replace into head values (?, ?, ?, ?, ?)", (box, log, int(size), root, note))

    def run(self, count):
        root = self.centre.root
        session, heard = self.centre.connect(f"{root}/+/+/alert/+", f"{root}/+/+/audit")
        while count > 0:
            topic, message = heard.get(timeout=120)
            site, box, kind = topic.removeprefix(root + "/").split("/")[:3]
            try:
                if self.centre.boxes.get(box, (None,))[0] != site:
                    raise Refused("no box of the registry")
                if kind == "audit":
                    self.checkpoint(site, box, message)
                    continue
                to, ack, is_new = self.alert(site, box, topic, message)
            except (InvalidSignature, Refused, cbor2.CBORDecodeError, ValueError, KeyError, IndexError) as why:
                print(f"{topic}: refused: {why!r}", file=sys.stderr, flush=True)
                continue
            session.publish(to, ack, qos=1).wait_for_publish(10)
            count -= is_new
        session.disconnect()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("centre", metavar="DIR", help="the centre's folder")
    parser.add_argument("--db", default="alerts.db", help="where alerts are stored")
    parser.add_argument("--count", type=int, default=10**9, help="end after so many")
    args = parser.parse_args()
    Receiver(Path(args.centre), args.db).run(args.count)


if __name__ == "__main__":
    main()
