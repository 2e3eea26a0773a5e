"""Under taxiway.py: frames, the connection that heals (PING, sessions, PACK, keys), and calls that wait for their end."""
import asyncio
import logging
import os
import re
import time
import types

import msgpack
import zmq
import zmq.auth

FRAME, HEADER, PACK = 16 << 20, 8 << 10, 1 << 20
PING, LOST = 1.0, 5.0
LOG = logging.getLogger("taxiway")  # to stderr where nobody set it up
TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,15}")
RETRY = {**dict.fromkeys(("BUSY", "DRAINING", "NO_WORKERS", "QUOTA"), "later"),
         **dict.fromkeys(("TIMEOUT", "WORKER_LOST", "INTERNAL", "UPSTREAM"), "uncertain")}


class BusError(Exception):
    """retry: "never"; "later" (certainly not executed); "uncertain" (repeat only under the same id, or what may run twice)."""

    def __init__(self, code, detail=None, retry=None):
        super().__init__(f"{code}: {detail.get('detail') if isinstance(detail, dict) else detail}")
        self.code, self.detail, self.retry = code, detail, retry or RETRY.get(code, "never")


def new_id():
    """A UUIDv7."""
    b = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    b[6], b[8] = 0x70 | b[6] & 0x0F, 0x80 | b[8] & 0x3F
    return bytes(b)


def pack(body):
    return b"" if body is None else msgpack.packb(body)


def encode(verb, topic="", id=None, meta=None, raw=b""):
    head = msgpack.packb([1, verb, topic, id or new_id(), {k: v for k, v in (meta or {}).items() if v is not None}])
    if len(head) > HEADER or len(head) + len(raw) > FRAME:
        raise BusError("TOO_BIG", "a header is at most 8 KiB, a frame 16 MiB")
    return head + raw


def decode(frame):
    """verb, topic, id, meta, and what follows the header: the body, or in a MSG the sender's frame."""
    u = msgpack.Unpacker(strict_map_key=False, object_pairs_hook=lambda p: {k: v for k, v in p if isinstance(k, str)})
    u.feed(frame[:HEADER])
    try:
        version, verb, topic, id, meta = u.unpack()[:5]
        if version != 1 or [type(x) for x in (verb, topic, id, meta)] != [str, str, bytes, dict] or len(id) != 16:
            raise ValueError("no envelope of version 1")
    except (TypeError, ValueError, msgpack.UnpackException) as e:
        raise BusError("BAD_ENVELOPE", str(e)) from None
    return verb, topic, id, meta, frame[u.tell():]


class Answer:
    """OK or REP: `meta` as the protocol has it (seq, groups, seqs, status…), `body` the value."""

    def __init__(self, id, meta, raw):
        self.id, self.meta, self.raw, self.seq = id, meta, raw, meta.get("seq")

    @property
    def body(self):
        return msgpack.unpackb(self.raw, strict_map_key=False) if self.raw else None


