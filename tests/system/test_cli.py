"""taxi: talking on the bus, and the command line itself, against a real broker."""
import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from conftest import BIN, ROOT, SLOW, wait_for
from taxicmd import taxi  # noqa: F401

ID = "0190b0b0-0000-7000-8000-000000000001"


# --- pub ------------------------------------------------------------------------------------------------

def test_pub_and_groups(taxi, house):
    bus = house.bus()
    bus.sub("notes.>", group="readers", credit=10)
    r = taxi("pub", "notes.today", '{"text":"hello","n":9007199254740993}')
    assert "seq 1" in r.stdout and "1 groups" in r.stdout
    d = bus.recv()
    assert d.body == {"text": "hello", "n": 9007199254740993}
    g = next(g for g in taxi.json("groups")["groups"] if g["group"] == "readers")
    assert (g["owed"], g["inFlight"], g["workers"]) == (1, 1, 1)
    bus.ack(d)
    wait_for(lambda: [g for g in taxi.json("groups")["groups"] if g["owed"] == 0], 20, "the ack")
    assert "readers" in taxi("groups").stdout and "OWED" in taxi("groups").stdout


def test_pub_from_standard_input_and_with_an_id(taxi):
    first = taxi.json("pub", "notes.a", "-", "--id", ID, stdin="[1]")
    again = taxi.json("pub", "--id", ID, "notes.a", "[1]")
    assert first["id"] == ID and first == again, "the same id is stored once"
    r = taxi("pub", "--id", ID, "notes.a", "[2]", code=1)
    assert "CONFLICT" in r.stderr and "another id" in r.stderr


def test_pub_what_is_not_stored_and_from_a_file(taxi, house):
    assert set(taxi.json("pub", "live.x", "1")) == {"id"}
    (house.base / "body.json").write_text('{"from":"file"}')
    taxi("pub", "notes.f", f"@{house.base}/body.json")
    assert taxi.lines("sub", "notes.f", "--from", "all", "--count", 1)[0]["body"] == {"from": "file"}
    assert "can be read" in taxi("pub", "notes.f", "@/nowhere", code=2).stderr


def test_order_key_and_expiry_travel(taxi, house):
    bus = house.bus()
    bus.sub("notes.>", group="readers", credit=10)
    taxi("pub", "notes.k", "1", "--order-key", "k7", "--expire", "1h")
    d = bus.recv()
    assert d.meta["key"] == "k7" and d.meta["exp"] > time.time() * 1000
    bus.ack(d)


def test_lines_are_stored_once_however_often_they_are_sent(taxi, house):
    text = "".join(json.dumps({"n": n}) + "\n" for n in range(1, 1001))
    out = taxi.json("pub", "rows.raw", "--lines", "--of", "run-1", "--window", 100, stdin=text)
    assert (out["lines"], out["stored"], out["firstSeq"], out["lastSeq"]) == (1000, 1000, 1, 1000)
    # the same again, and more of it: only what is missing
    again = taxi.json("pub", "rows.raw", "--lines", "--of", "run-1", stdin=text + '{"n":1001}')
    assert (again["stored"], again["firstSeq"], again["lastSeq"]) == (1001, 1, 1001)
    other = taxi.json("pub", "rows.raw", "--lines", stdin='{"n":1}\n\n{"n":2}\r\n')
    assert (other["lines"], other["firstSeq"], other["lastSeq"]) == (2, 1002, 1003)


def test_a_line_that_is_not_json_stops_the_stream_and_says_how_to_go_on(taxi):
    r = taxi("pub", "rows.raw", "--lines", "--of", "run-2", stdin='{"n":1}\n{"n":2}\n{oops\n{"n":4}\n', code=2)
    assert "line 3" in r.stderr and "--of run-2" in r.stderr and "stored 2 of 2" in r.stdout
    taxi("pub", "rows.raw", "--lines", "--of", "run-2", stdin='{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}\n')
    bodies = [x["body"]["n"] for x in taxi.lines("sub", "rows.raw", "--from", "all", "--count", 4)]
    assert bodies == [1, 2, 3, 4]


def test_lines_outlive_the_broker(taxi, house):
    p = taxi.start("pub", "rows.raw", "--lines", "--of", "run-3", "-o", "json", stdin=subprocess.PIPE)
    p.stdin.write('{"n":1}\n')
    p.stdin.flush()
    bus = house.bus()
    wait_for(lambda: bus.req("sys.stats").body["head"] == 1, 20, "the first line")
    house.the_broker.kill9()
    house.broker()
    out, err = p.communicate('{"n":2}\n', timeout=60 * SLOW)
    assert p.returncode == 0, err
    assert json.loads(out)["lastSeq"] == 2
    assert "back" in err or "was restarted" in err


