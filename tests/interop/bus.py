"""A client and worker for the Taxiway bus, written from proto/PROTOCOL.md with pyzmq and msgpack alone.

Synchronous: one thread, one DEALER.  Every wait also sends PINGs and sorts what comes in, so a program that keeps
calling into it stays alive for the broker.  Used by the tests as the second implementation of the protocol.
"""
import os
import time
import uuid

import msgpack
import zmq

import taxiwire


def new_id():
    """A UUIDv7 (RFC 9562)."""
    ms = int(time.time() * 1000)
    b = bytearray(ms.to_bytes(6, "big") + os.urandom(10))
    b[6] = 0x70 | (b[6] & 0x0F)
    b[8] = 0x80 | (b[8] & 0x3F)
    return bytes(b)


class BusError(Exception):
    def __init__(self, code, retry, detail):
        super().__init__(f"{code} ({retry}): {detail}")
        self.code, self.retry, self.detail = code, retry, detail


class Answer:
    def __init__(self, verb, topic, id, meta, body):
        self.verb, self.topic, self.id, self.meta, self.raw = verb, topic, id, meta, body

    @property
    def body(self):
        return msgpack.unpackb(self.raw, raw=False, strict_map_key=False) if self.raw else None


class Delivery(Answer):
    """What a worker is handed: `head` is the delivery header's meta, the rest is the sender's envelope."""

    def __init__(self, head_id, head, verb, topic, id, meta, body):
        super().__init__(verb, topic, id, meta, body)
        self.head_id, self.head = head_id, head

    @property
    def is_request(self):
        return "left" in self.head

    @property
    def uuid(self):
        return str(uuid.UUID(bytes=self.id))


