"""The programs of examples/ do what they say, on a bus of their own."""
import os
import re
import subprocess
import sys

import pytest

import drive
from bus import Bus
from drive import BIN, BUILD, ROOT, SLOW, Broker, run, wait_for


def c_worker():
    drive.one_at_a_time(BIN.parent, lambda: run("make", "-s", f"BUILD={BUILD}", f"O={BIN.parent}", "examples", cwd=ROOT))
    return [BIN / "worker"], {}


def node_worker():
    _, env = drive.node_driver()
    return ["node", ROOT / "examples" / "worker.mjs"], env


WORKERS = {"example-c": c_worker, "example-node": node_worker,
           "example-python": lambda: ([sys.executable, ROOT / "examples" / "worker.py"], {})}


@pytest.fixture
def bus():
    broker = Broker()
    eye = Bus(broker.endpoint, timeout=20 * SLOW)
    eye.broker = broker
    yield eye
    eye.close()
    broker.close()


@pytest.mark.parametrize("group", WORKERS)
def test_worker(bus, group):
    cmd, env = WORKERS[group]()
    env = {**os.environ, **env, "TAXI_BUS": bus.broker.endpoint}
    bus.sub("rows.in", group="rows")
    bus.sub("status.>", group="status")
    p = subprocess.Popen([str(c) for c in cmd], env=env)
    look = lambda: next((g for g in bus.req("sys.groups").body["groups"] if g["group"] == group), {})  # noqa: E731
    try:
        wait_for(lambda: look().get("workers"), 20, f"a worker in {group}")
        out = run(sys.executable, ROOT / "examples" / "publish.py", env=env)
        uuid = re.match(r"(\S+) stored as seq 1 owed to 1 groups", out)[1]
        rows = bus.recv(where=lambda d: d.topic == "rows.in").body
        assert rows["uuid"] == uuid and len(rows["rows"]) == (1 if group == "example-c" else 2)
        done = bus.recv(where=lambda d: d.topic == f"status.{uuid}" and d.body["status"] == "succeeded")
        assert done.body["by"] == group and done.meta["root"].hex() == uuid.replace("-", "")
        wait_for(lambda: look()["acked"] == 1, 20, "its ack")
        p.terminate()
        assert p.wait(30 * SLOW) == 0
    finally:
        p.kill()
        p.wait()


def test_publish_without_a_broker():
    r = subprocess.run([sys.executable, "-c", f"import sys; sys.argv = ['x']; src = open({str(ROOT / 'examples/publish.py')!r}).read()"
                        ".replace('timeout=10', 'timeout=0.1'); exec(compile(src, 'publish.py', 'exec'), {'__file__': "
                        f"{str(ROOT / 'examples/publish.py')!r}}})"], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "TAXI_BUS": "ipc:///nowhere/bus"})
    assert r.returncode == 1 and "BUSY" in r.stderr and "later" in r.stderr
