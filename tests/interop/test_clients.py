"""One table of scenarios for the C, Python and Node client, each driven through its driver program (drive.py).

What is said on the other side, and what is looked at, is bus.py's: an implementation of its own of proto/PROTOCOL.md.
"""
import os
import time
import uuid

import msgpack
import pytest
import zmq.auth

import taxiwire
from bus import Bus, new_id
from drive import ROOT, SLOW, Broker, Driver, Failed, FakeBroker, wait_for
from waiting import free_port  # drive.py has found it

LANGS = ("c", "python", "node")


class Rig:
    """A broker, two programs of one language and an observer, shared by the scenarios: each has topics of its own."""

    def __init__(self, lang):
        self.lang, self.broker = lang, Broker()
        self.a, self.b = Driver(lang, self.broker.endpoint), Driver(lang, self.broker.endpoint)
        self.eye = Bus(self.broker.endpoint, timeout=20 * SLOW)

    def close(self):
        self.eye.close()
        self.a.close()
        self.b.close()
        self.broker.close()

    def group(self, name):
        self.eye.pump()
        return next((g for g in self.eye.req("sys.groups", {"group": name}).body["groups"] if g["group"] == name), None)

    def settled(self, name, **want):
        return wait_for(lambda: all((self.group(name) or {}).get(k) == v for k, v in want.items()), 20, f"{name} with {want}")

    def dead(self, group):
        return wait_for(lambda: self.eye.req("sys.dead.ls", {"group": group}).body["items"], 20, f"a dead letter of {group}")[0]


@pytest.fixture(scope="session", params=LANGS)
def rig(request):
    r = Rig(request.param)
    yield r
    r.close()


@pytest.fixture
def t(request):
    """A first token for this test's topics and groups."""
    for d in (request.getfixturevalue("rig").a, request.getfixturevalue("rig").b):
        d.ended(0)
        d.msgs.clear()
    return request.node.originalname.replace("test_", "").replace("_", "-")


@pytest.fixture(params=LANGS)
def fake(request):
    f = FakeBroker()
    f.driver = Driver(request.param, f.endpoint)
    f.expect("PING")
    yield f
    f.driver.kill9()
    f.close()


def refused(call, code, retry):
    with pytest.raises(Failed) as e:
        call()
    assert (e.value.code, e.value.retry) == (code, retry)
    return e.value


# --- publish ---------------------------------------------------------------------------------------------------------
def test_publish_is_durable(rig, t):
    body = {"text": "für", "list": [1, -1, 2**40, -2**40, 2**53, 0.5, None, True, [], {}], "deep": {"a": {"b": "c"}}}
    rig.a.sub("w", f"{t}.>", group=t)
    first, second = rig.a.call("publish", topic=f"{t}.a", body=body), rig.a.call("publish", topic=f"{t}.b")
    assert second["seq"] > first["seq"] > 0 and first["groups"] == 1
    assert rig.eye.req("sys.groups").body["head"] >= second["seq"]
    m = rig.a.msg("w")
    assert (m["body"], m["topic"], m["id"], m["seq"], m["try"]) == (body, f"{t}.a", first["id"], first["seq"], 1)
    assert rig.a.msg("w")["body"] is None
    rig.a.call("unsub", name="w")


def test_ephemeral_publish_has_no_seq(rig, t):
    assert not rig.a.call("publish", topic=f"live.{t}", body=1).get("seq")


def test_repeat_of_an_id(rig, t):
    id = new_id().hex()
    first = rig.a.call("publish", topic=f"{t}.a", body={"x": 1}, id=id)
    assert first["id"] == id
    assert rig.a.call("publish", topic=f"{t}.a", body={"x": 1}, id=id)["seq"] == first["seq"]
    assert rig.b.call("publish", topic=f"{t}.a", body={"x": 1}, id=id)["seq"] == first["seq"]
    refused(lambda: rig.a.call("publish", topic=f"{t}.a", body={"x": 2}, id=id), "CONFLICT", "never")


