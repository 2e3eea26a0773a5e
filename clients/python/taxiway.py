"""A program's place on the Taxiway bus: files to copy (this, taxiway_link.py; taxiway_cancel.py for cancels), on pyzmq and msgpack.

    async with taxiway.Bus(name="hello") as bus:
        await bus.publish("lab.hello", {"n": 1})                            # the broker's disk has it
        async with bus.work("trigger.OT-2.>", group="ot2") as work:         # shared with whoever else is in the group
            async for m in work:
                with m:                                                     # acked, or given back if this raises
                    await asyncio.to_thread(run_robot, m.body)

asyncio, not threads: the bus wants a PING each second from the loop that does the work, so that who hangs looks dead; what
blocks goes through to_thread.  Calls return futures: await one, or have many under way; cancel() of a request reaches its
worker.  Times are seconds.  What is refused is raised as BusError, with its code and whether to try again.
"""
import asyncio
import collections
import importlib
import os
import re
import time

import msgpack

from taxiway_link import RETRY, Answer, BusError, Link, decode, encode, new_id, pack

TOKEN, PART, BATCH, CREDIT = r"[A-Za-z0-9_-]+", 256 << 10, 1024, 64


class Message(Answer):
    """A delivery: of a group to be finished by ack, nak or reject, a request by reply or fail, a tail's by nothing.  `head` is
    the bus's part of it.  Pass because=m to what is published and requested because of it."""

    def __init__(self, sub, head_id, head, topic, id, meta, raw):
        super().__init__(id, meta, raw)
        self.sub, self.head_id, self.head, self.topic, self.seq = sub, head_id, head, topic, head.get("seq")
        self.group, self.key, self.attempt, self.is_request = head.get("group"), meta.get("key"), head.get("try"), "left" in head
        self.root, self.generation, self.finished = meta.get("root", id), sub.bus.generation, False
        self.cancelled, self.room, self.parts, self.more = asyncio.Event(), meta.get("window", 8), 0, asyncio.Event()

    @property
    def void(self):  # its session is over: others get it, and finishing it says nothing
        return self.generation != self.sub.bus.generation

    def _say(self, verb, raw=b"", final=True, **meta):
        frame = encode(verb, "", self.head_id, meta if self.is_request else {"group": self.group, "seq": self.seq, **meta}, raw)
        if not self.finished and not self.void:
            self.sub.bus._send(frame)
        if final and not self.finished:
            self.finished = True
            self.sub.hand.discard(self)
            self.sub.bus.requests.pop(self.head_id, None)

    def ack(self):
        self._say("ACK", seqs=[self.seq]) if self.group else None

    def nak(self, delay=None, reason=None, untried=None):
        """Again, after `delay` or the broker's backoff; `untried`: it was not begun, no try is counted."""
        if self.key is not None and not self.finished and not self.void:
            self.sub._refuse_key(self.key)
        self._say("NAK", reason=reason, delay=None if delay is None else int(delay * 1000), again=untried, **{"try": self.attempt})
        if self.key is not None:  # with the NAK in one PACK, so that its PONG comes before anything sent after the NAK
            self.sub.bus._send(encode("PING", "", self.sub.refused.get(self.key)))

    def reject(self, reason=None):
        self._say("REJECT", reason=reason, **{"try": self.attempt})

    def extend(self, seconds):
        self._say("EXTEND", final=False, ms=int(seconds * 1000), **{"try": self.attempt})

    def reply(self, body=None, **meta):
        self._say("REP", pack(body), part=self.parts or None, **meta)

    def fail(self, code, detail=None, retry=None):
        self._say("ERR", code=code, retry=retry or RETRY.get(code, "never"),
                  detail={"detail": detail} if isinstance(detail, str) else detail)

    async def part(self, body):
        """Waits until the requester has room for it; GONE when it left."""
        raw = pack(body)
        if len(raw) > PART:
            raise BusError("TOO_BIG", "a part is at most 256 KiB")
        while self.room == 0 and not self.cancelled.is_set():
            self.more.clear()
            await self.more.wait()
        if self.cancelled.is_set():
            raise BusError("GONE", "the requester has left")
        self._say("REP", raw, final=False, more=True, part=self.parts)
        self.room, self.parts = self.room - 1, self.parts + 1

    __enter__ = lambda self: self  # noqa: E731

    def __exit__(self, kind, e, _):
        if self.is_request:
            self.fail("INTERNAL", str(e)[:400]) if kind else self.reply()
        else:
            self.nak(reason=f"{kind.__name__}: {e}"[:120]) if kind else self.ack()


