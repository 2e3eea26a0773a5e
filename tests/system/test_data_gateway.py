"""Rows in, rows out: the data gateway, its receipts, and its two pushers, over HTTP and over the bus."""
import csv
import json
import os
import signal
import uuid

import msgpack
import pytest

import taxiwire
from bus import BusError, new_id
from conftest import SLOW, wait_for

TRIGGER = "01890a5d-ac96-774b-bcce-b302099a8057"


def trigger():
    return str(uuid.UUID(bytes=new_id()))


class Lab:
    """The house with the data gateway, and what the tests ask of it."""

    def __init__(self, house):
        self.h = house
        self.csv_dir = house.base / "csv"
        self.gateway = house.proc("data-gateway").start()
        house.edge()
        self.wait_routes()

    def wait_routes(self):
        wait_for(lambda: b"no such receipt" in self.receipt(trigger()).body, 30, "the routes of the data gateway")

    def postgres(self, **env):
        return self.h.proc("pusher-postgres", env={"PLUGIN_POSTGRES_" + k.upper(): v for k, v in env.items()}).start()

    def csv(self, **env):
        return self.h.proc("pusher-csv-file", env={"PLUGIN_CSV_FILE_DIR": self.csv_dir,
                                                   **{"PLUGIN_CSV_FILE_" + k.upper(): v for k, v in env.items()}}).start()

    def send(self, rows, uuid=TRIGGER, headers=None):
        r = self.h.http("POST", "/data/batch", {"uuid": uuid, "rows": rows}, headers)
        assert r.status == 202, r.body
        return r.json()["receipt"]

    def receipt(self, id):
        return self.h.http("GET", f"/receipts/{id}")

    def known(self, id):
        """The receipt, when the record of receipts has come so far: until then it says BUSY."""
        def look():
            r = self.receipt(id)
            assert r.status in (200, 503), r.body
            return r.json() if r.status == 200 else None
        return wait_for(look, 30, f"receipt {id}")

    def states(self, id):
        r = self.receipt(id)
        return {d["name"]: d["state"] for d in r.json()["destinations"]} if r.status == 200 else {}

    def wait_states(self, id, timeout=30, **want):
        want = {k.replace("_", "-"): v for k, v in want.items()}
        try:
            wait_for(lambda: self.states(id) == want, timeout, f"{want}")
        except TimeoutError:
            raise AssertionError(f"{id}: wanted {want}, is {self.receipt(id).body}")
        return {d["name"]: d for d in self.receipt(id).json()["destinations"]}

    def wait_shown(self, id, name, **want):
        """The destination, when it shows these values: its state alone is there before its reports are."""
        def shown():
            r = self.receipt(id)
            d = next((d for d in r.json()["destinations"] if d["name"] == name), {}) if r.status == 200 else {}
            return d if want.items() <= d.items() else None
        return wait_for(shown, 30, f"{name} of {id} with {want}")

    def out(self, what="*", where="true", *args):
        with self.h.db() as c, c.cursor() as q:
            q.execute(f"SELECT {what} FROM data_gateway_out.rows WHERE {where} ORDER BY seq, position", args)
            return q.fetchall()

    def csv_text(self, uuid=TRIGGER):
        path = self.csv_dir / f"{uuid}.csv"
        return path.read_bytes().decode() if path.exists() else ""

    def csv_rows(self, uuid=TRIGGER):
        text = self.csv_text(uuid)
        return list(csv.DictReader(text.splitlines(keepends=True)))


@pytest.fixture
def lab(full):
    return Lab(full)


def problem(r, status, code):
    p = r.json()
    assert r.status == status and p["status"] == status and p["code"] == code, r.body
    assert r.headers["content-type"].startswith("application/problem+json")
    return p