def test_batch_with_cursor(rig, t):
    known = new_id().hex()
    seq = rig.a.call("publish", topic=f"{t}.a", body=0, id=known)["seq"]
    items = [{"topic": f"{t}.a", "body": i} for i in range(3)]
    seqs = rig.a.call("batch", items=[{"topic": f"{t}.a", "body": 0, "id": known}, *items], src=t, cur="one")["seqs"]
    assert seqs[0] == seq and sorted(seqs) == seqs and len(set(seqs)) == 4
    e = refused(lambda: rig.a.call("batch", items=[*items, {"topic": f"{t}.a", "body": "other", "id": known}]), "CONFLICT", "never")
    assert e.detail["index"] == 3
    refused(lambda: rig.a.call("batch", items=items, src=t, was="none", cur="two"), "CONFLICT", "never")
    head = rig.eye.req("sys.groups").body["head"]
    rig.a.call("batch", items=[], src=t, was="one", cur="three")
    assert rig.eye.req("sys.cursor", {"src": t}).body["cur"] == b"three"
    assert rig.eye.req("sys.groups").body["head"] == head == seqs[-1], "nothing of what was refused is stored"


def test_many_at_once(rig, t):
    rig.b.sub("w", f"{t}.>", group=t, credit=1000)
    seqs = rig.a.call("many", topic=f"{t}.a", count=500)["seqs"]
    assert len(set(seqs)) == 500
    got = rig.b.take("w", 500)
    assert [m["body"] for m in got] == list(range(500)) and [m["seq"] for m in got] == seqs
    for m in got:
        rig.b.start("ack", m=m["msg"])
    rig.settled(t, owed=0, acked=500)
    rig.b.call("unsub", name="w")
    assert len(rig.a.call("batch", items=[{"topic": f"{t}.b", "body": i} for i in range(300)])["seqs"]) == 300


def test_refused_before_sending(rig, t):
    head = rig.eye.req("sys.groups").body["head"]
    for topic in ("", "a..b", "a.*", "a b", "a." * 16 + "a", "a" * 256):
        refused(lambda: rig.a.call("publish", topic=topic, body=1), "BAD_TOPIC", "never")
    refused(lambda: rig.a.call("big", topic=f"{t}.a", bytes=16 << 20), "TOO_BIG", "never")
    refused(lambda: rig.a.call("publish", topic=f"{t}.a", body=1, key="k" * 9000), "TOO_BIG", "never") \
        if rig.lang != "c" else None  # there the limit of a key is known too
    refused(lambda: rig.a.call("batch", items=[{"topic": f"{t}.a"}] * 1025), "TOO_BIG", "never")
    assert rig.eye.req("sys.groups").body["head"] == head
    assert rig.a.call("big", topic=f"{t}.a", bytes=15 << 20)["seq"] == head + 1
    refused(lambda: rig.a.call("publish", topic="sys.x", body=1), "DENIED", "never")


def test_expired(rig, t):
    rig.a.sub("w", f"{t}.>", group=t)
    seq = rig.a.call("publish", topic=f"{t}.a", body=1, exp=1)["seq"]
    d = rig.dead(t)
    assert (d["reason"], d["seq"]) == ("EXPIRED", seq)
    rig.a.call("publish", topic=f"{t}.a", body=2, exp=int(time.time() * 1000) + 3600_000)
    assert rig.a.msg("w")["body"] == 2
    rig.a.call("unsub", name="w")


# --- work ------------------------------------------------------------------------------------------------------------
def test_work_is_shared_and_acked(rig, t):
    rig.a.sub("w", f"{t}.>", group=t, credit=5)
    rig.b.sub("w", f"{t}.>", group=t, credit=5)
    for i in range(10):
        rig.a.call("publish", topic=f"{t}.a", body=i)
    got = [(d, m) for d in (rig.a, rig.b) for m in d.take("w", 5)]
    assert sorted(m["body"] for _, m in got) == list(range(10))
    for d, m in got:
        d.call("ack", m=m["msg"])
    rig.settled(t, owed=0, acked=10, redelivered=0)
    refused(lambda: rig.a.sub("w2", "other.>", group=t), "CONFLICT", "never")
    rig.a.call("unsub", name="w")
    rig.b.call("unsub", name="w")
    rig.settled(t, workers=0)


