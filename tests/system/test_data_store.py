"""Files on a web server become tables: whole or not at all, once, and readable while the next version comes."""
import http.server
import pathlib
import random
import threading
import urllib.parse
import uuid

import pytest

from bus import BusError
from conftest import SLOW, wait_for

UNICODE = pathlib.Path("/usr/share/unicode/UnicodeData.txt")
ZONES = pathlib.Path("/usr/share/zoneinfo/zone1970.tab")
UNICODE_COLUMNS = ("code name category combining bidi decomposition decimal_value digit numeric_value mirrored old_name "
                   "comment upper lower title").split()


class Web:
    """A server whose files, headers and failures a test sets.  GET /d/ lists what is in `files`."""

    def __init__(self):
        self.files, self.requests, self.status, self.etags, self.lock = {}, [], {}, False, threading.Lock()
        self.types = {}
        self.held = {}  # path -> (bytes sent before, event that lets the rest go)
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def answer(self, status, type, body, headers=()):
                self.send_response(status)
                self.send_header("Content-Type", type)
                self.send_header("Content-Length", str(len(body)))
                for k, v in headers:
                    self.send_header(k, v)
                self.end_headers()
                held = web.held.get(self.path)
                try:
                    if held:
                        self.wfile.write(body[:held[0]])
                        self.wfile.flush()
                        held[1].wait(60 * SLOW)
                        body = body[held[0]:]
                    self.wfile.write(body)
                except ConnectionError:  # who asked was killed
                    self.close_connection = True

            def do_GET(self):
                with web.lock:
                    web.requests.append((self.path, dict(self.headers)))
                name = self.path[len("/d/"):]
                if self.path in web.status:
                    self.answer(web.status[self.path], "text/plain", b"no")
                elif self.path == "/d/":
                    links = "".join(f'<li><a href="{n}">{n}</a></li>' for n in web.files)
                    self.answer(200, "text/html; charset=utf-8", f"<ul>{links}</ul>".encode())
                elif name in web.files:
                    body = web.files[name]
                    tag = f'"{hash(body)}"'
                    if web.etags and self.headers.get("If-None-Match") == tag:
                        self.send_response(304)
                        self.send_header("ETag", tag)
                        self.end_headers()
                        return
                    self.answer(200, web.types.get(name, "text/plain"), body, [("ETag", tag)] if web.etags else [])
                else:
                    self.answer(404, "text/html", b"<h1>not here</h1>")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def got(self, path):
        with self.lock:
            return [h for p, h in self.requests if p == path]

    def close(self):
        for _, go in self.held.values():
            go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    w = Web()
    yield w
    w.close()


class Store:
    def __init__(self, house, web):
        self.house, self.web = house, web
        house.objects = house.base / "objects"
        house.proc("data-store").start()
        self.worker = self.start_worker()
        self.bus = house.bus()
        self.bus.sub("status.>")
        self.bus.sub("dataset.loaded.>")
        self.sql = house.db()
        self.events, self.loaded = [], []

    def start_worker(self, **env):
        return self.house.proc("source-http", env={"TAXI_OBJECTS": self.house.objects, **env}).start()

    def query(self, sql, *args):
        with self.sql.cursor() as c:
            c.execute(sql, args or None)
            return c.fetchall() if c.description else None

    def drain(self):
        self.bus.pump(0.02)
        for d in self.bus.deliveries:
            (self.loaded if d.topic.startswith("dataset.") else self.events).append(d.body)
        self.bus.deliveries = []

    def send(self, spec):
        uid = str(uuid.uuid4())
        self.bus.pub("trigger.data-store.v1._.Ingest", {"uuid": uid, "apiVersion": "data-store/v1", "protocol": "Ingest",
                                                        "spec": spec}, id=uuid.UUID(uid).bytes)
        return uid

    def end(self, uid, timeout=60):
        """The terminal status of a trigger."""
        def ended():
            self.drain()
            return next((e for e in self.events if e["uuid"] == uid and e["status"] in ("succeeded", "failed", "cancelled")), None)
        return wait_for(ended, timeout, "the end of " + uid)

    def run(self, spec):
        return self.end(self.send(spec))

    def api(self, topic, **body):
        return self.bus.req("data-store." + topic, body).body

    def rows(self, schema, **args):
        """Every row of the table, by pages, and the ids with them."""
        page, out = self.api("tables.data", schema=schema, table="L0", **args), []
        while True:
            out += page["values"] if "values" in page else page["results"]
            if page["next"] is None:
                return out
            page = self.follow(page["next"])

    def follow(self, url):
        path, _, query = url.partition("?")
        assert path.startswith("/api/v1/table-data/"), url
        schema, table = path.split("/")[4:]
        args = dict(kv.split("=") for kv in query.split("&"))
        for k in ("next-id", "limit", "version"):
            args[k] = int(args[k])
        return self.api("tables.data", schema=schema, table=table, **args)

    def registry(self):
        return self.query("SELECT file_name, state::text, rows, error_message FROM operations.datafile_registry ORDER BY id")

    def idle(self):
        """Nothing is owed to the group: every trigger was acked."""
        wait_for(lambda: all(g["owed"] == 0 for g in self.bus.req("sys.groups").body["groups"] if g["group"] == "data-store.ingest"),
                 20, "the last ack")