# --- req ------------------------------------------------------------------------------------------------

def test_req_and_its_failures(taxi, house):
    r = taxi("req", "nobody.there", "{}", code=3)
    assert "NO_WORKERS" in r.stderr and "taxi services" in r.stderr
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=4)
    p = taxi.start("req", "--timeout", "20000", "--json", "math.double", "-", stdin=subprocess.PIPE)
    p.stdin.write("[21]")
    p.stdin.close()
    d = bus.recv()
    bus.reply(d, [x * 2 for x in d.body])
    assert json.loads(p.stdout.read()) == [42] and p.wait(30 * SLOW) == 0


def test_req_prints_parts_as_they_come(taxi, house):
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=4)
    p = taxi.start("req", "math.count", "3")
    d = bus.recv()
    for n in range(3):
        bus.reply(d, {"n": n}, more=True, part=n)
    assert json.loads(p.stdout.readline()) == {"n": 0}, "before the answer has ended"
    bus.reply(d, {"sum": 3}, part=3)
    rest = [json.loads(x) for x in p.stdout.read().splitlines()]
    assert rest == [{"n": 1}, {"n": 2}, {"sum": 3}] and p.wait(30 * SLOW) == 0


@pytest.mark.parametrize("error,exit_code", [("INVALID", 1), ("NOT_FOUND", 3), ("BUSY", 5), ("UPSTREAM", 6), ("DENIED", 7)])
def test_req_shows_a_refusal_as_a_problem(taxi, house, error, exit_code):
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=4)
    p = taxi.start("req", "--json", "math.fail", "{}")
    bus.fail(bus.recv(), error, {"detail": "why not", "errors": [{"pointer": "/a", "detail": "missing"}]})
    out, err = p.communicate(timeout=30 * SLOW)
    problem = json.loads(err)
    assert p.returncode == exit_code == problem["exit"] and out == ""
    assert problem["error"] == error and problem["detail"]["errors"][0]["pointer"] == "/a" and problem["next"]


def test_req_raw_and_times_out(taxi, house):
    bus = house.bus()
    bus.sub("math.*", serve=True, credit=4)
    p = taxi.start("req", "--raw", "math.text", text=False)
    bus.reply(bus.recv(), "ä\nbc")
    assert p.communicate(timeout=30 * SLOW)[0] == "ä\nbc".encode()
    p = taxi.start("req", "--timeout", "200", "math.never")
    bus.recv()
    assert "TIMEOUT" in p.communicate(timeout=30 * SLOW)[1] and p.returncode == 6


# --- sub ------------------------------------------------------------------------------------------------

def test_sub_tails_and_works(taxi, house):
    bus = house.bus()
    tail = taxi.tail(bus, "-o", "json", "--count", "2", pattern="notes.>")
    bus.pub("notes.a", {"n": 1})
    bus.pub("notes.b", {"n": 2})
    lines = [json.loads(x) for x in tail.communicate(timeout=60 * SLOW)[0].splitlines()]
    assert [(x["topic"], x["seq"], x["body"]) for x in lines] == [("notes.a", 1, {"n": 1}), ("notes.b", 2, {"n": 2})]
    assert all(x["at"].endswith("+02:15") and x["from"] == "local" for x in lines)
    out = taxi("sub", "--group", "audit", "--from", "all", "--count", "2", "notes.>").stdout
    assert len(out.splitlines()) == 2
    g = taxi.json("groups", "audit")["groups"][0]
    assert g["owed"] == 0, "what was printed is acknowledged when it has ended"


def test_sub_takes_no_more_than_it_prints(taxi):
    for n in range(5):
        taxi("pub", "notes.a", n)
    got = taxi.lines("sub", "--group", "audit", "--from", "all", "--count", 2, "notes.>")
    got += taxi.lines("sub", "--group", "audit", "--from", "all", "--count", 3, "notes.>")
    assert [x["body"] for x in got] == [0, 1, 2, 3, 4] and all(x["try"] == 1 for x in got)


