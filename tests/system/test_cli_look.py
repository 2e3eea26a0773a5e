"""taxi: looking at a broker, its groups, peers and chains."""
import json
import time
import uuid

from conftest import wait_for
from taxicmd import kill_letters, taxi  # noqa: F401


def test_services_peers_stats(taxi, house):
    bus = house.bus()
    bus.sub("math.*", desc={"name": "adder", "version": "1.0"}, serve=True)
    assert "adder" in taxi("services").stdout
    entry = taxi.json("services")["services"][0]
    assert (entry["pattern"], entry["kind"], entry["workers"], entry["desc"]["name"]) == ("math.*", "serve", 1, "adder")
    assert "SESSION" in taxi("peers").stdout
    assert {"session", "identity", "subs", "inFlight", "bytes", "sinceMs", "lastMs"} <= set(taxi.json("peers")["peers"][0])
    stats = taxi.json("stats")
    assert uuid.UUID(stats["epoch"]).version == 7 and stats["name"] == "broker"
    assert "latency.fsyncUs.p99" in taxi("stats").stdout


def test_one_group(taxi, house):
    house.bus().sub("notes.>", group="readers", credit=10, tries=3)
    text = taxi("groups", "readers").stdout
    assert "pattern" in text and "notes.>" in text
    assert taxi.json("groups", "readers")["groups"][0]["tries"] == 3
    assert "NOT_FOUND (retry: never): no such group: nosuch" in taxi("groups", "nosuch", code=3).stderr


def test_top_once(taxi, house):
    bus = house.bus()
    bus.sub("notes.>", group="readers", credit=1)
    for n in range(5):
        taxi("pub", "notes.a", n)
    d = bus.recv()
    text = taxi("top", "--once", "--every", 100).stdout
    assert text.startswith("broker ") and "readers" in text and "LAG" in text and "PEER" in text
    top = taxi.json("top", "--every", 100)
    g = next(g for g in top["groups"] if g["group"] == "readers")
    assert (g["owed"], g["inFlight"], g["workers"]) == (5, 1, 1) and g["lagMs"] > 0
    assert top["broker"]["head"] == 5 and top["broker"]["commitP50Us"] > 0
    assert top["peers"] and top["peers"][0]["inFlight"] == 1, "the busiest first"
    bus.ack(d)


def test_trace_tells_every_hop(taxi, house):
    bus = house.bus()
    bus.sub("rows.in", group="pusher-x", credit=4)
    sent = taxi.json("pub", "rows.in", '{"n":1}')
    d = bus.recv()
    bus.nak(d, delay=1)
    d = bus.recv()
    child = bus.pub("delivery.x", {"ok": True}, root=d.id)
    bus.ack(d)
    hops = wait_for(lambda: [h for h in [taxi.json("trace", sent["id"])["hops"]] if "acked" in [x["what"] for x in h]], 20, "the ack")[0]
    whats = [h["what"] for h in hops if h["id"] == sent["id"]]
    assert [w for w in whats if w in ("published", "delivered", "naked", "acked")] == ["published", "delivered", "naked", "delivered", "acked"]
    assert str(uuid.UUID(bytes=child.id)) in {h["id"] for h in hops}, "what it led to"
    text = taxi("trace", sent["id"]).stdout
    assert text.index("rows.in") < text.index("└ delivery.x") and "try 2" in text and "pusher-x" in text
    # from any envelope of the chain
    assert taxi.json("trace", uuid.UUID(bytes=child.id))["root"] == sent["id"]
    assert "UUID" in taxi("trace", "nonsense", code=2).stderr
    assert "nothing is known" in taxi("trace", uuid.uuid4(), code=3).stderr


# --- doctor ---------------------------------------------------------------------------------------------

def checks(doctor):
    return {(c["check"], c["verdict"]) for c in doctor["checks"]}


def content(taxi):
    """What a doctor says that finds nothing.  On a busy machine it may rightly warn of a slow round trip: that passes."""
    return wait_for(lambda: (lambda r: r.returncode == 0 and r)(taxi("doctor", code=None)), 20, "a doctor who is content").stdout


def test_doctor_is_content(taxi, house):
    text = content(taxi)
    assert text.startswith("ok  broker") and "0 warnings, 0 critical" in text
    d = taxi.json("doctor", code=None)
    assert {c for c, _ in checks(d)} == {"broker", "version", "drain", "journal", "fsync", "disk", "memory", "drops", "groups",
                                         "dead letters", "peers", "keys", "clock", "limits", "feed"}
    assert any("readable" in c["text"] for c in d["checks"])
    assert (house.base / "state" / "taxi").is_dir(), "it remembers the look"


def test_doctor_sees_what_is_wrong(taxi, house):
    bus = house.bus()
    kill_letters(bus, 2)
    bus.close()
    bus = house.bus()
    bus.sub("notes.>", group="nobody", credit=1)
    bus.call("UNSUB", "notes.>", {"group": "nobody"})
    taxi("pub", "notes.a", 1)
    taxi("groups", "set", "pusher-x", "--paused")
    d = json.loads(taxi("doctor", "--json", code=1).stdout)
    assert d["verdict"] == "warning"
    assert {("groups", "warning"), ("dead letters", "warning"), ("broker", "ok"), ("feed", "ok")} <= checks(d)
    texts = [c["text"] for c in d["checks"]]
    assert any("nobody is owed 1 and nobody works" in t for t in texts) and any("pusher-x is paused" in t for t in texts)
    assert all(c.get("advice") for c in d["checks"] if c["verdict"] != "ok")
    assert "-> " in taxi("doctor", code=1).stdout


def test_doctor_counts_drops_since_the_last_look(taxi, house):
    content(taxi)
    bus = house.bus()
    bus.send_frame(b"\x01garbage")
    wait_for(lambda: bus.req("sys.stats").body["drops"]["bad_envelope"], 20, "the drop")
    d = json.loads(taxi("doctor", "--json", code=1).stdout)
    assert any(c["check"] == "drops" and "since the last look: bad_envelope 1" in c["text"] for c in d["checks"])
    content(taxi)


def test_doctor_without_a_broker(taxi, house):
    house.the_broker.stop()
    before = time.monotonic()
    d = json.loads(taxi("doctor", "--json", "--timeout", 300, code=2).stdout)
    assert d["verdict"] == "critical" and "nobody answers" in d["checks"][0]["text"] and d["checks"][0]["advice"]
    assert time.monotonic() - before < 30


def test_every_reason_of_a_drop_is_explained(taxi):
    text = taxi("help", "drops").stdout
    assert [r for r in taxi.json("stats")["drops"] if r not in text] == []
