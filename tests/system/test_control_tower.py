"""Triggers: checked, stored, recorded, found again."""
import random
import time
import uuid as uuids

import pytest

import looks
from bus import BusError, new_id
from conftest import wait_for
from looks import killed_now_and_then

ONE = {"apiVersion": "OT-2/v1alpha1/Spark1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 2},
       "spec": [{"volume": 50, "z": 1.0, "a": 2**53 + 1}, {"volume": 60}]}


def text(id):
    return str(uuids.UUID(bytes=id))


@pytest.fixture
def tower(full):
    full.tower = full.proc("control-tower").start()
    full.b = full.bus()
    return full


def create(b, body=None, id=None, **meta):
    return b.req("control-tower.triggers.create", {**ONE, **(body or {})}, id=id, **meta)


def get(b, uuid):
    """BUSY, and nothing else, is asked again: the recorder, or the connection for reads, is behind."""
    def there():
        try:
            return b.req("control-tower.triggers.get", {"uuid": uuid}).body
        except BusError as e:
            assert e.code == "BUSY", e
            return None
    return wait_for(there, 20, "an answer")


def refused(b, topic, body, code="INVALID"):
    """What it is refused with, in detail.  BUSY, when it is not what is wanted, is asked again, as in get()."""
    def said():
        e = looks.refused(b.req, topic, body)
        return None if e.code == "BUSY" != code else e
    e = wait_for(said, 20, code)
    assert e.code == code, e
    return e.detail


def pointers(detail):
    return sorted(e["pointer"] for e in detail["errors"])


def dead(b, group):
    return b.req("sys.dead.ls", {"group": group, "limit": 500}).body["items"]


def status(b, uuid, what, id=None, **more):
    return b.pub(f"status.{uuid}", {"uuid": uuid, "status": what, "by": "w1", "at": "2026-11-21T07:39:44.123Z", **more},
                 id=id, key=uuid)


# --- create -----------------------------------------------------------------------------------------------------
def test_what_is_accepted_is_on_the_bus_and_on_record(tower):
    b = tower.b
    b.sub("trigger.OT-2.>", group="workers", credit=10)
    id = new_id()
    r = create(b, id=id)
    assert r.meta["status"] == 202 and r.meta["headers"] == {"Location": f"/triggers/{text(id)}"}
    assert r.body["uuid"] == text(id) and r.body["workers"] == 1
    assert r.body["topic"] == "trigger.OT-2.v1alpha1.Spark1.PlateTransfer"
    d = b.recv()
    assert d.topic == r.body["topic"] and d.id == id and d.head["seq"] == r.body["seq"]
    assert list(d.body) == ["uuid", "apiVersion", "protocol", "plate", "spec", "metadata"]
    assert d.body["metadata"] == {"source": "service.control-tower.api", "spec": {"endpoint": "/triggers"}}
    b.ack(d)
    t = get(b, text(id))
    assert {k: t[k] for k in ONE} == ONE and list(t["spec"][0]) == ["volume", "z", "a"]
    assert isinstance(t["spec"][0]["z"], float) and t["spec"][0]["a"] == 2**53 + 1
    assert t["status"] == "accepted" and t["events"] == [] and t["receipts"] == [] and t["receiptsComplete"] is False


def test_a_repeat_is_the_same_trigger_and_another_body_is_a_conflict(tower):
    b, id = tower.b, new_id()
    first = create(b, id=id)
    again = create(b, id=id)
    assert again.body == first.body and again.meta["headers"]["Idempotency-Replayed"] == "true"
    assert looks.code(create, b, {"protocol": "Other"}, id=id) == "CONFLICT"
    assert get(b, text(id))["protocol"] == ONE["protocol"]
    assert len(b.req("control-tower.triggers.list").body["items"]) == 1


def test_own_metadata_stays(tower):
    id = new_id()
    create(tower.b, {"metadata": {"source": "riffyn", "spec": [{"runId": "1"}, {"runId": "2"}]}}, id=id)
    assert get(tower.b, text(id))["metadata"] == {"source": "riffyn", "spec": [{"runId": "1"}, {"runId": "2"}]}


def test_every_fault_is_named_at_once(tower):
    d = refused(tower.b, "control-tower.triggers.create",
                {"apiVersion": "x/v1 junk", "protocol": "lower", "spec": [], "uuid": "x", "more": 1, "metadata": {"source": 3}})
    assert pointers(d) == ["/apiVersion", "/metadata/source", "/more", "/plate", "/protocol", "/spec", "/uuid"]
    for bad in (None, 7, "x"):
        refused(tower.b, "control-tower.triggers.create", bad)
    for bad in ([], [ONE], [ONE] * 2000, [3]):
        d = refused(tower.b, "control-tower.triggers.create", bad)
        assert d["errors"] == [{"pointer": "", "detail": "expected one trigger as an object; a list holds CloudEvents only"}]
    refused(tower.b, "control-tower.triggers.create", b"\xdd\xff\xff\xff\xff", "BAD_ENVELOPE")
    assert tower.b.req("control-tower.triggers.list").body == {"items": [], "next": None}


