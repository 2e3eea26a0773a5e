"""The golden vectors, read by the decoder in taxiwire.py."""
import json
import os
import sys

import msgpack
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import taxiwire  # noqa: E402

VECTORS = os.path.join(HERE, "..", "vectors")
NAMES = sorted(f[:-4] for f in os.listdir(VECTORS) if f.endswith(".hex"))


def load(name):
    with open(os.path.join(VECTORS, name + ".hex"), encoding="ascii") as f:
        frames = [bytes.fromhex(line) for line in f.read().split("\n")[:-1]]
    with open(os.path.join(VECTORS, name + ".json"), encoding="utf-8") as f:
        cases = json.load(f)
    assert len(frames) == len(cases)
    return list(zip(frames, cases))


def value_of(said):
    """What a JSON value of a vector means."""
    if isinstance(said, list):
        return [value_of(v) for v in said]
    if not isinstance(said, dict):
        return said
    if len(said) == 1:
        tag, v = next(iter(said.items()))
        if tag == "$bin":
            return bytes.fromhex(v)
        if tag == "$ext":
            return msgpack.ExtType(v[0], bytes.fromhex(v[1]))
        if tag == "$u64":
            return int(v)
        if tag == "$float":
            return float(v)
        if tag == "$map":
            return {value_of(k): value_of(x) for k, x in v}
    return {k: value_of(v) for k, v in said.items()}


def same(a, b):
    """Equal, and of equal types all through: 1 is neither True nor 1.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_means(frame, case):
    version, verb, topic, id, meta, body = taxiwire.decode(frame, scan_body=True)
    assert (version, verb, topic, id.hex()) == (1, case["verb"], case["topic"], case["id"])
    assert same(meta, value_of(case["meta"]))
    if "inner" in case:
        assert taxiwire.decode_msg(frame)[0][3] == id
        check_means(body, case["inner"])
    elif "body" in case:
        assert same(taxiwire.unpack(body), value_of(case["body"]))
    else:
        assert body == b""


def check_encodes(frame, case):
    meta = value_of(case["meta"])
    body = taxiwire.decode(frame)[5]
    if "body" in case:
        body = taxiwire.pack(value_of(case["body"]))
    assert taxiwire.encode(case["verb"], case["topic"], bytes.fromhex(case["id"]), meta, body) == frame


@pytest.mark.parametrize("name", NAMES)
def test_vectors(name):
    for frame, case in load(name):
        try:
            if "error" in case:
                with pytest.raises(taxiwire.WireError) as e:
                    taxiwire.decode(frame, scan_body=True)
                assert (e.value.code, e.value.id.hex()) == (case["error"], case["id"])
                continue
            check_means(frame, case)
            if case["canonical"]:
                check_encodes(frame, case)
        except Exception as e:
            raise AssertionError(f"{name}: {case['about']}: {frame.hex()[:200]}") from e


def test_cuts():
    for frame, case in load("cuts"):
        for n in range(len(frame)):
            if n in case["cuts"]:
                assert taxiwire.decode(frame[:n], scan_body=True)[3].hex() == case["id"]
                continue
            with pytest.raises(taxiwire.WireError) as e:
                taxiwire.decode(frame[:n], scan_body=True)
            assert e.value.code == "BAD_ENVELOPE"
            assert e.value.id.hex() == (case["id"] if n >= case["id_from"] else "00" * 16)


def test_every_verb_and_key_is_covered():
    verbs, keys = set(), set()
    for name in NAMES:
        for _, case in load(name):
            if "error" not in case:
                verbs.add(case["verb"])
                keys.update(case["meta"])
    assert verbs == set(taxiwire.VERBS)
    assert keys == set(taxiwire.META)


def test_too_big():
    frame = taxiwire.encode("PUB", "a.b", bytes(16), {}, b"")
    with pytest.raises(taxiwire.WireError) as e:
        taxiwire.decode(frame + bytes(taxiwire.LIMIT_FRAME_RX))
    assert e.value.code == "TOO_BIG"
    with pytest.raises(taxiwire.WireError) as e:
        taxiwire.encode("PUB", "a.b", bytes(16), {}, bytes(taxiwire.LIMIT_FRAME))
    assert e.value.code == "TOO_BIG"


# --- the clients that users copy: what can be read they read, and what cannot costs a BusError and no more -----------
def test_python_client():
    sys.path.insert(0, os.path.join(HERE, "..", "..", "clients", "python"))
    import taxiway_link
    read = 0
    for name in NAMES:
        for frame, case in load(name):
            try:
                verb, topic, id, meta, raw = taxiway_link.decode(frame)
            except taxiway_link.BusError:
                assert "error" in case, f"{name}: {case['about']}"
                continue
            if "error" in case:
                continue
            while True:
                assert (verb, topic, id.hex()) == (case["verb"], case["topic"], case["id"]), case["about"]
                assert same({k: meta[k] for k in case["meta"]}, value_of(case["meta"])), case["about"]
                if case["canonical"] and None not in case["meta"].values():  # None is how a caller says "not there"
                    assert taxiway_link.encode(verb, topic, id, meta, raw) == frame, case["about"]
                if "inner" not in case:
                    break
                frame, case = raw, case["inner"]
                case.setdefault("canonical", False)
                verb, topic, id, meta, raw = taxiway_link.decode(frame)
            read += 1
    assert read > 150
    for frame, _ in load("cuts"):
        for n in range(len(frame)):
            try:
                taxiway_link.decode(frame[:n])
            except taxiway_link.BusError:
                pass


def test_node_client():
    import drive
    cmd, env = drive.node_driver()
    out = drive.run(cmd[0], os.path.join(HERE, "vectors.mjs"), VECTORS, env={**os.environ, **env})
    count = json.loads(out)
    assert count["read"] > 150 and count["encoded"] > 100 and count["refused"] > 50
