#!/usr/bin/env python3
"""A centre in one page: verifies alerts, and asks a box for reads.

For people who write their own centre. Everything on the wire is in docs/wire.cddl; this is the part one begins with, with
public libraries alone (requirements.txt): CBOR, Ed25519, MQTT. DIR is a centre's folder as `watchpost init --centre DIR`
makes it.

    centre.py DIR alerts --count 3
    centre.py DIR query box-1 'AB12*' --purpose crime-investigation --case K-17

What is printed is verified: JSON, one object a line. It does not acknowledge alerts: that is for who has stored them
(docs/mqtt.md, "Delivery").
"""

import argparse, base64, hashlib, json, os, queue, sys, time, tomllib
from pathlib import Path

import cbor2
import paho.mqtt.client as mqtt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_der_public_key, load_pem_private_key, load_pem_public_key)

EDDSA, ALG, KID = -8, 1, 4                              # RFC 9053, RFC 9052
ISS, SUB, AUD, EXP, IAT, CTI = 1, 2, 3, 4, 6, 7         # CWT claims, RFC 8392
VERSION, PURPOSE, CASE, ARGS = -65537, -65538, -65539, -65540
STAGES = ["new", "update", "end"]
SEVERITIES = ["info", "minor", "serious", "critical"]
STATUSES = ["accepted", "executing", "successful", "failed", "denied", "expired", "duplicate", "busy"]
PURPOSES = ["stolen-vehicle", "missing-person", "wanted-person", "crime-investigation", "traffic", "emergency",
            "data-subject", "maintenance"]


# --- COSE_Sign1 with Ed25519: protected header {1: -8, 4: kid}, the topic as external_aad

def kid(public):
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).digest()[:8]


def to_be_signed(protected, aad, payload):
    return cbor2.dumps(["Signature1", protected, aad.encode(), payload])


def sign(payload, aad, key):
    protected = cbor2.dumps({ALG: EDDSA, KID: kid(key.public_key())})
    return cbor2.dumps([protected, {}, payload, key.sign(to_be_signed(protected, aad, payload))])


def verify(message, aad, public):
    """The payload, decoded; InvalidSignature when it is not that key's for that topic."""
    protected, unprotected, payload, signature = cbor2.loads(message)
    if unprotected or protected != cbor2.dumps({ALG: EDDSA, KID: kid(public)}):
        raise InvalidSignature("signed by another key or algorithm")
    public.verify(signature, to_be_signed(protected, aad, payload))
    return cbor2.loads(payload)


# --- the centre's folder

class Centre:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.files = tomllib.loads((self.folder / "watchpostctl.toml").read_text())
        self.root = self.files.get("topic_root", "watchpost/v1")
        boxes = tomllib.loads((self.folder / self.files["boxes"]).read_text())["box"]
        self.boxes = {box["id"]: (box["site"], load_der_public_key(base64.b64decode(box["public_key"]))) for box in boxes}

    def key(self, role):
        """A person's key, and what the keyring, signed by the root, calls it."""
        key = load_pem_private_key((self.folder / "keys" / f"{role}.key").read_bytes(), None)
        root = load_pem_public_key((self.folder / "root.pub").read_bytes())
        keyring = verify((self.folder / "keyring.cbor").read_bytes(), "watchpost keyring 1", root)
        mine = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return key, next(entry[1] for entry in keyring[3] if entry[0] == mine)

    def connect(self, *topics):
        """An MQTT session; gives it and a queue of what comes under `topics`."""
        heard, ready = queue.Queue(), queue.Queue()
        session = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, f"example-{os.getpid()}", protocol=mqtt.MQTTv5)
        files = [str(self.folder / self.files[name]) for name in ("ca", "certificate", "private_key")]
        session.tls_set(*files)
        session.on_connect = lambda s, *_: s.subscribe([(topic, 1) for topic in topics])
        session.on_subscribe = lambda *_: ready.put(True)
        session.on_message = lambda _, __, message: heard.put((message.topic, message.payload))
        host, port = self.files["broker"].removeprefix("mqtts://").split(":")
        session.connect(host, int(port))
        session.loop_start()
        ready.get(timeout=20)
        return session, heard