def cloudevent(n, **more):
    return {"specversion": "1.0", "source": "/lims", "id": f"e{n}", "type": "run.started",
            "data": {"apiVersion": "x/v1", "protocol": "P", "spec": {"n": n}}, **more}


def test_a_cloudevent_is_its_own_idempotency_key(tower):
    b = tower.b
    first = b.req("control-tower.triggers.create", cloudevent(1, subject="run 7"))
    again = b.req("control-tower.triggers.create", cloudevent(1, subject="run 7", time="2026-11-21T00:00:00Z"))
    assert again.body["uuid"] == first.body["uuid"] and again.meta["headers"]["Idempotency-Replayed"] == "true"
    assert get(b, first.body["uuid"])["metadata"] == {"source": "/lims", "spec": {"id": "e1", "type": "run.started", "subject": "run 7"}}
    refused(b, "control-tower.triggers.create", {**cloudevent(1), "data": {**cloudevent(2)["data"]}}, "CONFLICT")
    many = b.req("control-tower.triggers.create", [cloudevent(n) for n in range(2, 300)]).body["items"]
    assert len({t["uuid"] for t in many}) == 298 and [t["seq"] for t in many] == list(range(many[0]["seq"], many[0]["seq"] + 298))
    assert b.req("control-tower.triggers.create", cloudevent(5)).body["uuid"] == many[3]["uuid"]
    assert get(b, many[-1]["uuid"])["spec"] == {"n": 299}
    bad = [cloudevent(900), {**cloudevent(901), "data": {"spec": {}}}, {"apiVersion": "x/v1"}, {**cloudevent(902), "specversion": "0.3", "id": ""}]
    assert pointers(refused(b, "control-tower.triggers.create", bad)) == [
        "/1/data/apiVersion", "/1/data/protocol", "/1/data/spec", "/2", "/3/id", "/3/specversion"]
    d = refused(b, "control-tower.triggers.create", {**cloudevent(903), "id": 7, "data": 3})
    assert [(e["pointer"], e["detail"].split(",")[0]) for e in d["errors"]] == [
        ("/id", "expected text of 1 to 255 bytes without control characters"), ("/data", "expected an object")]
    d = refused(b, "control-tower.triggers.create", [cloudevent(n) for n in range(1025)])
    assert d["errors"] == [{"pointer": "", "detail": "expected 1 to 1024 CloudEvents"}]
    assert b.req("control-tower.triggers.create", cloudevent(900)).meta["headers"].get("Idempotency-Replayed") is None


# --- the record -------------------------------------------------------------------------------------------------
def test_what_was_just_accepted_is_never_missing(tower):
    b = tower.b
    for _ in range(100):
        id = new_id()
        create(b, id=id)
        assert get(b, text(id))["uuid"] == text(id)
    refused(b, "control-tower.triggers.get", {"uuid": text(new_id())}, "NOT_FOUND")
    assert pointers(refused(b, "control-tower.triggers.get", {"uuid": "nonsense"})) == ["/uuid"]


def test_states_do_not_go_back_and_may_come_first(tower):
    b, id = tower.b, new_id()
    uuid = text(id)
    status(b, uuid, "running")
    create(b, id=id)
    status(b, uuid, "progress", detail={"percent": 50, "b": None})
    status(b, uuid, "succeeded", detail=[1.0])
    status(b, uuid, "failed")
    status(b, uuid, "running", by=None)
    t = wait_for(lambda: (lambda t: t if len(t["events"]) == 5 else None)(get(b, uuid)), 10, "five events")
    assert [e["status"] for e in t["events"]] == ["running", "progress", "succeeded", "failed", "running"]
    assert t["status"] == "succeeded"
    assert t["events"][1] == {"at": "2026-11-21T07:39:44.123Z", "status": "progress", "by": "w1",
                              "detail": {"percent": 50, "b": None}}
    assert t["events"][2]["detail"] == [1.0] and "detail" not in t["events"][0] and t["events"][4]["by"] == "unknown"


