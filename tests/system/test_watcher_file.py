"""Files in a folder become triggers exactly once, whatever happens to who watches it."""
import json
import os
import random
import time

import pytest

from conftest import SLOW, wait_for
from looks import killed_now_and_then


def trigger(n, **more):
    return {"apiVersion": "f/v1", "protocol": "P", "spec": {"n": n}, **more}


class Inbox:
    def __init__(self, house, *args):
        self.house, self.dir = house, house.base / "inbox"
        self.watcher = house.proc("watcher-file", *args, env={"PLUGIN_FILE_DIR": self.dir}).start()
        self.b = house.bus()
        self.b.sub("trigger.f.>", group="files", credit=1000)
        self.got = {}

    def drop(self, name, content):
        tmp = self.dir / f".{name}.tmp"
        tmp.write_text(content if isinstance(content, str) else json.dumps(content))
        tmp.rename(self.dir / name)

    def numbers(self):
        """The n of every trigger on the bus so far; an id that came twice with another seq fails."""
        self.b.pump(0.02)
        while self.b.deliveries:
            d = self.b.deliveries.pop(0)
            assert self.got.setdefault(d.id, (d.head["seq"], d.body))[0] == d.head["seq"], "the same trigger stored twice"
            self.b.ack(d)
        return sorted(body["spec"]["n"] for _, body in self.got.values())

    def expect(self, numbers, timeout=20):
        want = sorted(numbers)
        try:
            wait_for(lambda: self.numbers() == want, timeout, "the triggers")
        except TimeoutError:
            have = self.numbers()
            raise AssertionError(f"missing {set(want) - set(have)}, too many {[n for n in have if have.count(n) > want.count(n)]}"
                                 f"\n{self.watcher.log()[-3000:]}")

    def names(self, folder):
        return sorted(p.name for p in (self.dir / folder).iterdir() if p.is_file())

    def settled(self):
        return not any(p.is_file() and p.suffix == ".json" and p.name[0] != "." for p in self.dir.iterdir())


@pytest.fixture
def inbox(house):
    house.broker()
    return Inbox(house, "--settle-ms", str(int(200 * SLOW)),  # longer than we may stand still between two writes
                 "--rescan-ms", "300", "--quiet-ms", "0")


def test_files_become_triggers(inbox):
    inbox.drop("one.json", trigger(1))
    inbox.drop("many.json", [trigger(n) for n in range(2, 3000)])
    inbox.drop("lines.ndjson", "".join(json.dumps(trigger(n)) + "\n" for n in range(3000, 4000)))
    inbox.drop("named.json", trigger(4000, metadata={"source": "me", "spec": {"x": 1}}))
    for ignored in (".hidden.json", "x.json.part", "x.tmp", "readme.txt"):
        (inbox.dir / ignored).write_text(json.dumps(trigger(99999)))
    inbox.expect(range(1, 4001))
    bodies = {body["spec"]["n"]: body for _, body in inbox.got.values()}
    assert bodies[1]["metadata"] == {"source": "file"} and bodies[4000]["metadata"] == {"source": "me", "spec": {"x": 1}}
    wait_for(lambda: inbox.names("done") == ["many.json", "named.json", "one.json"], 10, "the files in done")
    assert inbox.names("failed") == [] and sorted(p.name for p in inbox.dir.iterdir() if p.is_file()) == [
        ".hidden.json", "lines.ndjson", "readme.txt", "x.json.part", "x.tmp"]