# --- what is asked

def alerts(centre, count):
    _, heard = centre.connect(f"{centre.root}/+/+/alert/+")
    while count > 0:
        topic, message = heard.get(timeout=120)
        site, box, _, severity = topic.removeprefix(centre.root + "/").split("/")
        if box not in centre.boxes or centre.boxes[box][0] != site or severity == "shed":
            continue
        alert = verify(message, topic, centre.boxes[box][1])
        print(json.dumps({
            "box": box, "id": alert[1].hex(), "seq": alert[3], "stage": STAGES[alert[4]],
            "severity": SEVERITIES[alert[5]], "time_ms": alert[6], "camera": alert[8], "plate": alert.get(10),
            "confidence": alert.get(11, 0) / 1000}), flush=True)
        count -= 1


def query(centre, box, plate, purpose, case, role):
    site, public = centre.boxes[box]
    key, name = centre.key(role)
    base = f"{centre.root}/{site}/{box}"
    session, heard = centre.connect(f"{base}/reply/reads.query/+")
    cursor, rows = None, 0
    while True:
        args = {0: {0: plate}} | ({2: cursor} if cursor else {})    # reads-query-args of wire.cddl
        cti, now = os.urandom(16), int(time.time())
        claims = {ISS: name, SUB: "reads.query", AUD: f"{site}/{box}", EXP: now + 60, IAT: now, CTI: cti,
                  VERSION: 1, PURPOSE: PURPOSES.index(purpose), CASE: case, ARGS: cbor2.dumps(args)}
        topic = f"{base}/cmd/reads.query/{cti.hex()}"
        session.publish(topic, sign(cbor2.dumps(claims), topic, key), qos=1)
        reply = final(heard, f"{base}/reply/reads.query/{cti.hex()}", public)
        if STATUSES[reply[2]] != "successful":
            sys.exit(f"{box}: {STATUSES[reply[2]]}: {reply.get(4, '')}")
        answer = cbor2.loads(reply[5])
        for row in answer[0]:
            rows += 1
            print(json.dumps({"box": box, "id": row[0].hex(), "begin_ms": row[1], "end_ms": row[2], "camera": row[4],
                              "plate": row.get(6), "confidence": row.get(7, 0) / 1000}), flush=True)
        cursor = answer[1].get(0)
        if not cursor:
            return print(f"{box}: {rows} reads, audit record {reply.get(8)}", file=sys.stderr)


def final(heard, topic, public):
    """The last reply under `topic`: `accepted` and `executing` come before it."""
    while True:
        got, message = heard.get(timeout=30)
        if got == topic:
            reply = verify(message, topic, public)
            if STATUSES[reply[2]] not in ("accepted", "executing"):
                return reply


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("centre", metavar="DIR", help="the centre's folder")
    verbs = parser.add_subparsers(dest="verb", required=True)
    listen = verbs.add_parser("alerts", help="verify alerts as they come")
    listen.add_argument("--count", type=int, default=1)
    ask = verbs.add_parser("query", help="ask a box for reads")
    ask.add_argument("box")
    ask.add_argument("plate", help="A-Z, 0-9, * for any run of characters, ? for one")
    ask.add_argument("--purpose", required=True, choices=PURPOSES)
    ask.add_argument("--case", required=True)
    ask.add_argument("--as", dest="role", default="investigator", help="whose key of DIR/keys signs")
    args = parser.parse_args()
    centre = Centre(args.centre)
    if args.verb == "alerts":
        alerts(centre, args.count)
    else:
        query(centre, args.box, args.plate, args.purpose, args.case, args.role)


if __name__ == "__main__":
    main()