def test_sub_filters_and_forms(taxi):
    for n in range(6):
        taxi("pub", "notes.a", json.dumps({"n": n, "tags": ["x"] if n % 2 else []}))
    got = taxi.lines("sub", "notes.>", "--from", "all", "--where", "n>1,tags~x", "--count", 2)
    assert [x["body"]["n"] for x in got] == [3, 5]
    assert taxi("sub", "notes.>", "--from", "3", "--count", 1, "--raw").stdout == '{"n":2,"tags":[]}\n'
    line = taxi("sub", "notes.>", "--from", "all", "--count", 1).stdout
    at, topic, short, body = line.split(None, 3)
    assert at.endswith("+02:15") and topic == "notes.a" and len(short) == 8 and json.loads(body)["n"] == 0
    whole = taxi("sub", "notes.>", "--from", "all", "--count", 1, "--long").stdout
    assert "seq 1" in whole and short in whole and "-" in whole.split()[2]
    for wrong in (["--where", "=1"], ["--from", "never"], ["--since", "1y"], ["--group", "g", "--where", "n=1"]):
        assert "taxi sub" in taxi("sub", "notes.>", *wrong, code=2).stderr


def test_sub_since_a_time(taxi):
    taxi("pub", "notes.a", 1)
    got = taxi.lines("sub", "notes.>", "--since", "1h", "--count", 1)
    assert [x["body"] for x in got] == [1]
    got = taxi.lines("sub", "notes.>", "--from", "2020-01-01", "--count", 1, "--group", "audit")
    assert [x["body"] for x in got] == [1]


def test_sub_gets_what_is_retained(taxi):
    taxi("pub", "door.state", '"open"', "--retain")
    taxi("pub", "door.state", '"shut"', "--retain")
    got = taxi.lines("sub", "door.>", "--count", 1)[0]
    assert got["body"] == "shut" and got["retained"]


def test_sub_has_what_is_retained_once(taxi, house):
    taxi("pub", "door.a", 1, "--retain")
    taxi("pub", "door.b", 2, "--retain")
    tail = taxi.start("sub", "-o", "json", "--count", "3", "door.>")
    first = [json.loads(tail.stdout.readline())["body"] for _ in range(2)]
    house.the_broker.kill9()
    house.broker()
    taxi("pub", "door.c", 3, "--retain")  # whether or not the tail is back yet
    out, _ = tail.communicate(timeout=60 * SLOW)
    assert sorted(first) == [1, 2] and [json.loads(x)["body"] for x in out.splitlines()] == [3]


def test_sub_begins_at_one_place(taxi):
    assert "give one" in taxi("sub", "notes.>", "--from", "all", "--since", "1h", code=2).stderr


def test_sub_outlives_a_restart_and_misses_nothing(taxi, house):
    bus = house.bus()
    tail = taxi.tail(bus, "-o", "json", "--count", "3", pattern="notes.>")
    bus.pub("notes.a", 1)
    assert json.loads(tail.stdout.readline())["body"] == 1
    house.the_broker.kill9()
    house.broker()
    taxi("pub", "notes.a", 2)  # whether or not the tail is back yet
    taxi("pub", "notes.a", 3)
    out, err = tail.communicate(timeout=60 * SLOW)
    assert [json.loads(x)["body"] for x in out.splitlines()] == [2, 3]
    assert "the broker is back after" in err or "the broker was restarted" in err


def test_sub_ends_when_nobody_reads(taxi, house):
    taxi("pub", "notes.a", 1)
    tail = taxi.tail(house.bus(), pattern="notes.>")
    tail.stdout.close()
    assert tail.wait(30 * SLOW) == 0, "although nothing came that could not be written"
    r = subprocess.run(f"{BIN}/taxi sub 'notes.>' --from all | head -1", shell=True, capture_output=True, text=True, timeout=30 * SLOW,
                       env=taxi.env)
    assert len(r.stdout.splitlines()) == 1 and r.stderr == ""


def test_sub_ends_by_a_signal(taxi, house):
    tail = taxi.tail(house.bus(), pattern="notes.>")
    tail.send_signal(signal.SIGINT)
    assert tail.wait(30 * SLOW) == 0


def test_a_refused_subscription_ends(taxi, house):
    house.bus().sub("notes.>", group="readers", credit=1)
    r = taxi("sub", "--group", "readers", "other.>", code=1)
    assert "CONFLICT" in r.stderr
    assert "tcp://host:port" in taxi("groups", "--bus", "foo", code=2).stderr
    assert "no process is called 'nosuch'" in taxi("stats", "nosuch", code=3).stderr


# --- the command line itself ----------------------------------------------------------------------------

def test_wrong_use(taxi):
    assert "no command" in taxi("frobnicate", code=2).stderr
    assert "did you mean `taxi groups`" in taxi("grops", code=2).stderr
    assert "dead retry" in taxi("dead", "rety", code=2).stderr
    assert "dead ls" in taxi("dead", code=2).stderr
    assert "did you mean --count" in taxi("sub", "--cuont", "1", "a", code=2).stderr
    assert "topic" in taxi("pub", "no/topic", "{}", code=2).stderr
    assert "JSON" in taxi("pub", "a.b", "{", code=2).stderr
    assert "expected TOPIC" in taxi("pub", code=2).stderr
    assert "usage" in taxi(code=2).stderr
    assert "Publish" in taxi("pub", "--help").stdout
    assert "table or json" in taxi("groups", "-o", "xml", code=2).stderr


