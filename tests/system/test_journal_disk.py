"""The broker on a disk that fails under it: what it says, what it keeps, and what heals."""
import os
import subprocess

import pytest

from bus import BusError
from conftest import ROOT, wait_for
from looks import code, group, settled, stats


@pytest.fixture
def bad(house):
    """Says how the disk is to fail from now on; None: not at all."""
    lib, word = house.base / "bad_disk.so", house.base / "word"
    subprocess.run([os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-D_GNU_SOURCE", "-O1", "-o", lib,
                    ROOT / "tests" / "system" / "bad_disk.c"], check=True)
    journal = house.base / "journal"
    env = {"LD_PRELOAD": lib, "BAD_DISK": word, "BAD_DISK_DIR": journal,
           "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", "TSAN_OPTIONS": "ignore_interceptors_accesses=1"}
    house.the_broker = house.proc("broker", "--bind", house.bus_endpoint, "--feed", "", "--journal", journal, env=env).start()

    def say(how):
        if how is None:
            word.unlink(missing_ok=True)
        else:
            word.with_suffix(".new").write_text(how)
            word.with_suffix(".new").rename(word)
    return say


@pytest.mark.parametrize("how", ["sync", "write"])
def test_a_failure_is_final_and_said(house, bad, how):
    bus = house.bus()
    for n in range(5):
        assert bus.pub("a.b", {"n": n}).meta["seq"] == n + 1
    bad(how)
    assert code(bus.pub, "a.b", {"n": 5}) == "STORE_FAILED"
    bad(None)
    for n in range(6, 9):
        assert code(bus.pub, "a.b", {"n": n}) == "STORE_FAILED"
    assert "evt=journal_failed" in house.the_broker.log()
    stats = bus.req("sys.stats").body
    assert stats["counters"]["store_failed"] == 1 and stats["head"] == 5
    house.the_broker.kill9()
    house.broker()
    again = house.bus()
    head = again.req("sys.stats").body["head"]
    assert head in (5, 6)  # the one that was refused is uncertain; those after it are not there
    assert again.pub("a.b", {"n": 9}).meta["seq"] == head + 1


def test_a_checkpoint_that_fails_is_final_too(house, bad):
    """It fails beside the commits, on another thread: none of those acknowledged meanwhile is lost."""
    bus = house.bus()
    bus.pub("a.b", {"n": 0})
    bad("base")
    acked = 1
    with pytest.raises(BusError) as e:
        while acked < 1000:
            bus.pub("a.b", {"n": acked, "pad": "x" * 50000})
            acked += 1
    assert e.value.code == "STORE_FAILED" and acked >= 50
    bad(None)
    assert code(bus.pub, "a.b", {"n": "refused"}) == "STORE_FAILED"
    assert "what=checkpoint" in house.the_broker.log()
    house.the_broker.kill9()
    house.broker()
    bus = house.bus()
    assert stats(bus)["head"] == acked
    assert bus.pub("a.b", {"n": "after"}).meta["seq"] == acked + 1


def test_a_full_disk_is_busy_and_heals(house, bad):
    bus = house.bus()
    bus.sub("a.b", group="g", credit=10)
    for n in range(5):
        bus.pub("a.b", {"n": n})
    bad("full")
    assert code(bus.pub, "a.b", {"n": 5}) == "BUSY"
    assert "evt=journal_full" in house.the_broker.log()
    assert bus.req("sys.stats").body["counters"]["store_failed"] == 0
    bad(None)
    assert wait_for(lambda: not_busy(bus), 10, "room").meta["seq"] == 6
    assert "evt=journal_healed" in house.the_broker.log()


def not_busy(bus):
    try:
        return bus.pub("a.b", {"n": "later"})
    except BusError as e:
        assert e.code == "BUSY"
        return None


def test_dead_letters_wait_for_room(house, bad):
    """Neither the letter nor the word of it can be written: both come later, each once, and the envelope is owed until then."""
    bus, w, eye = house.bus(), house.bus(), house.bus()
    w.sub("a.b", group="g", credit=10)
    eye.sub("sys.dead", group="readers", credit=10)
    seqs = [bus.pub("a.b", {"n": n}).meta["seq"] for n in range(3)]
    given = [w.recv() for _ in seqs]
    bad("full")
    assert code(bus.pub, "a.b", {"n": 3}) == "BUSY"
    for d in given:
        w.reject(d, "spoilt")

    wait_for(lambda: (w.pump(), eye.pump(), stats(bus)["counters"]["dead_retries"] >= 4)[2], 20, "tries to bury them")
    assert bus.req("sys.dead.ls").body["items"] == [] and eye.deliveries == []
    assert (group(bus, "g")["owed"], group(bus, "g")["dead"]) == (3, 0)
    bad(None)
    told = [eye.recv() for _ in seqs]
    assert sorted(d.body["seq"] for d in told) == seqs and {d.body["reason"] for d in told} == {"spoilt"}
    settled(bus, "g", w, eye, owed=0)
    assert sorted(i["seq"] for i in bus.req("sys.dead.ls").body["items"]) == seqs
    assert stats(bus)["head"] == 6 and group(bus, "g")["dead"] == 3, "three of ours, three words"
    for d in told:
        eye.ack(d)
    house.the_broker.kill9()
    house.broker()
    bus, w, eye = house.bus(), house.bus(), house.bus()
    w.sub("a.b", group="g", credit=10)
    bus.pub("a.b", {"n": "next"})
    assert w.recv().body == {"n": "next"}, "nobody dies twice"
    assert sorted(i["seq"] for i in bus.req("sys.dead.ls").body["items"]) == seqs and stats(bus)["head"] == 7
