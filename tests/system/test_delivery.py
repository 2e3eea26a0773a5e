"""Delivery, rule by rule: what is put again, what counts, what is retained, what a policy says, what a trace shows."""
import time
import uuid as uuids

import msgpack
import pytest

import taxiwire
from bus import BusError, new_id
from conftest import wait_for


@pytest.fixture
def bus(house):
    house.broker()
    return house.bus()


def call(bus, what, /, **body):
    return bus.req(what, body).body


def group(bus, name):
    return call(bus, "sys.groups", group=name)["groups"][0]


def settled(bus, name, *others, **want):
    def look():
        for b in others:
            b.pump()
        g = group(bus, name)
        return g if all(g[k] == v for k, v in want.items()) else None
    return wait_for(look, 30, f"group {name} with {want}")


def refused(fn, *args, **kw):
    with pytest.raises(BusError) as e:
        fn(*args, **kw)
    return e.value


def letters(bus, n, **which):
    return wait_for(lambda: (lambda i: len(i) == n and i)(call(bus, "sys.dead.ls", **which)["items"]), 20, f"{n} dead letters")


# --- dead letters -------------------------------------------------------------------------------------------------
def test_a_dead_letter_goes_back_to_its_group_alone(bus, house):
    w, other, tail = house.bus(), house.bus(), house.bus()
    w.sub("t.>", group="g")
    other.sub("t.>", group="h")
    tail.sub("t.>")
    id, root = new_id(), new_id()
    bus.pub("t.x", {"n": 1}, id, key="k", root=root)
    other.ack(other.recv())
    tail.recv()
    w.reject(w.recv(), "no such volume")
    item = letters(bus, 1)[0]
    assert item["tries"] == 1 and item["reason"] == "no such volume" and item["from"] == "local" and item["key"] == "k"
    r = call(bus, "sys.dead.retry", dead=item["dead"])
    d = w.recv()
    assert d.id == id and d.body == {"n": 1} and d.meta["root"] == root
    assert d.head["seq"] == r["seq"] > item["seq"] and d.head["try"] == 1
    w.ack(d)
    assert call(bus, "sys.dead.ls")["items"] == []
    assert refused(call, bus, "sys.dead.retry", dead=item["dead"]).code == "NOT_FOUND"
    settled(bus, "g", w, owed=0)
    tail.pump(0.05)
    other.pump(0.05)
    assert [x.topic for x in other.deliveries] == [] and [x.topic for x in tail.deliveries] == []
    assert group(bus, "h")["owed"] == 0
    # a repeat of the publisher is still one
    assert bus.pub("t.x", {"n": 1}, id, key="k", root=root).meta["again"]


def test_an_edited_letter_keeps_what_was_not_changed(bus, house):
    w = house.bus()
    w.sub("t.>", group="g")
    id = new_id()
    raw = msgpack.packb([1, "PUB", "t.x", id, {"key": "k", "mine": "x", "exp": 1}, "extra"]) + msgpack.packb({"n": 1})
    bus.send_frame(raw)
    no = letters(bus, 1, reason="EXPIRED")[0]["dead"]
    for bad, pointer in (({}, ""), ({"topic": "live.x"}, "/topic"), ({"topic": "u.x"}, "/topic"), ({"key": 3}, "/key"),
                         ({"boddy": 1}, "/boddy"), ({"topic": "t..x"}, "/topic")):
        e = refused(call, bus, "sys.dead.edit", dead=no, **bad)
        assert e.code == "INVALID" and e.detail["errors"][0]["pointer"] == pointer, (bad, e.detail)
    shown = call(bus, "sys.dead.edit", dead=no, body={"n": 2}, topic="t.y", key=None)
    assert shown["topic"] == "t.y" and "key" not in shown and shown["dead"] == no
    u = msgpack.Unpacker()
    u.feed(shown["frame"])
    assert u.unpack() == [1, "PUB", "t.y", id, {"mine": "x", "exp": 1}, "extra"] and u.unpack() == {"n": 2}
    assert call(bus, "sys.dead.show", dead=no) == shown
    call(bus, "sys.dead.retry", dead=no)
    d = w.recv()
    assert d.topic == "t.y" and d.body == {"n": 2} and d.id == id, "whoever retries it wants it delivered, expired or not"
    w.ack(d)