class Subscription:
    """`async for` gives messages, until it is closed or the bus drains."""

    def __init__(self, bus, pattern, meta, desc):
        self.bus, self.pattern, self.meta, self.desc, self.group = bus, pattern, meta, desc, meta.get("group")
        self.id, self.ready, self.closed, self.taken = None, bus.loop.create_future(), False, 0
        self.queue, self.news, self.hand, self.refused = collections.deque(), asyncio.Event(), set(), {}
        self.match = re.compile(re.escape(pattern).replace(r"\*", TOKEN).replace(">", ".+"))
        self.rank = [(t == "*") + 2 * (t == ">") for t in pattern.split(".")]

    async def get(self):
        """The next message; None when no more will come."""
        while not self.queue and not self.closed:
            if self.ready.done():
                self.ready.result()
            self.news.clear()
            await self.news.wait()
        m = self.queue.popleft() if self.queue else None
        if m and not self.group and not m.is_request and m.head_id == self.id:  # a tail gives credit back as it is read
            self.taken += 1
            if self.taken * 2 >= self.meta["credit"]:
                self.bus._send(encode("MORE", "", self.id, {"n": self.taken}))
                self.taken = 0
        return m

    async def close(self):
        """What was not yet taken goes back; what was taken may still be finished."""
        self.bus.subs.discard(self)
        await self.bus._call("UNSUB", self.pattern, {k: self.meta.get(k) for k in ("group", "serve")})
        while self.queue:
            m = self.queue.popleft()
            m.fail("DRAINING", "unsubscribed") if m.is_request else m.nak(0, "unsubscribed", True) if m.group else None
        self._end()

    def _end(self):
        self.closed = True
        self.ready.done() or self.ready.set_result(None)
        self.news.set()

    def _put(self, m):
        if m.group or m.is_request:
            self.hand.add(m)
        if m.key is not None and m.key in self.refused:
            return m.nak(reason="one before it of its key went back", untried=True)
        self.queue.append(m)
        self.news.set()

    def _refuse_key(self, key):
        """The broker has these back already, and those under way are refused until the PONG: order by key."""
        self.refused[key] = new_id()
        for m in [m for m in self.queue if m.key == key]:
            self.queue.remove(m)
            self.hand.discard(m)

    async def __aenter__(self):
        await self.ready
        return self

    async def __aexit__(self, *_):
        await self.close() if self.bus.up else None

    __aiter__ = lambda self: self  # noqa: E731

    async def __anext__(self):
        if m := await self.get():
            return m
        raise StopAsyncIteration