def test_nak_reject_and_tries(rig, t):
    rig.a.sub("w", f"{t}.>", group=t, tries=2)
    for i in range(2):
        rig.a.call("publish", topic=f"{t}.a", body=i)
    first, second = rig.a.take("w", 2)
    rig.a.call("nak", m=first["msg"], delay=0.01, reason="not yet")
    rig.a.call("reject", m=second["msg"], reason="no good")
    assert rig.dead(t)["reason"] and rig.eye.req("sys.dead.ls", {"group": t}).body["items"][0]["seq"] == second["seq"]
    again = rig.a.msg("w")
    assert (again["seq"], again["try"], again["again"], again["id"]) == (first["seq"], 2, True, first["id"])
    rig.a.call("nak", m=again["msg"], reason="never")
    rig.settled(t, owed=0, dead=2)
    rig.a.call("unsub", name="w")


def test_extend(rig, t):
    rig.a.sub("w", f"{t}.>", group=t, ack=0.4 * SLOW, credit=10)
    for i in range(2):
        rig.a.call("publish", topic=f"{t}.a", body=i)
    kept, left = rig.a.take("w", 2)
    rig.a.call("extend", m=kept["msg"], seconds=60)
    again = [rig.a.msg("w") for _ in range(2)]
    assert [(m["body"], m["try"]) for m in again] == [(1, 2), (1, 3)], "only what was not extended comes again, and again"
    rig.a.call("ack", m=kept["msg"])
    rig.a.call("ack", m=again[1]["msg"])
    rig.settled(t, owed=0)
    rig.a.call("unsub", name="w")


def test_order_by_key(rig, t):
    rig.a.sub("w", f"{t}.>", group=t, credit=10)
    rig.b.sub("w", f"{t}.>", group=t, credit=10)
    keys = [("x", 0), ("x", 1), ("y", 2), ("x", 3)]
    rig.a.call("batch", items=[{"topic": f"{t}.a", "body": i, "key": k} for k, i in keys])
    who = wait_for(lambda: next((d for d in (rig.a, rig.b) if d.ended(0) or [m for m in d.msgs if m["key"] == "x"]), None), 20, "a delivery")
    x = [who.msg("w", key="x") for _ in range(3)]
    assert [m["body"] for m in x] == [0, 1, 3], "several in flight at one worker, in order"
    who.call("nak", m=x[0]["msg"], delay=0)
    again = []

    def back():
        for d in (rig.a, rig.b):
            d.ended(0)
            for m in [m for m in d.msgs if m["key"] == "x"]:
                d.msgs.remove(m)
                again.append((m["body"], m["try"]))
                d.call("ack", m=m["msg"])
        return len(again) >= 3
    wait_for(back, 20, "all of the key again")
    assert [b for b, _ in again] == [0, 1, 3] and again[0][1] == 2
    for d in (rig.a, rig.b):
        for m in [m for m in d.msgs if m["key"] == "y"]:
            d.msgs.remove(m)
            d.call("ack", m=m["msg"])
        d.call("unsub", name="w")


def test_ack_of_the_policies(rig, t):
    """Who does not say how long it may work gets what the policies say."""
    rig.eye.req("sys.policies.set", {"pattern": f"{t}.*", "ackMs": 700, "tries": 3})
    rig.b.sub("w", f"{t}.*", group=f"g-{t}")
    g = rig.group(f"g-{t}")
    assert (g["ackMs"], g["tries"]) == (700, 3)
    rig.b.call("unsub", name="w")
    rig.eye.req("sys.policies.delete", {"pattern": f"{t}.*"})


