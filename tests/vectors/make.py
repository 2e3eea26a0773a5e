#!/usr/bin/python3
"""Writes the golden vectors, from proto/PROTOCOL.md and python3-msgpack."""
import json
import os
import struct

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
ID = bytes.fromhex("0192ab34cd567ef08123456789abcdef")
INNER_ID = bytes.fromhex("0192ab34cd577ef0812300000000beef")
NO_ID = bytes(16)
U63 = 2**63 - 1
DAY = 86400000

# kind and limit of every meta key, in the order a canonical header has them
META = {
    "key": ("S", 255), "dig": ("F", 32), "exp": ("U", U63), "src": ("S", 128), "cur": ("B", 4096),
    "was": ("B", 4096), "retain": ("T", 1), "trace": ("S", 128), "root": ("F", 16), "as": ("A", 0),
    "ttl": ("U", 3600000), "again": ("T", 1), "window": ("U", 1024), "more": ("T", 1),
    "n": ("U", U63), "group": ("S", 64), "from": ("A", 0), "ack_ms": ("U", DAY),
    "tries": ("U", 1000), "serve": ("T", 1), "credit": ("U", 65536), "bytes": ("U", U63),
    "many": ("T", 1), "seq": ("U", U63), "try": ("U", U63), "left": ("U", U63), "seqs": ("A", 0),
    "delay": ("U", DAY), "reason": ("S", 512), "ms": ("U", DAY), "part": ("U", U63),
    "code": ("S", 32), "retry": ("S", 16), "detail": ("A", 0), "epoch": ("F", 16),
    "session": ("U", U63), "features": ("A", 0), "next": ("U", U63), "groups": ("U", U63),
    "status": ("U", 599), "headers": ("A", 0), "type": ("S", 255),
}

files = {}


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def plain(value):
    """A value as the JSON of a vector says it."""
    if isinstance(value, (bytes, bytearray)):
        return {"$bin": bytes(value).hex()}
    if isinstance(value, msgpack.ExtType):
        return {"$ext": [value.code, value.data.hex()]}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if value <= U63 else {"$u64": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, dict):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: plain(v) for k, v in value.items()}
        return {"$map": [[plain(k), plain(v)] for k, v in value.items()]}
    return [plain(v) for v in value]


def header(verb, topic, meta=None, id=ID, version=1):
    return pack([version, verb, topic, id, meta or {}])


def add(name, about, frame, means):
    files.setdefault(name, []).append((frame, {"about": about, **means}))


NOTHING = object()


def meaning(verb, topic, meta=None, body=NOTHING, id=ID):
    m = {"verb": verb, "topic": topic, "id": id.hex(), "meta": plain(meta or {})}
    if body is not NOTHING:
        m["body"] = plain(body)
    return m


def good(name, about, verb, topic, meta=None, body=NOTHING):
    frame = header(verb, topic, meta) + (b"" if body is NOTHING else pack(body))
    add(name, about, frame, {**meaning(verb, topic, meta, body), "canonical": True})


def odd(name, about, frame, *args, **kw):
    """Readable, though no encoder of ours would write it like this."""
    add(name, about, frame, {**meaning(*args, **kw), "canonical": False})


def bad(name, about, frame, error="BAD_ENVELOPE", id=ID):
    add(name, about, frame, {"error": error, "id": id.hex()})