class Bus(Link):
    def __init__(self, endpoint=None, *, key=None, broker_key=None, name="python", max_pending=64 << 20):
        """key: file of our keys (taxi keys new); broker_key: the broker's public one, 40 characters or a file."""
        super().__init__(endpoint, (key, broker_key), max_pending)
        self.name, self.subs, self.requests, self.generation = name, set(), {}, 0

    async def __aenter__(self):
        self._start()
        return self

    async def __aexit__(self, *_):
        """What was said so far has arrived, if there is a broker; what is still in hand goes to others."""
        if self.up:
            await asyncio.wait([self._call("BYE", timeout=2.0)])
        self._stop()
        self.on_down()

    def publish(self, topic, body=None, *, id=None, because=None, timeout=None, **meta):
        """key, exp (unix ms), retain, src, cur, was, dig; a repeat under the same id is stored once."""
        return self._call("PUB", topic, {"root": because and because.root, **meta}, pack(body), id, timeout)

    def batch(self, items, *, id=None, timeout=None, because=None, **meta):
        """(topic, body) or (topic, body, {id, key…}) each: all or none are stored, and src, cur, was move a cursor with them."""
        rows = [(*i, {})[:3] for i in items]
        root = {"root": because.root} if because else {}
        raw = pack([[t, m.get("id", None) or new_id(), {**root, **m, "id": 0}, b] for t, b, m in rows])
        if len(rows) > BATCH:
            raise BusError("TOO_BIG", f"a batch is at most {BATCH}")
        return self._call("BATCH", "", meta, raw, id, timeout)

    def request(self, topic, body=None, *, ttl=5.0, id=None, because=None, on_part=None, **meta):  # again=True: may be run twice
        return self._call("REQ", topic, {"root": because and because.root, **meta}, pack(body), id, ttl, on_part)

    async def stream(self, topic, body=None, *, window=8, **kw):
        """Every part of the answer, then its last body if there is one; more is asked for as they are taken."""
        parts, id = asyncio.Queue(), new_id()
        f = self.request(topic, body, id=id, window=window, on_part=parts.put_nowait, **kw)
        f.add_done_callback(lambda _: parts.put_nowait(None))
        try:
            while (part := await parts.get()) is not None:
                yield part.body
                self._more(id)
            if (last := f.result().body) is not None:
                yield last
        finally:
            f.cancel()

    def subscribe(self, pattern, credit=CREDIT, **meta):
        """A live tail, what is retained first; from_="all" or {"seq": n} replays what is on disk."""
        return self._sub(pattern, {"credit": credit, **meta})

    def work(self, pattern, group, credit=CREDIT, ack=None, cancels=False, **meta):
        """Share a durable group: `ack` seconds for a message, `tries`, from_="all", {"seq": n} or {"time": unix ms}.
        cancels: one whose cancel.<id> was published is taken back: `cancelled` is set, or it never comes (taxiway_cancel.py)."""
        kind = importlib.import_module("taxiway_cancel").Work if cancels else Subscription
        return self._sub(pattern, {"group": group, "credit": credit, "ack_ms": ack and int(ack * 1000), **meta}, kind=kind)

    def serve(self, pattern, credit=CREDIT, desc=None, **meta):
        return self._sub(pattern, {"serve": True, "credit": credit, **meta}, desc)

    async def drain(self, timeout=10.0):
        """Ask for no more, and wait until what is in hand is finished and calls have ended.  True if that came in time."""
        end = time.monotonic() + timeout
        await asyncio.gather(self._call("BYE", timeout=timeout), return_exceptions=True)  # without a broker there is nobody to tell
        for s in self.subs:
            s._end()
        while (busy := any(s.hand for s in self.subs) or self.calls) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return not busy

    # --- the session -------------------------------------------------------------------------------------------------
    def _sub(self, pattern, meta, desc=None, kind=Subscription):
        if "from_" in meta:
            meta["from"] = meta.pop("from_")
        s = kind(self, pattern, {**meta, "many": True}, pack(desc or {"name": self.name, "pid": os.getpid()}))
        self.subs.add(s)
        self._ask(s)
        return s

    def _ask(self, s):
        def answered(f):
            e = f.exception()
            if e and e.code == "WORKER_LOST":
                return  # asked again with the next session
            if not s.ready.done():  # the first refusal is the caller's, later ones may pass
                s.ready.set_exception(e) if e else s.ready.set_result(None)
            elif e and s in self.subs:
                self.loop.call_later(5.0 if e.retry == "never" else 1.0, self._ask, s)
            s.news.set()
        s.id = new_id() if self.up and s in self.subs else None
        if s.id:
            self._call("SUB", s.pattern, s.meta, s.desc, s.id, 10.0).add_done_callback(answered)

    def _deliver(self, head_id, head, topic, id, meta, raw):
        if "left" in head:
            s = min((s for s in self.subs if s.meta.get("serve") and s.match.fullmatch(topic)), key=lambda s: s.rank, default=None)
        else:
            s = next((s for s in self.subs if (s.group == head["group"] if "group" in head else s.id == head_id)), None)
        if s:
            m = Message(s, head_id, head, topic, id, meta, raw)
            if m.is_request:
                self.requests[head_id] = m
            s._put(m)
        elif "left" in head:
            self._send(encode("ERR", "", head_id, {"code": "NO_WORKERS", "retry": "later"}))

    def on_down(self):
        """The session is over: deliveries of it are void, and what may not be repeated is lost."""
        self.generation += 1
        for m in self.requests.values():
            m.cancelled.set()
            m.more.set()
        self.requests.clear()
        for s in self.subs:
            s.queue.clear()
            s.hand.clear()
            s.refused, s.taken = {}, 0

    def on_up(self, fresh):  # in the session of before, only who came while it was away
        for s in sorted((s for s in self.subs if fresh or not s.id), key=lambda s: s.group is not None):  # tails first
            self._ask(s)

    def on_pong(self, id):
        for s in self.subs:
            s.refused = {k: v for k, v in s.refused.items() if v != id}

    def on_frame(self, verb, topic, id, meta, raw):
        if verb == "MSG":
            self._deliver(id, meta, *decode(raw)[1:])
        elif id in self.requests:  # CANCEL, MORE
            m = self.requests[id]
            m.cancelled.set() if verb == "CANCEL" else None
            m.room += meta.get("n", 0)
            m.more.set()