def test_reports_and_cancels_over_requests(tower):
    b = tower.b
    b.sub("cancel.>", group="cancels", credit=10)
    uuid = create(b).body["uuid"]
    id = new_id()
    r = b.req("control-tower.triggers.status", {"uuid": uuid, "body": {"status": "running", "detail": 1}}, id=id)
    assert r.meta["status"] == 202 and r.body["uuid"] == uuid
    again = b.req("control-tower.triggers.status", {"uuid": uuid, "body": {"status": "running", "detail": 1}}, id=id)
    assert again.body == r.body, "though the time in its body is another"
    c = b.req("control-tower.triggers.cancel", {"uuid": uuid})
    assert c.body["seq"] > r.body["seq"]
    d = b.recv()
    assert d.topic == f"cancel.{uuid}" and d.body["uuid"] == uuid and d.meta["key"] == uuid
    b.ack(d)
    t = wait_for(lambda: (lambda t: t if t["status"] == "running" else None)(get(b, uuid)), 10, "running")
    assert len(t["events"]) == 1 and t["events"][0]["by"]
    assert pointers(refused(b, "control-tower.triggers.status", {"uuid": "x", "body": {"status": "done", "at": "now"}})) == [
        "/at", "/status", "/uuid"]
    refused(b, "control-tower.triggers.status", {"uuid": uuid})
    refused(b, "control-tower.triggers.cancel", {})


