"""Delivery, rule by rule: what a group is handed and when, what counts, what a policy says, what is stored once."""
import time

import msgpack

import taxiwire
from bus import new_id
from conftest import SLOW, wait_for
from looks import call, group, letters, refused, settled


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
    ack_ms = int(300 * SLOW)
    w.sub("t.x", group="g", tries=2, ack_ms=ack_ms, credit=1)
    soon = int(time.time() * 1000) + 2 * ack_ms
    bus.pub("t.x", "held")
    bus.pub("t.x", "late", exp=soon)
    d = w.recv()
    w.extend(d, 20000)
    wait_for(lambda: (w.pump(), time.time() * 1000 > soon + 50)[1], 20, "its time to pass")
    assert group(bus, "g")["inFlight"] == 1 and group(bus, "g")["redelivered"] == 0
    w.ack(d)
    item = letters(bus, 1, reason="EXPIRED")[0]
    assert item["tries"] == 0, "expiry is no try"
    settled(bus, "g", w, owed=0)


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
    rid = bus.start("REQ", "svc.x", {"ttl": 20000})
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
    wait_for(lambda: (w.pump(), call(bus, "sys.drain") == {"draining": True, "underWay": 0, "jobs": 0, "owed": 0})[1], 20, "rest")
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


def work_off(bus, w, name, **want):
    """w acks what comes until the group shows these values: an ACK is counted a moment after it was sent."""
    def look():
        w.pump()
        while w.deliveries:
            w.ack(w.deliveries.pop(0))
        return want.items() <= group(bus, name).items()
    wait_for(look, 30, f"group {name} with {want}")


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
    work_off(bus, w, "g", acked=9)
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
    work_off(bus, w, "g", owed=0)
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
    assert house.the_broker.stop() == 0  # else its state comes to disk some time, and nobody can tell when
    house.broker()
    bus = house.bus()
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
    id = bus.start("REQ", "svc.x", {"ttl": 20000})
    lost = bus.start("REQ", "nobody.x", {"ttl": 20000})
    flush = bus.req("sys.ping.broker").body
    assert flush["name"] == "broker"
    w.sub("svc.*", serve=True)
    d = w.recv()
    assert "again" not in d.head and d.head["left"] <= 20000
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
