"""scripts/up.sh from nothing to ready, a second time, and its sisters: as root, and from a clone in a user's home."""
import json
import os
import pwd
import shutil
import subprocess

import pytest

from instance import ROOT, Instance, wait_for

TRIGGER = {"apiVersion": "OT-2/v1alpha1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 2},
           "spec": [{"volume": 50}, {"volume": 60}]}


def post_trigger(i):
    status, headers, body = i.http("POST", "/triggers", TRIGGER)
    assert status == 202, body
    return json.loads(body)["uuid"]


def check_instance(i):
    first = i.up("--no-build")
    assert "Taxiway is up." in first.stdout
    assert first.stdout.count("  curl ") == 3
    assert i.http("GET", "/readyz")[0] == 200

    # The three requests it prints work as they are.
    for line in first.stdout.splitlines():
        if line.startswith("  curl "):
            r = subprocess.run(["sh", "-c", line], text=True, capture_output=True)
            assert r.returncode == 0 and r.stdout.split()[1] in ("200", "202"), (line, r.stdout, r.stderr)
    uuid = post_trigger(i)

    before = {n: i.pid(n) for n in os.listdir(i.state / "service") if not n.startswith(".")}
    second = i.up("--no-build")
    assert "Taxiway is up." in second.stdout
    after = {n: i.pid(n) for n in os.listdir(i.state / "service") if not n.startswith(".")}
    assert before == after, "a second run must not restart what runs"
    assert i.http("GET", f"/triggers/{uuid}")[0] == 200

    status = i.script("status.sh")
    assert "control-tower" in status.stdout and " ready " in status.stdout

    i.script("scale.sh", "pusher-csv-file", 3)
    assert i.pid("pusher-csv-file@3") > 0
    scaled = {n: i.pid(n) for n in ("pusher-csv-file", "pusher-csv-file@2", "pusher-csv-file@3", "pusher-postgres")}
    settings = i.state / "conf" / "pusher-csv-file.env"
    settings.write_text("TAXI_LOG='info'\n")
    i.up("--no-build")
    wait_for(lambda: all(i.pid(n) > 0 for n in scaled), 30, "the scaled ones")
    assert {n for n in scaled if i.pid(n) == scaled[n]} == {"pusher-postgres"}, "other settings restart each of a kind, and no other"
    i.script("scale.sh", "pusher-csv-file", 1)
    assert not (i.state / "service" / "pusher-csv-file@3").exists()
    bad = i.script("scale.sh", "nonsense", 2, check=False)
    assert bad.returncode != 0 and "nonsense" in bad.stderr

    # s6 brings a killed process back.
    old = i.kill9("control-tower")
    wait_for(lambda: i.pid("control-tower") not in (0, old), 30, "control-tower's return")
    wait_for(lambda: i.http("GET", f"/triggers/{uuid}")[0] == 200, 30, "the trigger through the new process")

    i.script("down.sh")
    assert i.script("status.sh", check=False).returncode == 3
    if i.as_root:  # a backup that root copied there: said at once, not after a minute of a broker's attempts
        db = i.state / "journal" / "journal.db"
        owner = db.stat()
        os.chown(db, 0, 0)
        r = i.script("up.sh", "--no-build", check=False)
        assert r.returncode == 1 and f"{db} does not belong to taxiway: chown -R taxiway:" in r.stderr, r.stderr
        os.chown(db, owner.st_uid, owner.st_gid)
    third = i.up("--no-build")
    assert "Taxiway is up." in third.stdout
    assert i.http("GET", f"/triggers/{uuid}")[0] == 200, "state is kept over down and up"


def test_up_where_it_lies():
    i = Instance()
    try:
        check_instance(i)
    finally:
        i.down()


@pytest.mark.skipif(os.geteuid() != 0, reason="making a user takes root; without root the other test is this one")
def test_up_as_a_user_in_a_deep_home():
    """A clone in a user's home, its path too long for a unix socket."""
    name = "taxihome"
    subprocess.run(["userdel", "-r", name], capture_output=True)
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", name], check=True)
    i = None
    try:
        home = pwd.getpwnam(name).pw_dir
        clone = f"{home}/{'a-rather-long-name-for-a-folder-' * 3}/taxiway"
        os.makedirs(os.path.dirname(clone))
        subprocess.run(["git", "clone", "-q", str(ROOT), clone], check=True)
        shutil.copytree(ROOT / "build" / "release" / "bin", f"{clone}/build/release/bin")
        subprocess.run(["chown", "-R", f"{name}:{name}", home], check=True)
        i = Instance(clone, name)
        i.env.pop("TAXI_STATE_DIR")
        i.env.pop("TAXI_RUN_DIR")
        i.state = i.clone / "var"
        check_instance(i)
    finally:
        if i:
            i.down()
        subprocess.run(["userdel", "-r", "-f", name], capture_output=True)
