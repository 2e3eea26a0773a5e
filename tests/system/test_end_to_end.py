"""A trigger in by three ways, to two kinds of worker, rows out to two destinations, and all of it visible by one id."""
import csv
import json
import os
import re
import subprocess
import sys

import pytest

from conftest import BIN, ROOT, SLOW, wait_for

PLATE = {"apiVersion": "OT-2/v1alpha1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 2},
         "spec": [{"volume": 50}, {"volume": 60}]}


class Example:
    """A program of examples/, which has no ready fd: it is up when its group has a worker."""

    def __init__(self, house, cmd, group):
        self.house, self.group = house, group
        self.log = open(house.base / f"{group}.log", "ab")
        self.p = subprocess.Popen([str(c) for c in cmd], stdout=self.log, stderr=self.log,
                                  env={**os.environ, "TAXI_BUS": house.bus_endpoint})

    def up(self, bus):
        def live():
            groups = {g["group"]: g for g in bus.req("sys.groups").body["groups"]}
            return groups.get(self.group, {}).get("workers", 0) > 0
        wait_for(live, 20, f"a worker in {self.group}")
        return self

    def stop(self):
        self.p.terminate()
        assert self.p.wait(30 * SLOW) == 0
        self.log.close()


@pytest.fixture
def lab(full, tmp_path):
    """Control tower, data gateway, both pushers, the file watcher, the edge, and the two example workers."""
    h = full
    (h.base / "inbox").mkdir()
    (h.base / "csv").mkdir()
    for name, env in (("control-tower", {}), ("data-gateway", {}), ("pusher-postgres", {}),
                      ("pusher-csv-file", {"PLUGIN_CSV_FILE_DIR": h.base / "csv"}),
                      ("watcher-file", {"PLUGIN_FILE_DIR": h.base / "inbox"})):
        h.proc(name, env=env).start()
    h.edge()
    wait_for(lambda: h.http("GET", "/triggers").status == 200, 20, "the routes of the control tower")
    wait_for(lambda: h.http("GET", "/receipts/01890a5d-ac96-774b-bcce-b302099a8057").status == 404, 20, "those of the data gateway")
    bus = h.bus()
    workers = [Example(h, [sys.executable, ROOT / "examples" / "worker.py"], "example-python"),
               Example(h, [BIN / "worker"], "example-c")]
    for w in workers:
        w.up(bus)
    h.taxi_bus = bus
    yield h
    for w in workers:
        w.stop()


def finished(h, uuid):
    """The trigger as the edge shows it, once both groups of workers have reported success and their receipts are known."""
    r = h.http("GET", f"/triggers/{uuid}")
    if r.status != 200:
        return None
    t = r.json()
    done = [e for e in t["events"] if e["status"] == "succeeded"]
    return t if len(done) == 2 and len(t["receipts"]) == 2 else None


def delivered(h, receipt):
    r = h.http("GET", f"/receipts/{receipt}")
    if r.status != 200:
        return None
    d = {x["name"]: x for x in r.json()["destinations"]}
    return r.json() if {n: x["state"] for n, x in d.items()} == {"postgres": "delivered", "csv-file": "delivered"} else None


def check_trigger(h, uuid):
    t = wait_for(lambda: finished(h, uuid), 30, f"the end of trigger {uuid}")
    assert t["uuid"] == uuid and t["status"] == "succeeded"
    assert t["spec"] == PLATE["spec"] and t["plate"] == PLATE["plate"]
    rows = 0
    for receipt in t["receipts"]:
        r = wait_for(lambda receipt=receipt: delivered(h, receipt), 30, f"delivery of receipt {receipt}")
        assert r["uuid"] == uuid
        assert all(d["rows"] == r["rows"] and d["attempts"] >= 1 for d in r["destinations"])
        rows += r["rows"]
    assert rows == 3, "two wells from the Python worker, one row from the C worker"
    with h.db() as db, db.cursor() as c:
        c.execute("SELECT data::text FROM data_gateway_out.rows WHERE uuid = %s", (uuid,))
        stored = [json.loads(x[0]) for x in c.fetchall()]
    assert sorted(x.get("volume", 0) for x in stored) == [0, 50, 60]
    with open(h.base / "csv" / f"{uuid}.csv", newline="") as f:
        assert len(list(csv.DictReader(f))) == 3


def test_trigger_over_http(lab):
    r = lab.http("POST", "/triggers", PLATE)
    assert r.status == 202, r.body
    uuid = r.json()["uuid"]
    assert r.headers["location"] == f"/triggers/{uuid}"
    check_trigger(lab, uuid)


def test_trigger_from_a_dropped_file(lab):
    tmp = lab.base / "inbox" / ".plate.json"
    tmp.write_text(json.dumps(PLATE))
    tmp.rename(lab.base / "inbox" / "plate.json")
    uuid = wait_for(lambda: next((t["uuid"] for t in lab.http("GET", "/triggers").json()["items"]), None), 20, "the trigger")
    check_trigger(lab, uuid)
    assert len(lab.http("GET", "/triggers").json()["items"]) == 1


def test_trigger_published_by_a_native_client(lab):
    out = subprocess.run([sys.executable, ROOT / "examples" / "publish.py"], capture_output=True, text=True, timeout=60 * SLOW,
                         env={**os.environ, "TAXI_BUS": lab.bus_endpoint})
    assert out.returncode == 0, out.stderr
    assert "stored as seq" in out.stdout
    check_trigger(lab, out.stdout.split()[0])


def test_curl_lines(lab):
    # No service gateway here, so that its line shows what a service without workers answers.
    out = subprocess.run([ROOT / "examples" / "requests.sh"], capture_output=True, text=True, timeout=60 * SLOW,
                         env={**os.environ, "TAXI_HTTP": f"http://127.0.0.1:{lab.http_port}"})
    assert "trigger " in out.stdout and "receipt " in out.stdout, out.stderr
    assert '"status":"pending"' in out.stdout.replace(" ", "") or '"destinations"' in out.stdout


def test_a_stopped_destination_delays_nothing_and_catches_up(lab):
    postgres = next(p for p in lab.procs if p.name == "pusher-postgres")
    postgres.kill9()
    receipt = lab.http("POST", "/data", {"uuid": "01890a5d-ac96-774b-bcce-b302099a8057", "row": {"data": {"a": 1}}}).json()["receipt"]

    def states():
        r = lab.http("GET", f"/receipts/{receipt}")
        return {d["name"]: d["state"] for d in r.json()["destinations"]} if r.status == 200 else {}
    last = {}

    def only_csv():
        last.update(states())
        return last == {"csv-file": "delivered", "postgres": "pending"}
    wait_for(only_csv, 30, "csv-file alone to deliver")
    postgres.start()
    wait_for(lambda: states() == {"csv-file": "delivered", "postgres": "delivered"}, 30, "postgres to catch up")


def test_every_process_is_measured(lab):
    """Two processes of one name are two series: neither hides behind the other."""
    lab.proc("pusher-postgres").start()
    pids = {(p.name, p.p.pid) for p in lab.procs if p.name != "broker"}

    def measured():
        text = lab.http("GET", "/metrics").body.decode()
        return {(n, int(p)) for n, p in re.findall(r'^taxiway_stat\{process="([^"]+)",pid="(\d+)",stat="uptimeMs"\}', text, re.M)}
    wait_for(lambda: measured() >= pids, 20, f"{pids}")