# --- rows in -----------------------------------------------------------------------------------------------
def test_a_row_is_accepted_and_reaches_both_destinations(lab):
    lab.postgres(), lab.csv()
    body = '{"uuid":"%s","row":{"index":3,"data":{"z":1.0,"big":9007199254740993,"text":"a,\\"b\\"","n":null,"o":{"y":[1,true],"x":2.50}}}}'
    r = lab.h.http("POST", "/data", body % TRIGGER, {"Content-Type": "application/json"})
    assert r.status == 202, r.body
    assert r.json() == {"receipt": r.json()["receipt"], "rows": 1}
    receipt = r.json()["receipt"]
    assert r.headers["location"] == f"/receipts/{receipt}"
    d = lab.wait_states(receipt, postgres="delivered", csv_file="delivered")
    assert d["postgres"]["rows"] == 1 and d["postgres"]["attempts"] == 1 and "deliveredAt" in d["postgres"]
    shown = lab.receipt(receipt).json()
    assert shown["uuid"] == TRIGGER and shown["rows"] == 1 and shown["acceptedAt"].endswith("Z") and "parts" not in shown
    # order of keys, integers and floats as they were sent
    (data, index, position, uid), = lab.out("data::text, index, position, uuid::text")
    assert data == '{"z":1.0,"big":9007199254740993,"text":"a,\\"b\\"","n":null,"o":{"y":[1,true],"x":2.5}}'
    assert (index, position, uid) == (3, 0, TRIGGER)
    assert lab.csv_text() == ('receipt,position,index,z,big,text,n,o\n'
                              f'{receipt},0,3,1.0,9007199254740993,"a,""b""",,"{{""y"":[1,true],""x"":2.5}}"\n')


def test_any_text_arrives_as_it_is(lab):
    lab.postgres(), lab.csv()
    texts = ["", " ", "a\u0000b", "tab\there", "back\\slash \\N \\.", "line\nbreak\r\n", 'quote " and , comma', "π 😀 é", "NULL", "=1+1"]
    r = lab.send([{"data": {"t": t, "nested": {"t": t}}} for t in texts])
    lab.wait_states(r, postgres="delivered", csv_file="delivered")
    assert [json.loads(d) for d, in lab.out("data::text")] == [{"t": t, "nested": {"t": t}} for t in texts]
    with open(lab.csv_dir / f"{TRIGGER}.csv", newline="") as f:
        got = list(csv.reader(f))[1:]
    assert [(x[3], json.loads(x[4])) for x in got] == [(t, {"t": t}) for t in texts]


def test_what_is_wrong_is_said_all_at_once(lab):
    r = lab.h.http("POST", "/data/batch", {"uuid": "x", "rows": [{"data": {"ok": 1}}, {"data": {"Bad-Key": 1, "a b": 2}, "index": -1}, 7],
                                           "extra": 1})
    p = problem(r, 422, "INVALID")
    assert not p["retryable"]
    assert {e["pointer"] for e in p["errors"]} == {"/extra", "/uuid", "/rows/1/data/Bad-Key", "/rows/1/data/a b", "/rows/1/index", "/rows/2"}
    assert problem(lab.h.http("POST", "/data", {"uuid": TRIGGER}), 422, "INVALID")["errors"][0]["pointer"] == "/row"
    assert problem(lab.h.http("POST", "/data/batch", {"uuid": TRIGGER, "rows": []}), 422, "INVALID")["errors"][0]["pointer"] == "/rows"
    r = lab.h.http("POST", "/data", '{"uuid":', {"Content-Type": "application/json"})
    assert r.status == 400
    assert problem(lab.receipt("not-a-uuid"), 422, "INVALID")["errors"][0]["pointer"] == "/id"
    assert problem(lab.receipt(trigger()), 404, "NOT_FOUND")


def test_what_posts_answer_is_described(lab):
    doc = wait_for(lambda: (lambda d: d if "/data" in d["paths"] else None)(lab.h.http("GET", "/openapi.json").json()), 20, "the paths")
    said = {code: doc["paths"]["/data"]["post"]["responses"][code] for code in ("400", "409", "413", "415", "422", "503")}
    for code, r in said.items():
        kind, name = r["$ref"].split("/")[-2:]
        assert "application/problem+json" in doc["components"][kind][name]["content"], code
    for code, body, type in ((400, "{", "application/json"), (413, " " * (15 * 1024 * 1024 + 1) + "{}", "application/json"),
                             (415, "{}", "text/plain"), (422, "{}", "application/json")):
        assert lab.h.http("POST", "/data", body, {"Content-Type": type}).status == code


def test_a_repeat_under_the_same_key_is_stored_once(lab):
    lab.postgres()
    key = {"Idempotency-Key": "batch-7"}
    rows = [{"data": {"a": 1}}]
    first = lab.h.http("POST", "/data/batch", {"uuid": TRIGGER, "rows": rows}, key)
    second = lab.h.http("POST", "/data/batch", {"uuid": TRIGGER, "rows": rows}, key)
    assert first.status == second.status == 202
    assert first.json() == second.json() and second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = lab.h.http("POST", "/data/batch", {"uuid": TRIGGER, "rows": [{"data": {"a": 2}}]}, key)
    assert other.status == 422
    lab.wait_states(first.json()["receipt"], postgres="delivered")
    assert len(lab.out()) == 1