def test_bad_files_fail_with_a_reason_and_stop_nobody(inbox):
    inbox.drop("broken.json", '[{"apiVersion": "f/v1"')
    inbox.drop("empty.json", "")
    inbox.drop("some.json", [trigger(1), {"protocol": "x"}, 7, trigger(2)])
    inbox.drop("good.json", trigger(3))
    inbox.drop("some.ndjson", "\n".join([json.dumps(trigger(4)), "nonsense", '{"spec":{}}', "", json.dumps(trigger(5)), ""]))
    inbox.drop("half.json", [trigger(6), {}])
    inbox.expect([1, 2, 3, 4, 5, 6])
    wait_for(lambda: inbox.settled() and len(inbox.names("failed")) == 9, 10, "the failed ones")
    assert inbox.names("done") == ["good.json"]
    assert inbox.names("failed") == ["broken.json", "broken.json.error", "empty.json", "empty.json.error", "half.json",
                                     "half.json.error", "some.json", "some.json.error", "some.ndjson.error"]
    assert "ends too early" in (inbox.dir / "failed/broken.json.error").read_text()
    some = (inbox.dir / "failed/some.json.error").read_text()
    assert (inbox.dir / "failed/half.json.error").read_text().startswith("1 of 2 triggers is on the bus; 1 is not:\n")
    assert "2 of 4 triggers are on the bus; 2 are not:" in some and "item 1" in some and "/apiVersion: is required" in some and "item 2" in some
    lines = (inbox.dir / "failed/some.ndjson.error").read_text()
    assert "line 2" in lines and "line 3" in lines and "line 4" not in lines
    for text in (lines, (inbox.dir / "failed/half.json.error").read_text()):
        assert "/apiVersion: is required" in text and "/protocol: is required" in text
    assert "/spec: must not be empty" in lines and "/spec: is required" in text


def test_a_file_still_being_written_is_left_alone(inbox):
    f = open(inbox.dir / "slow.json", "w")
    f.write("[" + json.dumps(trigger(1)) + ",")
    f.flush()
    inbox.drop("other.json", trigger(2))
    inbox.expect([2])
    f.write(json.dumps(trigger(3)) + "]")
    f.close()
    inbox.expect([1, 2, 3])
    # in several goes, each closing the file
    for piece in ("[", json.dumps(trigger(4)), ",", json.dumps(trigger(5)), "]"):
        with open(inbox.dir / "goes.json", "a") as f:
            f.write(piece)
    inbox.expect([1, 2, 3, 4, 5])
    wait_for(lambda: inbox.names("done") == ["goes.json", "other.json", "slow.json"], 10, "done")


def test_lines_are_followed_cut_and_written_anew(inbox):
    path = inbox.dir / "log.ndjson"
    with open(path, "a") as f:
        f.write(json.dumps(trigger(1)) + "\n" + json.dumps(trigger(2))[:20])
        f.flush()
        inbox.expect([1])
        f.write(json.dumps(trigger(2))[20:] + "\n")
        f.flush()
        inbox.expect([1, 2])
    inbox.watcher.kill9()
    with open(path, "a") as f:
        f.write(json.dumps(trigger(3)) + "\n")
    inbox.watcher.start()
    inbox.expect([1, 2, 3])
    path.write_text(json.dumps(trigger(4)) + "\n")  # cut to fewer bytes
    inbox.expect([1, 2, 3, 4])
    path.write_text("".join(json.dumps(trigger(n)) + "\n" for n in (5, 6, 7, 8)))  # cut and longer than before
    inbox.expect(range(1, 9))
    tmp = inbox.dir / ".new"
    tmp.write_text("".join(json.dumps(trigger(n)) + "\n" for n in (5, 6, 7, 8, 9)))  # another file of that name
    tmp.rename(path)
    inbox.expect([*range(1, 9), 5, 6, 7, 8, 9])
    path.rename(inbox.dir / "log.1.ndjson")  # rotated: the same file
    path.write_text(json.dumps(trigger(10)) + "\n")
    inbox.expect([*range(1, 11), 5, 6, 7, 8])