@pytest.fixture
def store(full, web):
    return Store(full, web)


def spec(web, dataset="d", pattern="*", table=None, files=None, url=None, **format):
    s = {"organisation": "o", "dataset": dataset, "source": {"url": url or web.url + "/d/", "format": {"type": "csv", **format}}}
    if pattern and not url:
        s["source"]["pattern"] = pattern
    if files:
        s["source"]["files"] = files
    if table:
        s["table"] = table
    return s


def unicode_spec(web):
    columns = [{"name": n, "type": "integer"} if n == "combining" else {"name": n} for n in UNICODE_COLUMNS]
    return {"organisation": "unicode", "dataset": "data", "source": {
        "url": web.url + "/d/", "pattern": "Unicode*.txt", "format": {"delimiter": ";", "columns": columns}}}


def test_real_files_row_for_row(store, web):
    web.files["UnicodeData.txt"] = UNICODE.read_bytes()
    end = store.run(unicode_spec(web))
    lines = UNICODE.read_text().splitlines()
    assert end["status"] == "succeeded" and end["detail"]["rows"] == len(lines), end
    assert end["by"] == "source-http"
    rows = store.rows("unicode.data", limit=5000)
    assert [r[0] for r in rows] == list(range(1, len(lines) + 1))
    for row, line in zip(rows, lines):
        want = [f or None for f in line.split(";")]
        want[3] = int(want[3])
        assert row[1:] == want
    first = store.loaded[0]
    assert (first["schema"], first["table"], first["file"], first["rows"], first["version"]) == (
        "unicode.data", "L0", "UnicodeData.txt", len(lines), 1)

    # Comments, a header that is one, and a last column that is often not there.
    web.files["zone1970.tab"] = ZONES.read_bytes()
    zones = {"organisation": "tz", "dataset": "zone_1970", "source": {
        "url": web.url + "/d/zone1970.tab", "format": {"type": "tsv", "header": False, "comment": "#", "short_rows": "pad",
                                                      "columns": [{"name": n} for n in ("codes", "place", "zone", "note")]}}}
    assert store.run(zones)["status"] == "succeeded"
    want = [(line.split("\t") + [None])[:4] for line in ZONES.read_text().splitlines() if not line.startswith("#")]
    assert [r[1:] for r in store.rows("tz.zone_1970")] == want
    store.idle()