def test_letters_are_found_by_reason_and_topic(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", tries=1)
    for n in range(6):
        bus.pub(f"t.{'ab'[n % 2]}", n)
        d = w.recv()
        w.nak(d, reason="UPSTREAM: 503") if n < 3 else w.reject(d, "bad row")
    letters(bus, 6)
    assert [i["tries"] for i in letters(bus, 3, reason="UPSTREAM")] == [1, 1, 1]
    assert len(letters(bus, 3, topic="t.a")) == 3
    assert len(letters(bus, 1, topic="*.a", reason="bad", group="g")) == 1
    assert refused(call, bus, "sys.dead.ls", topic="..").code == "INVALID"
    page = call(bus, "sys.dead.ls", limit=4)
    assert len(page["items"]) == 4 and len(call(bus, "sys.dead.ls", after=page["next"])["items"]) == 2


def test_what_was_put_again_survives_a_crash_for_its_group_alone(bus, house):
    w, other = house.bus(), house.bus()
    w.sub("t.>", group="g")
    other.sub("t.>", group="h")
    bus.pub("t.x", 1)
    w.reject(w.recv())
    other.ack(other.recv())
    no = letters(bus, 1)[0]["dead"]
    w.call("UNSUB", "t.>", {"group": "g"})
    w.subs.clear()
    settled(bus, "g", workers=0)
    call(bus, "sys.dead.retry", dead=no)
    assert call(bus, "sys.replay", group="g", **{"from": 1})["replayed"] == 1
    house.the_broker.kill9()
    house.broker()
    fresh = house.bus()
    g, h = settled(fresh, "g", owed=2), settled(fresh, "h", owed=0)
    assert (g["received"], h["received"]) == (3, 1)
    w.sub("t.>", group="g")
    got = [w.recv() for _ in range(2)]
    assert [d.body for d in got] == [1, 1]
    for d in got:
        w.ack(d)
    settled(fresh, "g", w, owed=0)


# --- replay -------------------------------------------------------------------------------------------------------
def test_replay_of_a_range(bus, house):
    w, other = house.bus(), house.bus()
    w.sub("t.*", group="g", credit=2000)
    other.sub("t.*", group="h", credit=2000)
    ids = [new_id() for _ in range(20)]
    for n, id in enumerate(ids):
        bus.pub(f"t.{'ab'[n % 2]}", n, id)
    bus.pub("u.x", "not the group's")
    for b in (w, other):
        for _ in range(20):
            b.ack(b.recv())
    settled(bus, "g", w, owed=0)
    n = group(bus, "g")["floor"]
    assert call(bus, "sys.replay", group="g", **{"from": "all"}, dry=True) == {
        "replayed": 20, "expired": 0, "from": 1, "to": 21, "next": None}
    r = call(bus, "sys.replay", group="g", **{"from": 5}, to=12, topic="t.a")
    assert r["replayed"] == 4 and r["next"] is None
    got = [w.recv() for _ in range(4)]
    assert [d.body for d in got] == [4, 6, 8, 10] and [d.id for d in got] == [ids[i] for i in (4, 6, 8, 10)]
    assert [d.head["seq"] for d in got] == [n + 1, n + 2, n + 3, n + 4] and got[0].head["try"] == 1
    for d in got:
        w.ack(d)
    # What was put again is not put again: a range up to the head has an end.
    assert call(bus, "sys.replay", group="h", **{"from": 21}) == {"replayed": 0, "expired": 0, "from": 21, "to": 25, "next": None}
    other.pump(0.05)
    assert other.deliveries == []
    for bad, pointer in (({}, "/from"), ({"from": "x"}, "/from"), ({"from": 1, "to": "all"}, "/to"),
                         ({"from": 1, "topic": "a..b"}, "/topic"), ({"from": 1, "groups": 1}, "/groups")):
        e = refused(bus.req, "sys.replay", {"group": "g", **bad})
        assert e.code == "INVALID" and e.detail["errors"][0]["pointer"] == pointer, (bad, e.detail)
    assert refused(bus.req, "sys.replay", {"group": "nobody", "from": 1}).code == "NOT_FOUND"


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


def test_replay_of_nothing(bus, house):
    bus.sub("t.>", group="g")
    assert bus.req("sys.replay", {"group": "g", "from": "all"}).body["replayed"] == 0, "there is no record yet"


def test_dead_letters_are_listed_by_their_bytes_too(bus, house):
    """Each is read with its frame: a call reads 16 MiB of them at most, and says that there are more."""
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    for _ in range(4):
        bus.pub("t.x", "x" * (6 << 20))
        w.reject(w.recv())
    wait_for(lambda: (w.pump(), bus.req("sys.groups", {"group": "g"}).body["groups"][0]["dead"] == 4)[1], 20, "four letters")
    pages, after = [], 0
    while after is not None:
        page = bus.req("sys.dead.ls", {"group": "g", "after": after}).body
        pages.append(len(page["items"]))
        after = page["next"]
    assert pages == [3, 1]


def test_replay_goes_by_pages_and_by_time(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=5000)
    bus.batch([("t.x", new_id(), {}, n) for n in range(1000)])
    wait_for(lambda: int(time.time() * 1000), 5)
    mid = int(time.time() * 1000) + 2
    wait_for(lambda: time.time() * 1000 > mid + 2, 5, "another millisecond")
    bus.batch([("t.x", new_id(), {"exp": 1} if n % 10 == 0 else {}, 1000 + n) for n in range(1000)])
    first = [w.recv() for _ in range(1900)]
    for d in first:
        w.ack(d)
    settled(bus, "g", w, owed=0, dead=100)
    head = group(bus, "g")["floor"]
    pages, at = [], "all"
    while at:
        r = call(bus, "sys.replay", group="g", **{"from": at})
        pages.append(r["replayed"])
        at = r["next"]
    assert sum(pages) == 1900 and max(pages) <= 1000, "what had expired is left out"
    assert [w.recv().body for _ in range(1900)] == [d.body for d in first]
    assert call(bus, "sys.replay", group="g", **{"from": "all"}, to={"time": mid}, dry=True)["replayed"] == 1000
    late = call(bus, "sys.replay", group="g", **{"from": {"time": mid}}, dry=True)
    assert late["replayed"] == 900 and late["expired"] == 100 and late["from"] == 1001
    assert call(bus, "sys.replay", group="g", **{"from": {"time": 1 << 50}}, dry=True)["replayed"] == 0
    assert head >= 2100


# --- trace --------------------------------------------------------------------------------------------------------
def hops(bus, id):
    a = call(bus, "sys.trace", id=id)
    assert [h["at"] for h in a["hops"]] == sorted(h["at"] for h in a["hops"])
    return a, [(h["what"], h["topic"], h.get("group")) for h in a["hops"]]


def test_a_trace_shows_every_hop_of_a_chain(bus, house):
    w, s = house.bus(), house.bus()
    w.sub("t.*", group="g")
    s.sub("svc.*", serve=True)
    root = new_id()
    bus.pub("u.noise", 0)
    bus.pub("t.a", 1, root)
    d = w.recv()
    w.nak(d, 0, "not yet")
    d = w.recv()
    rid = w.start("REQ", "svc.x", {"root": root}, 2)
    s.reply(s.recv(), 3)
    w.finish(rid)
    fid = w.start("REQ", "svc.y", {"root": root}, 2)
    s.fail(s.recv(), "UPSTREAM")
    assert refused(w.finish, fid).code == "UPSTREAM"
    child = new_id()
    w.pub("t.b", 4, child, root=root)
    w.ack(d)
    w.reject(w.recv(), "bad row")
    letters(bus, 1)
    settled(bus, "g", w, owed=0)
    a, got = hops(bus, child)
    assert a["root"] == root and not a["more"]
    assert all(h[1] != "u.noise" for h in got)
    of = lambda topic: [h["what"] for h in a["hops"] if h["topic"] == topic]  # noqa: E731
    assert of("t.a") == ["published", "delivered", "naked", "delivered", "acked"]
    assert of("svc.x") == ["requested", "delivered", "answered"] and of("svc.y") == ["requested", "delivered", "failed"]
    assert of("t.b") == ["published", "delivered", "rejected", "dead"] and of("sys.dead") == ["published"]
    by = {(h["what"], h["topic"]): h for h in a["hops"]}
    assert by["naked", "t.a"]["reason"] == "not yet" and by["rejected", "t.b"]["reason"] == "bad row"
    assert by["dead", "t.b"]["group"] == "g" and by["dead", "t.b"]["id"] == child
    assert by["acked", "t.a"]["try"] == 2 and by["acked", "t.a"]["who"].endswith(f"#{w.session}")
    assert by["failed", "svc.y"]["reason"] == "UPSTREAM" and by["requested", "svc.x"]["id"] == rid
    assert got == hops(bus, rid)[1] == hops(bus, root)[1]
    assert refused(call, bus, "sys.trace", id="x").code == "INVALID"
    assert hops(bus, new_id())[1] == []


def test_a_trace_of_what_is_on_disk_alone(house):
    house.broker("--trace-hops", "0")
    bus, w = house.bus(), house.bus()
    w.sub("t.*", group="g", credit=1)
    root, child = new_id(), new_id()
    bus.batch([("t.a", new_id(), {}, n) for n in range(500)])
    for _ in range(500):
        w.ack(w.recv())
    bus.pub("t.a", 1, root)
    d = w.recv()
    bus.pub("t.b", 2, child, root=root)
    w.ack(d)
    w.nak(w.recv(), 60000)
    settled(bus, "g", w, owed=1, inFlight=0)
    for _ in range(2):
        a, got = hops(bus, child)
        assert a["root"] == root
        assert [h for h in got if h[1] == "t.a"] == [("published", "t.a", None), ("done", "t.a", "g")]
        assert [h for h in got if h[1] == "t.b"] == [("published", "t.b", None), ("owed", "t.b", "g")] and len(got) == 4
        assert sorted(hops(bus, root)[1], key=str) == sorted(got, key=str)
        w.close()
        assert house.the_broker.stop() == 0
        house.broker("--trace-hops", "0")
        bus = house.bus()


# --- retained values ----------------------------------------------------------------------------------------------
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


# --- policies -----------------------------------------------------------------------------------------------------
def test_a_group_starts_from_the_policies_of_its_pattern(bus, house):
    call(bus, "sys.policies.set", pattern="t.>", tries=3, maxOwed=50)
    call(bus, "sys.policies.set", pattern="t.x", tries=2, ackMs=700, backoffMs=10, backoffMaxMs=20, full="busy")
    call(bus, "sys.policies.set", pattern=">", idleMs=99000, tries=1)
    for bad, pointer in (({"pattern": "t..x"}, "/pattern"), ({"pattern": "live.x"}, "/pattern"), ({"pattern": "t.x", "tries": 0}, "/tries"),
                         ({"pattern": "t.x", "full": "no"}, "/full"), ({"pattern": "t.x", "retries": 1}, "/retries")):
        e = refused(call, bus, "sys.policies.set", **bad)
        assert e.code == "INVALID" and e.detail["errors"][0]["pointer"] == pointer, bad
    house.the_broker.kill9()
    house.broker()
    bus = house.bus()
    assert call(bus, "sys.policies")["policies"] == [
        {"pattern": "t.x", "tries": 2, "ackMs": 700, "backoffMs": 10, "backoffMaxMs": 20, "full": "busy"},
        {"pattern": "t.>", "tries": 3, "maxOwed": 50}, {"pattern": ">", "tries": 1, "idleMs": 99000}]
    w = house.bus()
    for pattern, name, meta in (("t.x", "a", {}), ("t.y", "b", {"tries": 9}), ("u.*", "c", {})):
        assert w.sub(pattern, group=name, **meta).meta["ack_ms"] == (700 if name == "a" else 30000)
    want = {"a": (2, 700, 10, 20, 99000, 50, "busy"), "b": (9, 30000, 250, 300000, 99000, 50, "pause"),
            "c": (1, 30000, 250, 300000, 99000, 0, "pause")}
    for name, values in want.items():
        g = group(bus, name)
        assert tuple(g[k] for k in ("tries", "ackMs", "backoffMs", "backoffMaxMs", "idleMs", "maxOwed", "full")) == values
    call(bus, "sys.policies.delete", pattern="t.x")
    assert refused(call, bus, "sys.policies.delete", pattern="t.x").code == "NOT_FOUND"
    assert group(bus, "a")["tries"] == 2, "what is created stays as it is"
    e = refused(call, bus, "sys.groups.set", group="a", retries=4)
    assert e.code == "INVALID" and e.detail["errors"][0]["pointer"] == "/retries"
    call(bus, "sys.groups.set", group="a", full="pause", backoffMs=5)
    assert (group(bus, "a")["full"], group(bus, "a")["backoffMs"]) == ("pause", 5)


def test_publishers_wait_for_a_group_that_is_to_lose_nothing(bus, house):
    call(bus, "sys.policies.set", pattern="t.>", maxOwed=5, full="busy")
    w, other = house.bus(), house.bus()
    w.sub("t.*", group="slow", credit=2)
    other.sub("u.*", group="other")
    last = new_id()
    for n in range(5):
        first = bus.pub("t.x", n, id=last if n == 4 else None)
    e = refused(bus.pub, "t.y", 5)
    assert (e.code, e.retry, e.detail["group"]) == ("BUSY", "later", "slow")
    assert refused(bus.batch, [("u.x", new_id(), {}, 1), ("t.x", new_id(), {}, 2)]).detail["index"] == 1
    bus.pub("u.x", 1)
    again = bus.pub("t.x", 4, id=last)
    assert again.meta == {**first.meta, "again": True}, "it is stored: its first answer"
    assert refused(bus.pub, "t.x", 5, id=last).code == "CONFLICT"
    assert bus.batch([("t.x", last, {}, 4)]).meta["seqs"] == [first.meta["seq"]]
    assert bus.batch([("t.x", last, {}, 4), ("u.x", new_id(), {}, 2)]).meta["seqs"] == [first.meta["seq"], first.meta["seq"] + 2]
    time_it = time.monotonic()
    wait_for(lambda: time.monotonic() - time_it > 1.3, 5, "a look of the broker")
    assert group(bus, "slow")["state"] == "active", "it is not paused"
    w.ack(w.recv())
    settled(bus, "slow", w, owed=4)
    bus.pub("t.x", 5)
    assert [w.recv().body for _ in range(2)] == [1, 2]
    assert group(bus, "slow")["dropped"] == 0


def test_backoff_grows_and_jitters(bus, house):
    call(bus, "sys.policies.set", pattern="t.>", backoffMs=40, backoffMaxMs=120, tries=6)
    w = house.bus()
    w.sub("t.*", group="g")
    for n in range(5):
        bus.pub("t.x", n)
    seen = {}
    while sum(map(len, seen.values())) < 25:
        d = w.recv()
        seen.setdefault(d.body, []).append(time.monotonic())
        w.nak(d)
    gaps = [[b - a for a, b in zip(v, v[1:])] for v in seen.values()]
    assert all(g >= f * 0.75 for v in gaps for g, f in zip(v, (0.04, 0.12, 0.12, 0.12))), gaps
    assert len({round(v[1], 4) for v in gaps}) > 1, "they do not all come back together"


# --- drain --------------------------------------------------------------------------------------------------------
def test_drain_takes_nothing_new_and_finishes_the_rest(bus, house):
    w = house.bus()
    w.sub("t.>", group="g")
    w.sub("svc.>", serve=True)
    bus.pub("t.x", 1)
    rid = bus.start("REQ", "svc.x", {"ttl": 10000})
    request = w.recv(where=lambda d: d.is_request)
    d = w.recv()
    assert call(bus, "sys.drain") == {"draining": False, "underWay": 1, "jobs": 0, "owed": 1}
    assert call(bus, "sys.drain", on=True)["draining"] is True
    assert refused(bus.pub, "t.x", 2).code == refused(bus.pub, "live.x", 2).code == "DRAINING"
    assert refused(bus.batch, [("t.x", new_id(), {}, 1)]).code == refused(bus.req, "svc.y").code == "DRAINING"
    assert refused(call, bus, "sys.drain", on=1).code == "INVALID"
    w.ack(d)
    w.reply(request, "done")
    assert bus.finish(rid).body == "done"
    wait_for(lambda: w.pump() or call(bus, "sys.drain") == {"draining": True, "underWay": 0, "jobs": 0, "owed": 0}, 20, "rest")
    assert call(bus, "sys.drain", on=False)["draining"] is False
    bus.pub("t.x", 3)
    assert w.recv().body == 3


# --- the balance --------------------------------------------------------------------------------------------------
def balanced(bus, name, received, **want):
    """Everything a group ever received is acked, dead, dropped or still owed; and it received what was published."""
    g = group(bus, name)
    assert g["received"] == g["acked"] + g["dead"] + g["dropped"] + g["owed"] == received, g
    for k, v in want.items():
        assert g[k] == v, (k, g)
    return g


def test_the_balance_holds_through_everything(house):
    house.broker("--retain-ms", "0")
    bus, w = house.bus(), house.bus()
    w.sub("t.>", group="g", tries=2, credit=5)
    for n in range(10):
        bus.pub("t.x", n, key="k" if n < 4 else "")
    bus.pub("u.x", "not owed")
    got = [w.recv() for _ in range(5)]
    w.ack(got[0])
    w.nak(got[1], 0)
    w.reject(got[4])
    letters(bus, 1)
    balanced(bus, "g", 10)
    while group(bus, "g")["acked"] < 9:
        w.pump(0.02)
        for d in w.deliveries:
            w.ack(d)
        w.deliveries = []
    balanced(bus, "g", 10, acked=9, dead=1, owed=0)
    # expiry
    bus.pub("t.x", 10, exp=1)
    no = letters(bus, 2)[1]["dead"]
    settled(bus, "g", w, owed=0)
    balanced(bus, "g", 11, dead=2)
    # retry, replay
    call(bus, "sys.dead.retry", dead=no)
    w.ack(w.recv())
    settled(bus, "g", w, owed=0)
    balanced(bus, "g", 12, acked=10)
    # a crash with some in hand, some behind
    for n in range(20):
        bus.pub("t.y", n)
    w.ack(w.recv())
    balanced(bus, "g", 32)
    house.the_broker.kill9()
    house.broker("--retain-ms", "0")
    bus = house.bus()
    wait_for(lambda: group(bus, "g")["received"] == 32, 20, "the count")
    balanced(bus, "g", 32)
    w.sub("t.>", group="g", tries=2, credit=5)
    while group(bus, "g")["owed"]:
        w.ack(w.recv())
        w.pump()
    balanced(bus, "g", 32, dead=2, acked=30)
    # replay
    bus.pub("t.z", 1)
    first = group(bus, "g")["floor"]
    w.ack(w.recv())
    # clean restart
    settled(bus, "g", w, owed=0)
    assert house.the_broker.stop() == 0
    house.broker("--retain-ms", "0")
    bus = house.bus()
    balanced(bus, "g", 33, acked=31, dead=2, dropped=0)
    w.close()
    # paused: what goes is counted
    call(bus, "sys.groups.set", group="g", paused=True)
    for n in range(7):
        bus.pub("t.x", n)
    settled(bus, "g", dropped=7)
    balanced(bus, "g", 40, owed=0, dropped=7)
    call(bus, "sys.groups.set", group="g", paused=False)
    bus.pub("t.x", 7)
    balanced(bus, "g", 41, owed=1)
    call(bus, "sys.groups.delete", group="g")
    assert refused(call, bus, "sys.groups", group="g").code == "NOT_FOUND"
    assert first > 0


def test_a_replay_is_received_again(bus, house):
    w = house.bus()
    w.sub("t.>", group="g")
    for n in range(3):
        bus.pub("t.x", n)
        w.ack(w.recv())
    assert call(bus, "sys.replay", group="g", **{"from": "all"})["replayed"] == 3
    balanced(bus, "g", 6)
    for _ in range(3):
        w.ack(w.recv())
    settled(bus, "g", w, owed=0)
    balanced(bus, "g", 6, acked=6)


def test_nobody_dies_twice(bus, house):
    """A crash right after a letter was written, before the state that says so."""
    for n in range(6):
        w = house.bus()
        w.sub("t.>", group="g", tries=1)
        bus.pub("t.x", n)
        w.reject(w.recv())
        letters(bus, n + 1)
        house.the_broker.kill9()
        house.broker()
        bus = house.bus()
        w.close()
    w = house.bus()
    w.sub("t.>", group="g", tries=1)
    bus.pub("t.x", "end")
    assert w.recv().body == "end"
    assert [i["seq"] for i in call(bus, "sys.dead.ls")["items"]] == sorted({i["seq"] for i in call(bus, "sys.dead.ls")["items"]})
    balanced(bus, "g", 7, dead=6, owed=1)


def test_a_crash_marks_only_what_somebody_may_have_seen(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=2)
    bus.pub("t.x", 0)
    w.ack(w.recv())
    w.call("BYE", "")
    w.subs.clear()
    settled(bus, "g", w, owed=0, workers=0)
    at = time.monotonic()
    wait_for(lambda: time.monotonic() > at + 0.3, 5, "its state, which nobody waits for")
    for n in range(1, 50):
        bus.pub("t.x", n)
    house.the_broker.kill9()
    house.broker()
    bus = house.bus()
    w = house.bus()
    w.sub("t.>", group="g", credit=4)
    got = [w.recv() for _ in range(4)]
    assert [(d.body, d.head.get("again")) for d in got] == [(n, None) for n in range(1, 5)], "nobody was there to see them"
    house.the_broker.kill9()
    house.broker()
    bus = house.bus()
    w = house.bus()
    w.sub("t.>", group="g", credit=4)
    got = [w.recv() for _ in range(4)]
    assert all(d.head.get("again") for d in got)


# --- requests -----------------------------------------------------------------------------------------------------
def test_a_request_after_a_restart_waits_for_the_workers_of_before(bus, house):
    bus.pub("t.x", 1)
    house.the_broker.kill9()
    house.broker()
    bus, w = house.bus(), house.bus()
    id = bus.start("REQ", "svc.x", {"ttl": 5000})
    lost = bus.start("REQ", "nobody.x", {"ttl": 5000})
    flush = bus.req("sys.ping.broker").body
    assert flush["name"] == "broker"
    w.sub("svc.*", serve=True)
    d = w.recv()
    assert "again" not in d.head and d.head["left"] <= 5000
    w.reply(d, 1)
    assert bus.finish(id).body == 1
    e = refused(bus.finish, lost)
    assert e.code == "NO_WORKERS" and e.retry == "later"
    assert refused(bus.req, "nobody.x").code == "NO_WORKERS"


def test_a_request_that_may_run_twice_waits_for_a_worker_to_return(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True)
    twice, once = bus.start("REQ", "svc.x", {"ttl": 20000, "again": True}, 1), bus.start("REQ", "svc.x", {"ttl": 20000}, 2)
    w.recv(), w.recv()
    w.call("UNSUB", "svc.*", {"serve": True})
    w.close()
    assert refused(bus.finish, once).code == "WORKER_LOST"
    fresh = house.bus()
    fresh.sub("svc.*", serve=True)
    d = fresh.recv()
    assert d.body == 1 and d.head["again"] is True
    fresh.reply(d, "second")
    assert bus.finish(twice).body == "second"


# --- once in ------------------------------------------------------------------------------------------------------
def test_a_batch_sent_again_after_its_cursor_moved_on_is_a_repeat(bus):
    first = [("t.x", new_id(), {}, n) for n in range(3)]
    second = [("t.x", new_id(), {}, n) for n in range(3)]
    a = bus.batch(first, src="s", cur=b"1", was=b"").meta["seqs"]
    b = bus.batch(second, src="s", cur=b"2", was=b"1").meta["seqs"]
    assert bus.batch(first, src="s", cur=b"1", was=b"").meta["seqs"] == a
    assert bus.batch(second, src="s", cur=b"2", was=b"1").meta["seqs"] == b
    assert bytes(call(bus, "sys.cursor", src="s")["cur"]) == b"2"
    assert refused(bus.batch, first + [("t.x", new_id(), {}, 9)], src="s", cur=b"1", was=b"").code == "CONFLICT"
    assert refused(bus.batch, [], src="s", cur=b"3", was=b"1").code == "CONFLICT"
    # Known records and the cursor as expected: it moves.
    bus.batch(first, src="s", cur=b"3", was=b"2")
    assert bytes(call(bus, "sys.cursor", src="s")["cur"]) == b"3"


def test_an_id_that_is_being_committed_is_stored_once(bus):
    id = new_id()
    frame = taxiwire.encode("PUB", "t.x", id, {}, msgpack.packb(1))
    other = taxiwire.encode("PUB", "t.x", id, {}, msgpack.packb(2))
    answers = []
    take = bus._take
    bus._take = lambda f: (answers.append(taxiwire.decode(f)) if taxiwire.decode(f)[3] == id else take(f))
    bus.send_frame(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb([frame, frame, other])))
    wait_for(lambda: bus.pump(0.02) and False or len(answers) == 3, 20, "three answers")
    assert [a[1] for a in answers] == ["OK", "OK", "ERR"] and answers[0][4]["seq"] == answers[1][4]["seq"]
    assert "again" not in answers[0][4] and answers[1][4]["again"] and answers[2][4]["code"] == "CONFLICT"