class Bus:
    def __init__(self, endpoint, timeout=20.0, curve=None, routing_id=None):
        """curve: (public key, secret key, the broker's public key), each 40 characters as bytes."""
        self.endpoint, self.timeout = endpoint, timeout
        self.curve, self.routing_id = curve, routing_id
        self.ctx = zmq.Context.instance()
        self.answers, self.deliveries, self.dropped = {}, [], 0
        self.epoch = self.session = None
        self.subs = {}
        self.pong_at = 0.0
        self.sock = None
        self._open()

    def _open(self):
        if self.sock is not None:
            self.sock.close(0)
        s = self.ctx.socket(zmq.DEALER)
        s.linger, s.immediate = 0, 1
        s.sndhwm = s.rcvhwm = 0
        s.reconnect_ivl, s.reconnect_ivl_max = 20, 200
        if self.curve:
            s.curve_publickey, s.curve_secretkey, s.curve_serverkey = self.curve
        if self.routing_id:
            s.setsockopt(zmq.IDENTITY, self.routing_id)
        s.connect(self.endpoint)
        self.sock, self.ping_at, self.opened_at = s, 0.0, time.monotonic()

    def close(self):
        self.sock.close(0)

    # --- in and out -----------------------------------------------------------------------------------
    def send_frame(self, frame):
        self.sock.send(frame)

    def _ping(self):
        now = time.monotonic()
        if now - self.ping_at >= 1.0:
            try:
                self.sock.send(taxiwire.encode("PING", "", new_id(), {}), zmq.DONTWAIT)
                self.ping_at = now
            except zmq.Again:
                pass
        if now - max(self.pong_at, self.opened_at) > 5.0:
            self._open()

    def _take(self, frame):
        ver, verb, topic, id, meta, body = taxiwire.decode(frame)
        if verb == "PONG":
            self.pong_at = time.monotonic()
            new = (meta["epoch"], meta["session"])
            if new != (self.epoch, self.session):
                first = self.epoch is None
                self.epoch, self.session = new
                if not first:  # before the first PONG there was no session that could be void
                    self.deliveries = []
                    for pattern, (meta_, desc) in list(self.subs.items()):
                        self.sock.send(taxiwire.encode("SUB", pattern[0], new_id(), meta_, desc))
        elif verb == "PACK":
            for f in msgpack.unpackb(body):
                self._take(f)
        elif verb == "MSG":
            v2, verb2, topic2, id2, meta2, body2 = taxiwire.decode(body)
            self.deliveries.append(Delivery(id, meta, verb2, topic2, id2, meta2, body2))
        elif verb in ("OK", "ERR", "REP"):
            if meta.get("more"):
                self.answers.setdefault((id, "parts"), []).append(Answer(verb, topic, id, meta, body))
            else:
                self.answers[id] = Answer(verb, topic, id, meta, body)

    def pump(self, wait=0.0):
        """Read what is there, waiting at most `wait` seconds for the first frame.  True if any came."""
        self._ping()
        got = False
        if self.sock.poll(int(wait * 1000)):
            got = True
            while True:
                try:
                    frame = self.sock.recv(zmq.DONTWAIT)
                except zmq.Again:
                    break
                self._take(frame)
        return got

    def wait(self, cond, timeout=None, what="condition"):
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            v = cond()
            if v:
                return v
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come within {timeout or self.timeout} s")
            self.pump(0.05)

    # --- calls ----------------------------------------------------------------------------------------
    def start(self, verb, topic, meta=None, body=None, id=None):
        """Send without waiting; returns the id under which the answer will be."""
        id = id or new_id()
        raw = body if isinstance(body, bytes) else (None if body is None else msgpack.packb(body, use_bin_type=True))
        frame = taxiwire.encode(verb, topic, id, meta or {}, raw)
        end = time.monotonic() + self.timeout
        while True:
            try:
                self.sock.send(frame, zmq.DONTWAIT)
                return id
            except zmq.Again:
                if time.monotonic() > end:
                    raise TimeoutError("no broker to send to")
                self.pump(0.02)

    def finish(self, id, timeout=None):
        a = self.wait(lambda: self.answers.pop(id, None), timeout, "answer")
        if a.verb == "ERR":
            raise BusError(a.meta.get("code"), a.meta.get("retry"), a.meta.get("detail"))
        return a

    def call(self, verb, topic, meta=None, body=None, id=None, timeout=None):
        return self.finish(self.start(verb, topic, meta, body, id), timeout)

    def pub(self, topic, body=None, id=None, **meta):
        return self.call("PUB", topic, meta, body, id)

    def batch(self, items, id=None, **meta):
        """items: [(topic, id, meta, body)]"""
        return self.call("BATCH", "", meta, [[t, i, m, b] for t, i, m, b in items], id)

    def req(self, topic, body=None, id=None, timeout=None, **meta):
        meta.setdefault("ttl", int((timeout or 5) * 1000))
        return self.call("REQ", topic, meta, body, id, (timeout or 5) + 5)

    # --- work -----------------------------------------------------------------------------------------
    def sub(self, pattern, desc=None, **meta):
        """group=…, serve=True, credit=…; `from_` stands for `from`."""
        if "from_" in meta:
            meta["from"] = meta.pop("from_")
        desc = msgpack.packb(desc if desc is not None else {"name": "python"})
        self.subs[(pattern, meta.get("group"), meta.get("serve", False))] = (meta, desc)
        return self.call("SUB", pattern, meta, desc)

    def recv(self, timeout=None, where=lambda d: True):
        def first():
            for i, d in enumerate(self.deliveries):
                if where(d):
                    return self.deliveries.pop(i)
            return None
        return self.wait(first, timeout, "delivery")

    def ack(self, d):
        self.sock.send(taxiwire.encode("ACK", "", new_id(), {"group": d.head["group"], "seqs": [d.head["seq"]]}))

    def _verdict(self, verb, d, **meta):
        meta.update(group=d.head["group"], seq=d.head["seq"], **{"try": d.head["try"]})
        self.sock.send(taxiwire.encode(verb, "", new_id(), meta))

    def nak(self, d, delay=None, reason="no"):
        self._verdict("NAK", d, reason=reason, **({} if delay is None else {"delay": delay}))

    def reject(self, d, reason="bad"):
        self._verdict("REJECT", d, reason=reason)

    def extend(self, d, ms):
        self._verdict("EXTEND", d, ms=ms)

    def reply(self, d, body=None, **meta):
        self.sock.send(taxiwire.encode("REP", d.topic, d.head_id, meta, msgpack.packb(body, use_bin_type=True)))

    def fail(self, d, code, detail=None):
        self.sock.send(taxiwire.encode("ERR", d.topic, d.head_id, {"code": code, "retry": "never", "detail": detail}))