def test_once(store, web):
    """The same content is loaded once, whatever the server says of it."""
    web.files["a.csv"] = b"x\n1\n"
    assert store.run(spec(web))["detail"] == {"files": 1, "unchanged": 0, "ignored": 0, "rows": 1, "version": 1}
    assert store.run(spec(web))["detail"] == {"files": 0, "unchanged": 1, "ignored": 0, "rows": 0, "version": 1}
    web.etags = True
    store.run(spec(web))
    store.run(spec(web))
    assert "If-None-Match" in web.got("/d/a.csv")[-1]
    assert store.registry() == [("a.csv", "processed", 1, None)]
    assert [e["version"] for e in store.loaded] == [1]
    # The same trigger again, as a redelivery would bring it.
    uid = store.send(spec(web))
    assert store.end(uid)["status"] == "succeeded"
    assert store.query("SELECT count(*) FROM operations.dataset_versions") == [(1,)]
    # A content seen before, after another one.
    web.files["a.csv"] = b"x\n2\n"
    store.run(spec(web))
    web.files["a.csv"] = b"x\n1\n"
    assert store.run(spec(web))["detail"]["version"] == 3
    assert store.rows("o.d") == [[1, "1"]]
    assert len(list(pathlib.Path(store.house.objects).glob("??/*"))) == 2
    store.idle()


def test_many_files(store, web):
    """A table holds the current rows of every file, in order, with ids without gaps."""
    web.files.update({"b.csv": b"k,v\nb1,1\nb2,2\n", "a.csv": b"k,v\na1,\n", "c.txt": b"no"})
    end = store.run(spec(web, pattern="*.csv", columns=[{"name": "v", "type": "integer"}]))
    assert end["detail"]["files"] == 2
    assert store.rows("o.d") == [[1, "a1", None], [2, "b1", 1], [3, "b2", 2]]
    web.files["a.csv"] = b"k,v\na2,7\na3,8\n"
    web.files["0.csv"] = b"k,v\nz,0\n"
    end = store.run(spec(web, pattern="*.csv", columns=[{"name": "v", "type": "integer"}]))
    assert (end["detail"]["files"], end["detail"]["unchanged"]) == (2, 1)
    assert store.rows("o.d") == [[1, "b1", 1], [2, "b2", 2], [3, "z", 0], [4, "a2", 7], [5, "a3", 8]]
    assert store.query('SELECT datafile_created FROM "o.d"."L0" ORDER BY id') == [("b.csv",), ("b.csv",), ("0.csv",), ("a.csv",), ("a.csv",)]
    # Another format: everything is read anew, what is no longer listed too.
    del web.files["b.csv"]
    end = store.run(spec(web, pattern="*.csv"))
    assert store.rows("o.d") == [[1, "b1", "1"], [2, "b2", "2"], [3, "z", "0"], [4, "a2", "7"], [5, "a3", "8"]]
    assert store.api("tables.structure", schema="o.d", table="L0") == {"columns": [
        {"name": "id", "type": "BIGINT"}, {"name": "k", "type": "TEXT"}, {"name": "v", "type": "TEXT"}]}
    # Only the newest.
    end = store.run(spec(web, pattern="*.csv", files="last"))
    assert store.rows("o.d") == [[1, "a2", "7"], [2, "a3", "8"]]
    # Other columns beside rows that have none of them.
    web.files["d.csv"] = b"k,w\nd,1\n"
    end = store.run(spec(web, pattern="[ad].csv".replace("[ad]", "?")))
    assert end["status"] == "failed" and "d.csv: the header has" in end["detail"]["error"], end
    store.idle()