def test_cancels(rig, t):
    """One in hand is told; one that was cancelled before it came is acked with a status; others are handed over."""
    rig.eye.sub("status.*", credit=100)
    rig.b.sub("w", f"{t}.*", group=f"g-{t}", cancels=True, credit=1)

    def cancel(id, body="stop"):
        rig.eye.pub(f"cancel.{uuid.UUID(bytes=id)}", body, retain=True)
    ids = [new_id() for _ in range(4)]
    for i, id in enumerate(ids):
        rig.eye.pub(f"{t}.x", i, id=id)
    m = rig.b.msg("w")
    assert m["body"] == 0
    cancel(ids[1])
    cancel(ids[3], None)  # a marker that is taken away is no cancel
    cancel(ids[0])
    rig.b.until(lambda: m["msg"] in rig.b.cancelled, "the cancel of what is in hand")
    rig.b.call("ack", m=m["msg"])
    for want in (2, 3):
        m = rig.b.msg("w")
        assert m["body"] == want and m["msg"] not in rig.b.cancelled
        rig.b.call("ack", m=m["msg"])
    said = rig.eye.recv(where=lambda d: d.topic == f"status.{uuid.UUID(bytes=ids[1])}")
    assert said.body == {"uuid": str(uuid.UUID(bytes=ids[1])), "status": "cancelled", "by": f"g-{t}", "at": said.body["at"]}
    assert said.meta["key"] == str(uuid.UUID(bytes=ids[1]))
    last = new_id()  # nobody of ours has seen this cancel come
    rig.b.call("unsub", name="w")
    cancel(last)
    d = Driver(rig.lang, rig.broker.endpoint)
    d.sub("w", f"{t}.*", group=f"g-{t}", cancels=True)
    rig.eye.pub(f"{t}.x", "late", id=last)
    rig.eye.pub(f"{t}.x", "next")
    m = d.msg("w")
    assert m["body"] == "next"
    d.call("ack", m=m["msg"])
    rig.settled(f"g-{t}", acked=6, dead=0, owed=0)
    d.close()
    rig.eye.call("UNSUB", "status.*")
    rig.eye.subs.clear()


def test_from_the_past(rig, t):
    seqs = [rig.a.call("publish", topic=f"{t}.a", body=i)["seq"] for i in range(2)]
    now = int(time.time() * 1000) + 1
    wait_for(lambda: time.time() * 1000 > now, 5, "the next millisecond", 0.001)
    rig.a.call("publish", topic=f"{t}.a", body=2)
    want = {"all": ("all", [0, 1, 2, 3]), "new": ("new", [3]), "seq": ({"seq": seqs[1]}, [1, 2, 3]), "time": ({"time": now}, [2, 3])}
    for name, (start, _) in want.items():
        rig.a.sub(name, f"{t}.>", group=f"{t}-{name}", **{"from": start})
    rig.a.sub("tail", f"{t}.>", credit=2, **{"from": "all"})
    rig.a.call("publish", topic=f"{t}.a", body=3)
    for name, (_, bodies) in {**want, "tail": ("all", [0, 1, 2, 3])}.items():
        assert [m["body"] for m in rig.a.take(name, len(bodies))] == bodies, name
        rig.a.call("unsub", name=name)


def test_live_tail_gives_credit_back(rig, t):
    rig.a.sub("tail", f"live.{t}.*", credit=4)
    for i in range(30):
        rig.b.call("publish", topic=f"live.{t}.x", body=i)
        assert rig.a.msg("tail")["body"] == i
    rig.a.call("unsub", name="tail")


def test_retained(rig, t):
    rig.a.call("publish", topic=f"{t}.a", body="old", retain=True)
    rig.a.call("publish", topic=f"{t}.a", body="last", retain=True)
    rig.a.sub("tail", f"{t}.>")
    m = rig.a.msg("tail")
    assert (m["body"], m["retained"]) == ("last", True)
    rig.a.call("publish", topic=f"{t}.a", body="news")
    m = rig.a.msg("tail")
    assert (m["body"], m["retained"]) == ("news", False)
    rig.a.call("unsub", name="tail")


def test_drain(rig, t):
    d = Driver(rig.lang, rig.broker.endpoint)
    d.sub("w", f"{t}.>", group=t, credit=10)
    rig.a.call("publish", topic=f"{t}.a", body=0)
    m = d.msg("w")
    n = d.start("drain")
    rig.settled(t, workers=0)
    rig.a.call("publish", topic=f"{t}.a", body=1)
    rig.b.sub("w", f"{t}.>", group=t)
    assert rig.b.msg("w")["body"] == 1, "the next one goes to who still takes"
    assert not d.ended(n), "what is in hand is waited for"
    d.start("ack", m=m["msg"])
    assert d.finish(n)["idle"] is True
    assert not d.msgs
    rig.settled(t, owed=1, acked=1, redelivered=0)
    d.close()
    rig.b.call("unsub", name="w")


