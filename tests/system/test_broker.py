"""What only shows at the broker's edges: parts, limits, replays, retention, pauses, loss of peers, memory."""
import os
import time

import msgpack
import pytest

import taxiwire
from bus import BusError, new_id
from conftest import SLOW, wait_for
from looks import code, flush, group, rss, settled


# --- parts ------------------------------------------------------------------------------------------------------
def test_an_answer_in_parts_with_a_window(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    id = bus.start("REQ", "svc.table", {"ttl": 20000, "window": 2})
    d = w.recv()
    assert d.meta["window"] == 2
    for n in range(2):
        w.reply(d, n, more=True, part=n)
    parts = wait_for(lambda: bus.pump() and False or (len(bus.answers.get((id, "parts"), [])) == 2 and bus.answers[(id, "parts")]), 20)
    assert [p.body for p in parts] == [0, 1] and [p.meta["part"] for p in parts] == [0, 1]
    mores = []
    take = w._take

    def spy(frame):
        v = taxiwire.decode(frame)
        if v[1] == "MORE":
            mores.append((v[3], v[4]["n"]))
        take(frame)
    w._take = spy
    bus.send_frame(taxiwire.encode("MORE", "", id, {"n": 3}))
    wait_for(lambda: w.pump() and False or mores == [(d.head_id, 3)], 20, "MORE at the worker")
    w.reply(d, "end")
    assert bus.finish(id).body == "end"
    # its credit is free again
    id = bus.start("REQ", "svc.next")
    w.reply(w.recv(), 1)
    assert bus.finish(id).body == 1


def test_ttl_bounds_the_gap_between_parts(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    ttl = 0.5 * SLOW
    id = bus.start("REQ", "svc.table", {"ttl": int(ttl * 1000), "again": True})
    d = w.recv()
    for n in range(4):
        t = time.monotonic()
        w.reply(d, n, more=True, part=n)
        while time.monotonic() - t < ttl / 3:
            bus.pump(0.05)
            w.pump()
    assert [p.body for p in bus.answers[id, "parts"]] == [0, 1, 2, 3], "though the last came after more than ttl"
    assert code(bus.finish, id) == "TIMEOUT", "no part within ttl, and no second try after part 0"


def test_a_busy_pool_lets_requests_wait(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    ids = [bus.start("REQ", "svc.x", {"ttl": 20000}, n) for n in range(5)]
    late = bus.start("REQ", "svc.late", {"ttl": 100})
    assert code(bus.finish, late) == "BUSY", "never handed over: certainly not executed"
    for n, id in enumerate(ids):
        d = w.recv()
        assert d.body == n
        w.reply(d, n * 10)
        assert bus.finish(id).body == n * 10


def test_a_worker_that_is_ending_turns_requests_away(bus, house):
    a, b = house.bus(), house.bus()
    a.sub("svc.*", serve=True, credit=10)
    id = bus.start("REQ", "svc.x", {"again": True})
    d = a.recv()
    b.sub("svc.*", serve=True, credit=10)
    a.fail(d, "DRAINING")
    d = b.recv()
    assert not d.head.get("again"), "the first one surely did not run it"
    b.reply(d, 7)
    assert bus.finish(id).body == 7


def test_unknown_meta_of_a_worker_travels(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True)
    raw = []
    take = bus._take
    bus._take = lambda f: (raw.append(f), take(f))
    id = bus.start("REQ", "svc.x")
    d = w.recv()
    w.send_frame(msgpack.packb([1, "REP", "", d.head_id, {"mine": "x", "status": 201}, "extra"]) + msgpack.packb(3))
    assert bus.finish(id).body == 3
    answer = next(f for f in raw if b"mine" in f)
    reader = msgpack.Unpacker()
    reader.feed(answer)
    header = reader.unpack()
    assert header[3] == id and header[4]["mine"] == "x" and header[5] == "extra"


# --- publishing ---------------------------------------------------------------------------------------------------
def test_a_large_batch(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=2000)
    items = [("t.x", new_id(), {}, n) for n in range(1000)]
    a = bus.batch(items)
    assert (a.meta.get("seqs") or a.body) == list(range(1, 1001))
    assert [w.recv().body for _ in range(1000)] == list(range(1000))
    again = bus.batch(items)
    assert (again.meta.get("seqs") or again.body) == list(range(1, 1001))
    assert code(bus.batch, [("t.x", new_id(), {}, 1)] * 1025) == "TOO_BIG"
    assert code(bus.batch, [("live.x", new_id(), {}, 1)]) == "INVALID"
    assert code(bus.batch, [("sys.x", new_id(), {}, 1)]) == "DENIED"
    assert code(bus.batch, []) == "INVALID"
    with pytest.raises(BusError) as e:
        bus.batch([("t.x", new_id(), {}, 1), ("t..x", new_id(), {}, 1)])
    assert e.value.code == "BAD_TOPIC" and e.value.detail["index"] == 1


def test_a_large_envelope(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=4, bytes=1 << 20)
    body = {"blob": os.urandom(12 << 20)}
    bus.pub("t.x", body)
    bus.pub("t.x", "small")
    d = w.recv()
    assert d.body == body, "larger than the credit in bytes, but alone"
    w.pump(0.1)
    assert w.deliveries == []
    w.ack(d)
    assert w.recv().body == "small"


def test_too_much_being_committed_is_busy(house):
    house.broker("--peer-bytes", "256k")
    bus = house.bus()
    ids = [bus.start("PUB", "t.x", {}, "x" * 50000) for _ in range(200)]
    codes = set()
    for id in ids:
        try:
            bus.finish(id)
            codes.add("OK")
        except BusError as e:
            assert e.retry == "later"
            codes.add(e.code)
    assert "OK" in codes and codes <= {"OK", "BUSY"}
    bus.pub("t.x", 1)


def test_bodies_that_are_no_msgpack_are_refused_at_the_door(bus):
    for raw in (b"\xc1", b"\x92\x01", b"\x01\x02", b"\xdd\xff\xff\xff\xff"):
        assert code(bus.pub, "t.x", raw) == "BAD_ENVELOPE"


# --- ephemeral subscriptions --------------------------------------------------------------------------------------
def test_an_ephemeral_sub_has_credit_and_gives_it_back(bus, house):
    w = house.bus()
    sub = w.sub("t.>", credit=3)
    for n in range(6):
        bus.pub("t.x", n)
    assert [w.recv().body for _ in range(3)] == [0, 1, 2]
    w.pump(0.05)
    assert w.deliveries == [] and bus.req("sys.stats").body["drops"]["tail_credit"] == 3
    w.send_frame(taxiwire.encode("MORE", "", sub.id, {"n": 2}))
    flush(w)
    for n in range(6, 9):
        bus.pub("t.x", n)
    assert [w.recv().body for _ in range(2)] == [6, 7]


def test_a_replaying_sub_misses_nothing(bus, house):
    for n in range(3000):
        bus.start("PUB", "t.x" if n % 3 else "u.x", {}, n)
    bus.wait(lambda: bus.req("sys.groups").body["head"] == 3000)
    w = house.bus()
    sub = w.sub("t.>", credit=50, from_={"seq": 1})
    for n in range(3000, 3300):
        bus.start("PUB", "t.x", {}, n)
    want = [n for n in range(3000) if n % 3] + list(range(3000, 3300))
    got = []
    while len(got) < len(want):
        got.append(w.recv().body)
        if len(got) % 25 == 0:
            w.send_frame(taxiwire.encode("MORE", "", sub.id, {"n": 25}))
    assert sorted(got) == sorted(want) and len(set(got)) == len(got)


def test_unsub_ends_it(bus, house):
    w = house.bus()
    w.sub("t.>", credit=10)
    w.call("UNSUB", "t.>", {})
    bus.pub("t.x", 1)
    w.sub("u.>", credit=10)
    bus.pub("u.x", 2)
    assert w.recv().body == 2 and w.deliveries == []


# --- groups -------------------------------------------------------------------------------------------------------
def test_behind_by_far_more_than_memory_holds(house):
    """The cache of the latest records is small: what is owed comes from the journal, in order, once."""
    house.broker("--max-bytes", "1m")
    bus = house.bus()
    w = house.bus()
    w.sub("t.>", group="g", credit=0)
    for n in range(0, 4000, 100):
        ids = [bus.start("PUB", "t.x", {}, [k, "x" * 1000]) for k in range(n, n + 100)]
        for id in ids:
            bus.finish(id)
    w.sub("t.>", group="g", credit=100)
    for n in range(4000):
        d = w.recv()
        assert d.body[0] == n
        w.ack(d)
    settled(bus, "g", owed=0, redelivered=0)


def test_blocked_keys_do_not_hold_up_others(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    bus.pub("t.x", "head", key="stuck")
    w.nak(w.recv(), delay=600000)
    flush(w)
    for n in range(50):
        bus.start("PUB", "t.x", {"key": "stuck"}, n)
        bus.start("PUB", "t.x", {"key": f"k{n}"}, n + 100)
    for n in range(50):
        d = w.recv()
        assert d.meta["key"] != "stuck"
        w.ack(d)
    g = settled(bus, "g", owed=51)
    assert g["floor"] == 0 and not g["blocked"]


def test_over_max_owed_only_the_group_loses(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=0)
    bus.req("sys.groups.set", {"group": "g", "maxOwed": 10})
    for n in range(20):
        bus.pub("t.x", n)
    g = settled(bus, "g", state="paused-owed")
    assert g["owed"] == 20
    w.sub("t.>", group="g", credit=100)
    w.pump(0.05)
    assert w.deliveries == []
    bus.req("sys.groups.set", {"group": "g", "maxOwed": 0, "paused": False})
    assert [w.recv().body for _ in range(20)] == list(range(20))


def test_idle_groups_are_paused_and_resume_with_a_worker(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    bus.req("sys.groups.set", {"group": "g", "idleMs": 300})
    w.call("UNSUB", "t.>", {"group": "g"})
    settled(bus, "g", state="paused-idle")
    bus.pub("t.x", 1)
    w.sub("t.>", group="g", credit=10)
    assert w.recv().body == 1
    settled(bus, "g", state="active")


def test_a_group_without_workers_is_warned_of_once(house):
    house.broker("--idle-warn-ms", "300")
    bus, w = house.bus(), house.bus()
    w.sub("t.>", group="g", credit=10)
    w.sub("u.>", group="worked", credit=10)
    bus.pub("t.x", 1)
    d = w.recv()

    def warnings():
        w.pump()
        return [line for line in house.the_broker.log().splitlines() if "evt=group_idle" in line]
    w.call("UNSUB", "t.>", {"group": "g"})
    line, = wait_for(warnings, 10, "the warning")
    assert "lvl=warn" in line and "group=g" in line and "owed=1" in line
    w.sub("t.>", group="g", credit=10)
    w.ack(d)
    w.call("UNSUB", "t.>", {"group": "g"})
    wait_for(lambda: len(warnings()) == 2, 10, "another one, since it had workers meanwhile")
    w.call("UNSUB", "u.>", {"group": "worked"})
    wait_for(lambda: len(warnings()) == 3, 10, "that of the other, looks later")
    assert "group=worked" in warnings()[2], "each is said once"
    settled(bus, "g", state="idle", owed=0)


def test_settings_are_checked_field_by_field(bus):
    bus.sub("t.>", group="g", credit=0)
    for bad in ({"tries": 0}, {"tries": "x"}, {"ackMs": 0}, {"paused": 1}, {"pattern": "live.>"}, {"pattern": "a..b"}, {"maxOwed": -1}):
        with pytest.raises(BusError) as e:
            bus.req("sys.groups.set", {"group": "g", **bad})
        assert e.value.code == "INVALID" and e.value.detail["errors"][0]["pointer"] == "/" + next(iter(bad))
    for meta in ({"group": "a b"}, {"group": ""}, {"group": "g", "serve": True}, {"group": "h", "from": 7}, {"group": "h", "tries": 0}):
        assert code(bus.call, "SUB", "t.>", meta) == "INVALID"
    assert code(bus.call, "SUB", "live.>", {"group": "h"}) == "INVALID"
    assert code(bus.call, "SUB", "sys.x", {"serve": True}) == "DENIED"
    assert code(bus.call, "SUB", "t.>", {"group": "h"}, [1]) == "INVALID"


def test_a_changed_pattern_counts_from_now_on(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    bus.pub("t.x", 1)
    bus.req("sys.groups.set", {"group": "g", "pattern": "u.>"})
    assert bus.pub("t.x", 2).meta["groups"] == 0 and bus.pub("u.x", 3).meta["groups"] == 1
    assert [w.recv().body, w.recv().body] == [1, 3]


def test_a_deleted_group_is_gone_with_its_subscriptions(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=10)
    bus.req("sys.groups.delete", {"group": "g"})
    assert bus.pub("t.x", 1).meta["groups"] == 0
    assert all(s["kind"] != "group" for s in bus.req("sys.services").body["services"])
    assert w.sub("t.>", group="g", credit=10).meta["next"] == 2


def test_a_dead_letter_of_sys_dead_is_not_announced(bus, house):
    """A reader of sys.dead that fails must not feed itself."""
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    w.sub("sys.dead", group="undertaker", credit=1)
    bus.pub("t.x", 1)
    w.reject(w.recv(where=lambda d: d.topic == "t.x"))
    w.reject(w.recv(where=lambda d: d.topic == "sys.dead"))
    settled(bus, "undertaker", owed=0, dead=1)
    assert bus.req("sys.stats").body["drops"]["dead_unannounced"] == 1
    assert {i["group"] for i in bus.req("sys.dead.ls").body["items"]} == {"g", "undertaker"}


def test_root_of_a_dead_envelope_travels(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    w.sub("sys.dead", group="undertaker", credit=1)
    root = new_id()
    bus.pub("t.x", 1, root=root)
    d = w.recv(where=lambda d: d.topic == "t.x")
    assert d.meta["root"] == root
    w.reject(d)
    assert w.recv(where=lambda d: d.topic == "sys.dead").meta["root"] == root


def test_owed_is_exact_after_a_crash(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=5)
    for n in range(20):
        bus.pub("t.x" if n % 2 else "u.x", n)
    for _ in range(3):
        w.ack(w.recv())
    settled(bus, "g", owed=7)
    wait_for(lambda: bus.pub("u.x", 0) and flush(w) and group(bus, "g")["owed"] == 7)
    house.the_broker.kill9()
    house.the_broker.start()
    bus = house.bus()
    g = settled(bus, "g", workers=0)
    assert 7 <= g["owed"] <= 10
    w2 = house.bus()
    w2.sub("t.>", group="g", credit=100)
    for _ in range(g["owed"]):
        d = w2.recv()
        assert d.head.get("again"), "a crash may have forgotten that it was delivered"
        w2.ack(d)
    settled(bus, "g", owed=0)


def test_nothing_is_marked_again_after_a_clean_end(bus, house):
    w = house.bus()
    w.sub("t.>", group="g", credit=1)
    for n in range(3):
        bus.pub("t.x", n)
    w.recv()
    assert house.the_broker.stop() == 0
    house.the_broker.start()
    w2 = house.bus()
    w2.sub("t.>", group="g", credit=10)
    ds = [w2.recv() for _ in range(3)]
    assert [bool(d.head.get("again")) for d in ds] == [True, False, False], "only the one that was delivered"


def test_draining_answers_everybody(bus, house):
    w = house.bus()
    w.sub("svc.*", serve=True, credit=10)
    id = bus.start("REQ", "svc.x", {"ttl": 20000})
    d = w.recv()
    pubs = [bus.start("PUB", "t.x", {}, n) for n in range(50)]
    bus.pump()
    flush(bus)
    house.the_broker.p.terminate()
    wait_for(lambda: "evt=draining" in house.the_broker.log(), 20)
    late = bus.start("PUB", "t.late", {}, 1)
    assert code(bus.finish, late) == "DRAINING"
    assert code(bus.req, "svc.y") == "DRAINING"
    w.reply(d, "in time")
    assert bus.finish(id).body == "in time"
    for p in pubs:
        assert bus.finish(p).meta["seq"]
    assert house.the_broker.p.wait(20 * SLOW) == 0


# --- retention ----------------------------------------------------------------------------------------------------
def test_retention_takes_only_what_every_group_has_done(house):
    house.broker("--retain-ms", "0")
    bus, w = house.bus(), house.bus()
    w.sub("t.>", group="slow", credit=1)
    for n in range(20):
        bus.pub("t.x", n)
    first = w.recv()
    looks = bus.req("sys.stats").body["counters"]["retain_looks"]
    wait_for(lambda: w.pump() and False or bus.req("sys.stats").body["counters"]["retain_looks"] > looks + 1, 20, "two looks of retention")
    assert bus.req("sys.stats").body["counters"]["trimmed"] == 0
    w.ack(first)
    for _ in range(19):
        w.ack(w.recv())
    wait_for(lambda: bus.pump() and False or bus.req("sys.stats").body["counters"]["trimmed"] == 20, 20)
    assert bus.req("sys.stats").body["bytes"]["kept"] == 0
    assert bus.pub("t.x", 1).meta["seq"] == 21, "a seq is never reused"


def test_a_paused_group_owes_nothing_it_can_keep(house):
    house.broker("--retain-ms", "0")
    bus, w = house.bus(), house.bus()
    w.sub("t.>", group="g", credit=0)
    bus.req("sys.groups.set", {"group": "g", "paused": True})
    for n in range(10):
        bus.pub("t.x" if n % 2 else "u.x", n)
    g = settled(bus, "g", dropped=5)
    assert g["owed"] == 0 and g["floor"] == 10
    bus.req("sys.groups.set", {"group": "g", "paused": False})
    w.sub("t.>", group="g", credit=10)
    bus.pub("t.x", "new")
    assert w.recv().body == "new"


# --- peers --------------------------------------------------------------------------------------------------------
def test_a_killed_worker_is_noticed_before_its_silence(bus, house):
    """The socket knows when nobody is there; the broker asks it."""
    a, b = house.bus(), house.bus()
    a.sub("t.>", group="g", credit=10)
    bus.pub("t.x", 1)
    a.recv()
    b.sub("t.>", group="g", credit=10)
    flush(a)
    a.close()
    house.buses.remove(a)
    d = b.recv()
    assert d.body == 1 and d.head["try"] == 2


def test_a_client_that_never_pings_gets_its_answer(bus, house):
    import zmq
    w = house.bus()
    w.sub("svc.*", serve=True, credit=1)
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger = 0
    s.connect(house.bus_endpoint)
    s.send(taxiwire.encode("REQ", "svc.x", new_id(), {"ttl": 20000}))
    d = w.recv()
    end = time.monotonic() + 6.5  # longer than silence counts as loss
    while time.monotonic() < end:
        w.pump(0.1)
    w.reply(d, "still here")
    assert s.poll(int(20000 * SLOW)) and taxiwire.decode(s.recv())[1] == "REP"
    s.close()


def test_many_peers_many_groups_flat_memory(bus, house):
    def round():
        for n in range(30):
            c = house.bus()
            c.sub(f"t.{n}.>", group=f"g{n}", credit=10)
            c.sub(f"svc.{n}", serve=True)
            c.sub(f"x.{n}.*")
            c.pub(f"t.{n}.a", "x" * 10000)
            c.ack(c.recv(where=lambda d: "group" in d.head))
            c.call("BYE", "")
            c.close()
            house.buses.remove(c)
        for n in range(30):
            bus.req("sys.groups.delete", {"group": f"g{n}"})
    round()
    before = rss(house.the_broker)
    for _ in range(6):
        round()
    nodes = wait_for(lambda: bus.pump() and False or bus.req("sys.stats").body["counters"]["match_nodes"] == 1, 20)
    assert nodes
    assert rss(house.the_broker) - before < (12 << 20) * SLOW, "the cache of the latest records may grow, nothing else"


def test_wrong_use_is_100(house):
    from conftest import Proc
    for args in (["--journal", ""], ["--memory", "--log-level", "loud"], ["--memory", "extra"], ["--memory", "--max-bytes", "x"],
                 ["--memory", "--bind", "tcp://0.0.0.0:5999"], ["--memory", "--feed", "tcp://*:5999"]):
        p = Proc("broker", args, {"TAXI_BUS": ""}, house.base)
        p.spawn()
        assert p.p.wait(20 * SLOW) == 100, args
        os.close(p.ready_fd)
        assert p.log().strip(), args


def test_memory_keeps_nothing_on_disk(house):
    house.the_broker = house.proc("broker", "--bind", house.bus_endpoint, "--feed", "", "--memory").start()
    bus = house.bus()
    bus.sub("t.>", group="g", credit=10)
    bus.pub("t.x", 1)
    assert bus.recv().body == 1
    assert not (house.base / "journal").exists()