def test_pages_and_filters(tower):
    b = tower.b
    ids = [text(new_id()) for _ in range(25)]
    for n, id in enumerate(ids):
        create(b, {"protocol": "Even" if n % 2 == 0 else "Odd", "apiVersion": "a/v1" if n < 5 else "b/v1",
                   "metadata": {"source": f"s{n % 3}"}}, id=uuids.UUID(id).bytes)
    status(b, ids[7], "failed")

    def all_of(**filters):
        out, cursor = [], None
        while True:
            page = b.req("control-tower.triggers.list", {**filters, "limit": 4, **({"cursor": cursor} if cursor else {})}).body
            assert len(page["items"]) <= 4
            out += [t["uuid"] for t in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return out
    wait_for(lambda: len(all_of()) == 25, 10, "25 triggers on record")
    assert set(all_of()) == set(ids) and len(b.req("control-tower.triggers.list").body["items"]) == 25
    assert set(all_of(protocol="Even")) == set(ids[0::2])
    assert set(all_of(apiVersion="a/v1")) == set(ids[:5])
    assert set(all_of(apiVersion="a/v1", source="s1")) == {ids[1], ids[4]}
    wait_for(lambda: all_of(status="failed") == [ids[7]], 10, "the failed one")
    assert len(all_of(status="accepted")) == 24
    assert all_of(since="2126-01-01T00:00:00Z") == [] and len(all_of(since="2006-01-01T00:00:00+02:00")) == 25
    d = refused(b, "control-tower.triggers.list", {"limit": 501, "status": "progress", "since": "today", "cursor": "x", "source": 1})
    assert pointers(d) == ["/cursor", "/limit", "/since", "/source", "/status"]
    assert pointers(refused(b, "control-tower.triggers.list", {"since": "2026-02-30T00:00:00Z"})) == ["/since"]


def test_native_triggers_that_are_none_are_dead_letters(tower):
    b = tower.b
    bad = new_id()
    b.pub("trigger.x.v1._.P", {"apiVersion": "x/v1", "protocol": "P", "spec": {}}, id=bad)
    b.pub("trigger.x.v1._.P", {"apiVersion": "x/v1", "protocol": "P", "spec": {"n": float("nan")}})
    b.pub("trigger.x.v1._.P", None)
    b.pub("status.nonsense", {"status": "running"})
    good = new_id()
    b.pub("trigger.x.v1._.P", {"apiVersion": "x/v1", "protocol": "P", "spec": {"a": b"\x01", "nul": "\0"}}, id=good)
    wait_for(lambda: len(dead(b, "control-tower.recorder")) == 3 and len(dead(b, "control-tower.events")) == 1, 10, "dead letters")
    assert any("invalid: /spec: must not be empty" in d["reason"] for d in dead(b, "control-tower.recorder"))
    assert get(b, text(good))["spec"] == {"a": "AQ==", "nul": "\0"}
    refused(b, "control-tower.triggers.get", {"uuid": text(bad)}, "NOT_FOUND")


def test_of_a_native_trigger_the_topic_says_what_the_body_leaves_out(tower):
    b, id, other = tower.b, new_id(), new_id()
    b.pub("trigger.OT-2.v1alpha1.Spark_5F1.PlateTransfer", {"spec": {"n": 1}}, id=id)
    b.pub("trigger.x.v1._.P", {"apiVersion": "x/v2", "spec": {"n": 1}}, id=other)
    t = get(b, text(id))
    assert (t["apiVersion"], t["protocol"], t["spec"]) == ("OT-2/v1alpha1/Spark_1", "PlateTransfer", {"n": 1})
    wait_for(lambda: dead(b, "control-tower.recorder"), 10, "the other")
    assert [d["reason"] for d in dead(b, "control-tower.recorder")] == ["invalid: /apiVersion: is not what the topic says"]
    refused(b, "control-tower.triggers.get", {"uuid": text(other)}, "NOT_FOUND")


def test_a_row_the_database_refuses_costs_nobody_else(tower):
    """The calendar is the database's to judge: 30 February is well formed, and refused by it."""
    b, uuid = tower.b, create(tower.b).body["uuid"]
    started = [b.start("PUB", f"status.{uuid}", {"key": uuid},
                       {"uuid": uuid, "status": "progress", "by": "w", "detail": n,
                        "at": "2026-02-30T00:00:00Z" if n in (17, 90) else "2026-02-28T00:00:00Z"}) for n in range(100)]
    for id in started:
        b.finish(id)
    t = wait_for(lambda: (lambda t: t if len(t["events"]) == 98 else None)(get(b, uuid)), 20, "98 events")
    assert [e["detail"] for e in t["events"]] == [n for n in range(100) if n not in (17, 90)]
    wait_for(lambda: len(dead(b, "control-tower.events")) == 2, 10, "two dead letters")
    assert all("refused by the database: 22" in d["reason"] for d in dead(b, "control-tower.events"))


def test_old_triggers_are_forgotten_when_asked_to(full):
    full.b = b = full.bus()
    old, new = text(new_id()), text(new_id())
    tower = full.proc("control-tower").start()
    for id in (old, new):
        create(b, id=uuids.UUID(id).bytes)
        status(b, id, "succeeded")
        assert get(b, id)
    wait_for(lambda: count(full, "SELECT count(*) FROM control_tower.trigger_states") == 2, 10, "both ends")
    with full.db() as db, db.cursor() as c:
        c.execute("UPDATE control_tower.triggers SET created_at = now() - interval '8 days' WHERE uuid = %s", (old,))
    tower.stop()
    full.proc("control-tower", "--keep-days", "7").start()
    wait_for(lambda: count(full, "SELECT count(*) FROM control_tower.triggers") == 1, 10, "the old one to go")
    assert count(full, "SELECT count(*) FROM control_tower.trigger_events") == 1
    assert count(full, "SELECT count(*) FROM control_tower.trigger_states") == 1
    assert get(b, new)["status"] == "succeeded"


# --- when something dies ----------------------------------------------------------------------------------------
def test_without_postgres_triggers_are_accepted_and_recorded_later(tower, pg):
    b = tower.b
    ids = [text(new_id()) for _ in range(100)]
    create(b, id=uuids.UUID(ids[0]).bytes)
    get(b, ids[0])
    pg.kill9()
    try:
        for id in ids[1:]:
            assert create(b, id=uuids.UUID(id).bytes).body["uuid"] == id
            status(b, id, "running")
        refused(b, "control-tower.triggers.get", {"uuid": ids[5]}, "BUSY")
        refused(b, "control-tower.triggers.list", {}, "BUSY")
    finally:
        pg.start()
    wait_for(lambda: count(tower, "SELECT count(*) FROM control_tower.triggers") == 100, 60, "100 on record")
    wait_for(lambda: count(tower, "SELECT count(*) FROM control_tower.trigger_events") == 99, 60, "99 events")
    assert get(b, ids[-1])["status"] == "running"
    assert dead(b, "control-tower.recorder") == [] and dead(b, "control-tower.events") == []


def count(house, sql):
    house.b.pump(0.01)  # a client that does not read is soon forgotten
    with house.db() as db, db.cursor() as c:
        c.execute(sql)
        return c.fetchone()[0]


def test_killed_while_it_works_it_records_everything_once(tower):
    b, ids, rnd = tower.b, [], random.Random(7)
    with killed_now_and_then(tower.tower, lambda: rnd.uniform(0.05, 0.5)):
        end = time.monotonic() + 6
        while time.monotonic() < end:
            id = new_id()
            b.pub("trigger.x.v1._.P", {"apiVersion": "x/v1", "protocol": "P", "spec": {"n": len(ids)}}, id=id)
            status(b, text(id), "succeeded")
            ids.append(text(id))
    wait_for(lambda: count(tower, "SELECT count(*) FROM control_tower.triggers") == len(ids), 60, f"{len(ids)} on record")
    wait_for(lambda: count(tower, "SELECT count(*) FROM control_tower.trigger_states WHERE state = 'succeeded'") == len(ids), 60,
             "their ends")
    assert dead(b, "control-tower.recorder") == [] and dead(b, "control-tower.events") == []