def verbs():
    v = "verbs"
    good(v, "PUB", "PUB", "trigger.OT-2.v1alpha1._.PlateTransfer",
         {"key": "k", "dig": bytes(range(32)), "exp": 1795246784123, "src": "watch", "cur": b"\x01",
          "was": b"", "retain": True, "trace": "t-1", "root": INNER_ID, "as": {"who": "a"}},
         {"uuid": "x", "n": 1})
    good(v, "PUB without body", "PUB", "a.b")
    good(v, "PUB with an explicit nil", "PUB", "a.b", None, None)
    good(v, "BATCH", "BATCH", "", {"src": "s", "cur": b"2", "was": b"1"},
         [["a.b", INNER_ID, {"key": "k"}, {"v": 1}], ["a.c", ID, {}, None]])
    good(v, "an empty BATCH", "BATCH", "", {"src": "s", "cur": b"2"}, [])
    good(v, "REQ", "REQ", "control-tower.triggers.get", {"ttl": 5000, "again": True, "window": 8},
         {"uuid": "x"})
    good(v, "CANCEL", "CANCEL", "")
    good(v, "MORE", "MORE", "", {"n": 4})
    good(v, "SUB of a durable group", "SUB", "trigger.>",
         {"group": "control-tower.recorder", "from": "all", "ack_ms": 30000, "tries": 8,
          "credit": 64, "bytes": 8388608, "many": True}, {"name": "recorder", "version": "1"})
    good(v, "SUB to serve", "SUB", "service.email.*.send", {"serve": True, "credit": 1},
         {"name": "email", "api": "{}"})
    good(v, "SUB from a seq", "SUB", "*.b.>", {"from": {"seq": 17}})
    good(v, "UNSUB", "UNSUB", "trigger.>", {"group": "g"})
    good(v, "PACK", "PACK", "", {}, [header("PUB", "a.b"), header("ACK", "", {"group": "g"})])
    good(v, "ACK", "ACK", "", {"group": "g", "seqs": [1, 2, 3]})
    good(v, "NAK", "NAK", "", {"group": "g", "seq": 7, "try": 2, "delay": 500, "reason": "later"})
    good(v, "REJECT", "REJECT", "", {"group": "g", "seq": 7, "try": 2, "reason": "never"})
    good(v, "EXTEND", "EXTEND", "", {"group": "g", "seq": 7, "try": 2, "ms": 1000})
    good(v, "REP", "REP", "", {"more": True, "part": 0, "status": 202,
                               "headers": {"Location": "/triggers/x"}, "type": "text/csv"}, b"a,b\n")
    good(v, "OK of a PUB", "OK", "", {"seq": 9, "groups": 2})
    good(v, "OK of a SUB", "OK", "", {"next": 10})
    good(v, "OK of a BATCH", "OK", "", {"seqs": [9, 10]})
    good(v, "ERR", "ERR", "", {"code": "INVALID", "retry": "never", "detail": {
        "detail": "/spec: expected an object",
        "errors": [{"pointer": "/spec", "detail": "expected an object"}]}})
    good(v, "PING", "PING", "")
    good(v, "PONG", "PONG", "", {"epoch": ID, "session": 3, "features": {"pack": True}})
    good(v, "BYE", "BYE", "")


def messages():
    inner = header("PUB", "a.b", {"key": "k"}, INNER_ID) + pack({"v": 1})
    says = meaning("PUB", "a.b", {"key": "k"}, {"v": 1}, INNER_ID)
    event = {"group": "g", "seq": 3, "try": 1}
    add("msg", "an event", header("MSG", "a.b", event) + inner,
        {**meaning("MSG", "a.b", event), "inner": says, "canonical": True})
    ask = header("REQ", "x.y", {"ttl": 5000}, INNER_ID)
    meta = {"again": True, "from": "local", "left": 4200}
    # canonical order is that of META, which is not the order above
    meta = {k: meta[k] for k in META if k in meta}
    add("msg", "a request without body", header("MSG", "x.y", meta) + ask,
        {**meaning("MSG", "x.y", meta), "inner": meaning("REQ", "x.y", {"ttl": 5000}, id=INNER_ID),
         "canonical": True})
    bad("msg", "no sender's frame", header("MSG", "a.b", event))
    bad("msg", "the sender's header is cut", header("MSG", "a.b", event) + inner[:20])
    bad("msg", "something after the sender's body", header("MSG", "a.b", event) + inner + b"\xc0")
    bad("msg", "a topic that is a pattern", header("MSG", "a.*", event) + inner, "BAD_TOPIC")
    bad("msg", "no topic", header("MSG", "", event) + inner, "BAD_TOPIC")


