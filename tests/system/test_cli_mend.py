"""taxi: dead letters, replay, groups, policies, drain."""
import json

from conftest import SLOW, wait_for
from taxicmd import kill_letters, taxi  # noqa: F401


def group(taxi, name):
    return taxi.json("groups", name)["groups"][0]


# --- dead letters ---------------------------------------------------------------------------------------

def test_dead_letters_are_listed_and_shown(taxi, house):
    kill_letters(house.bus(), 3)
    items = taxi.json("dead", "ls", "--group", "pusher-x")["items"]
    assert [i["dead"] for i in items] == [1, 2, 3] and items[0]["reason"] == "column 7 is no number"
    assert taxi.json("dead", "ls", "--limit", 1)["next"] == 1
    assert "--after 1" in taxi("dead", "ls", "--limit", 1).stderr
    text = taxi("dead", "ls").stdout
    assert "column 7" in text and "+02:15" in text and items[0]["id"] in text
    one = taxi.json("dead", "show", 2)
    assert one["envelope"]["body"] == {"uuid": "u1", "n": 1} and one["envelope"]["topic"] == "rows.in"
    assert '"uuid": "u1"' in taxi("dead", "show", 2).stdout
    assert "NOT_FOUND" in taxi("dead", "show", 9, code=3).stderr
    assert "number" in taxi("dead", "show", "x", code=2).stderr
    assert "no dead letters" in taxi("dead", "ls", "--group", "other").stderr


def test_dead_letters_are_retried(taxi, house):
    bus = house.bus()
    kill_letters(bus, 3)
    out = taxi.json("dead", "retry", 2)
    assert out["dead"] == 2 and out["seq"] > 3
    d = bus.recv()
    assert d.body["uuid"] == "u1" and d.head["try"] == 1
    bus.ack(d)
    assert taxi.json("dead", "retry", "--all", "--group", "pusher-x", "--reason", "column") == {"matched": 2, "done": 2}
    for _ in range(2):
        bus.ack(bus.recv())
    assert taxi.json("dead", "ls")["items"] == []
    wait_for(lambda: group(taxi, "pusher-x")["owed"] == 0, 20, "the acks")
    assert "either numbers, or --all" in taxi("dead", "retry", "--group", "pusher-x", code=2).stderr


def test_dead_letters_are_chosen(taxi, house):
    bus = house.bus()
    kill_letters(bus, 2)
    bus.sub("notes.a", group="readers", credit=1)
    bus.pub("notes.a", {})
    bus.reject(bus.recv(), "too late")
    wait_for(lambda: len(taxi.json("dead", "ls")["items"]) == 3, 20, "the third")
    assert taxi.json("dead", "drop", "--all", "--yes", "--topic", "notes.>")["done"] == 1
    assert taxi.json("dead", "drop", "--all", "--yes", "--reason", "late")["done"] == 0
    assert len(taxi.json("dead", "ls")["items"]) == 2


def test_dropping_all_asks(taxi, house):
    kill_letters(house.bus(), 2)
    assert "--yes" in taxi("dead", "drop", "--all", code=2).stderr
    assert len(taxi.json("dead", "ls")["items"]) == 2
    assert taxi.json("dead", "drop", 1) == {"dead": 1}
    assert taxi.json("dead", "drop", "--all", "--yes") == {"matched": 1, "done": 1}
    assert taxi.json("dead", "ls")["items"] == []


def editor(house, script):
    path = house.base / "editor"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return {"EDITOR": str(path)}


