"""Attacks on what had no end: read ahead, kept for others, or done in one go.  What they cost stays with who makes them."""
import shutil
import socket
import struct
import time

import msgpack
import pytest
import zmq

import taxiwire
from bus import BusError, new_id
from conftest import SLOW, wait_for
from looks import frame, read_all, rss

MIB = 1 << 20


def attacker(house):
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger, s.sndhwm, s.rcvhwm = 0, 0, 0
    s.connect(house.bus_endpoint)
    return s


def pack_of(one, n):
    return frame("PACK", body=b"\xdd" + struct.pack(">I", n) + msgpack.packb(one) * n)


class Reader:
    """A reader of the feed without libzmq, which would not survive what it sends."""

    def __init__(self, house):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20 * SLOW)
        self.s.connect(house.feed_endpoint.removeprefix("ipc://"))
        self.s.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        self.read(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"XSUB"
        self.s.sendall(b"\x04" + bytes([len(ready)]) + ready)
        self.read(self.read(2)[1])  # what comes before its READY is garbage to libzmq

    def read(self, n):
        got = b""
        while len(got) < n:
            more = self.s.recv(n - len(got))
            assert more, "the feed hung up"
            got += more
        return got

    def want(self, topics):
        self.s.sendall(b"".join((b"\x00" + bytes([len(t) + 1]) if len(t) < 255 else b"\x02" + struct.pack(">Q", len(t) + 1)) + b"\x01" + t
                                for t in topics))


@pytest.mark.parametrize("kind", ["one of a MiB", "many"])
def test_a_reader_of_the_feed_that_asks_for_too_many_topics(house, kind):
    """libzmq keeps each of them, some 40 bytes a character: 30 MB of topic were 3 GB, and a million of them seconds to let go of."""
    house.broker()
    house.bus().pub("t.x", 1)
    before = rss(house.the_broker)
    r = Reader(house)
    try:
        if kind == "many":
            for k in range(100):
                r.want(b"t.%09d.%09d" % (k, i * 7919) for i in range(1000))
        else:
            r.want([b"a" * MIB])
    except (BrokenPipeError, ConnectionResetError):
        pass
    read_all(r.s)  # it is cut: this ends
    bus = house.bus()
    drops = bus.req("sys.stats").body["drops"]
    assert drops["feed_topics" if kind == "many" else "handshake"] >= (kind == "many"), drops
    assert rss(house.the_broker) - before < (16 if SLOW == 1 else 64) * MIB
    s = zmq.Context.instance().socket(zmq.SUB)
    s.linger = 0
    s.subscribe(b"t.")
    s.connect(house.feed_endpoint)
    wait_for(lambda: bus.pub("t.x", 1) and s.poll(20), 20, "the feed of another reader")
    s.close()


def test_thousands_of_calls_in_one_pack(house):
    """Each is answered, but not each is done: 28,000 of sys.stats took seconds, in which nobody else was heard."""
    house.broker()
    bus, rogue = house.bus(), attacker(house)
    n = 5000
    rogue.send(pack_of(frame("REQ", "sys.stats"), n))
    assert bus.pub("t.x", 1).meta["seq"] == 1
    done, busy = 0, 0
    while done + busy < n:
        assert rogue.poll(int(20000 * SLOW))
        v = taxiwire.decode(rogue.recv())
        done += v[1] == "REP"
        busy += v[1] == "ERR" and v[4]["code"] == "BUSY"
    assert 32 <= done < 2000 and done + busy == n
    rogue.send(frame("REQ", "sys.stats"))
    assert rogue.poll(int(20000 * SLOW)) and taxiwire.decode(rogue.recv())[1] == "REP", "the next turn is a new one"
    rogue.close()


def test_an_ack_of_millions(house):
    """No credit is above 65,536: what names more is no ACK, and is not looked through."""
    house.broker()
    bus = house.bus()
    bus.sub("t.>", group="g", credit=10)
    bus.pub("t.x", 1)
    d = bus.recv()
    many = b"\xdd" + struct.pack(">I", 65537) + b"\x01" * 65537
    before = bus.req("sys.stats").body["drops"]
    bus.send_frame(frame("ACK", meta={"group": "g"}, body=many))
    drops = bus.req("sys.stats").body["drops"]
    assert drops["bad_envelope"] == before["bad_envelope"] + 1 and drops["stale"] == before["stale"]
    bus.send_frame(frame("ACK", meta={"group": "g"}, body=b"\xdd" + struct.pack(">I", 65536) + msgpack.packb(d.head["seq"]) * 65536))
    assert bus.req("sys.groups", {"group": "g"}).body["groups"][0]["owed"] == 0
    assert bus.req("sys.stats").body["drops"]["stale"] == before["stale"] + 65535


def test_a_worker_that_never_answers_what_was_cancelled(house):
    """What it has in hand of all its patterns together has an end, else two peers grow the broker as they like."""
    house.broker("--trace-hops", "0")
    bus, w, c = house.bus(), attacker(house), attacker(house)
    for i in range(3):
        w.send(frame("SUB", f"g{i}.x", {"serve": True, "credit": 65536, "bytes": 1 << 40}))
    wait_for(lambda: len(bus.req("sys.services").body["services"]) == 3, 20, "the worker")
    for i in range(3):
        for _ in range(100):
            ids = [new_id() for _ in range(400)]
            c.send(frame("PACK", body=msgpack.packb([f for id in ids for f in (frame("REQ", f"g{i}.x", id=id), frame("CANCEL", id=id))])))
            w.send(frame("PING"))  # it lives, and takes what it is given
            while w.poll(0):
                w.recv()
    c.send(frame("PING"))
    verb = ""
    while verb != "PONG":
        assert c.poll(int(20000 * SLOW)), "the broker does not answer"
        w.send(frame("PING"))
        verb = taxiwire.decode(c.recv())[1]
    assert bus.req("sys.stats").body["counters"]["ghosts"] == 65536
    w.close()
    wait_for(lambda: bus.req("sys.stats").body["counters"]["ghosts"] == 0, 20, "the worker to be gone")
    with pytest.raises(BusError) as e:
        bus.req("g0.x")
    assert e.value.code == "NO_WORKERS"
    c.close()


def test_large_frames_faster_than_they_are_read(house):
    """libzmq reads ahead; when the flood is over its memory goes back to the system."""
    house.broker()
    bus, rogue = house.bus(), attacker(house)
    f = frame("PUB", "t.x", body=b"\xdd" + struct.pack(">I", 15 * MIB) + b"\x01" * (15 * MIB))  # over what a body may hold
    rogue.sndhwm = 0
    for _ in range(60):
        rogue.send(f, copy=False)
    answered = 0
    while answered < 60:
        assert rogue.poll(int(20000 * SLOW))
        answered += taxiwire.decode(rogue.recv())[4]["code"] == "BAD_ENVELOPE"
    assert bus.pub("t.x", 1).meta["seq"] == 1
    wait_for(lambda: rss(house.the_broker) < (64 if SLOW == 1 else 400) * MIB, 20, "memory to come back")
    rogue.close()


@pytest.mark.parametrize("how", ["the directory", "the WAL"])
def test_a_journal_that_is_taken_away(house, how):
    """What is stored in a deleted file is on no disk: nothing is acknowledged any more, and a backup saves what there is."""
    house.broker()
    bus = house.bus()
    for i in range(10):
        bus.pub("t.x", i)
    if how == "the directory":
        shutil.rmtree(house.base / "journal")
    else:
        (house.base / "journal" / "journal.db-wal").rename(house.base / "wal")
    for _ in range(2):
        with pytest.raises(BusError) as e:
            bus.pub("t.x", 1)
        assert e.value.code == "STORE_FAILED"
    assert "evt=journal_gone" in house.the_broker.log()
    saved = bus.req("sys.backup", {"path": str(house.base / "saved")}).body
    assert saved["head"] >= 10
    house.the_broker.kill9()
    shutil.rmtree(house.base / "journal", ignore_errors=True)
    (house.base / "saved").rename(house.base / "journal")
    house.broker()
    assert house.bus().pub("t.x", 1).meta["seq"] > 10


def test_many_tails_from_the_beginning(house):
    """They take turns with everybody else: 1,000 of them over 60,000 records held up a PUB for 20 s."""
    house.broker()
    bus = house.bus()
    for _ in range(20):
        bus.batch([("t.x", new_id(), {}, "x" * 50) for _ in range(1000)])
    tails = [attacker(house) for _ in range(100)]
    for s in tails:
        s.send(frame("SUB", "t.>", {"from": "all", "credit": 65536, "bytes": 1 << 40}))
    wait_for(lambda: bus.req("sys.stats").body["counters"]["tails"] == 100, 20, "the tails")
    before = bus.req("sys.stats").body["counters"]["delivered"]
    pub, look = bus.start("PUB", "t.x", {}, 1), bus.start("REQ", "sys.stats", {})
    bus.finish(pub)
    during = bus.finish(look).body["counters"]["delivered"]
    assert during - before < 1_000_000, "a PUB is answered long before they have all of it"
    for s in tails:
        s.close()


def test_a_tail_without_room_for_the_next_record_waits(house):
    """It has credit, but not for the bytes of what comes next: nothing turns round and round until it says MORE."""
    house.broker()
    bus, tail = house.bus(), house.bus()
    for size in (100, 100_000):
        bus.pub("t.x", "x" * size)
    tail.sub("t.>", from_="all", bytes=1000)
    d = tail.recv()

    def cpu():
        with open(f"/proc/{house.the_broker.p.pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    before, end = cpu(), time.monotonic() + 1
    while time.monotonic() < end:
        tail.pump(0.1)
    assert cpu() - before < 50, "half of a second of work in one of waiting"
    tail.send_frame(frame("MORE", meta={"n": 1}, id=d.head_id))
    assert len(tail.recv().body) == 100_000


def test_many_groups_that_are_owed_everything(house):
    """What each has read ahead counts for all of them: 10,000 groups of `>` with a worker of credit 1 each took 1.4 GB.  Each
    still gets all of it, from the journal."""
    house.broker("--max-bytes", "1m")
    pub, w = house.bus(), house.bus()
    for g in range(20):
        w.sub("t.>", group=f"g{g}", credit=1, many=True)
    n = 600
    before = rss(house.the_broker)
    for k in range(0, n, 100):
        pub.batch([("t.x", new_id(), {"key": str(i % 7)} if i % 3 else {}, i) for i in range(k, k + 100)])
        w.pump()
    assert rss(house.the_broker) - before < (8 if SLOW == 1 else 64) * MIB
    got = {f"g{g}": [] for g in range(20)}

    def all_there():
        w.pump(0.02)
        for d in w.deliveries:
            got[d.head["group"]].append(d.head["seq"])
            w.ack(d)
        w.deliveries.clear()
        return all(len(v) >= n for v in got.values())
    wait_for(all_there, 30, "everything at every group", every=0)
    assert all(v == list(range(1, n + 1)) for v in got.values())
    wait_for(lambda: all(g["owed"] == 0 for g in w.req("sys.groups").body["groups"]), 10, "nothing to be owed")