# --- groups, rule by rule -----------------------------------------------------------------------------------------
def test_from_a_time_counts_at_creation_only(bus, house):
    bus.pub("t.x", "before")
    at = int(time.time() * 1000) + 3
    wait_for(lambda: time.time() * 1000 > at + 3, 5, "a later millisecond")
    first = bus.pub("t.x", "after").meta["seq"]
    w = house.bus()
    assert w.sub("t.x", group="g", from_={"time": at}).meta["next"] == first
    d = w.recv()
    assert d.body == "after"
    w.ack(d)
    settled(bus, "g", w, owed=0)
    assert w.sub("t.x", group="g", from_="all").meta["next"] == first + 1, "from counts once"
    for bad in ("old", {"time": 1, "seq": 2}, {"when": 3}, 7):
        assert refused(house.bus().sub, "t.x", group="other", from_=bad).code == "INVALID", bad


def test_a_sub_again_replaces_its_credit(bus, house):
    w = house.bus()
    w.sub("t.x", group="g", credit=1)
    for n in range(4):
        bus.pub("t.x", n)
    assert w.recv().body == 0
    w.pump(0.05)
    assert w.deliveries == []
    w.sub("t.x", group="g", credit=3)
    assert [w.recv().body for _ in range(2)] == [1, 2]
    w.pump(0.05)
    assert w.deliveries == [] and group(bus, "g")["inFlight"] == 3 and group(bus, "g")["workers"] == 1


