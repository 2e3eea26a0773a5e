"""taxi bench: what it says it did, and that it leaves nothing behind."""
import json
import os
import signal
import subprocess

import pytest

from conftest import BIN, SLOW, wait_for
from looks import stats


@pytest.fixture
def bench(house):
    house.broker()
    house.env = {**os.environ, "TAXI_BUS": house.bus_endpoint}

    def run(*args, code=0):
        r = subprocess.run([BIN / "taxi", "bench", *args], capture_output=True, text=True, timeout=60 * SLOW, env=house.env)
        assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
        return r
    return run


def test_what_was_published_is_in_the_journal(bench, house):
    r = json.loads(bench("pub", "--count", "500", "--window", "32", "--clients", "2", "-o", "json").stdout)
    assert r["errors"] == {} and r["rate"] > 0 and 0 < r["us"]["p50"] <= r["us"]["p99"] <= r["us"]["max"]
    assert stats(house.bus())["head"] == 500, "each of the count is stored once"


def test_live_envelopes_are_not_stored(bench, house):
    r = json.loads(bench("pub", "--live", "--count", "300", "-o", "json").stdout)
    assert r["errors"] == {} and r["topic"].startswith("live.")
    assert stats(house.bus())["head"] == 0


def test_requests_are_answered_by_its_own_workers_or_by_others(bench, house):
    assert "a second" in bench("req", "--count", "300", "--clients", "2", "--workers", "2").stdout
    other = subprocess.Popen([BIN / "taxi", "bench", "req", "--secs", "60", "--topic", "bench.shared"], stdout=subprocess.PIPE, env=house.env)
    bus = house.bus()
    wait_for(lambda: any(s["pattern"] == "bench.shared" for s in bus.req("sys.services", {}).body["services"]), 20, "the other's worker")
    r = json.loads(bench("req", "--count", "50", "--workers", "0", "--topic", "bench.shared", "-o", "json").stdout)
    other.send_signal(signal.SIGINT)
    assert r["errors"] == {} and r["topic"] == "bench.shared" and b"a second" in other.communicate(timeout=30 * SLOW)[0]
    assert "NO_WORKERS" in bench("req", "--workers", "0", "--topic", "nobody.there", code=3).stderr


def test_a_group_gets_everything_and_is_removed(bench, house):
    r = json.loads(bench("sub", "--count", "400", "--window", "16", "-o", "json").stdout)
    assert r["errors"] == {} and r["rate"] > 0
    assert house.bus().req("sys.groups", {}).body["groups"] == []


def test_an_interrupt_removes_the_group_too(bench, house):
    p = subprocess.Popen([BIN / "taxi", "bench", "sub", "--secs", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=house.env)
    bus = house.bus()
    wait_for(lambda: any(g["acked"] > 0 for g in bus.req("sys.groups", {}).body["groups"]), 20, "the bench at work")
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=30 * SLOW)
    assert p.returncode == 128 + signal.SIGINT and err == ""
    assert bus.req("sys.groups", {}).body["groups"] == []


def test_wrong_use_and_no_broker(bench, house):
    assert "expected pub, req or sub" in bench("push", code=2).stderr
    assert "--topic" in bench("req", "--workers", "0", code=2).stderr
    house.the_broker.stop()
    assert "no broker answers" in bench("pub", "--timeout", "300", code=4).stderr
