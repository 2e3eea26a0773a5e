"""taxi journal verify, dump, compact, backup: on a journal at rest, and beside a broker at work."""
import json
import sqlite3
import subprocess

import pytest

from bus import Bus, BusError, new_id
from conftest import BIN, SLOW


def taxi(*args, env=None):
    r = subprocess.run([BIN / "taxi", *map(str, args)], capture_output=True, text=True, timeout=60 * SLOW, env=env)
    return r.returncode, r.stdout, r.stderr


def fill(bus, n=50, size=100):
    for i in range(n):
        bus.pub(f"jobs.{'even' if i % 2 == 0 else 'odd'}", {"n": i, "pad": "x" * size}, key=f"k{i % 7}")


def test_verify_and_dump_beside_a_broker(house):
    house.broker()
    bus = house.bus()
    fill(bus)
    journal = house.base / "journal"
    rc, out, _ = taxi("journal", "verify", journal)
    assert rc == 0 and "50 records (1 to 50)" in out and out.rstrip().endswith("sound")
    rc, out, err = taxi("journal", "dump", journal, "--topic", "jobs.odd", "--from", "11", "--to", "20")
    rows = [json.loads(x) for x in out.splitlines()]
    assert rc == 0 and err == "" and [r["seq"] for r in rows] == [12, 14, 16, 18, 20]
    assert rows[0]["body"]["n"] == 11 and rows[0]["topic"] == "jobs.odd" and rows[0]["key"] == "k4"
    rc, out, _ = taxi("journal", "dump", journal, "--from", "1", "--to", "1", "--frames")
    assert bytes.fromhex(json.loads(out)["frame"])[0] == 0x95  # the sender's frame begins with its header
    fill(bus, 3)
    assert bus.req("sys.stats").body["head"] == 53


def test_verify_while_records_come(house):
    """journal.lock tells of later commits than a snapshot holds: that is no damage."""
    house.broker()
    bus = house.bus()
    for _ in range(5):
        bus.batch([("t.x", new_id(), {}, "x" * 1000) for _ in range(1000)])
    p = subprocess.Popen([BIN / "taxi", "journal", "verify", house.base / "journal"], stdout=subprocess.PIPE, text=True)
    n = 0
    while p.poll() is None:
        bus.pub("t.x", n)
        n += 1
    assert n > 0 and p.returncode == 0, p.stdout.read()
    p.stdout.close()


def test_a_body_whose_text_is_far_longer(house):
    """A control character is six of JSON: such a record was over the room for a line, and the dump ended before it."""
    house.broker()
    bus = house.bus()
    bus.pub("t.x", "\1" * (12 << 20))
    bus.pub("t.x", 1)
    rc, out, err = taxi("journal", "dump", house.base / "journal")
    rows = [json.loads(x) for x in out.splitlines()]
    assert rc == 0 and err == "" and [len(str(r["body"])) for r in rows] == [12 << 20, 1]


def test_damage_is_found_and_passed_over(house):
    b = house.broker()
    fill(house.bus(), 30)
    assert b.stop() == 0
    journal = house.base / "journal"
    db = sqlite3.connect(journal / "journal.db")
    db.execute("UPDATE records SET topic = 'jobs.evil' WHERE seq = 7")
    db.execute("DELETE FROM records WHERE seq IN (12, 13)")
    db.commit()
    db.close()
    rc, out, _ = taxi("journal", "verify", journal)
    assert rc == 1 and "record 7: damaged" in out and "records 12 to 13: missing" in out
    assert taxi("journal", "verify", journal, "--quiet")[:2] == (1, "")
    rc, out, err = taxi("journal", "dump", journal)
    seqs = [json.loads(x)["seq"] for x in out.splitlines()]
    assert rc == 1 and seqs == [s for s in range(1, 31) if s not in (7, 12, 13)] and "3 damaged" in err


def test_compact_needs_the_broker_to_be_down(house):
    b = house.broker("--retain-bytes", "0", "--retain-ms", "0")
    fill(house.bus(), 200, 3000)
    journal = house.base / "journal"
    rc, _, err = taxi("journal", "compact", journal)
    assert rc == 1 and "stop it first" in err and "evt=" not in err
    b.stop()
    assert taxi("journal", "compact", journal)[0] == 0
    assert taxi("journal", "compact", journal, "--full")[0] == 0
    assert taxi("journal", "verify", journal)[0] == 0
    house.broker()
    assert house.bus().req("sys.stats").body["head"] == 200