# --- requests --------------------------------------------------------------------------------------------------------
def test_request_and_its_failures(rig, t):
    refused(lambda: rig.a.call("request", topic=f"{t}.x", body=1), "NO_WORKERS", "later")
    rig.b.sub("s", f"{t}.*", serve=True)
    n = rig.a.start("request", topic=f"{t}.x", body={"q": 1})
    m = rig.b.msg("s")
    assert (m["request"], m["body"], m["topic"]) == (True, {"q": 1}, f"{t}.x")
    rig.b.call("reply", m=m["msg"], body={"a": [2]})
    assert rig.a.finish(n)["body"] == {"a": [2]}
    n = rig.a.start("request", topic=f"{t}.x")
    rig.b.call("fail", m=rig.b.msg("s")["msg"], code="NOT_FOUND", text="no such plate")
    e = refused(lambda: rig.a.finish(n), "NOT_FOUND", "never")
    assert e.detail["detail"] == "no such plate"
    n = rig.a.start("request", topic=f"{t}.x", ttl=0.2)
    late = rig.b.msg("s")
    refused(lambda: rig.a.finish(n), "TIMEOUT", "uncertain")
    rig.b.call("reply", m=late["msg"], body="too late")
    rig.b.call("unsub", name="s")


def test_cancel(rig, t):
    rig.b.sub("s", f"{t}.*", serve=True, credit=1)
    n = rig.a.start("request", topic=f"{t}.x", ttl=60)
    m = rig.b.msg("s")
    rig.a.call("cancel", of=n)
    refused(lambda: rig.a.finish(n), "GONE", "never")
    rig.b.until(lambda: m["msg"] in rig.b.cancelled, "the cancel")
    rig.b.call("fail", m=m["msg"], code="GONE", text="stopped")
    n = rig.a.start("request", topic=f"{t}.x")
    rig.b.call("reply", m=rig.b.msg("s")["msg"], body="the credit is free again")
    assert rig.a.finish(n)["body"]
    rig.b.call("unsub", name="s")


def test_lost_worker(rig, t):
    d = Driver(rig.lang, rig.broker.endpoint)
    d.sub("s", f"{t}.*", serve=True)
    once = rig.a.start("request", topic=f"{t}.once", ttl=60)
    twice = rig.a.start("request", topic=f"{t}.twice", ttl=60, again=True)
    for _ in range(2):
        d.msg("s")
    rig.b.sub("s", f"{t}.*", serve=True)
    d.kill9()
    m = rig.b.msg("s", timeout=30)
    assert (m["topic"], m["again"]) == (f"{t}.twice", True)
    rig.b.call("reply", m=m["msg"], body="second")
    assert rig.a.finish(twice)["body"] == "second"
    refused(lambda: rig.a.finish(once), "WORKER_LOST", "uncertain")
    rig.b.call("unsub", name="s")


def test_answer_in_parts(rig, t):
    rig.b.sub("s", f"{t}.*", serve=True)
    n = rig.a.start("request", topic=f"{t}.x", parts=True, window=2, hold=True, ttl=20)
    m = rig.b.msg("s")
    sent = [rig.b.start("part", m=m["msg"], body=[i, "x" * 1000]) for i in range(5)]
    for s in sent[:2]:
        rig.b.finish(s)
    rig.a.until(lambda: len(rig.a.parts[n]) == (2 if rig.lang == "c" else 1), "what the window lets through")
    assert not rig.b.ended(sent[2]), "the third waits for room"
    rig.a.call("more", of=n, count=3)
    for s in sent[2:]:
        rig.b.finish(s)
    rig.a.call("more", of=n, count=10)
    rig.b.call("reply", m=m["msg"], body="end")
    if rig.lang == "c":
        assert rig.a.finish(n)["body"] == "end"
    else:
        rig.a.finish(n)
        assert rig.a.parts[n].pop() == "end"
    assert rig.a.parts[n] == [[i, "x" * 1000] for i in range(5)]
    n = rig.a.start("request", topic=f"{t}.x", parts=True, window=2)
    m = rig.b.msg("s")
    for i in range(20):
        rig.b.call("part", m=m["msg"], body=i)
    rig.b.call("reply", m=m["msg"])
    assert rig.a.finish(n)["body"] is None and rig.a.parts[n] == list(range(20)), "asked for as they are taken"
    n = rig.a.start("request", topic=f"{t}.x")
    rig.b.start("part", m=rig.b.msg("s")["msg"], body=1)
    refused(lambda: rig.a.finish(n), "UPSTREAM", "uncertain")
    rig.b.call("unsub", name="s")


