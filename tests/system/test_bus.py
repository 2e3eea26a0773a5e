"""The broker against the rules of proto/PROTOCOL.md, spoken to by the independent Python client."""
import hashlib
import time
import uuid

import msgpack
import pytest
import zmq

import taxiwire
from bus import BusError, new_id
from conftest import SLOW, wait_for
from looks import group, settled


# --- publishing ----------------------------------------------------------------------------------------------
def test_durable_publish_is_answered_with_seq(bus):
    a, b = bus.pub("t.a", {"x": 1}), bus.pub("t.b", {"x": 2})
    assert (a.meta["seq"], b.meta["seq"]) == (1, 2) and a.meta["groups"] == 0


def test_ephemeral_publish_has_no_seq(bus, house):
    watcher = house.bus()
    watcher.sub("live.>")
    assert "seq" not in bus.pub("live.x", 1).meta
    d = watcher.recv()
    assert d.topic == "live.x" and "seq" not in d.head


def test_sys_and_bad_topics_are_refused(bus):
    for topic, code in (("sys.x", "DENIED"), ("a..b", "BAD_TOPIC"), ("a.*", "BAD_TOPIC"), ("", "BAD_TOPIC"), ("a b", "BAD_TOPIC")):
        with pytest.raises(BusError) as e:
            bus.pub(topic, 1)
        assert e.value.code == code, topic


def test_same_id_is_stored_once(bus):
    id = new_id()
    a, b = bus.pub("t.a", 1, id=id), bus.pub("t.a", 1, id=id)
    assert a.meta["seq"] == b.meta["seq"] == 1 and b.meta.get("again")
    with pytest.raises(BusError) as e:
        bus.pub("t.a", 2, id=id)
    assert e.value.code == "CONFLICT"
    with pytest.raises(BusError):
        bus.pub("t.b", 1, id=id)


def test_digest_of_the_outside_caller_decides(bus):
    id, dig = new_id(), hashlib.sha256(b"what came in").digest()
    a, b = bus.pub("t.a", 1, id=id, dig=dig), bus.pub("t.a", 2, id=id, dig=dig)
    assert a.meta["seq"] == b.meta["seq"]


def test_batch_is_all_or_none(bus):
    known = new_id()
    bus.pub("t.a", 1, id=known)
    a = bus.batch([("t.a", known, {}, 1), ("t.b", new_id(), {}, 2), ("t.c", new_id(), {"key": "k"}, 3)])
    assert a.meta["seqs"] == [1, 2, 3]
    with pytest.raises(BusError) as e:
        bus.batch([("t.d", new_id(), {}, 1), ("t.a", known, {}, "other")])
    assert e.value.code == "CONFLICT" and e.value.detail["index"] == 1
    assert bus.req("sys.groups").body["head"] == 3, "nothing of a refused batch is stored"


def test_cursor_moves_with_what_it_stands_for(bus):
    assert bus.req("sys.cursor", {"src": "w"}).body["cur"] is None
    bus.pub("t.a", 1, src="w", cur=b"1")
    bus.batch([("t.a", new_id(), {}, 2)], src="w", was=b"1", cur=b"2")
    with pytest.raises(BusError) as e:
        bus.batch([("t.a", new_id(), {}, 3)], src="w", was=b"1", cur=b"3")
    assert e.value.code == "CONFLICT"
    assert bus.req("sys.cursor", {"src": "w"}).body["cur"] == b"2"
    assert bus.req("sys.groups").body["head"] == 2
    bus.batch([], src="w", was=b"2", cur=b"9")
    assert bus.req("sys.cursor", {"src": "w"}).body["cur"] == b"9"


# --- groups ----------------------------------------------------------------------------------------------------
def test_a_group_shares_and_acks(bus, house):
    a, b = house.bus(), house.bus()
    assert a.sub("t.>", group="g", credit=10).meta["next"] == 1
    b.sub("t.>", group="g", credit=10)
    for n in range(10):
        bus.pub("t.x", n)
    got = []

    def all_there():
        for w in (a, b):
            w.pump()
        return len(a.deliveries) + len(b.deliveries) == 10
    wait_for(all_there, 20, "ten deliveries")
    assert len(a.deliveries) == len(b.deliveries) == 5, "least loaded first"
    for w in (a, b):
        for d in list(w.deliveries):
            got.append(d.body)
            w.ack(d)
    assert sorted(got) == list(range(10))
    g = settled(bus, "g", owed=0)
    assert g["floor"] == 10 and g["acked"] == 10


