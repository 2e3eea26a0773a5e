"""Frames of the Taxiway bus, version 1: encode and decode, written from proto/PROTOCOL.md.

Needs python3-msgpack alone.  No sockets here; see bus.py for a client.
"""
import re

import msgpack

VERSION = 1
VERBS = ("PUB BATCH REQ CANCEL MORE SUB UNSUB MSG PACK ACK NAK REJECT EXTEND REP OK ERR PING PONG BYE").split()
LIMIT_FRAME = 16 * 1024 * 1024
LIMIT_FRAME_RX = LIMIT_FRAME + 64 * 1024
LIMIT_HEADER = 8 * 1024
LIMIT_ELEMENTS = 256
LIMIT_BODY_ELEMENTS = 4 * 1024 * 1024
LIMIT_META_KEYS = 32
LIMIT_NEST = 32
LIMIT_TOPIC = 255
LIMIT_TOKENS = 16

U63 = 2**63 - 1
DAY = 24 * 3600 * 1000

# What a meta key holds: a number up to its limit, a bool, a str or bin of so many bytes, exactly so many, anything.
META = {
    **{k: (int, U63) for k in "exp n bytes seq try left part session next groups".split()},
    "ttl": (int, 3600000), "window": (int, 1024), "ack_ms": (int, DAY), "tries": (int, 1000),
    "credit": (int, 65536), "delay": (int, DAY), "ms": (int, DAY), "status": (int, 599),
    **{k: (bool, None) for k in "retain again more serve many".split()},
    "key": (str, 255), "src": (str, 128), "trace": (str, 128), "group": (str, 64), "reason": (str, 512),
    "code": (str, 32), "retry": (str, 16), "type": (str, 255),
    "cur": (bytes, 4096), "was": (bytes, 4096),
    "dig": ("exactly", 32), "root": ("exactly", 16), "epoch": ("exactly", 16),
    **{k: (None, None) for k in "as from seqs detail features headers".split()},
}

TOKEN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class WireError(Exception):
    """A frame that cannot be taken; `id` is what an ERR would answer to (zeros when it cannot be told)."""

    def __init__(self, code, why, id=bytes(16)):
        super().__init__(f"{code}: {why}")
        self.code, self.why, self.id = code, why, id


class Pairs(list):
    """A msgpack map as it came: keys of any type, twice if they were sent twice."""


def is_topic(text, pattern=False):
    tokens = text.split(".")
    if len(text.encode()) > LIMIT_TOPIC or len(tokens) > LIMIT_TOKENS:
        return False
    for i, token in enumerate(tokens):
        if TOKEN.fullmatch(token) or (pattern and token == "*"):
            continue
        if not (pattern and token == ">" and i == len(tokens) - 1):
            return False
    return True


def measure(value):
    """(objects in all, levels of nesting) of a decoded value."""
    todo, count, levels = [(value, 1)], 0, 0
    while todo:
        item, level = todo.pop()
        count += 1
        if isinstance(item, list):
            levels = max(levels, level)
            for kid in item:
                # a pair of a map is two objects and no level of its own
                todo.extend((k, level + 1) for k in (kid if isinstance(item, Pairs) else (kid,)))
    return count, levels


def plain(value):
    """Pairs become dicts, the last of equal keys wins."""
    if isinstance(value, Pairs):
        return {k if not isinstance(k, list) else repr(k): plain(v) for k, v in value}
    return [plain(v) for v in value] if isinstance(value, list) else value