@pytest.mark.parametrize("content, format, why", [
    (b"k,v\na,1\nb,x\n", {"columns": [{"name": "v", "type": "integer"}]}, 'a.csv: line 3, column v: invalid input syntax for type bigint: "x"'),
    (b"#\n#\nk,v\n#\na,1\n\n#\nb,x\n", {"comment": "#", "columns": [{"name": "v", "type": "integer"}]},
     'a.csv: line 8, column v: invalid input syntax for type bigint: "x"'),
    (b"k,v\na,1\nb\n", {}, "a.csv: line 3: 1 fields where 2 are expected"),
    (b"k,v\na,\"1\nb,2\n", {}, "a.csv: line 2: a quote is opened and never closed"),
    (b"k,id\na,1\n", {}, 'a.csv: "id" is a reserved column name: rename that column in the data file'),
    (b"K,v\na,1\n", {}, 'a.csv: "K" cannot name a column'),
    (b"k,v\n", {}, "a.csv: no data found"),
    (b"", {}, "a.csv: no header found"),
    (b"k,v\n\xff,1\n", {}, "a.csv: line 2: invalid byte sequence for encoding"),
    (b"k,v\n" + b"a,1\n" * 200000 + b"a,b,c\n", {}, "a.csv: line 200002: 3 fields where 2 are expected"),
], ids=["type", "comments", "short", "quote", "reserved", "capital", "no-rows", "empty", "encoding", "late"])
def test_bad_rows(store, web, content, format, why):
    """The old version stays whole; the registry and the status say where and why."""
    web.files["a.csv"] = b"k,v\nold,1\n"
    assert store.run(spec(web, **format))["status"] == "succeeded"
    web.files["a.csv"] = content
    end = store.run(spec(web, **format))
    assert end["status"] == "failed" and end["detail"]["error"].startswith(why), end
    assert [r[1:] for r in store.rows("o.d")] in ([["old", "1"]], [["old", 1]])
    assert store.registry()[-1][1] == "failed" and store.registry()[-1][3].startswith(why)
    assert store.query("SELECT version, owner FROM operations.datasets") == [(1, None)]
    assert store.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'o.d'") == [(1,)]
    # Put right, it loads.
    web.files["a.csv"] = b"k,v\nnew,2\n"
    assert store.run(spec(web, **format))["detail"]["version"] == 2
    store.idle()


def test_bad_sources(store, web):
    web.files["a.csv"] = b"k\n1\n"
    for s, why in [
        (spec(web, url=web.url + "/d/nope.csv"), "nope.csv: the server answered 404"),
        (spec(web, url=web.url + "/nope/"), "the address names no file: to load files it lists, give source.pattern"),
        (spec(web, pattern="*.xml"), "the source lists no file that matches *.xml"),
        ({"organisation": "o"}, None),
    ]:
        end = store.run(s)
        assert end["status"] == "failed"
        if why:
            assert end["detail"]["error"] == why
        else:
            assert {e["pointer"] for e in end["detail"]["errors"]} == {"/spec/dataset", "/spec/source"}
    assert store.registry() == [("nope.csv", "failed", None, "the server answered 404")]
    web.files["nope.csv"] = b"k\n1\n"
    assert store.run(spec(web, url=web.url + "/d/nope.csv"))["status"] == "succeeded"
    assert store.registry() == [("nope.csv", "processed", 1, None)]
    # An error page that is called 200 is no data.
    web.files["b.csv"], web.types["b.csv"] = b"k,v\n1,2\n", "text/html; charset=utf-8"
    end = store.run(spec(web, url=web.url + "/d/b.csv"))
    assert end["detail"]["error"] == "b.csv: the server answered a page of HTML instead of the file"
    del web.files["b.csv"]
    # A server that is away for a moment is asked again.
    web.status["/d/"] = 503
    uid = store.send(spec(web))
    wait_for(lambda: len(web.got("/d/")) >= 2, 30, "the first attempt")
    del web.status["/d/"]
    assert store.end(uid)["status"] == "succeeded"
    store.idle()