SAMPLE = {"as": {"principal": "p", "scopes": ["a", "b"]}, "from": {"time": 1795246784123},
          "seqs": [1, 2**63], "detail": "text", "features": ["pack", 1.5, None], "headers": {}}


def at_limit(kind, limit, name):
    if kind in "UTA":
        return {"U": limit, "T": True, "A": SAMPLE.get(name)}[kind]
    return "x" * limit if kind == "S" else b"y" * limit


def metas():
    wrong = {"U": ["1", -1, 1.0, None, b"1", True], "T": [1, 0, "true", None],
             "S": [b"x", 1, None, ["x"]], "B": ["x", 1, None], "F": ["z" * 16, "z" * 32, None]}
    for name, (kind, limit) in META.items():
        good("meta", f"{name} at its limit", "REP", "", {name: at_limit(kind, limit, name)})
        least = b"0" * limit if kind == "F" else {"U": 0, "T": False, "S": "", "B": b"", "A": None}[kind]
        good("meta", f"{name} at its least", "REP", "", {name: least})
        if kind in "USBF":
            bad("meta-over", f"{name} over its limit", header("REP", "", {name: at_limit(
                "B" if kind == "F" else kind, limit + 1, name)}))
        if kind == "F":
            bad("meta-over", f"{name} one byte short", header("REP", "", {name: b"z" * (limit - 1)}))
        for value in wrong.get(kind, []):
            bad("meta-type", f"{name} is {value!r}", header("REP", "", {name: value}))


def raw_header(elements, count=None):
    n = len(elements) if count is None else count
    return bytes([0x90 | n]) + b"".join(elements)


def elements(verb=b"\xa3PUB", topic=b"\xa3a.b", id=b"\xc4\x10" + ID, meta=b"\x80", version=b"\x01"):
    return [version, verb, topic, id, meta]


def raw(**kw):
    return raw_header(elements(**kw))


def headers():
    h = "header"
    for about, v in {"uint8": b"\xcc\x01", "uint64": b"\xcf" + bytes(7) + b"\x01", "int8": b"\xd0\x01",
                     "int64": b"\xd3" + bytes(7) + b"\x01"}.items():
        odd(h, f"version as {about}", raw(version=v), "PUB", "a.b")
    odd(h, "verb as str8", raw(verb=b"\xd9\x03PUB"), "PUB", "a.b")
    odd(h, "topic as str32", raw(topic=b"\xdb\0\0\0\x03a.b"), "PUB", "a.b")
    odd(h, "id as bin32", raw(id=b"\xc6\0\0\0\x10" + ID), "PUB", "a.b")
    odd(h, "meta as map32", raw(meta=b"\xdf\0\0\0\0"), "PUB", "a.b")
    odd(h, "header as array32", b"\xdd\0\0\0\x05" + raw()[1:], "PUB", "a.b")
    odd(h, "extra elements", raw_header(elements() + [pack("more"), pack({"a": [1, 2]})]) + pack(7),
        "PUB", "a.b", None, 7)
    odd(h, "unknown keys", header("PUB", "a.b", {"zz": [1, {"a": 2}], "": 1, "keyy": 2, "Key": 3,
                                                 "x" * 300: None, "key": "k"}), "PUB", "a.b", {"key": "k"})
    odd(h, "keys that are no str", raw(meta=b"\x84" + pack(1) + pack(2) + pack(None) + pack(3)
                                       + pack(b"key") + pack("no") + pack([1]) + pack({})), "PUB", "a.b")
    odd(h, "a key of eight bytes with a NUL", raw(meta=b"\x81" + pack("key\0") + pack(1)), "PUB", "a.b")
    odd(h, "a key twice: the last wins", raw(meta=b"\x82" + pack("key") + pack("a") + pack("key") + pack("b")),
        "PUB", "a.b", {"key": "b"})
    odd(h, "keys in another order", header("NAK", "", {"try": 1, "seq": 2, "group": "g"}), "NAK", "",
        {"try": 1, "seq": 2, "group": "g"})
    odd(h, "a number wider than needed", raw(verb=b"\xa4MORE", topic=b"\xa0", meta=b"\x81\xa1n\xcf" + bytes(7) + b"\x05"),
        "MORE", "", {"n": 5})
    odd(h, "a topic on a verb that has none", header("PING", "a.b"), "PING", "a.b")

    for v in (0, 2, 255, 2**64 - 1, -1, "1", 1.0, None, True, [1]):
        # a header is told by its first elements; a container in place of the version is not read past
        bad(h, f"version {v!r}", header("PUB", "a.b", version=v), id=NO_ID if isinstance(v, list) else ID)
    for v in ("", "pub", "PUBX", "PU", "NONE", "PUB\0", "PUBLISHING", 1, None, b"PUB"):
        bad(h, f"verb {v!r}", header(v, "a.b"))
    for v in (None, 1, b"a.b"):
        bad(h, f"topic {v!r}", header("PUB", v))
    for v in (ID[:15], ID + b"\0", "x" * 16, None, 1, b""):
        bad(h, f"id {v!r}", header("PUB", "a.b", id=v), id=NO_ID)
    for v in (None, [], 1, "m"):
        bad(h, f"meta {v!r}", raw(meta=pack(v)))
    bad(h, "no meta", raw_header(elements()[:4]))
    bad(h, "no id", raw_header(elements()[:3]), id=NO_ID)
    bad(h, "an empty array", b"\x90", id=NO_ID)
    for about, frame in {"nothing at all": b"", "a map": b"\x80", "nil": b"\xc0", "a str": b"\xa3PUB",
                         "a byte msgpack never uses": b"\xc1"}.items():
        bad(h, about, frame, id=NO_ID)
    bad(h, "that byte as a meta value", raw(meta=b"\x81\xa2zz\xc1"))