def test_a_batch_that_fits_no_envelope_is_refused_with_the_way_out(lab):
    # 1.8 million floats are 14.5 MiB of JSON and over 16 MiB as they travel
    rows = [{"data": {"v": [0.5] * 20000}} for _ in range(95)]
    r = lab.h.http("POST", "/data/batch", json.dumps({"uuid": TRIGGER, "rows": rows}, separators=(",", ":")),
                   {"Content-Type": "application/json"})
    assert r.status == 413 and "x-ndjson" in r.json()["detail"], r.body
    # by the bus: a request that just fits a frame, and what it becomes does not
    def body(n):
        return msgpack.packb({"uuid": TRIGGER, "row": {"data": {"v": b"x" * n}}})
    room = 16 * 1024 * 1024 - len(taxiwire.encode("REQ", "data-gateway.rows.create", new_id(), {"ttl": 20000}, body(2**20))) + 2**20
    with pytest.raises(BusError) as e:
        lab.h.bus().call("REQ", "data-gateway.rows.create", {"ttl": 20000}, body(room))
    assert e.value.code == "TOO_BIG" and "x-ndjson" in e.value.detail["detail"]


def test_a_stream_has_one_receipt(lab):
    lab.postgres(), lab.csv()
    lines = "".join(json.dumps({"index": i, "data": {"value": i, "text": "x" * (i % 50)}}) + "\n" for i in range(9000))
    head = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "stream"}
    r = lab.h.http("POST", f"/data/batch?uuid={TRIGGER}", lines, head)
    assert r.status == 202, r.body
    a = r.json()
    assert a["rows"] == 9000 and a["lines"] == 9000 and a["chunks"] >= 3 and r.headers["location"] == f"/receipts/{a['receipt']}"
    for name in ("postgres", "csv-file"):  # its pieces are recorded one by one
        lab.wait_shown(a["receipt"], name, state="delivered", rows=9000)
    shown = lab.receipt(a["receipt"]).json()
    assert shown["rows"] == 9000 and shown["parts"] == a["chunks"] and shown["complete"] is True
    assert [i for i, in lab.out("index")] == list(range(9000))
    assert [int(x["index"]) for x in lab.csv_rows()] == list(range(9000))
    # one piece by its own id
    piece = lab.receipt(lab.out("receipt::text")[-1][0]).json()
    assert piece["of"] == a["receipt"] and piece["part"] == a["chunks"] - 1 and piece["rows"] < 9000
    # a repeat is the same again
    again = lab.h.http("POST", f"/data/batch?uuid={TRIGGER}", lines, head)
    assert again.json() == a and again.headers["idempotency-replayed"] == "true"
    assert lab.h.http("GET", f"/receipts?uuid={TRIGGER}").json() == {"items": [a["receipt"]], "next": None}