def test_readers_see_one_version(store, web):
    """A walk goes on in the version it began in for one swap, and is told when that is gone."""
    web.files["a.csv"] = b"v\n" + b"".join(b"%d\n" % i for i in range(10))
    store.run(spec(web))
    first = store.api("tables.data", schema="o.d", table="L0", limit=4)
    assert first["values"] == [[1, "0"], [2, "1"], [3, "2"], [4, "3"]]
    web.files["a.csv"] = b"v\nx\n"
    store.run(spec(web))
    assert store.rows("o.d") == [[1, "x"]]
    second = store.follow(first["next"])
    assert second["values"] == [[5, "4"], [6, "5"], [7, "6"], [8, "7"]]
    web.files["a.csv"] = b"v\ny\n"
    store.run(spec(web))
    from bus import BusError
    with pytest.raises(BusError) as e:
        store.follow(second["next"])
    assert e.value.code == "GONE"
    for args, pointer in [({"next-id": -1}, "/next-id"), ({"next-id": "1"}, "/next-id"), ({"limit": 0}, "/limit"),
                          ({"limit": 10001}, "/limit"), ({"orientation": "x"}, "/orientation")]:
        with pytest.raises(BusError) as e:
            store.api("tables.data", schema="o.d", table="L0", **args)
        assert e.value.code == "INVALID" and e.value.detail["errors"][0]["pointer"] == pointer
    for schema, table in [("o.d", "L1"), ("o.d", "L0__v3"), ("pg_catalog", "pg_class"), ("operations", "datasets"),
                          ("public.x", "L0"), ("o.d", 'L0"; drop')]:
        with pytest.raises(BusError) as e:
            store.api("tables.data", schema=schema, table=table)
        assert e.value.code == "NOT_FOUND"
    store.idle()


def test_values(store, web):
    """Numbers exact, times as in ISO 8601, nulls null; records keep the order of the columns."""
    types = {"t": "text", "i": "bigint", "n": "numeric", "f": "double", "b": "boolean", "d": "date", "ts": "timestamp",
             "tz": "timestamptz", "u": "uuid"}
    web.files["a.csv"] = (b"t,i,n,f,b,d,ts,tz,u\n"
                          b"\"a,\"\"b\"\"\n\",9223372036854775807,0.10,0.1,true,2026-11-21,2026-11-21 07:39:44.5,"
                          b"2026-11-21T09:39:44+02:00,01890a5d-ac96-774b-bcce-b302099a8057\n"
                          b",,,,,,,,\n\"\",-1,NaN,Infinity,f,1,,infinity,\n".replace(b",f,1,", b",f,2000-01-01,"))
    end = store.run(spec(web, columns=[{"name": k, "type": v} for k, v in types.items()]))
    assert end["status"] == "succeeded", end
    rows = store.rows("o.d", orientation="records")
    assert list(rows[0]) == ["id", *types]
    assert rows[0] == {"id": 1, "t": 'a,"b"\n', "i": 9223372036854775807, "n": "0.10", "f": 0.1, "b": True, "d": "2026-11-21",
                       "ts": "2026-11-21T07:39:44.5", "tz": "2026-11-21T07:39:44Z", "u": "01890a5d-ac96-774b-bcce-b302099a8057"}
    assert rows[1] == {"id": 2, **dict.fromkeys(types)}
    assert (rows[2]["t"], rows[2]["i"], rows[2]["n"], rows[2]["f"], rows[2]["b"]) == ("", -1, "NaN", None, False)
    assert store.rows("o.d", orientation="records", **{"next-id": 3}) == rows[2:]
    store.idle()


def test_nothing_ends_a_copy_early(store, web):
    """Two bytes on a line of their own are the end of the data to COPY, but not in a file."""
    web.files["a.csv"] = b'v,w\n"x\n\\.\ny",1\n\\.,2\n'
    web.files["b.csv"] = b"v\na\n\\.\nb\n"
    store.run(spec(web, pattern="a.csv"))
    assert store.rows("o.d") == [[1, "x\n\\.\ny", "1"], [2, "\\.", "2"]]
    store.run(spec(web, dataset="e", pattern="b.csv"))
    assert store.rows("o.e") == [[1, "a"], [2, "\\."], [3, "b"]]
    store.run(spec(web, dataset="f", pattern="b.csv", quote=None))
    assert store.rows("o.f") == [[1, "a"], [2, "\\."], [3, "b"]]
    store.idle()