def test_quiet_lines_are_put_away_and_may_come_back(house):
    house.broker()
    inbox = Inbox(house, "--settle-ms", "100", "--rescan-ms", "100", "--quiet-ms", "300")
    (inbox.dir / "a.ndjson").write_text(json.dumps(trigger(1)) + "\n" + json.dumps(trigger(2)))  # no end of the last line
    f = open(inbox.dir / "held.ndjson", "w")
    f.write(json.dumps(trigger(3)) + "\n")
    f.flush()
    inbox.expect([1, 2, 3])
    wait_for(lambda: inbox.names("done") == ["a.ndjson"], 10, "the quiet one in done")
    assert (inbox.dir / "held.ndjson").exists()
    f.close()
    wait_for(lambda: inbox.names("done") == ["a.ndjson", "held.ndjson"], 10, "the other as well")
    (inbox.dir / "done/a.ndjson").rename(inbox.dir / "again.ndjson")
    inbox.expect([1, 1, 2, 2, 3])


def test_the_same_file_moved_back_is_done_again(inbox):
    inbox.drop("x.json", trigger(1))
    wait_for(lambda: inbox.names("done") == ["x.json"], 10, "done")
    (inbox.dir / "done/x.json").rename(inbox.dir / "x.json")
    inbox.expect([1, 1])
    inbox.drop("y.json", trigger(2))
    wait_for(lambda: inbox.names("done") == ["x.json", "y.json"], 10, "y in done")
    inbox.drop("y.json", trigger(3))
    wait_for(lambda: len(inbox.names("done")) == 3, 10, "both y in done")
    inbox.expect([1, 1, 2, 3])


def test_one_process_a_folder(inbox):
    other = inbox.house.proc("watcher-file", env={"PLUGIN_FILE_DIR": inbox.dir}).start()
    wait_for(lambda: "evt=folder_taken" in other.log(), 10, "the second to wait")
    inbox.drop("1.json", trigger(1))
    inbox.expect([1])
    inbox.watcher.kill9()
    inbox.drop("2.json", trigger(2))
    inbox.expect([1, 2])


@pytest.mark.parametrize("quiet", [0, 150])
def test_killed_at_random_nothing_is_lost_or_repeated(house, quiet):
    house.broker()
    inbox = Inbox(house, "--settle-ms", "100", "--rescan-ms", "200", "--quiet-ms", str(quiet))
    rnd, n, total = random.Random(int(os.environ.get("SEED", "5"))), 0, []
    often = killed_now_and_then(inbox.watcher, lambda: rnd.choice([0.02, 0.1, 0.6]) * rnd.random())
    with often, open(inbox.dir / "log.ndjson", "a") as log:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            kind, size = rnd.randrange(3), rnd.choice([1, 1, 5, 400])
            mine = list(range(n, n + size))
            n += size
            total += mine
            if kind == 0:
                inbox.drop(f"{n}.json", [trigger(i) for i in mine])
            elif kind == 1:
                inbox.drop(f"{n}.ndjson", "".join(json.dumps(trigger(i)) + "\n" for i in mine))
            else:
                for i in mine:
                    line = json.dumps(trigger(i)) + "\n"
                    cut = rnd.randrange(len(line))
                    log.write(line[:cut])
                    log.flush()
                    log.write(line[cut:])
                log.flush()
            inbox.numbers()
    inbox.expect(total, 60)
    wait_for(lambda: inbox.settled() and not any(p.name != "lock" for p in (inbox.dir / ".work").iterdir()), 20, "an empty inbox")
    inbox.expect(total)
    assert inbox.names("failed") == []


def test_a_broker_that_dies_under_it_costs_nothing(inbox):
    house, total = inbox.house, []
    for round in range(4):
        mine = range(round * 1000, round * 1000 + 1000)
        total += mine
        inbox.drop(f"{round}.json", [trigger(i) for i in mine[:500]])
        inbox.drop(f"{round}.ndjson", "".join(json.dumps(trigger(i)) + "\n" for i in mine[500:]))
        house.the_broker.kill9()
        house.the_broker.start()
    inbox.expect(total, 60)