def test_cancel_of_parts(rig, t):
    rig.b.sub("s", f"{t}.*", serve=True)
    n = rig.a.start("request", topic=f"{t}.x", parts=True, window=1, hold=True)
    m = rig.b.msg("s")
    rig.b.call("part", m=m["msg"], body=0)
    stuck = rig.b.start("part", m=m["msg"], body=1)
    rig.a.until(lambda: rig.a.parts[n], "a part")
    rig.a.call("cancel", of=n)
    refused(lambda: rig.a.finish(n), "GONE", "never")
    refused(lambda: rig.b.finish(stuck), "GONE", "never")
    rig.b.call("fail", m=m["msg"], code="GONE")
    rig.b.call("unsub", name="s")


# --- keys ------------------------------------------------------------------------------------------------------------
ACL = """
lab-7
    key = "%s"
    publish = "t.>"
    subscribe = "t.>"
"""


def test_keys(tmp_path):
    public, files = {}, {}
    for name in ("broker", "lab", "stranger"):
        files[name], secret = zmq.auth.create_certificates(tmp_path, name)
        os.chmod(secret, 0o600)
        public[name] = zmq.auth.load_certificate(files[name])[0].decode()
    (tmp_path / "acl").write_text(ACL % public["lab"])
    broker = Broker("--keys", str(tmp_path), endpoint=f"tcp://127.0.0.1:{free_port()}")
    for lang in LANGS:
        d = Driver(lang, broker.endpoint, TAXI_KEY=str(tmp_path / "lab.key"), TAXI_BROKER_KEY=public["broker"])
        d.sub("w", "t.a", group=f"g-{lang}")
        assert d.call("publish", topic="t.a", body=1)["groups"] > 0
        d.call("ack", m=d.msg("w")["msg"])
        refused(lambda: d.call("publish", topic="other.a", body=1), "DENIED", "never")
        refused(lambda: d.call("request", topic="t.a"), "DENIED", "never")
        refused(lambda: d.sub("x", "other.>"), "DENIED", "never")
        d.close()
        for env in ({"TAXI_KEY": str(tmp_path / "stranger.key"), "TAXI_BROKER_KEY": public["broker"]}, {}):
            d = Driver(lang, broker.endpoint, **env)
            refused(lambda: d.call("publish", topic="t.a", body=1, timeout=0.3), "BUSY", "later")
            d.close()
    broker.close()


# --- through a broker's death ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("lang", LANGS)
def test_broker_killed_and_started_again(lang):
    broker = Broker()
    d, other = Driver(lang, broker.endpoint), Driver(lang, broker.endpoint)
    d.sub("w", "t.>", group="g", credit=100)
    d.sub("s", "s.*", serve=True)
    before = [other.call("publish", topic="t.a", body=i)["seq"] for i in range(5)]
    held = d.take("w", 5)
    d.call("ack", m=held[0]["msg"])
    question = other.start("request", topic="s.x", ttl=60)
    d.msg("s")
    took = []
    for round in range(2):
        broker.kill9()
        waiting = [other.start("publish", topic="t.a", body=[round, i]) for i in range(20)]
        ready = broker.start()
        after = [other.finish(n)["seq"] for n in waiting]
        d.until(lambda: [m for m in d.msgs if m["body"] == [round, 19]], "the last one of after")
        took.append(time.monotonic() - ready)
        assert len(set(after)) == 20 and min(after) > max(before)
    refused(lambda: other.finish(question), "WORKER_LOST", "uncertain")
    assert d.call("void", m=held[1]["msg"])["void"] is True
    n = other.start("request", topic="s.x")
    d.call("reply", m=d.msg("s")["msg"], body="served again")
    assert other.finish(n)["body"] == "served again"
    seen = {}
    for m in d.msgs:
        seen.setdefault(str(m["body"]), []).append(m["again"])
    for body in [*range(1, 5), *([r, i] for r in range(2) for i in range(20))]:
        assert str(body) in seen, f"{body} was lost"
    assert all(seen[str(i)][0] for i in range(1, 5)), "what may have been handled says so"
    assert min(took) < SLOW, f"back at work {took} s after the broker was ready"
    for x in (d, other):
        x.close()
    broker.close()