def test_lists(store, web):
    for i in range(3):
        web.files[f"{i}.csv"] = b"v\n%d\n" % i
        store.run(spec(web, dataset=f"d{i}", pattern=f"{i}.csv"))
    page = store.api("datafiles.list", limit=2)
    assert [f["fileName"] for f in page["items"]] == ["2.csv", "1.csv"]
    assert len(page["items"][0]["sha256"]) == 64 and page["items"][0]["rows"] == 1
    page = store.api("datafiles.list", limit=2, cursor=page["next"])
    assert [f["fileName"] for f in page["items"]] == ["0.csv"] and page["next"] is None
    assert [f["fileName"] for f in store.api("datafiles.list", source="o.d1.L0")["items"]] == ["1.csv"]
    assert store.api("datafiles.list", state="failed") == {"items": [], "next": None}
    with pytest.raises(BusError) as e:
        store.api("datafiles.list", state="foo", limit=0)
    assert e.value.code == "INVALID" and {f["pointer"]: f["detail"] for f in e.value.detail["errors"]}["/state"] == (
        "expected processing, failed, processed or ignored")
    assert len(e.value.detail["errors"]) == 2
    with pytest.raises(BusError) as e:
        store.api("tables.data", schema="o.d0", table="L0", version=77)
    assert e.value.code == "GONE" and "is not there (any more)" in str(e.value)
    page = store.api("datasets.list", limit=2)
    assert [d["schema"] for d in page["items"]] == ["o.d0", "o.d1"]
    assert [d["schema"] for d in store.api("datasets.list", limit=2, cursor=page["next"])["items"]] == ["o.d2"]
    store.idle()


def hold(web, name, before):
    go = threading.Event()
    web.held["/d/" + name] = (before, go)
    return go


def test_killed_while_it_fetches(store, web):
    web.files["a.csv"] = b"v\n" + b"1\n" * 100000
    go = hold(web, "a.csv", 1000)
    uid = store.send(spec(web))
    wait_for(lambda: web.got("/d/a.csv"), 20, "the fetch")
    store.worker.kill9()
    web.held.clear()
    go.set()
    store.start_worker()
    assert store.end(uid)["detail"]["rows"] == 100000
    assert store.query('SELECT count(*), max(id) FROM "o.d"."L0"') == [(100000, 100000)]
    assert [e["version"] for e in store.loaded] == [1]
    store.idle()


