"""taxi: every command against a real broker, its output and its exit codes."""
import json
import os
import subprocess

import pytest

from conftest import BIN, wait_for


@pytest.fixture
def taxi(house):
    house.broker()

    def run(*args, stdin=None, code=0):
        r = subprocess.run([BIN / "taxi", *args], capture_output=True, text=True, timeout=60, input=stdin,
                           env={**os.environ, "TAXI_BUS": house.bus_endpoint})
        assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
        return r
    return run


def test_pub_and_groups(taxi, house):
    bus = house.bus()
    bus.sub("notes.>", group="readers", credit=10)
    r = taxi("pub", "notes.today", '{"text":"hello","n":9007199254740993}')
    assert "seq 1" in r.stdout and "1 groups" in r.stdout
    d = bus.recv()
    assert d.body == {"text": "hello", "n": 9007199254740993}
    out = json.loads(taxi("groups", "-o", "json").stdout)
    g = next(g for g in out["groups"] if g["group"] == "readers")
    assert (g["owed"], g["inFlight"], g["workers"]) == (1, 1, 1)
    bus.ack(d)
    wait_for(lambda: [g for g in json.loads(taxi("groups", "--output", "json").stdout)["groups"] if g["owed"] == 0], 20, "the ack")
    assert "readers" in taxi("groups").stdout and "OWED" in taxi("groups").stdout


def test_pub_from_standard_input_and_with_an_id(taxi):
    id = "0190b0b0-0000-7000-8000-000000000001"
    first = json.loads(taxi("pub", "notes.a", "-", "--id", id, "-o", "json", stdin="[1]").stdout)
    again = json.loads(taxi("pub", "--id", id, "notes.a", "[1]", "-o", "json").stdout)
    assert first["id"] == id and first == again, "the same id is stored once"
    r = taxi("pub", "--id", id, "notes.a", "[2]", code=1)
    assert "CONFLICT" in r.stderr


def test_req_and_its_failures(taxi, house):
    r = taxi("req", "nobody.there", "{}", code=3)
    assert "NO_WORKERS" in r.stderr
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=4)
    p = subprocess.Popen([BIN / "taxi", "req", "math.double", "[21]"], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "TAXI_BUS": house.bus_endpoint})
    d = bus.recv()
    bus.reply(d, [x * 2 for x in d.body])
    assert json.loads(p.communicate(timeout=30)[0]) == [42]


def test_sub_tails_and_works(taxi, house):
    tail = subprocess.Popen([BIN / "taxi", "sub", "-o", "json", "--count", "2", "notes.>"], stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "TAXI_BUS": house.bus_endpoint})
    bus = house.bus()
    wait_for(lambda: [s for s in bus.req("sys.services").body["services"] if s["pattern"] == "notes.>"], 20, "the tail")
    bus.pub("notes.a", {"n": 1})
    bus.pub("notes.b", {"n": 2})
    lines = [json.loads(x) for x in tail.communicate(timeout=60)[0].splitlines()]
    assert [(x["topic"], x["seq"], x["body"]) for x in lines] == [("notes.a", 1, {"n": 1}), ("notes.b", 2, {"n": 2})]
    out = taxi("sub", "--group", "audit", "--from", "all", "--count", "2", "notes.>").stdout
    assert len(out.splitlines()) == 2


def test_services_peers_stats(taxi, house):
    bus = house.bus()
    bus.sub("math.*", desc={"name": "adder", "version": "1.0"}, serve=True)
    assert "adder" in taxi("services").stdout
    assert "SESSION" in taxi("peers").stdout
    assert "epoch" in taxi("stats", "-o", "json").stdout


def test_wrong_use(taxi):
    assert "no command" in taxi("frobnicate", code=2).stderr
    assert "topic" in taxi("pub", "no/topic", "{}", code=2).stderr
    assert "JSON" in taxi("pub", "a.b", "{", code=2).stderr
    assert "expected TOPIC" in taxi("pub", code=2).stderr
    assert "usage" in taxi(code=2).stderr
    assert "Publish" in taxi("pub", "--help").stdout


def test_a_refused_subscription_ends(taxi, house):
    house.bus().sub("notes.>", group="readers", credit=1)
    r = taxi("sub", "--group", "readers", "other.>", code=1)
    assert "CONFLICT" in r.stderr
    assert "tcp://host:port" in taxi("groups", "--bus", "foo", code=2).stderr
    assert "no process is called 'nosuch'" in taxi("stats", "nosuch", code=3).stderr


def test_no_broker(tmp_path):
    r = subprocess.run([BIN / "taxi", "groups", "--timeout", "300", "--bus", f"ipc://{tmp_path}/none"], capture_output=True, text=True,
                       timeout=60)
    assert r.returncode == 4 and "no broker" in r.stderr
