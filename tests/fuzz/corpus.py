#!/usr/bin/python3
"""Writes the corpora that come from the golden vectors: small frames, and their bodies."""
import hashlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
from taxiwire import encode, pack  # noqa: E402


def put(target, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, hashlib.sha1(data).hexdigest()[:16]), "wb") as f:
        f.write(data)


for name in ("verbs", "msg", "header", "bombs"):
    with open(os.path.join(VECTORS, name + ".hex"), encoding="ascii") as f:
        frames = [bytes.fromhex(line) for line in f]
    with open(os.path.join(VECTORS, name + ".json"), encoding="utf-8") as f:
        cases = json.load(f)
    for frame, case in zip(frames, cases):
        if len(frame) > 512 or "as a meta value" in case["about"]:
            continue
        put("fuzz_env", frame)
        if "error" not in case:
            put("fuzz_scan", frame)
for text in ("null", "[1,-1,2.5,1e300,true,false]", '{"a":{"b":["x","\\u0000\\ud834\\udd1e"]}}', "18446744073709551615",
             '[9223372036854775808,1.0,"18446744073709551615",-9223372036854775808]', "5e-324", '{"a":1,"a":2}',
             "18446744073709551616", "[[[[[[[[]]]]]]]]", '"\\"\\\\"', "-0.0", "[1,\n 2,\n oops]", "1e999"):
    put("fuzz_json", text.encode())
put("fuzz_json", b"\x83\xa1a\xc4\x03abc\xa1b\xcb\x3f\xf0\0\0\0\0\0\0\xa1c\x92\xc0\xcf" + b"\xff" * 8)
for text in ("a.b\na.b", "a.*.c\na.b.c", "a.>\na.b.c", ">\nsys.changed", "*.>\nlive.x", "sys.*\nsys.dead", "_2F_00\n__",
             "a..b\n.", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.>\na.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "\n"):
    put("fuzz_topic", text.encode())


def talk(*said):
    """Frames of two peers, as fuzz_broker reads them: (peer, verb, topic, id, meta, body)."""
    out = b""
    for peer, verb, topic, id, meta, *body in said:
        frame = encode(verb, topic, bytes([id]) * 16, meta, pack(body[0]) if body else None)
        out += bytes([peer]) + len(frame).to_bytes(2, "little") + frame
    put("fuzz_broker", out)


SUB = (0, "SUB", "t.>", 1, {"group": "g", "credit": 4, "many": True, "from": "all"})
talk(SUB, (1, "PUB", "t.a", 2, {"key": "k"}, 1), (1, "PUB", "t.b", 3, {"key": "k"}, 2),
     (0, "ACK", "", 4, {"group": "g", "seqs": [1]}), (0, "NAK", "", 5, {"group": "g", "seq": 2, "try": 1, "delay": 0}))
talk((1, "PUB", "t.a", 2, {"exp": 1}, 1), SUB, (0, "REJECT", "", 4, {"group": "g", "seq": 1, "try": 1, "reason": "no"}),
     (1, "REQ", "sys.dead.ls", 5, {}, {}), (1, "REQ", "sys.dead.retry", 6, {}, {"dead": 1}))
talk((0, "SUB", "s.*", 1, {"serve": True, "credit": 2}, {"name": "s", "api": "{}"}), (1, "REQ", "s.x", 2, {"ttl": 900, "again": True}, {}),
     (0, "REP", "", 2, {"more": True, "part": 0}, 1), (1, "MORE", "", 2, {"n": 1}), (1, "CANCEL", "", 2, {}), (0, "BYE", "", 3, {}))
talk((0, "SUB", "t.>", 1, {"credit": 2}), (1, "BATCH", "", 2, {"src": "s", "cur": b"1"}, [["t.a", b"3" * 16, {"retain": True}, 1]]),
     (0, "MORE", "", 1, {"n": 2}), (0, "UNSUB", "t.>", 4, {}))
talk(SUB, (1, "PACK", "", 9, {}, [encode("PUB", "t.a", b"7" * 16, {}, pack(1)), encode("PUB", "live.a", b"8" * 16, {}, pack(1))]),
     (0, "EXTEND", "", 5, {"group": "g", "seq": 1, "try": 1, "ms": 10}), (0, "PING", "", 6, {"features": ["pack"]}))
for topic, body in (("sys.replay", {"group": "g", "from": "all"}), ("sys.trace", {"id": b"\2" * 16}), ("sys.groups.set", {"group": "g", "paused": True}),
                    ("sys.groups.delete", {"group": "g"}), ("sys.policies.set", {"pattern": "t.>", "tries": 2, "full": "busy"}), ("sys.drain", {"on": True}),
                    ("sys.claim", {"path": "/x", "name": "n"}), ("sys.cursor", {"src": "s"}), ("sys.stats", {}), ("sys.services", {}), ("sys.peers", {}),
                    ("sys.dead.edit", {"dead": 1, "body": 2}), ("sys.acl", {}), ("sys.backup", {"path": "/nowhere"})):
    talk(SUB, (1, "PUB", "t.a", 2, {}, 1), (1, "REQ", topic, 3, {}, body), (1, "PUB", "t.b", 4, {}, 1))
