"""Beside taxiway.py, for work(…, cancels=True): who publishes cancel.<id of an event> takes it back.  The `cancelled` of one in
hand is set, and it is still to be finished; one that comes later is never handed over, but acked, with status.<id> "cancelled"."""
import asyncio
import datetime
import hashlib
import uuid

from taxiway import Subscription
from taxiway_link import BusError, encode

RECENT, ASK, SAY = 1024, 2.0, 10.0


class Tail(Subscription):
    """cancel.*, from now on: what was cancelled before is asked for, event by event."""

    def __init__(self, *args):
        super().__init__(*args)
        self.recent = {}  # between our look and the delivery; the oldest first

    def _put(self, m):
        self.taken += 1
        if self.taken * 2 >= self.meta["credit"]:
            self.bus._send(encode("MORE", "", self.id, {"n": self.taken}))
            self.taken = 0
        try:
            id = uuid.UUID(m.topic[7:]).bytes
        except ValueError:
            return
        if m.raw in (b"", b"\xc0") or id in self.recent:  # a marker that is taken away is no cancel
            return
        self.recent[id] = True
        if len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        for w in [m for s in self.bus.subs if isinstance(s, Work) for m in s.hand if m.id == id]:
            w.gone = True
            w.cancelled.set()


class Work(Subscription):
    def __init__(self, *args):
        super().__init__(*args)
        self.tail = next((s for s in self.bus.subs if isinstance(s, Tail)), None) or self.bus._sub(
            "cancel.*", {"from": "new", "credit": RECENT}, kind=Tail)

    def _put(self, m):
        m.asked, m.gone = None, False
        try:
            m.asked = self.bus.request("sys.retained", {"topic": f"cancel.{uuid.UUID(bytes=m.id)}"}, ttl=ASK, again=True)
            m.asked.add_done_callback(lambda f: f.cancelled() or f.exception())  # who cannot be asked has cancelled nothing
        except BusError:
            pass
        super()._put(m)

    async def get(self):
        """The next message that nobody has taken back; None when no more will come."""
        while m := await super().get():
            if m.asked and not m.asked.done():
                self.queue.appendleft(m)
                await asyncio.wait([m.asked])
            elif m.gone or m.id in self.tail.recent or self._was_cancelled(m.asked):
                self._tell(m)
            else:
                return m
        return None

    @staticmethod
    def _was_cancelled(asked):
        return asked and not asked.cancelled() and not asked.exception() and (asked.result().body or {}).get("seq") is not None

    def _tell(self, m):
        def said(f):
            m.nak(reason="cancelled, but its status could not be published") if f.cancelled() or f.exception() else m.ack()
        text, at = str(uuid.UUID(bytes=m.id)), datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        dig = hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in (b"cancelled", text.encode(), self.group.encode()))).digest()
        id = bytearray(dig[:16])  # a UUIDv8: said twice, stored once
        id[6], id[8] = 0x80 | id[6] & 0x0F, 0x80 | id[8] & 0x3F
        status = {"uuid": text, "status": "cancelled", "by": self.group, "at": at.replace("+00:00", "Z")}
        try:
            self.bus.publish(f"status.{text}", status, id=bytes(id), dig=dig, key=text, because=m, timeout=SAY).add_done_callback(said)
        except BusError:
            m.nak(reason="cancelled, but its status could not be published")
