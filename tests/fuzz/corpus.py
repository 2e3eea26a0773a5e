#!/usr/bin/python3
"""Writes the corpora that come from the golden vectors: small frames, and their bodies."""
import hashlib
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")


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