def nested(levels, inside=b"\x90"):
    """`levels` arrays, one in the other, the innermost empty."""
    return b"\x91" * (levels - 1) + inside


def limits():
    n = "limits"
    base = len(header("PUB", "a.b", {"zz": b""}))
    fill = 8192 - base - 1  # bin16 takes one byte more than bin8
    frame = header("PUB", "a.b", {"zz": b"x" * fill})
    assert len(frame) == 8192
    odd(n, "a header of 8 KiB", frame + pack(1), "PUB", "a.b", None, 1)
    bad(n, "a header of 8 KiB and a byte", header("PUB", "a.b", {"zz": b"x" * (fill + 1)}) + pack(1))
    # header, version, verb, topic, id, meta, key, and the array itself: 8
    odd(n, "256 elements", header("PUB", "a.b", {"zz": [0] * 248}), "PUB", "a.b")
    bad(n, "257 elements", header("PUB", "a.b", {"zz": [0] * 249}))
    many = {f"k{i}": i for i in range(31)}
    odd(n, "32 meta keys", header("PUB", "a.b", {**many, "key": "k"}), "PUB", "a.b", {"key": "k"})
    bad(n, "33 meta keys", header("PUB", "a.b", {**many, "k31": 1, "key": "k"}))
    # the header is one level, meta another
    odd(n, "a header of 32 levels", raw(meta=b"\x81\xa2zz" + nested(30)), "PUB", "a.b")
    bad(n, "a header of 33 levels", raw(meta=b"\x81\xa2zz" + nested(31)))
    bad(n, "a header of 33 levels around a number", raw(meta=b"\x81\xa2zz" + nested(31, b"\x91\x01")))
    value = []
    for _ in range(31):
        value = [value]
    good(n, "a body of 32 levels", "PUB", "a.b", None, value)
    bad(n, "a body of 33 levels", header("PUB", "a.b") + nested(33))
    bad(n, "a body of 1000 levels", header("PUB", "a.b") + nested(1000))
    t255 = ".".join(["x" * 15] * 15 + ["y" * 15])
    assert len(t255) == 255
    good(n, "a topic of 255 bytes and 16 tokens", "PUB", t255)
    bad(n, "a topic of 256 bytes", header("PUB", t255 + "z"), "BAD_TOPIC")
    good(n, "a topic of one long token", "PUB", "t" * 255)
    good(n, "a topic of 16 tokens", "PUB", ".".join("abcdefghijklmnop"))
    bad(n, "a topic of 17 tokens", header("PUB", ".".join("abcdefghijklmnopq")), "BAD_TOPIC")
    bad(n, "a pattern of 17 tokens", header("SUB", ".".join("abcdefghijklmnop") + ".>"), "BAD_TOPIC")
    bad(n, "a topic of 7 KiB", header("PUB", "t" * 7000), "BAD_TOPIC")