def test_resend_and_subscribe_again(fake):
    d = fake.driver
    sub = d.start("sub", name="w", pattern="t.>", group="g")
    first = fake.expect("SUB")
    assert first.topic == "t.>" and first.meta["group"] == "g" and first.meta.get("many") is True
    fake.ok(first, next=1)
    d.finish(sub)
    fake.send(fake.event("g", 7, body="void soon"))
    m = d.msg("w")
    pub = d.start("publish", topic="t.a", body={"x": 1}, key="k")
    one = fake.expect("PUB")
    again, once = d.start("request", topic="s.a", again=True, ttl=60), d.start("request", topic="s.b", ttl=60)
    asked = fake.expect("REQ", where=lambda f: f.topic == "s.a")
    fake.expect("REQ", where=lambda f: f.topic == "s.b")
    fake.restart()
    two = fake.expect("PUB")
    assert (two.id, two.topic, two.meta, two.raw_body) == (one.id, one.topic, one.meta, one.raw_body)
    asked_again = fake.expect("REQ")
    assert asked_again.id == asked.id and asked_again.topic == "s.a" and asked_again.meta["ttl"] < asked.meta["ttl"]
    assert fake.expect("SUB").topic == "t.>"
    refused(lambda: d.finish(once), "WORKER_LOST", "uncertain")
    d.call("ack", m=m["msg"])
    fake.ok(two, seq=9, groups=1)
    fake.send(taxiwire.encode("REP", "", asked.id, {}, msgpack.packb("done")))
    assert d.finish(pub)["seq"] == 9 and d.finish(again)["body"] == "done"
    fake.turn()
    assert not [f for f in fake.got if f.verb == "ACK"], "a void delivery is finished in silence"


def test_subscribed_between_two_pongs_of_one_session(fake):
    """The news of a connection may come behind the PONG that came over it: who subscribes before the next PONG is not forgotten."""
    d = fake.driver
    fake.turn()
    fake.mute = True
    fake.hang_up()
    fake.expect("PING")
    sub = d.start("sub", name="w", pattern="t.>", group="g")
    refused(lambda: d.call("publish", topic="a..b", body=1), "BAD_TOPIC", "never")  # so it has subscribed
    fake.mute = False
    fake.ok(fake.expect("SUB"), next=1)
    d.finish(sub)


def test_python_sends_what_was_waiting_when_the_news_came(monkeypatch):
    """Between what is to be sent and the turn that sends it comes word of a connection; the session turns out to be that of before."""
    monkeypatch.syspath_prepend(str(ROOT / "clients" / "python"))
    import taxiway_link
    turns, sent = [], []

    class Sock:
        def send(self, frame, flags):
            sent.append(frame)

        def recv(self, flags):
            raise zmq.Again

    class Loop:
        call_soon = turns.append
    link = taxiway_link.Link("ipc:///nowhere/bus", ("", ""), 1 << 20)
    link.loop, link.sock, link.on_up = Loop, Sock(), lambda fresh: None
    link.session, link.up, link.warned = ("epoch", 1), True, False
    link._send(b"frame")
    link.up = False
    turns.pop()()
    assert sent == []
    link._pong(("epoch", 1))
    while turns:
        turns.pop()()
    assert sent == [b"frame"]


