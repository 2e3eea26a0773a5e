"""Peers that do not keep up, beside peers that do: who is slow waits, nobody else does, and nothing is lost or unbounded.

STORM_SECS=600 makes the silence of the stalled worker ten minutes long.
"""
import os
import threading
import time

import pytest
import zmq
from taxiwire import decode, encode, pack

from bus import new_id
from conftest import SLOW, wait_for
from looks import group, rss

SECS = float(os.environ.get("STORM_SECS", "3"))
BODY = pack(b"x" * 1000)


def flood(bus, topic, n):
    """n PUBs in PACKs; waits for every OK and returns their seqs in the order sent."""
    seqs = []
    while len(seqs) < n:
        ids = [new_id() for _ in range(min(500, n - len(seqs)))]
        bus.send_frame(encode("PACK", "", new_id(), {}, pack([encode("PUB", topic, i, {}, BODY) for i in ids])))
        seqs += [bus.finish(i).meta["seq"] for i in ids]
    return seqs


class Fast(threading.Thread):
    """Takes and acks whatever comes, in a thread of its own."""

    def __init__(self, house, pattern, name):
        super().__init__(daemon=True)
        self.bus, self.seen, self.over = house.bus(alone=True), [], threading.Event()
        self.bus.sub(pattern, group=name, credit=512, many=True)
        self.start()

    def run(self):
        while not self.over.is_set():
            self.bus.pump(0.05)
            got, self.bus.deliveries = self.bus.deliveries, []
            for i in range(0, len(got), 200):
                part = got[i:i + 200]
                self.bus.send_frame(encode("ACK", "", new_id(), {"group": part[0].head["group"], "seqs": [d.head["seq"] for d in part]}))
            self.seen += [d.head["seq"] for d in got]

    def end(self):
        self.over.set()
        self.join()


def ping_for(bus, secs, other):
    """Alive, but reads nothing: neither deliveries nor PONGs.  The other one lives as usual."""
    end = time.monotonic() + secs
    silent = threading.Event()
    while time.monotonic() < end:
        bus.send_frame(encode("PING", "", new_id(), {}))
        other.pump()
        silent.wait(0.5)


@pytest.mark.parametrize("mode", ["alive", "dead"])
def test_a_worker_that_stops_reading(house, mode):
    """It holds its credit and no more; its neighbour goes on; when it reads again, everything is done once."""
    house.broker()
    pub, stalled = house.bus(), house.bus(alone=True)
    stalled.sub("t.>", group="g", credit=64, ack_ms=int(3600e3))
    fast = Fast(house, "t.>", "g")
    before = rss(house.the_broker)
    sent = flood(pub, "t.x", 3000)
    if mode == "alive":  # it has its share, and keeps it
        ping_for(stalled, SECS, pub)
        wait_for(lambda: group(pub, "g")["owed"] <= 64, 30, "the neighbour to have done the rest")
        assert group(pub, "g")["redelivered"] == 0
        stalled.pump(0.1)
        held = {d.head["seq"]: d for d in stalled.deliveries}
        assert 0 < len(held) <= 64 and not set(held) & set(fast.seen)
        for d in held.values():
            stalled.ack(d)
    else:  # not even a PING: its share goes to the neighbour
        wait_for(lambda: (pub.pump(), group(pub, "g")["owed"] == 0)[1], 40, "the neighbour to have done it all")
        held = {}
    wait_for(lambda: group(pub, "g")["owed"] == 0, 20, "everything acked")
    fast.end()
    assert sorted(set(fast.seen) | set(held)) == sent
    assert len(fast.seen) + len(held) == len(sent), "nothing was done twice"
    assert rss(house.the_broker) - before < (48 << 20) * SLOW


def test_one_a_second_beside_as_many_as_there_are(house):
    """A group that acks one at a time costs its neighbour nothing, and the broker no memory."""
    house.broker()
    pub, slow, fast = house.bus(), house.bus(), Fast(house, "t.>", "fast")
    slow.sub("t.>", group="slow", credit=1, ack_ms=int(3600e3))
    before = rss(house.the_broker)
    sent = flood(pub, "t.x", 12000)
    done = 0
    for _ in range(int(SECS) + 1):
        slow.ack(slow.recv())
        done += 1
        sent += flood(pub, "t.y", 200)
    wait_for(lambda: group(pub, "fast")["owed"] == 0, 30, "the fast group to be done")
    fast.end()
    assert fast.seen == sent, "in order, each once"
    g = group(pub, "slow")
    assert g["owed"] == len(sent) - done and g["dropped"] == 0 and g["dead"] == 0
    assert rss(house.the_broker) - before < (64 << 20) * SLOW
    slow.sub("t.>", group="slow", credit=512, many=True)  # and what it is owed is all there
    seen = {d.head["seq"] for d in slow.deliveries}
    while len(seen) < len(sent) - done:
        slow.pump(0.1)
        got, slow.deliveries = slow.deliveries, []
        for d in got:
            slow.ack(d)
        seen |= {d.head["seq"] for d in got}
    assert sorted(seen) == sent[done:]


def test_a_client_that_does_not_read_its_answers(house):
    """Answers wait in bounded bytes, then the peer is given up, with a counter, and the others never notice."""
    house.broker("--peer-bytes", str(1 << 20))
    other, deaf = house.bus(), zmq.Context.instance().socket(zmq.DEALER)
    deaf.linger, deaf.rcvhwm, deaf.rcvbuf = 0, 1, 4096
    deaf.connect(house.bus_endpoint)
    before = rss(house.the_broker)
    for _ in range(4000):
        deaf.send(encode("REQ", "sys.stats", new_id(), {}, None))
    wait_for(lambda: other.req("sys.stats").body["drops"]["peer_slow"] > 0, 20, "a peer given up for being slow")
    assert other.pub("t.x", 1).meta["seq"] == 1
    assert rss(house.the_broker) - before < (48 << 20) * SLOW
    deaf.close()


@pytest.mark.parametrize("prefix", [b"", b"+"], ids=["one by one", "in packs"])
def test_a_feed_reader_that_does_not_read(house, prefix):
    """The feed may drop: in bounded bytes, counted, and seen as a gap by whoever reads on."""
    house.broker("--max-bytes", str(32 << 20))
    pub, readers = house.bus(), []
    for _ in range(2):
        s = zmq.Context.instance().socket(zmq.SUB)
        s.linger, s.rcvhwm, s.rcvbuf = 0, 1, 4096
        s.subscribe(prefix)
        s.connect(house.feed_endpoint)
        readers.append(s)
    good, _deaf = readers

    wait_for(lambda: pub.pub("live.x", 1) and good.poll(20), 20, "the feed")
    before = rss(house.the_broker)
    for _ in range(150):
        pub.pub("live.x", pack(b"x" * (1 << 20)))
    assert rss(house.the_broker) - before < (64 << 20) * SLOW
    assert pub.req("sys.stats").body["drops"]["feed_full"] > 50
    seen = []
    while good.poll(300):
        seen.append(decode(good.recv_multipart()[1])[4]["n"])
    for s in readers:
        s.close()
    assert 0 < len(seen) < 101 and seen == sorted(seen), "what did not fit is a gap in n"
    assert pub.pub("live.x", 2)

