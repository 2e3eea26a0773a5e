"""Garbage on every socket: an error or a counted drop, flat memory, and work goes on."""
import random
import socket
import struct

import msgpack
import pytest
import zmq

import taxiwire
from bus import BusError, new_id
from conftest import SLOW, wait_for
from looks import read_all, rss

BOMBS = [b"\xdd\xff\xff\xff\xff", b"\x91" * 100000, b"\xdf\xff\xff\xff\xff" * 100, b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff",
         b"\x95" * 40, b"\xc1", b"", b"\x00", b"\x95\x01\xa3PUB\xa3t.x\xc4\x10", b"\xc7\xff\x00"]


def hostile_frames(rnd):
    good = taxiwire.encode("PUB", "t.x", new_id(), {"key": "k"}, msgpack.packb({"a": 1}))
    yield from BOMBS
    for v in (0, 2, 1 << 40, -1, "1", None):
        yield msgpack.packb([v, "PUB", "t.x", new_id(), {}])
    for verb in ("NOPE", "", "MSG", "OK", "REP", "PONG", 7, b"PUB"):
        yield msgpack.packb([1, verb, "t.x", new_id(), {}])
    for topic in ("t\x00x", "../x", "a" * 300, ".".join("a" * 20), "*", ">", 5):
        yield msgpack.packb([1, "PUB", topic, new_id(), {}])
    for id in (b"", b"x" * 15, b"x" * 17, "x" * 16, 0):
        yield msgpack.packb([1, "PUB", "t.x", id, {}])
    for meta in ([], 1, {"key": 1}, {"ttl": -1}, {"ttl": 1 << 60}, {"exp": "now"}, {str(i): i for i in range(40)}, {"key": "k" * 9000},
                 {"dig": b"short"}, {"seqs": 1}, {"group": "g" * 100}):
        yield msgpack.packb([1, "PUB", "t.x", new_id(), meta])
        yield msgpack.packb([1, "ACK", "", new_id(), meta])
        yield msgpack.packb([1, "SUB", "t.>", new_id(), meta])
    for verb in ("ACK", "NAK", "REJECT", "EXTEND", "CANCEL", "MORE", "BYE", "UNSUB", "BATCH", "PACK", "REQ", "SUB"):
        yield msgpack.packb([1, verb, "t.x", new_id(), {"group": "none", "seq": 1 << 62, "try": 1 << 62, "seqs": [1 << 62, 0]}])
        yield msgpack.packb([1, verb, "", new_id(), {}]) + b"\xff\xff"
    yield msgpack.packb([1, "PUB", "t.x", new_id(), {}]) + msgpack.packb("bad \xff utf8".encode("latin-1").decode("latin-1"))
    yield b"\x95\x01\xa3PUB\xa3t.\xff\xc4\x10" + bytes(16) + b"\x80"
    yield msgpack.packb([1, "PACK", "", new_id(), {}]) + msgpack.packb([b"\xff" * 10, msgpack.packb([1, "PACK", "", new_id(), {}]) + msgpack.packb([b""])])
    yield msgpack.packb([1, "BATCH", "", new_id(), {}]) + msgpack.packb([["t.x", b"short", {}, 1], 5, None])
    for cut in range(len(good)):
        yield good[:cut]
    for _ in range(3000):
        yield rnd.randbytes(rnd.randrange(1, 200))
    for _ in range(2000):
        b = bytearray(good)
        for _ in range(rnd.randrange(1, 4)):
            b[rnd.randrange(len(b))] = rnd.randrange(256)
        yield bytes(b)


def test_garbage_on_the_bus(house):
    house.broker()
    bus = house.bus()
    bus.sub("t.>", group="g", credit=0)
    rnd = random.Random(1)
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger, s.sndhwm, s.rcvhwm = 0, 0, 0
    s.connect(house.bus_endpoint)

    def flood():
        n = 0
        for f in hostile_frames(rnd):
            s.send(f)
            n += 1
        s.send_multipart([b"", b"two", b"frames"])
        s.send(taxiwire.encode("PING", "", new_id(), {}))

        def ponged():
            while s.poll(10):
                if any(taxiwire.decode(p)[1] == "PONG" for p in s.recv_multipart() if p[:1] == b"\x95"):
                    return True
            return False
        wait_for(ponged, 60, "the broker to have read it all")
        bus.pump()
        return n

    sent = flood()
    before = rss(house.the_broker)
    for _ in range(5):
        sent += flood()
    grown = rss(house.the_broker) - before
    assert grown < 24 << 20, f"{grown} bytes more after {sent} hostile frames"
    assert house.the_broker.alive()
    stats = bus.req("sys.stats").body
    assert sum(stats["drops"].values()) > 0, "what could not be answered is counted"
    assert bus.pub("t.ok", 1).meta["groups"] == 1, "and work goes on"
    s.close()


