"""Dead letters and replay: what is put again, for whom, and what stays as it was."""
import time

import msgpack

from bus import new_id
from conftest import wait_for
from looks import call, group, letters, refused, settled


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
    settled(bus, "h", other, owed=0)
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
    """What was done before the crash may come again, marked: the states of groups are saved now and then."""
    w, other = house.bus(), house.bus()
    w.sub("t.>", group="g")
    other.sub("t.>", group="h")
    first = bus.pub("t.x", 1).meta["seq"]
    w.reject(w.recv())
    other.ack(other.recv())
    settled(bus, "h", other, owed=0)
    no = letters(bus, 1)[0]["dead"]
    w.call("UNSUB", "t.>", {"group": "g"})
    w.subs.clear()
    settled(bus, "g", workers=0)
    call(bus, "sys.dead.retry", dead=no)
    assert call(bus, "sys.replay", group="g", **{"from": 1})["replayed"] == 1
    house.the_broker.kill9()
    house.broker()
    fresh, seen = house.bus(), []
    w.sub("t.>", group="g")

    def over():
        for name, b in (("g", w), ("h", other)):
            b.pump()
            while b.deliveries:
                d = b.deliveries.pop(0)
                seen.append((name, d.head["seq"], d.head.get("again", False), d.body))
                b.ack(d)
        return len({s for n, s, _, _ in seen if n == "g" and s != first}) == 2 and all(group(fresh, n)["owed"] == 0 for n in "gh")
    wait_for(over, 30, "both that were put again")
    assert len([1 for n, s, _, _ in seen if s != first]) == 2, "nobody else got them, and nobody twice"
    assert all(body == 1 for *_, body in seen) and all(again for _, s, again, _ in seen if s == first)


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


def test_replay_of_nothing(bus, house):
    bus.sub("t.>", group="g")
    assert bus.req("sys.replay", {"group": "g", "from": "all"}).body["replayed"] == 0, "there is no record yet"


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