class Link:
    """A DEALER that heals.  Bus adds deliveries: on_up (subscribe), on_down (it is over), on_pong, on_frame."""

    def __init__(self, endpoint, keys, max_pending):
        self.endpoint = endpoint or os.environ.get("TAXI_BUS", "tcp://127.0.0.1:5570")
        self.keys = [k or os.environ.get(n, "") for k, n in zip(keys, ("TAXI_KEY", "TAXI_BROKER_KEY"))]
        self.sock, self.session, self.out, self.up = None, None, [], False
        self.calls, self.pending, self.max_pending = {}, 0, max_pending

    def _start(self):
        self.loop = asyncio.get_running_loop()
        self.answered, self.warned = time.monotonic(), False
        self._open()
        self.ticker = asyncio.create_task(self._tick())

    def _stop(self):
        self.ticker.cancel()
        self._close()
        for c in list(self.calls.values()):
            self._end(c, BusError("DRAINING", "this program is ending"))

    def _open(self):
        self._close()
        s = self.sock = zmq.Context.instance().socket(zmq.DEALER)
        s.linger, s.immediate, s.maxmsgsize, s.reconnect_ivl, s.reconnect_ivl_max = 0, 1, 2 * FRAME, 50, 250
        if self.keys[0] and self.endpoint.startswith("tcp:"):
            path = self.keys[0] + "_secret" if os.path.exists(self.keys[0] + "_secret") else self.keys[0]
            s.curve_publickey, s.curve_secretkey = zmq.auth.load_certificate(path)
            s.curve_serverkey = zmq.auth.load_certificate(self.keys[1])[0] if os.path.exists(self.keys[1]) else self.keys[1].encode()
        self.monitor = s.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        s.connect(self.endpoint)
        self.loop.add_reader(s.fd, self._read)
        self.loop.add_reader(self.monitor.fd, self._news)
        self.heard, self.up, self.pings = time.monotonic(), False, os.urandom(8)
        self._news()

    def _close(self):
        if self.sock:
            self.loop.remove_reader(self.sock.fd)
            self.loop.remove_reader(self.monitor.fd)
            self.sock.disable_monitor()
            self.sock.close(0)
            self.sock, self.up = None, False

    def _news(self):
        """A connection came or went: nothing but PING until the PONG to a PING of now."""
        while self.sock and self.monitor.poll(0):
            self.monitor.recv_multipart()
            self.up, self.pings = False, os.urandom(8)
        for delay in () if self.up else (0, 0.005, 0.05, 0.2):
            self.loop.call_later(delay, lambda: self.up or self._ping())

    def _ping(self):
        try:
            self.sock and self.sock.send(encode("PING", "", self.pings + os.urandom(8), {"features": ["pack"]}), zmq.NOBLOCK)
        except zmq.Again:
            pass  # no connection
        self._read()

    async def _tick(self):
        while True:
            now = time.monotonic()
            if now - self.heard > LOST:  # a fresh socket, so that nothing stale waits inside libzmq
                self.session = None
                self._down()
                self._open()
            if now - self.answered > LOST and not self.warned:
                self.warned = True
                LOG.warning("no broker answers at %s: it is not up, or refuses %s; trying on", self.endpoint,
                            f"the key {self.keys[0]}" if self.keys[0] else "who has no key")
            self._ping()
            await asyncio.sleep(PING if self.up else PING / 4)
            if time.monotonic() - now > LOST / 2:  # it is we who stood still: what came meanwhile is still to be read
                self.heard = self.answered = time.monotonic() - PING

    def _send(self, frame):
        if not self.out:
            self.loop.call_soon(self._flush)
        self.out.append(frame)

    def _flush(self):
        """What one turn of the loop gathered, in as few frames as may be."""
        try:
            while self.up and self.out:
                n = size = 0
                while n < len(self.out) and (n == 0 or size + len(self.out[n]) < PACK - 100):
                    size, n = size + len(self.out[n]) + 5, n + 1
                self.sock.send(self.out[0] if n == 1 else encode("PACK", raw=msgpack.packb(self.out[:n])), zmq.NOBLOCK)
                del self.out[:n]
        except zmq.Again:
            self.loop.call_later(0.01, self._flush)  # its queue is full
        self._read()

    def _read(self):
        for _ in range(256):
            try:
                self._take(self.sock.recv(zmq.NOBLOCK))
            except (zmq.Again, AttributeError):
                return
            except BusError:
                pass  # a frame that cannot be read
        self.loop.call_soon(self._read)

    def _take(self, frame):
        verb, topic, id, meta, raw = decode(frame)
        self.heard = self.answered = time.monotonic()
        if verb == "PACK":
            for f in msgpack.unpackb(raw):
                self._take(f)
        elif verb == "PING":
            self._send(encode("PONG", "", id))
        elif verb == "PONG":
            self.on_pong(id)
            if id[:8] == self.pings:  # not left over from a connection before
                self._pong((meta["epoch"], meta["session"]))
        elif verb in ("OK", "REP", "ERR"):
            self._answer(verb, id, meta, raw)
        else:
            self.on_frame(verb, topic, id, meta, raw)

    def _pong(self, session):
        fresh, self.up = session != self.session, True
        if self.warned:
            self.warned = False
            LOG.warning("the broker at %s answers", self.endpoint)
        if fresh:
            self._down()
            self.session = session
        self.on_up(fresh)
        for c in [c for c in self.calls.values() if not c.sent]:
            self._go(c)
        if self.out:  # the news that it is not up may have come between _send and _flush
            self.loop.call_soon(self._flush)

    def _down(self):
        """What was under way may be repeated under its id, or is lost."""
        self.out.clear()
        self.on_down()
        for c in [c for c in self.calls.values() if c.sent]:
            c.sent = False
            if not c.kept:
                self._end(c, BusError("WORKER_LOST", "the connection to the broker was lost"))

    # --- calls -------------------------------------------------------------------------------------------------------
    def _call(self, verb, topic="", meta=None, raw=b"", id=None, timeout=None, on_part=None):
        if verb in ("PUB", "REQ") and not (TOPIC.fullmatch(topic) and len(topic) < 256):
            raise BusError("BAD_TOPIC", topic)
        c = types.SimpleNamespace(verb=verb, topic=topic, meta=meta or {}, raw=raw, id=id or new_id(), timeout=timeout, sent=False,
                                  on_part=on_part, future=self.loop.create_future(), until=time.monotonic() + (timeout or 0),
                                  size=len(encode(verb, topic, id, meta, raw)), window=(meta or {}).get("window", 8), timer=None)
        c.kept, c.tried = verb in ("PUB", "BATCH") or c.meta.get("again", False), False
        if c.id in self.calls or self.pending + c.size > self.max_pending:
            raise BusError("CONFLICT", "that id is under way") if c.id in self.calls else BusError("BUSY", "too much is under way")
        self.calls[c.id], self.pending = c, self.pending + c.size
        c.future.add_done_callback(lambda f: f.cancelled() and self._end(c, None, c.sent))
        self._arm(c)
        if self.up:
            self._go(c)
        return c.future

    def _arm(self, c):
        c.timer = c.timer and c.timer.cancel()
        if c.timeout and c.window > 0:  # while we are the slow ones, time does not count
            c.timer = self.loop.call_later(c.timeout, lambda: self._end(
                c, BusError("TIMEOUT" if c.tried else "BUSY", "no answer before the deadline"), c.sent))

    def _go(self, c):
        c.sent = c.tried = True
        left = {"ttl": max(1, int((c.until - time.monotonic()) * 1000))} if c.verb == "REQ" else {}
        self._send(encode(c.verb, c.topic, c.id, {**c.meta, **left}, c.raw))

    def _end(self, c, end, cancel=False):
        if self.calls.pop(c.id, None) is None:
            return
        self.pending -= c.size
        c.timer = c.timer and c.timer.cancel()
        if cancel and c.verb == "REQ":
            self._send(encode("CANCEL", "", c.id))
        if not c.future.done():
            c.future.set_exception(end) if isinstance(end, Exception) else c.future.set_result(end)

    def _answer(self, verb, id, meta, raw):
        c = self.calls.get(id)
        if c is None:
            return
        if verb == "ERR":
            self._end(c, BusError(meta.get("code"), meta.get("detail"), meta.get("retry")))
        elif not meta.get("more"):
            self._end(c, Answer(id, meta, raw))
        elif c.on_part is None:
            self._end(c, BusError("UPSTREAM", "the answer comes in parts: use stream"), True)
        else:
            c.kept, c.window = False, c.window - 1
            self._arm(c)
            c.on_part(Answer(id, meta, raw))

    def _more(self, id):
        if id in self.calls:
            self.calls[id].window += 1
            self._arm(self.calls[id])
            self._send(encode("MORE", "", id, {"n": 1}))