def test_oversize_frame(house):
    house.broker()
    bus = house.bus()
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger = 0
    s.connect(house.bus_endpoint)
    id = new_id()
    s.send(msgpack.packb([1, "PUB", "t.x", id, {}]) + msgpack.packb(b"x" * (17 << 20)))
    assert s.poll(int(20000 * SLOW))
    v = taxiwire.decode(s.recv())
    assert v[1] == "ERR" and v[4]["code"] == "TOO_BIG"
    s.send(b"x" * (40 << 20))  # over ZMQ_MAXMSGSIZE: libzmq closes the connection
    assert bus.pub("t.x", 1).meta["seq"] == 1
    s.close()


def test_an_envelope_that_no_delivery_could_carry(house):
    """`as` goes into the header of the delivery, which has its own limit: what would not fit is refused, not stored."""
    house.broker()
    bus, worker = house.bus(), house.bus()
    worker.sub("t.>", group="g", many=True)
    for size in (8140, 4094):
        frames = [taxiwire.encode("PUB", "t.x", new_id(), {"as": "a" * size}, b"\x01") for _ in range(4)]
        bus.send_frame(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb(frames)))
        for f in frames:
            with pytest.raises(BusError) as e:
                bus.finish(taxiwire.decode(f)[3])
            assert e.value.code == "BAD_ENVELOPE" and "as" in e.value.detail["detail"]
    for _ in range(4):
        bus.pub("t.x", 1, **{"as": "a" * 4093})
    for _ in range(4):
        d = worker.recv()
        assert d.head["as"] == "a" * 4093
        worker.ack(d)
    assert bus.req("sys.stats").body["drops"]["too_big"] == 0


def test_garbage_before_zeromq(house):
    """Bytes that are no ZMTP at all, at the raw TCP port."""
    from conftest import free_port
    house.bus_endpoint = f"tcp://127.0.0.1:{(port := free_port())}"
    house.broker()
    rnd = random.Random(2)
    for payload in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, struct.pack(">Q", 1 << 62), b"\xff" + bytes(8) + b"\x7f\x03", b"", rnd.randbytes(4096)):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as c:
                c.sendall(payload)
    assert house.bus().pub("t.x", 1).meta["seq"] == 1


def test_garbage_on_the_feed(house):
    house.broker()
    s = zmq.Context.instance().socket(zmq.XSUB)
    s.linger, s.sndhwm = 0, 0
    s.connect(house.feed_endpoint)
    rnd = random.Random(3)
    for _ in range(2000):
        s.send(rnd.randbytes(rnd.randrange(1, 100)))
    s.send(b"\x01" + b"t.")
    bus = house.bus()
    wait_for(lambda: bus.pub("t.x", 1) and s.poll(20), 20, "the feed after garbage")
    s.close()


def test_parts_that_look_like_a_subscription(house):
    """XPUB hands a message of several parts on as it came: none of them is a reader."""
    house.broker()
    bus = house.bus()
    bad = zmq.Context.instance().socket(zmq.XSUB)
    bad.linger = 0
    bad.connect(house.feed_endpoint)
    bad.send_multipart([b"x", b"\x01+t."])
    bad.send_multipart([b"x", b"\x01t."])
    wait_for(lambda: bus.req("sys.stats").body["drops"]["multipart"] == 2, 20, "the broker to have read them")
    before = bus.req("sys.stats").body["counters"]
    bus.pub("t.x", 1)
    after = bus.req("sys.stats").body["counters"]
    assert after["feedN"] > before["feedN"] and after["fed"] == before["fed"] == 0
    bad.close()


def test_a_worker_that_answers_garbage(house):
    """Bad frames from a worker end that request or are dropped; they do not harm the broker or the client."""
    house.broker()
    bus, w = house.bus(), house.bus()
    w.sub("svc.*", serve=True, credit=100)
    id = bus.start("REQ", "svc.x", {"ttl": 20000})
    d = w.recv()
    for f in BOMBS:
        w.send_frame(f)
    w.send_frame(msgpack.packb([1, "REP", "svc.x", d.head_id, {"status": "two hundred"}]))
    w.send_frame(msgpack.packb([1, "REP", "svc.x", new_id(), {}]))
    w.send_frame(taxiwire.encode("REP", "svc.x", d.head_id, {}, msgpack.packb("good")))
    assert bus.finish(id).body == "good"


@pytest.mark.parametrize("raw", [
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",  # half a request
    b"POST /bus/publish/t.x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{\"a\":",
    b"POST /bus/publish/t.x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nffffffffffffffff\r\n",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET " + b"/" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
])
def test_garbage_at_the_edge(house, raw):
    house.broker()
    house.edge("--header-timeout-ms", "1000", "--body-timeout-ms", "1000")
    before = rss(house.the_edge)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", house.http_port)) as c:
            c.sendall(raw)
    with socket.create_connection(("127.0.0.1", house.http_port)) as c:
        c.sendall(raw)
        c.settimeout(20 * SLOW)
        answer = read_all(c)
        assert answer == b"" or answer.split(b" ")[1][:1] in (b"4", b"5"), answer[:200]
    assert house.http("GET", "/healthz").status == 200
    assert rss(house.the_edge) - before < 32 << 20