def test_verdicts_count_from_the_holder_with_its_try_alone(bus, house):
    a, b = house.bus(), house.bus()
    a.sub("t.x", group="g", tries=5)
    bus.pub("t.x", 1)
    d = a.recv()
    b.sub("t.x", group="g")
    for verb in ("NAK", "REJECT", "EXTEND"):
        b._verdict(verb, d)
    d.head["try"] += 1
    for verb in ("NAK", "REJECT", "EXTEND"):
        a._verdict(verb, d)
    d.head["try"] -= 1
    b.ack(d)
    wait_for(lambda: group(bus, "g")["stale"] == 7, 20, "seven stale ones")
    assert group(bus, "g")["inFlight"] == 1
    a.nak(d, 0)
    e = b.recv()
    assert e.head["try"] == 2 and e.head["again"]
    a.nak(d, 0)
    wait_for(lambda: group(bus, "g")["stale"] == 8, 20, "the old holder's NAK is stale")
    a.ack(d)
    settled(bus, "g", b, owed=0, acked=1)  # a late ACK counts, from whoever was handed it
    b.ack(e)
    wait_for(lambda: group(bus, "g")["stale"] == 9, 20, "it is done already")


def test_a_nak_takes_the_later_ones_of_its_key_back_without_a_try(bus, house):
    w = house.bus()
    w.sub("t.x", group="g", tries=3)
    for n in range(3):
        bus.pub("t.x", n, key="k")
    bus.pub("t.x", "other", key="o")
    got = [w.recv() for _ in range(4)]
    w.ack(got[3])
    w.nak(got[0], 50)
    again = [w.recv() for _ in range(3)]
    assert [(d.body, d.head["try"]) for d in again] == [(0, 2), (1, 1), (2, 1)] and all(d.head["again"] for d in again)
    # A dead letter releases the key; what follows was not held up by it.
    w.reject(again[0])
    letters(bus, 1)
    w.ack(again[1])
    w.ack(again[2])
    settled(bus, "g", w, owed=0, dead=1)