def test_a_copy_is_made_while_publishes_go_on(house):
    house.broker()
    bus, other = house.bus(), house.bus()
    fill(bus, 400, 20000)  # 8 MB: many steps
    other.sub("jobs.>", group="g", credit=0)
    copy = house.base / "copy"
    asked = other.start("REQ", "sys.backup", {"ttl": 60000}, {"path": str(copy)})
    fill(bus, 100, 2000)
    body = other.finish(asked).body
    assert body["path"] == str(copy) and 400 <= body["head"] <= 500 and body["bytes"] > 8_000_000
    rc, out, _ = taxi("journal", "verify", copy)
    assert rc == 0, out
    # whatever was acknowledged when the copy was said to be done is in it
    head = int(out.split(" to ")[1].split(")")[0])
    assert body["head"] <= head <= 500
    second = house.proc("broker", "--bind", f"ipc://{house.base}/bus2", "--feed", "", "--journal", copy).start()
    b2 = Bus(f"ipc://{house.base}/bus2", timeout=20 * SLOW)
    house.buses.append(b2)
    assert b2.req("sys.stats").body["head"] == head
    assert [g["group"] for g in b2.req("sys.groups").body["groups"]] == ["g"]
    assert second.alive()


def test_a_copy_is_refused_where_it_would_harm(house):
    b = house.broker()
    bus = house.bus()
    fill(bus, 3)
    journal = house.base / "journal"
    for path, code in ((str(journal), "CONFLICT"), ("relative/path", "INVALID"), ("", "INVALID"), (None, "INVALID"),
                       ("/proc/nowhere/at/all", "INTERNAL")):
        with pytest.raises(BusError) as e:
            bus.req("sys.backup", {"path": path})
        assert e.value.code == code, path
    env = {"TAXI_BUS": house.bus_endpoint, "PATH": "/usr/bin"}
    rc, out, err = taxi("journal", "backup", house.base / "one", env=env)
    assert rc == 0 and "up to seq 3" in out, err
    rc, _, err = taxi("journal", "backup", house.base / "one", env=env)
    assert rc != 0 and "there is a journal already" in err
    b.stop()
    rc, out, _ = taxi("journal", "backup", house.base / "two", "--journal", journal)
    assert rc == 0 and taxi("journal", "verify", house.base / "two")[0] == 0


def test_wrong_use_says_what_was_expected(house):
    assert taxi("journal", "verify")[0] == 2
    assert taxi("journal", "verify", house.base / "nowhere")[0] == 3
    assert taxi("journal", "dump", house.base, "--topic", "a..b")[0] == 2
    rc, out, _ = taxi("journal", "dump", "--help")
    assert rc == 0 and "--frames" in out


def test_a_journal_that_cannot_be_opened_does_not_begin_anew_or_again(house):
    b = house.broker()
    fill(house.bus(), 5)
    b.stop()
    db = house.base / "journal" / "journal.db"
    whole = db.read_bytes()
    for broken in (b"", whole[:4096], b"\0" * len(whole)):
        db.write_bytes(broken)
        r = subprocess.run([BIN / "broker", "--bind", house.bus_endpoint, "--feed", "", "--journal", db.parent],
                           capture_output=True, text=True, timeout=30 * SLOW)
        assert r.returncode == 100 and "journal_open_failed" in r.stderr
    db.write_bytes(whole)
    house.broker()
    assert house.bus().req("sys.stats").body["head"] == 5


def test_an_end_that_was_lost_is_told(house):
    b = house.broker()
    bus = house.bus()
    bus.sub("jobs.>", group="g", credit=10)
    fill(bus, 5)
    b.stop()
    house.broker()
    bus2 = house.bus()
    fill(bus2, 20)
    house.the_broker.kill9()
    wal = house.base / "journal" / "journal.db-wal"
    wal.write_bytes(wal.read_bytes()[:wal.stat().st_size // 2])
    b = house.broker()
    assert "evt=journal_lost" in b.log()
    stats = house.bus().req("sys.stats").body
    assert stats["counters"]["lost"] > 0 and stats["head"] == 25
    bus3 = house.bus()
    assert bus3.pub("jobs.more", {"n": 1}).meta["seq"] == 26