def test_a_dead_letter_is_edited(taxi, house):
    bus = house.bus()
    kill_letters(bus, 1)
    out = taxi.json("dead", "edit", 1, env=editor(house, 'sed -i s/u0/mended/ "$1"'))
    assert out == {"dead": 1, "changed": True}
    assert taxi.json("dead", "show", 1)["envelope"]["body"] == {"uuid": "mended", "n": 0}
    assert taxi.json("dead", "edit", 1, env=editor(house, "true")) == {"changed": False}
    r = taxi("dead", "edit", 1, code=2, env=editor(house, 'echo "{oops" >"$1"'))
    assert "not JSON" in r.stderr and "nothing was changed" in r.stderr
    r = taxi("dead", "edit", 1, code=2, env=editor(house, 'echo "{\\"topic\\":\\"no/topic\\",\\"body\\":1}" >"$1"'))
    assert "topic is not valid" in r.stderr
    assert "editor failed" in taxi("dead", "edit", 1, code=1, env=editor(house, "exit 3")).stderr
    assert list(house.base.glob("taxi-dead-*")) == [], "what was edited is not left behind"
    taxi("dead", "edit", 1, "--body", '{"uuid":"again"}')
    taxi("dead", "retry", 1)
    d = bus.recv()
    assert d.body == {"uuid": "again"}
    bus.ack(d)


def test_bytes_are_not_edited_as_text(taxi, house):
    bus = house.bus()
    bus.sub("rows.in", group="pusher-x", credit=1)
    bus.pub("rows.in", {"blob": b"\x00\x01"})
    bus.reject(bus.recv())
    wait_for(lambda: taxi.json("dead", "ls")["items"], 20, "the dead letter")
    assert "bytes" in taxi("dead", "edit", 1, code=1, env=editor(house, "true")).stderr
    assert taxi.json("dead", "edit", 1, "--key", "k2") == {"dead": 1, "changed": True}
    assert taxi.json("dead", "show", 1)["envelope"]["key"] == "k2"


def test_sub_watches_dead_letters(taxi, house):
    kill_letters(house.bus(), 2)
    got = taxi.lines("sub", "--dead", "rows.>", "--from", "all", "--count", 2)
    assert [x["body"]["reason"] for x in got] == ["column 7 is no number"] * 2
    got = taxi.lines("sub", "--dead", "rows.>", "--from", "all", "--count", 1, "--where", "seq=2")
    assert got[0]["body"]["seq"] == 2


# --- replay ---------------------------------------------------------------------------------------------

def test_replay(taxi, house):
    bus = house.bus()
    for n in range(1500):
        bus.pub("rows.in" if n % 3 else "rows.other", n)
    bus.sub("rows.>", group="late", credit=1, **{"from": "new"})
    bus.call("UNSUB", "rows.>", {"group": "late"})
    assert group(taxi, "late")["owed"] == 0
    dry = taxi.json("replay", "--group", "late", "--from", "all", "--dry")
    assert (dry["replayed"], dry["from"], dry["to"], dry["dry"], dry["next"]) == (1500, 1, 1500, True, None)
    assert group(taxi, "late")["owed"] == 0
    out = taxi.json("replay", "--group", "late", "--from", "-1h", "--topic", "rows.other")
    assert out["replayed"] == 500 and group(taxi, "late")["owed"] == 500
    assert taxi.json("replay", "--group", "late", "--from", 10, "--to", 19)["replayed"] == 10
    assert "replayed 2 records of seq 1 to 2 to late" in taxi("replay", "--group", "late", "--from", 1, "--to", 2).stdout
    got = taxi.lines("sub", "--group", "late", "rows.>", "--count", 512)
    assert sorted(x["body"] for x in got) == sorted([n for n in range(0, 1500, 3)] + list(range(9, 19)) + [0, 1])


def test_replay_refuses_what_makes_no_sense(taxi, house):
    house.bus().sub("rows.>", group="late", credit=1)
    assert "required" in taxi("replay", "--from", "all", code=2).stderr
    assert "--from must be" in taxi("replay", "--group", "late", "--from", "new", code=2).stderr
    assert "--to must be" in taxi("replay", "--group", "late", "--from", 1, "--to", "all", code=2).stderr
    assert "no pattern" in taxi("replay", "--group", "late", "--from", 1, "--topic", "a..b", code=2).stderr
    assert "no such group: nosuch" in taxi("replay", "--group", "nosuch", "--from", 1, code=3).stderr