def test_help_knows_every_command_and_topic(taxi):
    usage = taxi("help").stdout
    commands = [line.split("  ")[1].strip() for line in usage.splitlines() if line.startswith("  ")]
    assert {"pub", "sub", "top", "dead retry", "replay", "doctor", "exit-codes"} <= set(commands)
    for c in commands:
        text = taxi("help", *c.split()).stdout
        assert c in text and len(text) > 80, c
    assert "no topic 'nosuch'" in taxi("help", "nosuch", code=2).stderr


@pytest.mark.parametrize("topic", ["exit-codes", "json"])
def test_the_page_says_what_help_says(taxi, topic):
    page = (ROOT / "docs" / "cli.md").read_text()
    text = taxi("help", topic).stdout.rstrip("\n")
    assert "\n".join(("    " + line).rstrip() for line in text.split("\n")) in "\n".join(x.rstrip() for x in page.split("\n"))


def test_the_manual_is_well_formed(taxi, house):
    page = taxi("help", "--man").stdout
    assert page.startswith(".TH TAXI 1") and ".SS \"taxi dead retry" in page and "EXIT CODES" in page
    (house.base / "taxi.1").write_text(page)
    try:
        r = subprocess.run(["groff", "-man", "-ww", "-z", house.base / "taxi.1"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no groff")
    assert r.stderr == ""


def complete(taxi, *words):
    """What bash offers for the last of these words."""
    script = (f"source <({BIN}/taxi completion bash); COMP_WORDS=({' '.join(repr(w) for w in words)}); "
              f"COMP_CWORD={len(words) - 1}; _taxi; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30 * SLOW,
                       env={**taxi.env, "PATH": f"{BIN}:{os.environ['PATH']}"})
    assert r.stderr == "", r.stderr
    return r.stdout.split()


def test_bash_completes(taxi, house):
    house.bus().sub("notes.>", group="readers", credit=1)
    assert complete(taxi, "taxi", "pe") == ["peers"]
    assert complete(taxi, "taxi", "dead", "re") == ["retry"]
    assert complete(taxi, "taxi", "dead", "retry", "--re") == ["--reason"]
    assert complete(taxi, "taxi", "replay", "--group", "rea") == ["readers"]
    assert complete(taxi, "taxi", "groups", "rea") == ["readers"]
    assert complete(taxi, "taxi", "groups", "set", "--pau") == ["--paused"]
    assert complete(taxi, "taxi", "stats", "-o", "j") == ["json"]
    assert complete(taxi, "taxi", "help", "exit") == ["exit-codes"]
    assert complete(taxi, "taxi", "") and "top" in complete(taxi, "taxi", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_completion(taxi, house, shell):
    text = taxi("completion", shell).stdout
    assert "replay" in text and "window" in text
    (house.base / "completion").write_text(text)
    try:
        r = subprocess.run([shell, "-n", house.base / "completion"], capture_output=True, text=True, timeout=30 * SLOW)
    except FileNotFoundError:
        pytest.skip(f"no {shell}")
    assert r.returncode == 0, r.stderr


def test_no_broker(tmp_path):
    args = ["groups", "--timeout", "300", "--bus", f"ipc://{tmp_path}/none"]
    r = subprocess.run([BIN / "taxi", *args], capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 4 and "no broker" in r.stderr and "--bus" in r.stderr
    r = subprocess.run([BIN / "taxi", *args, "--json"], capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 4 and json.loads(r.stderr)["error"] == "UNREACHABLE"


def test_top_draws_on_a_terminal_and_ends_with_q(taxi, house):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BIN / "taxi", ["taxi", "top", "--every", "100"], {**taxi.env, "TERM": "xterm"})
    seen = b""

    def drawn(what):
        nonlocal seen
        try:
            while select.select([fd], [], [], 0)[0]:
                seen += os.read(fd, 65536)
        except OSError:  # nobody is at the other end any more
            pass
        return what in seen
    wait_for(lambda: drawn(b"head ") and seen.count(b"\033[H") > 2, 20, "three pictures")
    os.write(fd, b"q")
    wait_for(lambda: drawn(b"\033[?1049l"), 20, "the screen as it was")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(fd)
    plain = [part for part in seen.decode().split("\033[H")[1:]]
    assert all(len(line.split("\033")[0]) <= 80 for p in plain for line in p.replace("\r", "").split("\n"))