def test_nothing_bad_is_sent(fake):
    d = fake.driver
    for topic in ("", "a..b", "a.*", "a b", "a." * 16 + "a", "a" * 256):
        refused(lambda topic=topic: d.call("publish", topic=topic, body=1), "BAD_TOPIC", "never")
        refused(lambda topic=topic: d.call("request", topic=topic, body=1), "BAD_TOPIC", "never")
    refused(lambda: d.call("big", topic="t.a", bytes=16 << 20), "TOO_BIG", "never")
    refused(lambda: d.call("batch", items=[{"topic": "t.a"}] * 1025), "TOO_BIG", "never")
    fake.turn()
    assert not [f for f in fake.got if f.verb != "PING"]


def test_packs_both_ways(fake):
    d = fake.driver
    sub = d.start("sub", name="w", pattern="t.>", group="g")
    fake.ok(fake.expect("SUB"), next=1)
    d.finish(sub)
    fake.send(fake.pack(*(fake.event("g", i, body=i) for i in range(1, 200))))
    got = d.take("w", 199)
    assert [m["body"] for m in got] == list(range(1, 200))
    many = d.start("many", topic="t.a", count=100)
    pubs = [fake.expect("PUB") for _ in range(100)]
    assert [p.body for p in pubs] == list(range(100))
    packs = {p.pack for p in pubs}
    assert len(packs) < 20 and any(packs), f"a hundred in {len(packs)} messages"
    fake.send(fake.pack(*(taxiwire.encode("OK", "", p.id, {"seq": i + 1, "groups": 0}) for i, p in enumerate(pubs))))
    assert d.finish(many)["seqs"] == list(range(1, 101))


def test_a_nak_holds_back_its_key(fake):
    d = fake.driver
    sub = d.start("sub", name="w", pattern="t.>", group="g")
    fake.ok(fake.expect("SUB"), next=1)
    d.finish(sub)
    fake.send(fake.event("g", 1, body=1, key="k"))
    d.call("nak", m=d.msg("w")["msg"], delay=0)
    nak = fake.expect("NAK")
    ping = fake.expect("PING", where=lambda f: f.pack is not None)
    assert nak.meta["seq"] == 1 and ping.pack == nak.pack, "NAK and PING in one PACK"
    fake.send(fake.event("g", 2, body=2, key="k"))  # it was on its way
    fake.send(fake.event("g", 3, body=3, key="other"))
    assert d.msg("w")["body"] == 3, "other keys go on"
    second = fake.expect("NAK")
    assert second.meta["seq"] == 2 and not d.msgs
    last = fake.expect("PING", where=lambda f: f.pack is not None)
    fake.pong(ping.id)
    fake.pong(last.id)
    fake.send(fake.event("g", 1, body=1, key="k", try_=2))
    assert d.msg("w")["body"] == 1


def test_unreadable_frames_are_survived(fake):
    d = fake.driver
    sub = d.start("sub", name="w", pattern="t.>", group="g")
    fake.ok(fake.expect("SUB"), next=1)
    d.finish(sub)
    for junk in (b"", b"\xc1", b"\x95\x01\xa3MSG", os.urandom(64), taxiwire.encode("PACK", "", new_id(), {}, b"\x91\xc4\x01\xc1"),
                 taxiwire.encode("MSG", "t.a", new_id(), {"group": "g", "seq": 1, "try": 1}, b"\xc1")):
        fake.send(junk)
    fake.send(fake.event("g", 2, body="fine"))
    assert d.msg("w")["body"] == "fine"


def test_silence_opens_a_fresh_connection():
    """All three at once: it takes the five seconds after which a broker counts as lost."""
    fakes = []
    for lang in LANGS:
        f = FakeBroker()
        f.driver = Driver(lang, f.endpoint)
        f.expect("PING")
        f.old, f.mute = f.peer, True
        fakes.append(f)
    for f in fakes:
        ping = f.expect("PING", timeout=30, where=lambda p, f=f: p.peer != f.old)
        f.mute = False
        f.pong(ping.id)
        n = f.driver.start("publish", topic="t.a", body=1)
        pub = f.expect("PUB")
        assert pub.peer != f.old
        f.ok(pub, seq=1, groups=0)
        assert f.driver.finish(n)["seq"] == 1
        f.driver.kill9()
        f.close()