def test_killed_while_it_loads(store, web):
    """A lock stops the load in the middle of its transaction, where the worker is killed."""
    web.files["a.csv"] = b"v\nold\n"
    store.run(spec(web))
    web.files["a.csv"] = b"v\n" + b"1\n" * 1000
    with store.sql.cursor() as c:
        c.execute("SELECT pg_advisory_lock(hashtextextended('operations.datasets', id)) FROM operations.datasets")
    uid = store.send(spec(web))
    wait_for(lambda: store.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"), 20, "the load")
    assert store.rows("o.d") == [[1, "old"]]
    store.worker.kill9()
    store.query("SELECT pg_advisory_unlock_all()")
    store.start_worker()
    assert store.end(uid)["status"] == "succeeded"
    assert len(store.rows("o.d")) == 1000
    assert store.query("SELECT version, owner FROM operations.datasets") == [(2, None)]
    assert {s for _, s, _, _ in store.registry()} == {"processed"}
    store.idle()


def test_killed_anywhere(store, web):
    """Twelve kills at random moments: the table is one file or the next at any time, and every trigger ends."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    r = random.Random(seed)
    contents = {}
    uids = []
    for i in range(12):
        n = r.randrange(1, 60000)
        web.files["a.csv"] = b"v\n" + b"%d\n" % i * n
        contents[str(i)] = n
        uids.append(store.send(spec(web)))
        threading.Event().wait(r.random() * 0.15)
        rows = store.query('SELECT v, count(*), min(id), max(id) FROM "o.d"."L0" GROUP BY v') if store.query(
            "SELECT 1 FROM operations.datasets WHERE version > 0") else []
        assert all((c, lo, hi) == (contents[v], 1, contents[v]) for v, c, lo, hi in rows) and len(rows) <= 1
        store.worker.kill9()
        store.worker = store.start_worker()
    assert {store.end(u, 180)["status"] for u in uids} == {"succeeded"}
    assert store.query('SELECT v, count(*), max(id) FROM "o.d"."L0" GROUP BY v') == [("11", contents["11"], contents["11"])]
    # A run that is delivered once more after its end takes the lease for a moment to find nothing to do.
    wait_for(lambda: store.query("SELECT owner FROM operations.datasets")[0][0] is None, 60, "the lease to be given back")
    (version,), = store.query("SELECT version FROM operations.datasets")
    wait_for(lambda: store.drain() or len(store.loaded) >= version, 20, "the last dataset.loaded")
    assert sorted(e["version"] for e in store.loaded) == list(range(1, version + 1))
    assert {(s, w) for _, s, _, w in store.registry()} <= {("processed", None), ("failed", "not loaded, as its run was lost")}
    assert store.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'o.d'")[0][0] <= 2
    store.idle()


def test_two_runs_of_one_dataset(store, web):
    """They do not collide: one waits, and finds nothing left to do."""
    store.start_worker()
    web.files["a.csv"] = b"v\n" + b"1\n" * 1000
    go = hold(web, "a.csv", 1000)
    uids = [store.send(spec(web)) for _ in range(4)]
    wait_for(lambda: web.got("/d/a.csv"), 20, "the fetch")
    web.held.clear()
    go.set()
    ends = [store.end(u, 120) for u in uids]
    assert {e["status"] for e in ends} == {"succeeded"}
    assert sorted(e["detail"]["files"] for e in ends) == [0, 0, 0, 1]
    assert [e["version"] for e in store.loaded] == [1]
    store.idle()


def test_cancel(store, web):
    web.files["a.csv"] = b"v\n1\n"
    go = hold(web, "a.csv", 1)
    uid = store.send(spec(web))
    wait_for(lambda: web.got("/d/a.csv"), 20, "the fetch")
    store.bus.pub("cancel." + uid, {"uuid": uid, "by": "test", "at": "2026-11-21T00:00:00.000Z"})
    assert store.end(uid)["status"] == "cancelled"
    go.set()
    store.idle()


def test_drain_hands_back(store, web):
    web.files["a.csv"] = b"v\n1\n"
    go = hold(web, "a.csv", 1)
    uid = store.send(spec(web))
    wait_for(lambda: web.got("/d/a.csv"), 20, "the fetch")
    assert store.worker.stop() == 0
    web.held.clear()
    go.set()
    store.start_worker()
    assert store.end(uid)["status"] == "succeeded"
    assert store.query("SELECT owner FROM operations.datasets") == [(None,)]
    store.idle()


def test_postgres_killed_while_it_loads(store, web, pg):
    web.files["a.csv"] = b"v\n" + b"1\n" * 2000000
    uid = store.send(spec(web))
    wait_for(lambda: store.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()"),
             30, "the COPY", 0.005)
    pg.kill9()
    pg.start()
    store.sql = store.house.db()
    assert store.end(uid, 120)["detail"]["rows"] == 2000000
    assert store.query('SELECT count(*), max(id) FROM "o.d"."L0"') == [(2000000, 2000000)]
    store.idle()


def test_big_file_in_little_memory(store, web):
    """The worker's memory does not grow with the file, and it answers the bus meanwhile."""
    line = b"x" * 99 + b"\n"
    web.files["a.csv"] = b"v\n" + line * 1000000
    assert store.end(store.send(spec(web)), 180)["detail"]["rows"] == 1000000
    text = pathlib.Path(f"/proc/{store.worker.p.pid}/status").read_text()
    peak = int(next(v for v in text.splitlines() if v.startswith("VmHWM")).split()[1])
    assert peak < 64 << 10, f"{peak} KiB for a file of 100 MB"
    store.idle()


def test_hostile_server(store, web):
    """Names that would leave the folder, names that would leave their quotes, a file that is too long."""
    web.files.update({"..%2f..%2fx.csv": b"v\n1\n", "a.csv": b"v\n1\n", "%5c.csv": b"v\n1\n"})
    assert store.run(spec(web))["detail"]["files"] == 1
    assert [r[0] for r in store.registry()] == ["a.csv"]
    name = "it's \"so\" {,} NULL %s $1 ü.csv"
    web.files = {urllib.parse.quote(name): b"v\n1\n"}
    assert store.run(spec(web, dataset="e"))["detail"]["files"] == 1
    assert store.query('SELECT datafile_created FROM "o.e"."L0"') == [(name,)]
    web.files["b.csv"] = b"v\n2\n"
    assert store.run(spec(web, dataset="e"))["detail"]["unchanged"] == 1
    assert store.query('SELECT id, datafile_created FROM "o.e"."L0"') == [(1, name), (2, "b.csv")]
    store.worker.stop()
    store.worker = store.start_worker(PLUGIN_HTTP_MAX_FILE="100")
    web.files = {"b.csv": b"v\n" + b"1\n" * 100}
    end = store.run(spec(web, dataset="f"))
    assert end["status"] == "failed" and end["detail"]["error"] == "b.csv: the body is larger than 100 bytes"
    store.idle()


def test_over_http(store, web):
    """The predecessor's paths, with and without their last slash; next is followed as it is."""
    h = store.house
    h.edge()
    wait_for(lambda: h.http("GET", "/api/v1/datasets").status == 200, 20, "the routes of the data store")
    web.files["a.csv"] = b"k,v\n" + b"".join(b"k%d,%d\n" % (i, i) for i in range(25))
    store.run(spec(web, columns=[{"name": "v", "type": "integer"}]))
    assert h.http("GET", "/api/v1/table-structure/o.d/L0").json() == {"columns": [
        {"name": "id", "type": "BIGINT"}, {"name": "k", "type": "TEXT"}, {"name": "v", "type": "BIGINT"}]}
    assert h.http("GET", "/api/v1/table-structure/o.d/L0/").status == 200
    for orientation, key in (("tabular", "values"), ("records", "results")):
        url, rows = f"/api/v1/table-data/o.d/L0/?orientation={orientation}&limit=10", []
        while url:
            r = h.http("GET", url)
            assert r.status == 200, r.body
            page = r.json()
            rows += page[key]
            url = page["next"]
            assert r.headers.get("link") == (f'<{url}>; rel="next"' if url else None)
        want = [[i + 1, f"k{i}", i] for i in range(25)]
        assert rows == (want if orientation == "tabular" else [dict(zip(("id", "k", "v"), w)) for w in want])
    for path, status in (("o.d/L0?limit=0", 422), ("o.d/L0?limit=x", 422), ("o.d/L0?next-id=x", 422), ("o.d/L9", 404),
                         ("o.x/L0", 404), ("o.d/L0?version=9", 410)):
        r = h.http("GET", "/api/v1/table-data/" + path)
        assert r.status == status and r.headers["content-type"] == "application/problem+json", (path, r.status, r.body)
    files = h.http("GET", "/api/v1/datafiles?state=processed").json()["items"]
    assert [(f["fileName"], f["rows"], f["url"]) for f in files] == [("a.csv", 25, web.url + "/d/a.csv")]
    assert h.http("GET", "/api/v1/datasets").json()["items"][0]["rows"] == 25
    store.idle()


def test_as_a_trigger(store, web):
    """Asked for over HTTP, and followed by its uuid."""
    h = store.house
    h.proc("control-tower").start()
    h.edge()
    wait_for(lambda: h.http("GET", "/triggers").status == 200, 20, "the routes of the control tower")
    web.files["a.csv"] = b"v\n1\n"
    for s, status in ((spec(web), "succeeded"), ({"organisation": "o"}, "failed")):
        r = h.http("POST", "/triggers", {"apiVersion": "data-store/v1", "protocol": "Ingest", "spec": s})
        assert r.status == 202, r.body
        where = r.headers["location"]
        t = wait_for(lambda: (t := h.http("GET", where).json())["status"] == status and t, 30, status)
        assert [e["status"] for e in t["events"]][-1] == status
        detail = t["events"][-1]["detail"]
        assert detail["rows"] == 1 if status == "succeeded" else detail["errors"][0]["pointer"].startswith("/spec/"), detail
    store.idle()