def test_every_group_gets_its_own(bus, house):
    a, b = house.bus(), house.bus()
    a.sub("t.>", group="a", credit=10)
    b.sub("t.x", group="b", credit=10)
    assert bus.pub("t.x", 1).meta["groups"] == 2
    assert bus.pub("t.y", 2).meta["groups"] == 1
    assert [a.recv().body, a.recv().body, b.recv().body] == [1, 2, 1]
    b.pump(0.1)
    assert b.deliveries == []


def test_a_group_collects_while_nobody_works(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    w.call("UNSUB", "t.>", {"group": "g"})
    for n in range(3):
        assert bus.pub("t.x", n).meta["groups"] == 1
    assert group(bus, "g")["owed"] == 3
    w2 = house.bus()
    w2.sub("t.>", group="g", credit=10)
    assert [w2.recv().body for _ in range(3)] == [0, 1, 2]


def test_from_all_and_from_seq(bus, house):
    for n in range(5):
        bus.pub("t.x", n)
    w = house.bus()
    w.sub("t.>", group="all", credit=10, from_="all")
    assert [w.recv().body for _ in range(5)] == [0, 1, 2, 3, 4]
    w.sub("t.>", group="some", credit=10, from_={"seq": 4})
    assert [w.recv(where=lambda d: d.head["group"] == "some").body for _ in range(2)] == [3, 4]
    tail = house.bus()
    tail.sub("t.>", credit=10, from_={"seq": 3})
    bus.pub("t.x", 5)
    assert [tail.recv().body for _ in range(4)] == [2, 3, 4, 5], "an ephemeral sub replays, then follows"


def test_a_sub_that_differs_is_a_conflict(bus, house):
    bus.sub("t.>", group="g", credit=1, tries=3)
    for pattern, meta in (("u.>", {}), ("t.>", {"tries": 4}), ("t.>", {"ack_ms": 77})):
        with pytest.raises(BusError) as e:
            house.bus().call("SUB", pattern, {"group": "g", "credit": 1, **meta})
        assert e.value.code == "CONFLICT" and e.value.detail["tries"] == 3
        assert "group g exists with other settings (pattern t.>, tries 3, ackMs 30000)" in str(e.value)


def test_credit_bounds_what_is_in_flight(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=2)
    for n in range(5):
        bus.pub("t.x", n)
    first = [w.recv(), w.recv()]
    assert settled(bus, "g", inFlight=2)["owed"] == 5
    w.pump(0.05)
    assert w.deliveries == []
    w.ack(first[0])
    assert w.recv().body == 2


def test_nak_redelivers_with_delay_and_counts_tries(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1, tries=3)
    bus.pub("t.x", "poison")
    for n in (1, 2, 3):
        d = w.recv()
        assert d.head["try"] == n
        w.nak(d, delay=10, reason=f"no {n}")
    g = settled(bus, "g", owed=0, dead=1)
    assert g["inFlight"] == 0
    item = bus.req("sys.dead.ls", {"group": "g"}).body["items"][0]
    assert item["topic"] == "t.x" and item["tries"] == 3 and "no 3" in item["reason"]
    shown = bus.req("sys.dead.show", {"dead": item["dead"]}).body
    assert taxiwire.decode(shown["frame"])[5] == msgpack.packb("poison")
    bus.req("sys.dead.drop", {"dead": item["dead"]})
    assert bus.req("sys.dead.ls", {"group": "g"}).body["items"] == []


def test_reject_is_a_dead_letter_at_once_and_an_event(bus, house):
    w, watcher = house.bus(), house.bus()
    w.sub("t.>", group="g", credit=1)
    watcher.sub("sys.dead", group="undertaker", credit=10)
    p = bus.pub("t.x", 1)
    w.reject(w.recv(), "cannot be read")
    d = watcher.recv()
    assert (d.body["group"], d.body["seq"], d.body["reason"]) == ("g", p.meta["seq"], "cannot be read")
    assert d.body["id"] == p.id


def test_dead_letters_are_counted_by_what_they_died_of(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10, tries=1)
    for topic in ("t.nak", "t.nak", "t.reject"):
        bus.pub(topic, 1)
    for d in [w.recv() for _ in range(3)]:
        w.nak(d, reason="any words") if d.topic == "t.nak" else w.reject(d, "other words")
    settled(bus, "g", owed=0, dead=3)
    dead = bus.req("sys.stats").body["dead"]
    assert {k: n for k, n in dead.items() if n} == {"NAK": 2, "REJECTED": 1}


def test_no_ack_in_time_redelivers_to_another(bus, house):
    a, b = house.bus(), house.bus()
    ack_ms = int(300 * SLOW)
    a.sub("t.>", group="g", credit=1, ack_ms=ack_ms)
    bus.pub("t.x", 1)
    d = a.recv()
    a.sub("t.>", group="g", credit=0, ack_ms=ack_ms)  # so that it waits for another, however late that one comes
    b.sub("t.>", group="g", credit=1)
    again = b.recv()
    assert again.head["seq"] == d.head["seq"] and again.head["try"] == 2
    a.ack(d)  # late, but from a session that had it: counts
    settled(bus, "g", owed=0)


def test_extend_keeps_it(bus, house):
    w = house.bus()
    ack_ms = int(400 * SLOW)
    w.sub("t.>", group="g", credit=1, ack_ms=ack_ms)
    bus.pub("t.x", 1)
    d = w.recv()
    start = time.monotonic()
    while time.monotonic() - start < 2.5 * ack_ms / 1000:
        w.extend(d, ack_ms)
        w.pump(0.1)
    assert w.deliveries == [] and group(bus, "g")["redelivered"] == 0
    w.ack(d)
    settled(bus, "g", owed=0)


def test_a_dead_worker_gives_back_what_it_had(bus, house):
    a, b = house.bus(), house.bus()
    a.sub("t.>", group="g", credit=4)
    for n in range(4):
        bus.pub("t.x", n)
    wait_for(lambda: a.pump() and False or len(a.deliveries) == 4, 20, "four in hand")
    b.sub("t.>", group="g", credit=10)
    a.call("BYE", "")
    a.close()
    house.buses.remove(a)
    got = sorted(b.recv().body for _ in range(4))
    assert got == [0, 1, 2, 3]


def test_order_of_a_key(bus, house):
    """Several in flight, but at one worker, in order; a NAK takes the later ones back."""
    a, b = house.bus(), house.bus()
    for w in (a, b):
        w.sub("t.>", group="g", credit=10)
    for n in range(6):
        bus.pub("t.x", n, key="k")

    def one_has_them():
        a.pump(), b.pump()
        return len(a.deliveries) + len(b.deliveries) == 6
    wait_for(one_has_them, 20, "six deliveries")
    has, other = (a, b) if a.deliveries else (b, a)
    assert [d.body for d in has.deliveries] == list(range(6)) and other.deliveries == []
    ds, has.deliveries = has.deliveries, []
    has.ack(ds[0])
    has.nak(ds[1], delay=10)
    got = []

    def again():
        for w in (a, b):
            w.pump()
            while w.deliveries:
                d = w.deliveries.pop(0)
                got.append((d.body, d.head["try"]))
                w.ack(d)
        return len(got) >= 5
    wait_for(again, 20, "the rest again")
    assert [n for n, _ in got] == [1, 2, 3, 4, 5]
    assert dict(got) == {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}, "only what was refused counts a try"
    settled(bus, "g", owed=0)


def test_expired_is_a_dead_letter(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=0)
    bus.pub("t.x", 1, exp=int(time.time() * 1000) - 1)
    w.sub("t.>", group="g", credit=5)
    settled(bus, "g", dead=1, owed=0)
    assert bus.req("sys.dead.ls", {"group": "g"}).body["items"][0]["reason"].startswith("EXPIRED")


def test_groups_set_and_delete(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    assert bus.req("sys.groups.set", {"group": "g", "tries": 2, "paused": True}).body["state"] == "paused"
    w.sub("t.>", group="g", credit=1, tries=2)
    both = [bus.start("REQ", "sys.groups.set", {}, {"group": "g", **v}) for v in ({"tries": 3, "paused": False}, {"ackMs": 7000})]
    for id in both:
        bus.finish(id)
    g = group(bus, "g")
    assert (g["tries"], g["ackMs"], g["state"]) == (3, 7000, "active"), "the second does not undo what is not committed yet"
    bus.req("sys.groups.delete", {"group": "g"})
    assert group(bus, "g") is None
    with pytest.raises(BusError) as e:
        bus.req("sys.groups.set", {"group": "nobody", "tries": 2})
    assert e.value.code == "NOT_FOUND"


# --- requests ---------------------------------------------------------------------------------------------------
def test_request_reply(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=10)
    id = bus.start("REQ", "svc.add", {"ttl": 20000, "trace": "t1"}, [1, 2])
    d = w.recv()
    assert d.is_request and d.head_id != id and d.meta["trace"] == "t1" and 0 < d.head["left"] <= 20000
    w.reply(d, 3, status=201, headers={"X-Mine": "x"})
    a = bus.finish(id)
    assert (a.body, a.meta["status"], a.meta["headers"], a.id) == (3, 201, {"X-Mine": "x"}, id)


def test_errors_of_a_worker_reach_the_client(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=10)
    id = bus.start("REQ", "svc.x", {}, {})
    w.fail(w.recv(), "INVALID", {"detail": "no", "errors": [{"pointer": "/a", "detail": "required"}]})
    with pytest.raises(BusError) as e:
        bus.finish(id)
    assert e.value.code == "INVALID" and e.value.detail["errors"][0]["pointer"] == "/a"


def test_no_workers_at_once(bus):
    t = time.monotonic()
    with pytest.raises(BusError) as e:
        bus.req("svc.none", ttl=60000)
    assert e.value.code == "NO_WORKERS" and e.value.retry == "later"
    assert time.monotonic() - t < 30


def test_timeout_and_the_late_answer_is_dropped(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    with pytest.raises(BusError) as e:
        bus.req("svc.slow", ttl=200)
    assert e.value.code == "TIMEOUT" and e.value.retry == "uncertain"
    w.reply(w.recv(), "late")  # frees the credit
    id = bus.start("REQ", "svc.next", {"ttl": 20000})
    w.reply(w.recv(), "in time")
    assert bus.finish(id).body == "in time"


def test_worker_lost_or_another_try(bus, house):
    a, b = house.bus(), house.bus()
    a.sub("svc.*", serve=True, credit=10)
    once, twice = bus.start("REQ", "svc.once", {"ttl": 20000}), bus.start("REQ", "svc.twice", {"ttl": 20000, "again": True})
    wait_for(lambda: a.pump() and False or len(a.deliveries) == 2, 20, "both requests")
    b.sub("svc.*", serve=True, credit=10)
    a.start("BYE", "")
    a.pump(0.2)
    a.close()
    house.buses.remove(a)
    d = b.recv()
    assert d.topic == "svc.twice"
    b.reply(d, "second")
    assert bus.finish(twice).body == "second"
    with pytest.raises(BusError) as e:
        bus.finish(once)
    assert e.value.code == "WORKER_LOST"


def test_most_specific_pattern_and_least_loaded(bus, house):
    wide, narrow, exact = house.bus(), house.bus(), house.bus()
    wide.sub("svc.>", serve=True, credit=10)
    narrow.sub("svc.*", serve=True, credit=10)
    exact.sub("svc.a", serve=True, credit=10)
    for topic, w in (("svc.a", exact), ("svc.b", narrow), ("svc.b.c", wide)):
        id = bus.start("REQ", topic)
        w.reply(w.recv(), topic)
        assert bus.finish(id).body == topic


def test_cancel_reaches_the_worker(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    id = bus.start("REQ", "svc.long", {"ttl": 20000})
    d = w.recv()
    cancelled = []
    take = w._take

    def spy(frame):
        v = taxiwire.decode(frame)
        if v[1] == "CANCEL":
            cancelled.append(v[3])
        take(frame)
    w._take = spy
    bus.send_frame(taxiwire.encode("CANCEL", "", id, {}))
    wait_for(lambda: w.pump() and False or cancelled == [d.head_id], 20, "CANCEL at the worker")
    w.fail(d, "GONE")


def test_a_cancel_of_nothing_leaves_a_count_and_no_hop(bus):
    nothing = new_id()
    bus.send_frame(taxiwire.encode("CANCEL", "", nothing, {}))
    assert bus.req("sys.stats").body["drops"]["stale"] == 1
    assert bus.req("sys.trace", {"id": nothing}).body["hops"] == []


def test_a_reply_from_somebody_else_is_ignored(bus, house):
    w, thief = house.bus(), house.bus()
    w.sub("svc.*", serve=True, credit=1)
    id = bus.start("REQ", "svc.x", {"ttl": 20000})
    d = w.recv()
    thief.reply(d, "stolen")
    thief.req("sys.stats")  # what the thief sent before has been read
    w.reply(d, "mine")
    assert bus.finish(id).body == "mine"


# --- restart ----------------------------------------------------------------------------------------------------
def test_kill_9_loses_nothing_that_was_answered(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1000)
    answered = {}
    for round in range(5):
        ids = [bus.start("PUB", "t.x", {}, n) for n in range(200)]
        done = {id: bus.finish(id).meta["seq"] for id in ids[:100]}
        answered.update(done)
        house.the_broker.kill9()
        house.the_broker.start()
        bus.close(), house.buses.remove(bus)
        bus = house.bus()
    got = {}

    def all_acked():
        w.pump(0.01)
        for d in w.deliveries:
            got[d.id] = d.head["seq"]
            w.ack(d)
        w.deliveries = []
        return set(answered) <= set(got)
    wait_for(all_acked, 60, "every answered record")
    assert all(got[i] == s for i, s in answered.items()), "a seq never changes"
    assert len(set(got.values())) == len(got), "a seq is never used twice"
    for id, seq in list(answered.items())[:10]:
        n = list(answered).index(id) % 100
        assert bus.pub("t.x", n, id=id).meta["seq"] == seq, "dedup survives"


def test_acks_survive_a_restart(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    for n in range(3):
        bus.pub("t.x", n)
    ds = [w.recv() for _ in range(3)]
    w.ack(ds[0]), w.ack(ds[2])
    settled(bus, "g", owed=1)
    assert house.the_broker.stop() == 0
    house.the_broker.start()
    d = w.recv()
    assert d.head["seq"] == 2 and d.head.get("again")
    w.ack(d)
    settled(house.bus(), "g", owed=0)


def test_one_journal_one_broker(bus, house):
    import subprocess
    from conftest import BIN
    r = subprocess.run([BIN / "broker", "--bind", f"ipc://{house.base}/other", "--feed", "", "--journal", house.base / "journal"],
                       capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode in (100, 111) and str(house.base / "journal") in r.stderr


def test_public_bind_is_refused(house):
    import subprocess
    from conftest import BIN
    r = subprocess.run([BIN / "broker", "--bind", "tcp://0.0.0.0:5999", "--journal", house.base / "j"], capture_output=True, text=True,
                       timeout=60 * SLOW)
    assert r.returncode == 100 and "0.0.0.0" in r.stderr


# --- registry and feed --------------------------------------------------------------------------------------------
def test_registry_and_claims(bus, house):
    w = house.bus()
    w.sub("svc.*", desc={"name": "adder", "version": "1.2", "extra": [1, 2]}, serve=True)
    s = next(s for s in bus.req("sys.services").body["services"] if s["pattern"] == "svc.*")
    assert s["desc"] == {"name": "adder", "version": "1.2", "extra": [1, 2]} and s["workers"] == 1 and s["kind"] == "serve"
    assert bus.req("sys.claim", {"path": "/x", "name": "first"}).body["name"] == "first"
    assert bus.req("sys.claim", {"path": "/x", "name": "second"}).body["name"] == "first"
    house.the_broker.kill9()
    house.the_broker.start()
    assert house.bus().req("sys.claim", {"path": "/x", "name": "second"}).body["name"] == "first"


def test_sys_changed_when_workers_come(bus, house):
    tail, w = house.bus(), house.bus()
    tail.sub("sys.changed")
    w.sub("svc.*", serve=True)
    assert tail.recv().body["what"] in ("services", "groups")


def test_feed_carries_everything_with_a_counter(bus, house):
    feed = zmq.Context.instance().socket(zmq.SUB)
    feed.linger = 0
    feed.connect(house.feed_endpoint)
    feed.subscribe(b"t.")
    seen = []

    def some():
        bus.pub("t.x", 1)
        while feed.poll(20):
            topic, frame = feed.recv_multipart()
            v = taxiwire.decode(frame)
            seen.append((topic, v[1], v[4]["n"]))
        return len(seen) >= 3
    wait_for(some, 20, "the feed")
    assert seen[0][:2] == (b"t.x", "MSG")
    ns = [n for _, _, n in seen]
    assert ns == list(range(ns[0], ns[0] + len(ns)))
    feed.close()


def test_feed_in_packs(bus, house):
    """Who asks for `+` and a topic hears the same as others do, in fewer messages."""
    readers = {}
    for prefix in (b"t.", b"+t.", b"+"):
        s = readers[prefix] = zmq.Context.instance().socket(zmq.SUB)
        s.linger, s.rcvhwm = 0, 0
        s.subscribe(prefix)
        s.connect(house.feed_endpoint)
        wait_for(lambda s=s: bus.pub("t.probe", 1) and s.poll(20), 20, "the feed")
    bodies = [*range(100), b"x" * 100000, b"y" * 60000, b"z" * 60000, *range(20)]
    topics = ["t.x"] * 50 + ["t.y"] * 50 + ["t.x", "t.x", "t.x"] + ["t.x", "live.x", "t.y", "t.y"] * 5
    frames = [taxiwire.encode("PUB", t, new_id(), {}, msgpack.packb(v)) for t, v in zip(topics, bodies)]
    for i in range(0, len(frames), 102):
        bus.send_frame(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb(frames[i:i + 102])))
    bus.pub("t.end", 0)
    heard, messages = {}, {}
    for prefix, s in readers.items():
        heard[prefix], messages[prefix] = [], 0
        while not heard[prefix] or heard[prefix][-1][0] != "t.end":
            assert s.poll(20000), prefix
            got = [d for d in taxiwire.decode_feed(s.recv_multipart()) if d[0] not in ("t.probe", "sys.changed")]
            assert len({d[0] for d in got}) <= 1
            heard[prefix] += got
            messages[prefix] += bool(got)
        s.close()
    whole = heard[b"+"]
    ns = [meta["n"] for _, meta, _ in whole]
    assert ns == sorted(set(ns))
    assert sorted(f for _, _, f in whole[:-1]) == sorted(frames)
    assert all(meta["from"] == "local" and ("seq" in meta) == (t != "live.x") for t, meta, _ in whole)
    assert heard[b"+t."] == heard[b"t."] == [d for d in whole if d[0] != "live.x"]
    assert messages[b"t."] == len(heard[b"t."]) and messages[b"+t."] < len(heard[b"+t."]) / 2
    durable = [meta["seq"] for t, meta, _ in whole if t != "live.x"]
    assert durable == list(range(durable[0], durable[0] + len(durable)))


def test_pack_both_ways(bus, house):
    frames = [taxiwire.encode("PUB", "t.x", new_id(), {}, msgpack.packb(n)) for n in range(20)]
    ids = [taxiwire.decode(f)[3] for f in frames]
    bus.send_frame(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb(frames)))
    assert [bus.finish(i).meta["seq"] for i in ids] == list(range(1, 21))
    w = house.bus()
    w.sub("t.>", group="g", credit=100, many=True, from_="all")
    assert sorted(w.recv().body for _ in range(20)) == list(range(20))


def test_ids_of_two_peers_do_not_meet(bus, house):
    """Client ids are scoped to their peer: the same REQ id from two clients is two requests."""
    w, other = house.bus(), house.bus()
    w.sub("svc.*", serve=True, credit=10)
    id = new_id()
    bus.start("REQ", "svc.x", {"ttl": 20000}, 1, id)
    other.start("REQ", "svc.x", {"ttl": 20000}, 2, id)
    for _ in range(2):
        d = w.recv()
        w.reply(d, d.body * 10)
    assert (bus.finish(id).body, other.finish(id).body) == (10, 20)


def test_uuid_of_delivery_is_the_publishers(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    p = bus.pub("t.x", 1)
    assert w.recv().uuid == str(uuid.UUID(bytes=p.id))