def bombs():
    n = "bombs"
    for lead in ("dd", "df", "dc", "de", "db", "da", "d9", "c6", "c5", "c4", "c9", "c8", "c7"):
        bomb = bytes.fromhex(lead) + b"\xff" * 4
        bad(n, f"{lead} ff ff ff ff in place of the header", bomb, id=NO_ID)
        bad(n, f"{lead} ff ff ff ff as meta", raw(meta=bomb))
        bad(n, f"{lead} ff ff ff ff as a meta value", raw(meta=b"\x81\xa2as" + bomb))
        if lead not in ("d9", "c4", "c7"):
            bad(n, f"{lead} ff ff ff ff as the body", header("PUB", "a.b") + bomb)
    for lead in ("dd", "df"):
        step = bytes.fromhex(lead) + struct.pack(">I", 0x7fffffff)
        bad(n, f"31 times {lead} as the body", header("PUB", "a.b") + step * 31 + bytes(1000))
        bad(n, f"31 times {lead} in place of the header", step * 31 + bytes(1000), id=NO_ID)
    bad(n, "1000 arrays in place of the header", b"\x91" * 1000, id=NO_ID)
    bad(n, "1000 maps as meta", raw(meta=b"\x81\xa1a" * 1000 + b"\x01"))
    bad(n, "an array16 with one element too few", header("PUB", "a.b") + b"\xdc\0\x03\x01\x02")


def texts():
    n = "text"
    good(n, "a body of many letters", "PUB", "a.b", {"key": "Größe"}, {"käse": "€ 𝄞 \u0000 \u2028"})
    wrong = {"a lone continuation": b"\x80", "overlong NUL": b"\xc0\x80", "overlong slash": b"\xe0\x80\xaf",
             "a surrogate": b"\xed\xa0\x80", "past the last code point": b"\xf4\x90\x80\x80",
             "cut short": b"\xe2\x82", "latin-1": b"caf\xe9", "a byte UTF-8 never has": b"\xff"}
    for about, b in wrong.items():
        s = bytes([0xa0 | len(b)]) + b
        bad(n, f"topic: {about}", raw(topic=s))
        bad(n, f"verb: {about}", raw(verb=s))
        bad(n, f"a known key's value: {about}", raw(meta=b"\x81\xa3key" + s))
        bad(n, f"an unknown key: {about}", raw(meta=b"\x81" + s + b"\x01"))
        bad(n, f"body: {about}", header("PUB", "a.b") + b"\x92\x01" + s)
    good(n, "no UTF-8 in a bin is fine", "PUB", "a.b", None, b"\xff\xfe\x00")