def _first(data):
    """The first object of data, undigested, and its length; None when there is no whole one."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, object_pairs_hook=Pairs, max_buffer_size=len(data) + 1)
    unpacker.feed(data)
    try:
        return unpacker.unpack(), unpacker.tell()
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError):
        return None


def unpack(body):
    """A body as Python values; b"" is None."""
    if not body:
        return None
    found = _first(body)
    if found is None or found[1] != len(body):
        raise WireError("BAD_ENVELOPE", "the body is not one msgpack object")
    count, levels = measure(found[0])
    if count > LIMIT_BODY_ELEMENTS or levels > LIMIT_NEST:
        raise WireError("BAD_ENVELOPE", "the body is over its limits")
    return plain(found[0])


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def find_id(frame):
    """The id of a frame whose header may be bad elsewhere: behind version, verb and topic, when these are scalars."""
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=len(frame) + 1)
    unpacker.feed(frame)
    try:
        unpacker.read_array_header()
        for _ in range(3):
            if isinstance(unpacker.unpack(), (list, dict)):
                return bytes(16)
        at = unpacker.tell()
        id = unpacker.unpack()
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError):
        return bytes(16)
    is_bin = frame[at] in (0xC4, 0xC5, 0xC6)
    return id if is_bin and len(id) == 16 else bytes(16)


def _check_value(key, value):
    kind, limit = META[key]
    if kind is None:
        return True
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit
    if kind == "exactly":
        return isinstance(value, bytes) and len(value) == limit
    if not isinstance(value, kind):
        return False
    return len(value if kind is bytes else value.encode()) <= limit


def _read_header(data):
    """(version, verb, topic, id, known meta, length) of the header that data begins with."""
    found = _first(data[:LIMIT_HEADER])
    if found is None:
        raise WireError("BAD_ENVELOPE", "the header is not msgpack, or over 8 KiB")
    header, length = found
    count, levels = measure(header)
    if count > LIMIT_ELEMENTS or levels > LIMIT_NEST:
        raise WireError("BAD_ENVELOPE", "the header is over its limits")
    if not isinstance(header, list) or isinstance(header, Pairs) or len(header) < 5:
        raise WireError("BAD_ENVELOPE", "the header is not an array of five")
    version, verb, topic, id, meta = header[:5]
    if type(version) is not int or version != VERSION:
        raise WireError("BAD_ENVELOPE", "version")
    if not isinstance(verb, str) or verb not in VERBS:
        raise WireError("BAD_ENVELOPE", "verb")
    if not isinstance(topic, str) or not isinstance(id, bytes) or len(id) != 16:
        raise WireError("BAD_ENVELOPE", "topic or id")
    if not isinstance(meta, Pairs) or len(meta) > LIMIT_META_KEYS:
        raise WireError("BAD_ENVELOPE", "meta")
    known = {}
    for key, value in meta:
        if not isinstance(key, str) or key not in META:
            continue
        if not _check_value(key, value):
            raise WireError("BAD_ENVELOPE", f"meta key {key}")
        known[key] = plain(value)
    return version, verb, topic, id, known, length


def _check_topic(verb, topic):
    if verb in ("SUB", "UNSUB"):
        return is_topic(topic, pattern=True)
    if topic == "" and verb not in ("PUB", "REQ", "MSG"):
        return True
    return is_topic(topic)


def decode(frame, scan_body=False):
    """(version, verb, topic, id, meta, body bytes); raises WireError.

    Keys this version does not know are left out of meta.  The body is b"" when absent.  For MSG the body is the
    sender's frame; decode_msg gives both headers.  The body is looked into only with scan_body.
    """
    id = find_id(frame)
    try:
        if len(frame) > LIMIT_FRAME_RX:
            raise WireError("TOO_BIG", "the frame is over 16 MiB")
        version, verb, topic, id, meta, length = _read_header(frame)
        body = frame[length:]
        if verb == "MSG":
            if not body:
                raise WireError("BAD_ENVELOPE", "MSG without the sender's frame")
            if scan_body:
                unpack(body[_read_header(body)[5]:])
        elif scan_body:
            unpack(body)
        if not _check_topic(verb, topic):
            raise WireError("BAD_TOPIC", topic)
    except WireError as e:
        raise WireError(e.code, e.why, id) from None
    return version, verb, topic, id, meta, body


def decode_msg(frame):
    """The delivery header and the sender's frame of a MSG, each as decode gives them."""
    head = decode(frame)
    if head[1] != "MSG":
        raise WireError("BAD_ENVELOPE", "not a MSG", head[3])
    return head, decode(head[5])


def encode(verb, topic, id, meta=None, body=None):
    """A frame.  body: None for none, or msgpack bytes (pack(value)); for MSG the sender's frame."""
    header = pack([VERSION, verb, topic, bytes(id), meta or {}])
    if len(header) > LIMIT_HEADER:
        raise WireError("TOO_BIG", "the header is over 8 KiB", bytes(id))
    frame = header + (body or b"")
    if len(frame) > (LIMIT_FRAME_RX if verb == "MSG" else LIMIT_FRAME):
        raise WireError("TOO_BIG", "the frame is over 16 MiB", bytes(id))
    return frame


def decode_feed(parts):
    """What a message of the feed carries, of either form: [(topic, meta of this delivery, the sender's frame)]."""
    name, frame = parts
    _, verb, topic, _, meta, body = decode(frame)
    if not name.startswith(b"+"):
        if verb != "MSG" or name != topic.encode():
            raise WireError("BAD_ENVELOPE", "not a MSG of its topic")
        return [(topic, meta, body)]
    frames = unpack(body)
    if verb != "PACK" or name != b"+" + topic.encode() or not isinstance(frames, list) or not frames:
        raise WireError("BAD_ENVELOPE", "not a PACK of its topic")
    return [(topic, {k: v + i if k in ("n", "seq") else v for k, v in meta.items()}, f) for i, f in enumerate(frames)]