def test_a_stream_with_a_bad_line_keeps_what_came_before(lab):
    lab.postgres()
    lines = [json.dumps({"data": {"value": i}}) for i in range(5000)]
    lines[4500] = '{"data":{"Bad":1}}'
    r = lab.h.http("POST", f"/data/batch?uuid={TRIGGER}", "\n".join(lines), {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"})
    p = problem(r, 422, "INVALID")
    assert p["stored"] == 4096 and p["errors"][0]["pointer"] == "/lines/4500/data/Bad"
    r = lab.h.http("POST", f"/data/batch?uuid={TRIGGER}", '{"data":{"a":1}}\nnone\n', {"Content-Type": "application/x-ndjson"})
    assert problem(r, 400, "BAD_REQUEST")["detail"].startswith("line 2 (from 1), column 4: "), r.body
    items = wait_for(lambda: lab.h.http("GET", f"/receipts?uuid={TRIGGER}").json()["items"], 20, "the receipt")
    lab.wait_states(items[0], postgres="delivered")
    assert len(lab.out()) == 4096
    shown = lab.receipt(items[0]).json()
    assert shown["parts"] == 1 and shown["complete"] is False
    # mended, the stream goes on where it ended
    lines[4500] = '{"data":{"good":1}}'
    r = lab.h.http("POST", f"/data/batch?uuid={TRIGGER}", "\n".join(lines), {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"})
    assert r.status == 202 and r.json()["receipt"] == items[0], r.body
    wait_for(lambda: lab.known(items[0])["complete"], 20, "the last piece")
    lab.wait_states(items[0], postgres="delivered")
    assert len(lab.out()) == 5000
    assert problem(lab.h.http("POST", "/data/batch", "{}\n", {"Content-Type": "application/x-ndjson"}), 422, "INVALID")


def test_rows_of_a_native_client(lab):
    lab.postgres(), lab.csv()
    bus = lab.h.bus()
    ok = bus.call("PUB", "rows.in", {"key": TRIGGER}, {"uuid": TRIGGER.upper(), "rows": [{"data": {"a": 1}}, {"data": {"a": b"\x01"}}]})
    lab.wait_states(str(uuid.UUID(bytes=ok.id)), postgres="delivered", csv_file="delivered")
    assert [d for d, in lab.out("data::text")] == ['{"a":1}', '{"a":"AQ=="}']
    # what no destination can read is dead at each, says why, and has a receipt all the same
    for body in ({"uuid": TRIGGER, "rows": [{"data": {"a_b": 1}}]}, {"rows": []}, [1], {"uuid": TRIGGER, "rows": [{"data": {"a": float("nan")}}]}):
        ok = bus.call("PUB", "rows.in", {"key": TRIGGER}, body)
        d = lab.wait_states(str(uuid.UUID(bytes=ok.id)), postgres="dead", csv_file="dead")
        assert d["postgres"]["lastError"].startswith(("/rows/0/data/a", "/uuid: is missing", "the body: expected an object")), d
    # and holds up nothing behind it
    ok = bus.call("PUB", "rows.in", {"key": TRIGGER}, {"uuid": TRIGGER, "rows": [{"data": {"a": 2}}]})
    lab.wait_states(str(uuid.UUID(bytes=ok.id)), postgres="delivered", csv_file="delivered")


# --- receipts ----------------------------------------------------------------------------------------------
def test_who_owes_it(lab):
    bus = lab.h.bus()
    before = lab.send([{"data": {"a": 1}}])
    assert lab.known(before)["destinations"] == []
    lab.postgres()  # "new": nothing of before
    # a destination that is subscribed but not working on it
    worker = lab.h.bus()
    worker.sub("rows.in", group="pusher-slow", credit=1)
    worker.sub("rows.in", group="not-a-destination", credit=1)
    after = lab.send([{"data": {"a": 2}}])
    lab.wait_states(after, postgres="delivered", slow="pending")
    d = {x["name"]: x for x in lab.known(after)["destinations"]}
    assert d["slow"] == {"name": "slow", "state": "pending", "rows": 1, "attempts": 0}
    assert lab.known(before)["destinations"] == []
    bus.call("REQ", "sys.groups.set", {}, {"group": "pusher-slow", "paused": True})
    lab.wait_states(after, postgres="delivered", slow="paused")
    bus.call("REQ", "sys.groups.set", {}, {"group": "pusher-slow", "paused": False})
    # one that rejects without a report of its own
    worker.reject(worker.recv(where=lambda d: d.head["group"] == "pusher-slow"), "no")
    d = lab.wait_states(after, postgres="delivered", slow="dead")
    assert d["slow"]["lastError"] == "no" and d["slow"]["rows"] == 1


def test_list_of_receipts_is_paged(lab):
    mine = [lab.send([{"data": {"a": i}}]) for i in range(5)]
    lab.send([{"data": {"a": 1}}], uuid=trigger())
    wait_for(lambda: len(lab.h.http("GET", f"/receipts?uuid={TRIGGER}").json()["items"]) == 5, 20, "five receipts")
    seen, url = [], f"/receipts?uuid={TRIGGER}&limit=2"
    while True:
        page = lab.h.http("GET", url).json()
        seen += page["items"]
        if page["next"] is None:
            break
        url = f"/receipts?uuid={TRIGGER}&limit=2&cursor={page['next']}"
    assert seen == mine[::-1]
    assert problem(lab.h.http("GET", f"/receipts?uuid={TRIGGER}&limit=0"), 422, "INVALID")
    assert problem(lab.h.http("GET", f"/receipts?uuid={TRIGGER}&cursor=x"), 422, "INVALID")
    assert lab.h.bus().call("REQ", "data-gateway.receipts.list", {}, {"uuid": TRIGGER}).body["items"] == mine[::-1]


def test_without_postgres_rows_are_accepted_and_receipts_wait(lab, pg):
    lab.postgres(), lab.csv()
    pg.stop()
    try:
        receipts = [lab.send([{"data": {"a": i}}]) for i in range(20)]
        p = problem(lab.receipt(receipts[0]), 503, "BUSY")
        assert p["retryable"]
        assert lab.h.http("GET", f"/receipts?uuid={TRIGGER}").status == 503
        wait_for(lambda: len(lab.csv_rows()) == 20, 30, "the other destination")
        lab.gateway.kill9()  # and the gateway may die meanwhile
        lab.gateway.start()
    finally:
        pg.start()
    for r in receipts:
        lab.wait_states(r, 60, postgres="delivered", csv_file="delivered")
    assert [p for p, in lab.out("(data->>'a')::int")] == list(range(20))


def test_a_report_that_cannot_be_recorded_is_set_apart(lab):
    """One envelope that Postgres refuses does not hold up its neighbours."""
    lab.postgres()
    bus = lab.h.bus()
    report = {"receipt": trigger(), "uuid": TRIGGER, "destination": "x", "state": "dead", "rows": 1, "attempts": 1, "at": "not a time"}
    receipts = []
    for i in range(5):
        receipts.append(lab.send([{"data": {"a": i}}]))
        bus.call("PUB", "delivery.x", {}, {**report, "receipt": trigger()})
    for r in receipts:
        lab.wait_states(r, postgres="delivered")
    items = wait_for(lambda: (lambda i: i if len(i) == 5 else None)(
        bus.call("REQ", "sys.dead.ls", {}, {"group": "data-gateway.deliveries"}).body["items"]), 30, "five dead letters")
    assert "invalid input syntax" in items[0]["reason"]


def test_a_later_word_wins_and_delivered_stays(lab):
    bus, worker = lab.h.bus(), lab.h.bus()
    worker.sub("rows.in", group="pusher-x", credit=10)
    r = lab.send([{"data": {"a": 1}}])
    base = {"receipt": r, "uuid": TRIGGER, "destination": "x", "rows": 1, "at": "2026-01-01T00:00:00.000Z"}

    def say(**kw):
        bus.call("PUB", "delivery.x", {"key": r}, {**base, **kw})
    say(state="pending", attempts=1, lastError="first", nextAttemptAt="2026-01-01T00:00:01.000Z")
    d = lab.wait_shown(r, "x", lastError="first")
    assert d["state"] == "pending" and d["nextAttemptAt"] == "2026-01-01T00:00:01.000Z"
    say(state="dead", attempts=2, lastError="second")
    assert lab.wait_shown(r, "x", state="dead")["lastError"] == "second"
    say(state="delivered", attempts=3)
    d = lab.wait_shown(r, "x", state="delivered")
    assert d == {"name": "x", "state": "delivered", "rows": 1, "attempts": 3, "deliveredAt": "2026-01-01T00:00:00.000Z"}
    say(state="pending", attempts=4, lastError="late")
    other = lab.send([{"data": {"a": 1}}])
    bus.call("PUB", "delivery.x", {"key": r}, {**base, "receipt": other, "state": "delivered", "attempts": 1})
    lab.wait_states(other, x="delivered")  # so the one before it of the same key is recorded too
    assert lab.states(r) == {"x": "delivered"}


# --- destinations --------------------------------------------------------------------------------------------
def test_a_stopped_destination_delays_nothing_and_catches_up(lab):
    p, c = lab.postgres(), lab.csv()
    first = lab.send([{"data": {"a": 0}}])
    lab.wait_states(first, postgres="delivered", csv_file="delivered")
    assert p.stop() == 0
    receipts = [lab.send([{"data": {"a": i}}]) for i in range(1, 30)]
    for r in receipts:
        lab.wait_states(r, postgres="pending", csv_file="delivered")
    lab.postgres()
    for r in receipts:
        lab.wait_states(r, postgres="delivered", csv_file="delivered")
    assert [a for a, in lab.out("(data->>'a')::int")] == list(range(30))
    assert c.alive()


def test_a_destination_that_is_away_is_retried(lab):
    lab.postgres(url="postgresql://127.0.0.1:1/nowhere")
    lab.csv()
    r = lab.send([{"data": {"a": 1}}])
    wait_for(lambda: lab.states(r) == {"postgres": "pending", "csv-file": "delivered"} and
             {d["name"]: d for d in lab.receipt(r).json()["destinations"]}["postgres"]["attempts"] >= 2, 60, "two attempts")
    d = {d["name"]: d for d in lab.receipt(r).json()["destinations"]}["postgres"]
    assert d["lastError"] and d["nextAttemptAt"], d


def test_a_refused_delivery_is_dead_alone(lab):
    """The table has a rule that some rows break: exactly those deliveries die, whatever batch they were in."""
    pusher = lab.postgres()
    lab.wait_states(lab.send([{"data": {"a": 1}}]), postgres="delivered")
    with lab.h.db() as c, c.cursor() as q:
        q.execute("ALTER TABLE data_gateway_out.rows ADD CHECK ((data->>'a')::int <> 13)")
    pusher.p.send_signal(signal.SIGSTOP)
    receipts = [lab.send([{"data": {"a": 5}}, {"data": {"a": 13 if i in (3, 17) else 100 + i}}], uuid=trigger()) for i in range(30)]
    pusher.p.send_signal(signal.SIGCONT)
    for i, r in enumerate(receipts):
        d = lab.wait_states(r, postgres="dead" if i in (3, 17) else "delivered")
        if i in (3, 17):
            assert "violates check constraint" in d["postgres"]["lastError"] and "23514" in d["postgres"]["lastError"]
    assert len(lab.out()) == 1 + 2 * 28


def test_missing_table_is_not_the_rows_fault(lab):
    lab.postgres()
    first = lab.send([{"data": {"a": 1}}])
    lab.wait_states(first, postgres="delivered")
    with lab.h.db() as c, c.cursor() as q:
        q.execute("DROP TABLE data_gateway_out.rows")
    second = lab.send([{"data": {"a": 2}}])
    lab.wait_states(second, 60, postgres="delivered")  # made again
    assert [a for a, in lab.out("(data->>'a')::int")] == [2]


def test_order_of_one_trigger_through_failures(lab):
    """Rows of one trigger arrive in order although the table refuses everything for a while."""
    lab.postgres()
    lab.wait_states(lab.send([{"data": {"a": -1}}]), postgres="delivered")
    with lab.h.db() as c, c.cursor() as q:
        q.execute("ALTER TABLE data_gateway_out.rows RENAME COLUMN seq TO away")
    receipts = [lab.send([{"data": {"a": i}}]) for i in range(40)]
    wait_for(lambda: lab.states(receipts[0]) == {"postgres": "pending"} and lab.receipt(receipts[0]).json()["destinations"][0]["attempts"] > 0, 30,
             "a failed attempt")
    with lab.h.db() as c, c.cursor() as q:
        q.execute("ALTER TABLE data_gateway_out.rows RENAME COLUMN away TO seq")
    for r in receipts:
        lab.wait_states(r, 60, postgres="delivered")
    with lab.h.db() as c, c.cursor() as q:
        q.execute("SELECT (data->>'a')::int FROM data_gateway_out.rows ORDER BY received_at, seq")
        assert [a for a, in q.fetchall()] == list(range(-1, 40))


def send_surely(lab, rows, t):
    """As a client does it: one key, and again as long as the answer says that it may be tried again."""
    key = {"Idempotency-Key": trigger()}

    def accepted():
        try:
            r = lab.h.http("POST", "/data/batch", {"uuid": t, "rows": rows}, key)
        except OSError:
            return None
        assert r.status == 202 or r.json()["retryable"], r.body
        return r.json()["receipt"] if r.status == 202 else None
    return wait_for(accepted, 60, "acceptance")


def test_killed_again_and_again_every_row_is_there_once(lab):
    """Both pushers are killed at any moment while rows come in; the broker too."""
    pushers = [lab.postgres(), lab.csv(), lab.csv()]
    triggers = [trigger() for _ in range(3)]
    sent = []
    for n in range(60):
        t = triggers[n % 3]
        rows = [{"data": {"n": n, "i": i, f"k{n % 5}": "x" * n}} for i in range(40)]
        sent.append((t, send_surely(lab, rows, t), len(rows)))
        if n % 6 == 5:
            p = pushers[n // 6 % 3]
            p.kill9()
            p.start()
        if n == 30:
            lab.h.the_broker.kill9()
            lab.h.the_broker.start()
    for t, r, n in sent:
        lab.wait_states(r, 90, postgres="delivered", csv_file="delivered")
    for t in triggers:
        want = [(r, i) for tt, r, n in sent if tt == t for i in range(n)]
        assert [(r, p) for r, p in lab.out("receipt::text, position", "uuid = %s", t)] == want
        assert [(x["receipt"], int(x["position"])) for x in lab.csv_rows(t)] == want


def test_csv_with_the_trigger_beside_it(lab):
    lab.h.proc("control-tower").start()
    lab.csv(with_trigger="true")
    body = {"apiVersion": "OT-2/v1alpha1", "protocol": "Dilute", "spec": {"volume": 50}, "metadata": {"source": "test", "spec": {}}}
    wait_for(lambda: b"no service" not in lab.h.http("GET", f"/triggers/{trigger()}").body, 20, "the routes of the control tower")
    made = lab.h.http("POST", "/triggers", body)
    assert made.status == 202, made.body
    t = made.json()["uuid"]
    r = lab.send([{"data": {"a": 1}}], uuid=t)
    lab.wait_states(r, csv_file="delivered")
    beside = json.loads((lab.csv_dir / f"{t}.json").read_text())
    assert beside["spec"] == {"volume": 50} and beside["uuid"] == t and "status" not in beside
    unknown = trigger()
    lab.wait_states(lab.send([{"data": {"a": 1}}], uuid=unknown), csv_file="delivered")
    assert len(lab.csv_rows(unknown)) == 1 and not (lab.csv_dir / f"{unknown}.json").exists()


def test_while_the_trigger_cannot_be_asked_for_nothing_is_delivered(lab):
    lab.csv(with_trigger="true")
    r = lab.send([{"data": {"a": 1}}])
    wait_for(lambda: lab.states(r) == {"csv-file": "pending"} and lab.receipt(r).json()["destinations"][0]["attempts"] >= 1, 30, "an attempt")
    assert "control tower" in lab.receipt(r).json()["destinations"][0]["lastError"]
    assert lab.csv_rows() == []
    lab.h.proc("control-tower").start()
    lab.wait_states(r, 60, csv_file="delivered")


def test_several_destinations_of_one_kind(lab):
    lab.csv()
    other = lab.h.base / "other"
    before = lab.send([{"data": {"a": 1}}])
    lab.wait_states(before, csv_file="delivered")
    lab.h.proc("pusher-csv-file", "--dir", other, "--destination", "archive", "--from", "all").start()
    r = lab.send([{"data": {"a": 1}}])
    lab.wait_states(r, csv_file="delivered", archive="delivered")
    lab.wait_states(before, csv_file="delivered", archive="delivered")  # the new one has what was there before
    assert (other / f"{TRIGGER}.csv").read_text() == lab.csv_text()


def test_wrong_options_end_with_100(lab):
    for program, args, what in (("pusher-postgres", ["--table", "no-dot"], "table"), ("pusher-postgres", ["--destination", "a b"], "destination"), ("pusher-postgres", ["--from", "old"], "from"),
                                ("pusher-csv-file", [], "dir"), ("pusher-csv-file", ["--dir", "/nonexistent/x"], "dir")):
        p = lab.h.proc(program, *args)
        p.spawn()
        assert p.p.wait(20 * SLOW) == 100, p.log()
        os.close(p.ready_fd)
        assert what in p.log()


def test_a_file_that_cannot_be_written_holds_up_no_other(lab):
    """Its rows wait, and are there once when it can be written again."""
    lab.csv()
    lab.wait_states(lab.send([{"data": {"a": 0}}]), csv_file="delivered")
    (lab.csv_dir / f"{TRIGGER}.csv").rename(lab.csv_dir / "kept")
    (lab.csv_dir / f"{TRIGGER}.csv").mkdir()
    other = trigger()
    a, b = lab.send([{"data": {"a": 1}}]), lab.send([{"data": {"a": 1}}], uuid=other)
    lab.wait_states(b, csv_file="delivered")  # another file is not held up
    wait_for(lambda: "Is a directory" in lab.receipt(a).json()["destinations"][0].get("lastError", ""), 30, "the reason")
    (lab.csv_dir / f"{TRIGGER}.csv").rmdir()
    (lab.csv_dir / "kept").rename(lab.csv_dir / f"{TRIGGER}.csv")
    lab.wait_states(a, 60, csv_file="delivered")
    assert [x["a"] for x in lab.csv_rows()] == ["0", "1"]
