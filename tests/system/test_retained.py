"""Retained values: the last of each topic comes first, and outlives retention and restarts."""
import taxiwire
from bus import new_id
from conftest import wait_for
from looks import refused


def bodies(w, n):
    got = [w.recv() for _ in range(n)]
    w.pump(0.05)
    assert w.deliveries == []
    return [(d.topic, d.body, d.head.get("retain", False)) for d in got]


def test_a_sub_gets_the_last_values_first(house):
    house.broker("--retain-ms", "0")
    bus = house.bus()
    for n in range(3):
        bus.pub("state.a", n, retain=True)
    seq = bus.pub("state.b.c", "b", retain=True).meta["seq"]
    bus.pub("state.b", "gone", retain=True)
    bus.pub("state.a", "not retained")
    bus.pub("state.b", None, retain=True)
    bus.pub("other.x", 1, retain=True)
    bus.pub("state.e", "late", retain=True, exp=1)
    w, one, tail = house.bus(), house.bus(), house.bus()
    w.sub("state.>")
    got = [w.recv(), w.recv()]
    assert [(d.topic, d.body) for d in got] == [("state.a", 2), ("state.b.c", "b")] and got[1].head["seq"] == seq
    assert got[1].head["retain"] is True
    bus.pub("state.a", 4, retain=True)
    assert bodies(w, 1) == [("state.a", 4, False)]
    one.sub("state.a")
    assert bodies(one, 1) == [("state.a", 4, True)]
    tail.sub("state.>", from_="new")
    tail.pump(0.05)
    assert tail.deliveries == [], "from leaves them out"
    w.sub("t.>", group="g")
    w.pump(0.05)
    assert w.deliveries == [], "groups get what they are owed"
    assert refused(bus.pub, "live.x", 1, retain=True).code == "INVALID"
    # Retention takes the records, a restart the memory: the last values stay.
    wait_for(lambda: bus.req("sys.stats").body["counters"]["trimmed"] > 8, 20, "retention")
    house.the_broker.kill9()
    house.broker("--retain-ms", "0")
    w = house.bus()
    w.sub("*.a")
    assert bodies(w, 1) == [("state.a", 4, True)]


def test_last_values_wait_for_credit_and_lose_nothing_after(bus, house):
    for n in range(30):
        bus.pub(f"state.{n:02}", "x" * 20000, retain=True)
    w = house.bus()
    sub = w.sub("state.>", credit=4)
    first = [w.recv() for _ in range(4)]
    for n in range(10):
        bus.pub("state.05", n, retain=True)
    rest = []
    while len(rest) < 26 - 1 + 10:
        w.send_frame(taxiwire.encode("MORE", "", sub.id, {"n": 4}))
        rest.append(w.recv())
        w.pump()
        rest += w.deliveries
        w.deliveries = []
    assert [d.topic for d in first + rest][:29] == [f"state.{n:02}" for n in range(30) if n != 5]
    assert [(d.topic, d.body) for d in rest[25:]] == [("state.05", n) for n in range(10)]
    assert all(d.head.get("retain") for d in (first + rest)[:29]) and not any(d.head.get("retain") for d in rest[25:])


def test_tails_that_read_much_leave_pages_to_the_others(house):
    """Two that go through all of a journal for its last record do not keep a third from a value that is there at once."""
    house.broker("--max-bytes", "4m")
    bus, tail = house.bus(), house.bus()
    bus.pub("r.x", "value", retain=True)
    for _ in range(10):
        bus.batch([["t.x", new_id(), {}, "x" * 100000] for _ in range(10)])
    for n in (1, 2):
        bus.pub(f"z{n}.end", n)
    for pattern, meta in (("z1.>", {"from": "all"}), ("z2.>", {"from": "all"}), ("r.>", {})):
        tail.start("SUB", pattern, {"credit": 10, **meta})
    got = [tail.recv().topic for _ in range(3)]
    assert got[0] == "r.x" and sorted(got[1:]) == ["z1.end", "z2.end"]