def test_after_the_pong_behind_a_nak_nothing_is_stale(bus, house):
    """A worker NAKs, and NAKs whatever it is sent of that key until the PONG: what comes then is in order."""
    w = house.bus()
    w.sub("t.x", group="g", tries=1000, credit=100)
    pongs, came, turns, done = {}, [0], 0, []
    take = w._take

    def spy(frame):
        v = taxiwire.decode(frame)
        if v[1] == "PONG":
            pongs[v[3]] = came[0]
        take(frame)
        if v[1] == "MSG":
            came[0] += 1
            w.deliveries[-1].nth = came[0]
    w._take = spy
    waiting = None
    for n in range(40):
        bus.pub("t.x", n, key="k")
    while len(done) < 40:
        d = w.recv()
        if waiting is not None and d.nth <= pongs.get(waiting, 1 << 60) or (turns < 12 and d.body % 3 == 0 and d.head["try"] == 1):
            turns += 1
            waiting = new_id()
            nak = taxiwire.encode("NAK", "", new_id(), {"group": "g", "seq": d.head["seq"], "try": d.head["try"], "delay": 1})
            w.send_frame(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb([nak, taxiwire.encode("PING", "", waiting, {})])))
            continue
        done.append(d.body)
        w.ack(d)
    assert done == list(range(40)) and turns > 3