# --- groups, policies, drain ----------------------------------------------------------------------------

def test_groups_are_set_paused_and_deleted(taxi, house):
    bus = house.bus()
    bus.sub("notes.>", group="readers", credit=1)
    out = taxi.json("groups", "set", "readers", "--tries", 3, "--ack-ms", 1000, "--max-owed", 5)
    assert (out["tries"], out["ackMs"], out["maxOwed"], out["state"]) == (3, 1000, 5, "active")
    out = taxi.json("groups", "set", "readers", "--backoff-ms", 10, "--backoff-max-ms", 500, "--full", "busy")
    assert (out["backoffMs"], out["backoffMaxMs"], out["full"], out["tries"]) == (10, 500, "busy", 3)
    assert "pause or busy" in taxi("groups", "set", "readers", "--full", "maybe", code=2).stderr
    assert "paused" in taxi("groups", "set", "readers", "--paused").stdout
    assert taxi.json("groups", "set", "readers", "--running")["state"] == "active"
    assert "nothing to set" in taxi("groups", "set", "readers", code=2).stderr
    assert "not both" in taxi("groups", "set", "readers", "--paused", "--running", code=2).stderr
    assert "--tries" in taxi("groups", "set", "readers", "--tries", 0, code=2).stderr
    bus.call("UNSUB", "notes.>", {"group": "readers"})
    taxi("pub", "notes.a", 1)
    r = taxi("groups", "delete", "readers", code=2)
    assert "1 envelopes it is still owed" in r.stderr and "--yes" in r.stderr
    assert taxi.json("groups", "delete", "readers", "--yes") == {"group": "readers"}
    assert "no groups yet" in taxi("groups").stderr
    assert "NOT_FOUND" in taxi("groups", "delete", "readers", "--yes", code=3).stderr


def test_policies(taxi, house):
    assert "no policies" in taxi("policies").stderr
    out = taxi.json("policies", "set", "rows.>", "--tries", 3, "--max-owed", 1000, "--full", "busy")
    assert (out["pattern"], out["tries"], out["full"]) == ("rows.>", 3, "busy")
    assert taxi.json("policies")["policies"][0]["maxOwed"] == 1000
    assert "rows.>" in taxi("policies").stdout
    assert "pause or busy" in taxi("policies", "set", "rows.>", "--full", "maybe", code=2).stderr
    assert "nothing to set" in taxi("policies", "set", "rows.>", code=2).stderr
    taxi("policies", "delete", "rows.>")
    assert taxi.json("policies") == {"policies": []}


def test_drain(taxi, house):
    assert taxi.json("drain", "--status")["draining"] is False
    assert taxi.json("drain", "--wait")["draining"] is True
    r = taxi("pub", "notes.a", 1, code=5)
    assert "DRAINING" in r.stderr and "taxi drain --off" in r.stderr
    assert "draining" in taxi("drain", "--status").stdout
    assert json.loads(taxi("doctor", "--json", code=1).stdout)["verdict"] == "warning"
    assert "taking work" in taxi("drain", "--off").stdout
    taxi("pub", "notes.a", 1)
    assert "--off" in taxi("drain", "--off", "--wait", code=2).stderr


def test_drain_waits_for_what_is_under_way(taxi, house):
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=1)
    p = taxi.start("req", "math.slow", "--timeout", "20000")
    d = bus.recv()
    drain = taxi.start("drain", "--wait", "-o", "json")
    wait_for(lambda: taxi.json("drain", "--status")["draining"], 20, "the drain")
    assert taxi.json("drain", "--status")["underWay"] == 1 and drain.poll() is None
    bus.reply(d, 1)
    assert p.wait(30 * SLOW) == 0
    assert json.loads(drain.communicate(timeout=30 * SLOW)[0])["underWay"] == 0 and drain.returncode == 0
    taxi("drain", "--off")
