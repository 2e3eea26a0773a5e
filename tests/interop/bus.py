"""A client and worker for the Taxiway bus, written from proto/PROTOCOL.md with pyzmq and msgpack alone.

Synchronous: one thread, one DEALER.  Every wait also sends PINGs and sorts what comes in, so a program that keeps
calling into it stays alive for the broker, and with it all its other clients that are not `alone`.  Used by the tests as the second implementation of the protocol.
"""
import os
import threading
import time
import uuid
import weakref

import msgpack
import zmq

import taxiwire

LOST = 5.0 * float(os.environ.get("TAXI_SLOW", "1"))  # a PING without its PONG for so long: another connection

living = weakref.WeakSet()


def beat_all():
    """Whoever waits for anything keeps the clients of its thread alive."""
    for b in list(living):
        if b.thread == threading.get_ident():
            b.beat()


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
    def __init__(self, endpoint, timeout=20.0, curve=None, routing_id=None, alone=False):
        """curve: (public key, secret key, the broker's public key), each 40 characters as bytes.  alone: another thread uses it, or it
        is to be forgotten when nobody looks at it."""
        self.thread = None if alone else threading.get_ident()
        living.add(self)
        self.endpoint, self.timeout = endpoint, timeout
        self.curve, self.routing_id = curve, routing_id
        self.ctx = zmq.Context.instance()
        self.answers, self.deliveries, self.dropped = {}, [], 0
        self.epoch = self.session = None
        self.subs = {}
        self.sock = None
        self._open()

    def _open(self):
        if self.sock is not None:
            self.sock.close(0)
        s = self.ctx.socket(zmq.DEALER)
        s.linger, s.immediate = 0, 1
        s.sndhwm = s.rcvhwm = 0
        s.sndtimeo = int(self.timeout * 1000)  # there may be no broker any more
        s.reconnect_ivl, s.reconnect_ivl_max = 20, 200
        if self.curve:
            s.curve_publickey, s.curve_secretkey, s.curve_serverkey = self.curve
        if self.routing_id:
            s.setsockopt(zmq.IDENTITY, self.routing_id)
        s.connect(self.endpoint)
        self.sock, self.ping_at, self.asked_at = s, 0.0, None

    def close(self):
        self.sock.close(0)

    # --- in and out -----------------------------------------------------------------------------------
    def send_frame(self, frame):
        self.sock.send(frame)

    def beat(self):
        """A PING now and then is all it takes not to be given up; what comes is left where it is."""
        now = time.monotonic()
        if self.sock.closed or now - self.ping_at < 1.0:
            return
        self.asked_at = self.asked_at or now
        try:
            self.sock.send(taxiwire.encode("PING", "", new_id(), {}), zmq.DONTWAIT)
            self.ping_at = now
        except zmq.Again:
            pass

    def _take(self, frame):
        ver, verb, topic, id, meta, body = taxiwire.decode(frame)
        if verb == "PONG":
            self.asked_at = None
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
        got = self._read()  # before anything is said of the broker's silence: it may be we who did not look
        if self.asked_at and time.monotonic() - self.asked_at > LOST:
            self._open()
        self.beat()
        beat_all()
        return got or bool(self.sock.poll(int(wait * 1000)) and self._read())

    def _read(self):
        got = False
        while True:
            try:
                frame = self.sock.recv(zmq.DONTWAIT)
            except zmq.Again:
                return got
            self._take(frame)
            got = True

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
        timeout = timeout or self.timeout / 4
        meta.setdefault("ttl", int(timeout * 1000))
        return self.call("REQ", topic, meta, body, id, timeout * 2)

    # --- work -----------------------------------------------------------------------------------------
    def sub(self, pattern, desc=None, **meta):
        """group=…, serve=True, credit=…; `from_` stands for `from`."""
        if "from_" in meta:
            meta["from"] = meta.pop("from_")
        desc = msgpack.packb(desc if desc is not None else {"name": "python"})
        self.subs[(pattern, meta.get("group"), meta.get("serve", False))] = (meta, desc)
        ok = self.call("SUB", pattern, meta, desc)
        self.wait(lambda: self.session, what="the PONG that names the session")  # else another's would pass for the first
        return ok

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