def test_expired_in_flight_and_extended(bus, house):
    w = house.bus()
    w.sub("t.x", group="g", tries=2, ack_ms=300, credit=1)
    soon = int(time.time() * 1000) + 400
    bus.pub("t.x", "held")
    bus.pub("t.x", "late", exp=soon)
    d = w.recv()
    w.extend(d, 20000)
    wait_for(lambda: w.pump() or time.time() * 1000 > soon + 50, 20, "its time to pass")
    assert group(bus, "g")["inFlight"] == 1 and group(bus, "g")["redelivered"] == 0
    w.ack(d)
    item = letters(bus, 1, reason="EXPIRED")[0]
    assert item["tries"] == 0, "expiry is no try"
    settled(bus, "g", w, owed=0)


# --- cancel -------------------------------------------------------------------------------------------------------
def test_a_trigger_cancelled_before_a_worker_had_it_is_not_run(full):
    full.proc("control-tower").start()
    bus = full.bus()
    bus.sub("rows.in", group="rows")
    one = {"apiVersion": "OT-2/v1alpha1/Spark1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 1}, "spec": [{"volume": 1}]}
    worker = full.proc("worker").spawn_bare()
    wait_for(lambda: [g for g in call(bus, "sys.groups")["groups"] if g["group"] == "example-c" and g["workers"]], 20, "the worker")
    worker.kill9()
    settled(bus, "example-c", workers=0)
    taken, kept = (bus.req("control-tower.triggers.create", one).body["uuid"] for _ in range(2))
    bus.req("control-tower.triggers.cancel", {"uuid": taken})
    assert call(bus, "sys.retained", topic=f"cancel.{taken}")["frame"]
    assert call(bus, "sys.retained", topic=f"cancel.{kept}")["frame"] is None
    worker = full.proc("worker").spawn_bare()
    settled(bus, "example-c", bus, owed=0)
    d = bus.recv()
    assert d.body["uuid"] == kept, "the other one was run"
    bus.ack(d)

    def status(uuid):
        return bus.req("control-tower.triggers.get", {"uuid": uuid}).body
    got = wait_for(lambda: (lambda t: t["status"] == "cancelled" and t)(status(taken)), 20, "its state")
    assert [e["by"] for e in got["events"] if e["status"] == "cancelled"] == ["example-c"]
    wait_for(lambda: status(kept)["status"] == "succeeded", 20, "the other's state")
    bus.pump(0.05)
    assert bus.deliveries == [], "it left no rows"


def test_old_cancels_are_forgotten(full):
    bus = full.bus()
    old, new = (str(uuids.UUID(bytes=new_id())) for _ in range(2))
    at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    bus.pub(f"cancel.{old}", {"uuid": old, "by": "x", "at": "2020-01-01T00:00:00.000Z"}, retain=True)
    bus.pub(f"cancel.{new}", {"uuid": new, "by": "x", "at": at}, retain=True)
    full.proc("control-tower").start()
    wait_for(lambda: call(bus, "sys.retained", topic=f"cancel.{old}")["frame"] is None, 20, "the old one to go")
    assert call(bus, "sys.retained", topic=f"cancel.{new}")["frame"]
