"""One chain from end to end: what a trace shows of it, and how a trigger of it is cancelled."""
import time
import uuid as uuids

from bus import new_id
from conftest import wait_for
from looks import call, letters, refused, settled


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