def topics():
    n = "topics"
    for t in ("a", "A-b_c9", "a.b.c", "_", "live.x", "sys.dead", "_2F.x"):
        good(n, f"PUB {t}", "PUB", t)
    for t in ("", ".", "a.", ".a", "a..b", "a.*", "*", ">", "a.>", "a b", "a/b", "ä", "a\0", "a\n", "a*"):
        bad(n, f"PUB {t!r}", header("PUB", t), "BAD_TOPIC")
        if t not in ("", "a.*", "*", ">", "a.>"):
            bad(n, f"PING {t!r}", header("PING", t), "BAD_TOPIC")
    for t in ("a", "*", ">", "a.*", "*.*", "*.>", "a.*.c.>", "sys.changed", "_.>"):
        good(n, f"SUB {t}", "SUB", t)
        good(n, f"UNSUB {t}", "UNSUB", t)
    for t in ("", "a.>.b", ">.a", "a*", "*a", "a.>>", "**", "a..*", ".>", "a.", "> "):
        bad(n, f"SUB {t!r}", header("SUB", t), "BAD_TOPIC")
    bad(n, "REQ without topic", header("REQ", ""), "BAD_TOPIC")
    bad(n, "REQ to a pattern", header("REQ", "a.*"), "BAD_TOPIC")


def bodies():
    n = "body"
    for about, v in {"nil": None, "false": False, "0": 0, "127": 127, "128": 128, "2^8": 2**8, "2^16": 2**16,
                     "2^32": 2**32, "2^63-1": U63, "2^63": 2**63, "2^64-1": 2**64 - 1, "-1": -1,
                     "-32": -32, "-33": -33, "-128": -128, "-129": -129, "-2^15-1": -2**15 - 1,
                     "-2^31-1": -2**31 - 1, "-2^63": -2**63, "a float": 0.1, "a whole float": 1.0,
                     "the smallest float": 5e-324, "the largest": 1.7976931348623157e308, "an empty str": "",
                     "a str of 32": "s" * 32, "a str of 256": "s" * 256,
                     "an empty bin": b"", "a bin of 256": b"b" * 256, "an array": [1, [2, []]],
                     "15 elements": [0] * 15, "16 elements": [0] * 16,
                     "a map": {"b": 1, "a": {"c": None}}, "16 pairs": {str(i): i for i in range(16)},
                     "odd keys": {1: 2, None: 3, b"k": 4}, "an ext": msgpack.ExtType(5, b"\x01\x02\x03"),
                     "a fixext": msgpack.ExtType(7, b"\x01" * 16)}.items():
        good(n, about, "PUB", "a.b", None, v)
    odd(n, "a float of 32 bits", header("PUB", "a.b") + b"\xca\x3f\xc0\x00\x00", "PUB", "a.b", None, 1.5)
    odd(n, "a str32", header("PUB", "a.b") + b"\xdb\0\0\0\x01s", "PUB", "a.b", None, "s")
    odd(n, "an array32", header("PUB", "a.b") + b"\xdd\0\0\0\x01\x05", "PUB", "a.b", None, [5])
    bad(n, "two bodies", header("PUB", "a.b") + b"\xc0\xc0")
    bad(n, "a byte after the body", header("PUB", "a.b") + pack({"v": 1}) + b"\x00")
    bad(n, "a byte msgpack never uses", header("PUB", "a.b") + b"\xc1")


def cuts():
    head = header("NAK", "a.b", {"group": "g", "seq": 70000, "try": 2, "delay": 500, "reason": "later"})
    body = {"v": [1, "two", b"three", 4.0, None]}
    id_end = head.index(ID) + 16
    add("cuts", "cut at every byte", head + pack(body),
        {**meaning("NAK", "a.b", {"group": "g", "seq": 70000, "try": 2, "delay": 500, "reason": "later"}, body),
         "canonical": True, "cuts": [len(head)], "id_from": id_end})


def main():
    for part in (verbs, messages, metas, headers, limits, bombs, texts, topics, bodies, cuts):
        part()
    for name, cases in files.items():
        with open(os.path.join(HERE, name + ".hex"), "w", encoding="ascii") as f:
            f.writelines(frame.hex() + "\n" for frame, _ in cases)
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as f:
            lines = ",\n".join(json.dumps(m, ensure_ascii=True) for _, m in cases)
            f.write("[\n" + lines + "\n]\n")
    print(sum(map(len, files.values())), "frames in", len(files), "files")


main()
