"""The edge with a broker and workers that bring their own endpoints."""
import concurrent.futures
import contextlib
import gzip
import json
import os
import re
import select
import socket
import struct
import threading
import uuid

import pytest

from bus import Bus, BusError
from conftest import SLOW, wait_for

JSON = {"Content-Type": "application/json"}


def op(topic, **kw):
    """One operation of an announcement."""
    way = {"topic": topic, **{k: kw.pop(k) for k in ("ttl", "again", "stream", "safe") if k in kw}}
    return {"x-taxiway": way, **kw}


def param(name, where, **schema):
    p = {"name": name, "in": where, "schema": {k: v for k, v in schema.items() if k != "required"}}
    if schema.get("required") or where == "path":
        p["required"] = True
    return p


API = {"paths": {
    "/echo": {"post": op("echo.post", parameters=[{"name": "Idempotency-Key", "in": "header"}],
                         requestBody={"required": True, "content": {"application/json": {}}}, responses={"201": {}})},
    "/echo/{n}": {"get": op("echo.get", parameters=[param("n", "path", type="integer"), param("q", "query"),
                                                    param("limit", "query", type="integer", default=10),
                                                    param("flag", "query", type="boolean")])},
    "/must": {"get": op("echo.get", parameters=[param("since", "query", type="number", required=True)])},
    "/slow": {"get": op("echo.slow", ttl=300)},
    "/held": {"get": op("echo.held", ttl=60000)},
    "/lines/{to}": {"post": op("echo.lines", stream=True, parameters=[param("to", "path"), {"name": "Idempotency-Key", "in": "header"}],
                               requestBody={"content": {"application/x-ndjson": {}}}, responses={"202": {}})},
    "/parts": {"get": op("echo.parts")},
    "/bytes": {"put": op("echo.bytes", requestBody={"content": {"image/*": {}}}), "get": op("echo.csv")},
    "/fail/{code}": {"get": op("echo.fail", parameters=[param("code", "path")])},
    "/big": {"get": op("echo.big")},
}}


class Worker(threading.Thread):
    """Serves patterns on a bus of its own; handlers get (bus, delivery)."""

    def __init__(self, house, name, patterns, api=None, version="1.0.0", **handlers):
        super().__init__(daemon=True)
        self.endpoint, self.worker, self.patterns, self.handlers = house.bus_endpoint, name, patterns, handlers
        self.desc = {"name": name, "version": version, **({"api": api} if api else {})}
        self.seen, self.error = [], None
        self.up, self.end = threading.Event(), threading.Event()

    def run(self):
        bus = Bus(self.endpoint, timeout=20 * SLOW)
        try:
            for p in self.patterns:
                bus.sub(p, self.desc, serve=True, credit=64)
            self.up.set()
            while not self.end.is_set():
                bus.pump(0.02)
                while bus.deliveries:
                    d = bus.deliveries.pop(0)
                    self.seen.append(d)
                    self.handlers[d.topic.replace(".", "_")](bus, d)
        except Exception as e:  # shown by stop()
            self.error = e
        finally:
            try:
                bus.call("BYE", "", timeout=2)
            except (BusError, TimeoutError):
                pass
            bus.close()

    def __enter__(self):
        self.start()
        assert self.up.wait(20 * SLOW), self.error
        return self

    def __exit__(self, *_):
        self.end.set()
        self.join(20 * SLOW)
        assert self.error is None, self.error


def echo_parts(bus, d):
    import msgpack
    import taxiwire
    for i in range(3):
        bus.sock.send(taxiwire.encode("REP", d.topic, d.head_id, {"more": True, "part": i, "type": "text/csv", "status": 200},
                                      msgpack.packb(b"row,%d\n" % i)))
    bus.reply(d, b"row,last\n", part=3)


def echo_fail(bus, d):
    code = d.body["code"]
    bus.fail(d, code, {"detail": "as asked", "errors": [{"pointer": "/x", "detail": "no"}], "extra": 1})


HANDLERS = dict(
    echo_post=lambda bus, d: bus.reply(d, d.body, headers={"Location": "/echo/1", "X-Who": "echo"}),
    echo_get=lambda bus, d: bus.reply(d, d.body),
    echo_slow=lambda bus, d: None,
    echo_held=lambda bus, d: None,
    echo_lines=lambda bus, d: bus.reply(d, {"to": d.body["to"], "chunks": -1, "n": len(d.body["lines"])}, status=202),
    echo_parts=echo_parts,
    echo_bytes=lambda bus, d: bus.reply(d, {"n": len(d.body), "bin": isinstance(d.body, bytes)}),
    echo_csv=lambda bus, d: bus.reply(d, b"a,b\n1,2\n", type="text/csv"),
    echo_fail=echo_fail,
    echo_big=lambda bus, d: bus.reply(d, {"rows": ["x" * 100] * 20000}),
)


def echo(house, **kw):
    return Worker(house, kw.pop("name", "echo"), kw.pop("patterns", ["echo.>"]), kw.pop("api", API), **{**HANDLERS, **kw})


def routed(house, path, status=200, method="GET", **kw):
    return wait_for(lambda: (r := house.http(method, path, **kw)).status == status and r, what=f"{path} to be {status}")


@pytest.fixture
def edge(house):
    house.broker()
    house.edge()
    return house


def test_nothing_is_routed_then_something(edge):
    assert edge.http("GET", "/readyz").status == 200
    r = edge.http("GET", "/echo/1")
    assert r.status == 404 and r.json()["code"] == "NOT_FOUND"
    with echo(edge) as w:
        r = routed(edge, "/echo/1")
        assert r.json() == {"n": 1, "limit": 10} and r.body.endswith(b"}\n")
        assert uuid.UUID(bytes=w.seen[-1].id) == uuid.UUID(r.headers["x-request-id"])
        assert w.seen[-1].meta["root"] == w.seen[-1].id and w.seen[-1].meta["trace"] == r.headers["traceparent"]
        assert w.seen[-1].meta["again"] in (True, 1)
        doc = edge.http("GET", "/openapi.json").json()
        assert doc["openapi"] == "3.1.0" and "/echo/{n}" in doc["paths"] and "/bus/publish/{topic}" in doc["paths"]
        assert list(doc["paths"]) == sorted(doc["paths"])
        assert edge.http("DELETE", "/echo/1").status == 405
    # its workers are gone: known, and not served
    r = routed(edge, "/echo/1", 503)
    assert r.json()["code"] == "NO_WORKERS" and "retry-after" in r.headers
    edge.the_edge.stop()
    edge.edge()  # an edge that never saw them knows the path by its claim
    r = edge.http("GET", "/echo/1")
    assert r.status == 503 and r.json()["code"] == "NO_WORKERS"
    assert edge.http("GET", "/echo/1/2").status == 404


def test_parameters_and_bodies(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        r = edge.http("GET", "/echo/9007199254740993?q=a%20b%2Bc+d&limit=3&flag=true&else=1")
        assert r.json() == {"n": 9007199254740993, "q": "a b+c d", "limit": 3, "flag": True}
        r = edge.http("GET", "/echo/x?limit=1.5&flag=yes")
        assert r.status == 422 and r.json()["code"] == "INVALID"
        assert {e["pointer"] for e in r.json()["errors"]} == {"/n", "/limit", "/flag"}
        r = edge.http("GET", "/must")
        assert r.status == 422 and r.json()["errors"][0]["pointer"] == "/since"
        assert edge.http("GET", "/must?since=1.0").body == b'{"since":1.0}\n'
        text = b'{"z":1,"a":[1.0,9007199254740993,-1,"\\u00e9"],"m":{"b":null,"a":true}}'
        r = edge.http("POST", "/echo", text, JSON)
        assert r.status == 201 and r.body == '{"z":1,"a":[1.0,9007199254740993,-1,"é"],"m":{"b":null,"a":true}}\n'.encode()
        assert r.headers["location"] == "/echo/1" and r.headers["x-who"] == "echo"
        r = edge.http("POST", "/echo", gzip.compress(text), {**JSON, "Content-Encoding": "gzip"})
        assert r.status == 201
        assert edge.http("POST", "/echo", None, JSON).status == 400
        assert edge.http("PUT", "/bytes", b"\x89PNG\x00", {"Content-Type": "image/png"}).json() == {"n": 5, "bin": True}
        assert edge.http("PUT", "/bytes", b"{}", JSON).status == 415
        r = edge.http("GET", "/bytes")
        assert r.headers["content-type"] == "text/csv" and r.body == b"a,b\n1,2\n"
        r = edge.http("HEAD", "/echo/1")
        assert r.status == 200 and r.body == b""
        r = edge.http("GET", "/big", headers={"Accept-Encoding": "gzip"})
        assert r.headers["content-encoding"] == "gzip" and len(json.loads(gzip.decompress(r.body))["rows"]) == 20000
        assert len(edge.http("GET", "/big").json()["rows"]) == 20000


def test_errors_of_services(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        for code, status in (("INVALID", 422), ("NOT_FOUND", 404), ("CONFLICT", 409), ("QUOTA", 429), ("UPSTREAM", 502), ("DENIED", 403),
                             ("INTERNAL", 500), ("GONE", 410)):
            r = edge.http("GET", f"/fail/{code}")
            p = r.json()
            assert r.status == status == p["status"] and p["code"] == code, p
            assert p["detail"] == "as asked" and p["errors"] == [{"pointer": "/x", "detail": "no"}] and p["extra"] == 1
            assert ("retry-after" in r.headers) == (code == "QUOTA")
        r = edge.http("GET", "/slow")
        assert r.status == 504 and r.json()["code"] == "TIMEOUT" and r.json()["retry"] == "uncertain"


def test_idempotency_key(edge):
    with echo(edge) as w:
        routed(edge, "/echo/1")
        w.seen.clear()
        for key, body in (("k", b'{"a":1}'), ("k", b'{"a":1}'), ("k", b'{"a":2}'), ("l", b'{"a":1}')):
            assert edge.http("POST", "/echo", body, {**JSON, "Idempotency-Key": key}).status == 201
        a, b, c, d = w.seen
        assert a.id == b.id == c.id != d.id and a.id[6] >> 4 == 8
        assert a.meta["dig"] == b.meta["dig"] != c.meta["dig"] and len(a.meta["dig"]) == 32
        assert a.meta["root"] != a.id


def test_publish(edge):
    bus = edge.bus()
    bus.sub("a.>", group="g", credit=10)
    r = edge.http("POST", "/bus/publish/a.b", {"x": 1}, {"X-Order-Key": "o"})
    assert r.status == 202
    p = r.json()
    assert p["seq"] >= 1 and p["groups"] == 1
    d = bus.recv()
    assert d.topic == "a.b" and d.body == {"x": 1} and d.uuid == p["id"] and d.meta["key"] == "o" and d.head["seq"] == p["seq"]
    bus.ack(d)
    key = {"Idempotency-Key": "once"}
    first = edge.http("POST", "/bus/publish/a.c", {"x": 1}, key)
    again = edge.http("POST", "/bus/publish/a.c", {"x": 1}, key)
    other = edge.http("POST", "/bus/publish/a.c", {"x": 2}, key)
    assert first.status == again.status == 202 and first.json() == again.json()
    assert other.status == 422 and other.json()["code"] == "CONFLICT"
    r = edge.http("POST", "/bus/publish/live.x", {"x": 1})
    assert r.status == 200 and set(r.json()) == {"id"}
    assert edge.http("POST", "/bus/publish/sys.x", {}).status == 403
    assert edge.http("POST", "/bus/publish/a..b", {}).status == 400
    assert edge.http("POST", "/bus/publish/a.%3E", {}).status == 400


def test_request(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        assert edge.http("POST", "/bus/request/echo.get", {"any": [1, 2.0]}).json() == {"any": [1, 2.0]}
        r = edge.http("POST", "/bus/request/echo.slow?ttl=100", {})
        assert r.status == 504
        assert edge.http("POST", "/bus/request/echo.slow?ttl=0", {}).status == 422
        assert edge.http("POST", "/bus/request/echo.slow?ttl=x", {}).status == 422
        r = edge.http("POST", "/bus/request/nobody.here", {})
        assert r.status == 503 and r.json()["code"] == "NO_WORKERS"
        for t in ("sys.services", "sys.stats", "sys.groups", "sys.peers", "sys.ping.edge-http", "sys.info.edge-http", "sys.stats.edge-http"):
            assert edge.http("POST", f"/bus/request/{t}", {}).status == 200, t
        for t in ("sys.groups.set", "sys.groups.delete", "sys.claim", "sys.claim.forget", "sys.dead.drop", "sys.drain", "sys"):
            assert edge.http("POST", f"/bus/request/{t}", {}).status == 403, t


def test_lines(edge):
    with echo(edge) as w:
        routed(edge, "/echo/1")
        nd = {"Content-Type": "application/x-ndjson"}
        w.seen.clear()
        body = b"".join(b'{"i":%d}\n' % i for i in range(10000))
        r = edge.http("POST", "/lines/there", body, nd)
        assert r.status == 202, r.body
        assert r.json() == {"to": "there", "n": 10000 - 2 * 4096, "chunks": 3, "lines": 10000}
        got = [d.body for d in w.seen]
        assert [(len(b["lines"]), b["chunk"], b["last"], b["to"]) for b in got] == [
            (4096, 0, False, "there"), (4096, 1, False, "there"), (1808, 2, True, "there")]
        assert [x["i"] for b in got for x in b["lines"]] == list(range(10000))
        assert [b["first"] for b in got] == [0, 4096, 8192] and {b["of"] for b in got} == {r.headers["x-request-id"]}
        ids = [d.id for d in w.seen]
        assert len(set(ids)) == 3 and all(i[6] >> 4 == 8 for i in ids)
        # the same under a key has the same ids, whatever way it comes
        keyed = {**nd, "Idempotency-Key": "k"}
        for send in (body, gzip.compress(body)):
            w.seen.clear()
            r = edge.http("POST", "/lines/there", send, {**keyed, **({} if send is body else {"Content-Encoding": "gzip"})})
            assert r.status == 202
            if send is body:
                ids = [(d.id, d.meta["dig"], d.body["of"]) for d in w.seen]
        assert [(d.id, d.meta["dig"], d.body["of"]) for d in w.seen] == ids
        # a line that is none: what was stored before is said
        bad = body[:60000] + b"{oops\n" + body[60000:]
        r = edge.http("POST", "/lines/there", bad, nd)
        p = r.json()
        assert r.status == 400 and p["stored"] == 4096 and re.match(r"line \d+ \(from 1\), column", p["detail"]), p
        r = edge.http("POST", "/lines/there", b"", nd)
        assert r.status == 202 and r.json()["lines"] == 0
        r = edge.http("POST", "/lines/there", b'1\n"' + b"x" * (2 * 1024 * 1024) + b'"\n', nd)
        assert r.status == 413 and r.json()["stored"] == 0
        assert edge.http("POST", "/lines/there", b"{}", JSON).status == 415


def test_lines_in_transfer_chunks_that_end_with_a_full_chunk(edge):
    """libmicrohttpd goes on with the next transfer chunk although the connection is suspended."""
    with echo(edge):
        routed(edge, "/echo/1")
        piece = b"%x\r\n" % (4097 * 2) + b"1\n" * 4097 + b"\r\n"
        with socket.create_connection(("127.0.0.1", edge.http_port), timeout=20 * SLOW) as s:
            s.sendall(b"POST /lines/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n" + piece * 40 + b"0\r\n\r\n")
            got = b"".join(iter(lambda: s.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 202 ") and b'"lines":%d' % (40 * 4097) in got, got
        assert edge.the_edge.alive()


def test_lines_stop_at_the_first_failure(edge):
    def second_fails(bus, d):
        if d.body["chunk"] == 1:
            bus.fail(d, "STORE_FAILED", {"detail": "disk"})
        else:
            bus.reply(d, {})
    with echo(edge, echo_lines=second_fails) as w:
        routed(edge, "/echo/1")
        w.seen.clear()
        body = b"".join(b'{"i":%d}\n' % i for i in range(40000))
        r = edge.http("POST", "/lines/x", body, {"Content-Type": "application/x-ndjson"})
        assert r.status == 500 and r.json()["stored"] == 4096 and r.json()["detail"] == "disk"
        assert len(w.seen) == 2


def test_lines_hold_the_sender_back(edge):
    """No more than a chunk is read ahead of the service."""
    gate = threading.Event()
    waiting = []

    def hold(bus, d):
        waiting.append((bus, d))
        if gate.is_set():
            while waiting:
                b, x = waiting.pop()
                b.reply(x, {})
    with echo(edge, echo_lines=hold) as w:
        routed(edge, "/echo/1")
        with socket.create_connection(("127.0.0.1", edge.http_port), timeout=20 * SLOW) as s:
            s.sendall(b"POST /lines/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"".join(b"%d\n" % i for i in range(100000))
            piece = b"%x\r\n" % len(piece) + piece + b"\r\n"
            s.setblocking(False)
            sent = 0
            view = memoryview(piece * 200)
            while sent < len(view) and select.select([], [s], [], 0.5 * SLOW)[1]:
                sent += s.send(view[sent:sent + 65536])
            assert sent < 16 * 1024 * 1024  # kernel buffers and one chunk, of more than 100 MB
            assert sum(d.topic == "echo.lines" for d in w.seen) == 1
        gate.set()


def test_answer_in_parts(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        r = edge.http("GET", "/parts")
        assert r.status == 200 and r.headers["content-type"] == "text/csv"
        assert r.body == b"row,0\nrow,1\nrow,2\nrow,last\n"


def test_client_gone_cancels_the_request(edge):
    with echo(edge) as w:
        routed(edge, "/echo/1")
        with socket.create_connection(("127.0.0.1", edge.http_port)) as s:
            s.sendall(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for(lambda: any(d.topic == "echo.held" for d in w.seen), what="the request")

        def gone():
            t = edge.http("GET", "/metrics").body.decode()
            return "taxiway_http_in_flight 1" in t and re.search(r'route="/held",status="(499|410)"\} 1', t)
        wait_for(gone, what="the request to be cancelled")


def test_claims(edge):
    one = {"paths": {"/mine": {"get": op("one.get")}, "/healthz": {"get": op("one.get")}}}
    two = {"paths": {"/mine": {"get": op("two.get")}, "/yours/{id}": {"get": op("two.get")}}}
    with Worker(edge, "one", ["one.>"], one, one_get=lambda b, d: b.reply(d, "one")):
        assert routed(edge, "/mine").json() == "one"
        with Worker(edge, "two", ["two.>"], json.dumps(two), two_get=lambda b, d: b.reply(d, "two")):
            assert routed(edge, "/yours/1").json() == "two"
            assert edge.http("GET", "/mine").json() == "one"
            r = edge.http("GET", "/readyz")
            assert r.status == 200
            texts = [c["detail"] for c in r.json()["checks"] if c.get("warning")]
            assert any("two: /mine: the path belongs to one" in t for t in texts), texts
            assert any("one: /healthz: the path belongs to the edge itself" in t for t in texts), texts
            assert edge.http("GET", "/healthz").json() == {"status": "alive"}
            wait_for(lambda: "evt=announcement_refused" in edge.the_edge.log(), what="the refusal in the log")
        routed(edge, "/yours/1", 503)
    routed(edge, "/mine", 503)
    with Worker(edge, "two", ["two.>"], two, two_get=lambda b, d: b.reply(d, "two")):
        routed(edge, "/yours/1")
        assert edge.http("GET", "/mine").status == 503  # still one's, though one is not there


def test_the_higher_version_is_shown(edge):
    def api(path):
        return {"paths": {path: {"get": op("v.get")}}}
    say = dict(v_get=lambda b, d: b.reply(d, 1))
    with Worker(edge, "v", ["v.>"], api("/v9"), version="1.9.0", **say):
        routed(edge, "/v9")
        with Worker(edge, "v", ["v.>"], api("/v10"), version="1.10.0", **say):
            routed(edge, "/v10")
            routed(edge, "/v9", 503)
        routed(edge, "/v9")


def test_broker_away_and_back(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        edge.the_broker.kill9()
        r = routed(edge, "/readyz", 503)
        assert any(c["name"] == "bus" and not c["ok"] for c in r.json()["checks"])
        r = edge.http("GET", "/echo/1")
        assert r.status == 503 and r.json()["retryable"]
        edge.broker()
        routed(edge, "/readyz")
        routed(edge, "/echo/1")


def test_metrics_of_everybody(edge):
    with echo(edge):
        routed(edge, "/echo/1")
        edge.bus().sub("a.>", group="g")
        edge.http("POST", "/bus/publish/a.b", {})
        r = edge.http("GET", "/metrics")
        text = r.body.decode()
        assert r.status == 200 and "taxiway_broker_up 1" in text
        assert 'taxiway_group_owed{group="g"} 1' in text
        assert re.search(r'taxiway_journal_commit_seconds_count [1-9]', text) and 'taxiway_journal_commit_seconds_bucket{le="+Inf"}' in text
        assert re.search(r'taxiway_http_requests_total\{method="GET",route="/echo/\{n\}",status="200"\} [1-9]', text)
        assert re.search(r"^taxiway_http_bus_up [1-9]", text, re.M)
        for line in text.splitlines():
            assert line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? -?[0-9.e+]+', line), line


def test_many_at_once(edge):
    with echo(edge):
        routed(edge, "/echo/1")

        def one(i):
            r = edge.http("POST", "/echo", {"i": i})
            return r.status == 201 and r.json() == {"i": i}
        with concurrent.futures.ThreadPoolExecutor(32) as ex:
            assert all(ex.map(one, range(600)))


def cpu_s(proc):
    v = open(f"/proc/{proc.p.pid}/stat").read().rpartition(")")[2].split()
    return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")


def answers(s, n):
    """n whole answers of a connection: [(status, body)]."""
    f, got = s.makefile("rb"), []
    for _ in range(n):
        status, size = int(f.readline().split()[1]), 0
        while (line := f.readline().strip()):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        got.append((status, f.read(size)))
    return got


def test_others_are_served_while_many_wait(edge):
    held = []

    def go(bus, d):
        while held:
            h = held.pop()
            bus.reply(h, "held")
        bus.reply(d, d.body)
    with echo(edge, echo_held=lambda bus, d: held.append(d), echo_post=go) as w:
        routed(edge, "/echo/1")
        with contextlib.ExitStack() as stack:
            def ask(data):
                s = stack.enter_context(socket.create_connection(("127.0.0.1", edge.http_port), timeout=20 * SLOW))
                s.sendall(data)
                return s
            get = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
            waiting = [ask(get % b"/held") for _ in range(40)]
            # All at once, and over several runs: what is already read, what comes in pieces, what leaves in pieces.
            for s in waiting[:20]:
                s.sendall(get % b"/healthz")
            head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20000
            pieces = ask(head)
            big = edge.http("GET", "/big", headers={"Accept-Encoding": "gzip"})
            assert big.status == 200 and gzip.decompress(big.body).count(b"x" * 100) == 20000
            pieces.sendall(b"\r\n\r\n")
            assert answers(pieces, 1)[0][0] == 200
            reset = waiting.pop()
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset.close()
            wait_for(lambda: sum(d.topic == "echo.held" for d in w.seen) == 40, what="the requests")
            before = cpu_s(edge.the_edge)
            assert edge.http("GET", "/slow").status == 504  # a third of a second in which nothing moves
            assert cpu_s(edge.the_edge) - before < 0.2
            wait_for(lambda: "taxiway_http_in_flight 40" in edge.http("GET", "/metrics").body.decode(), what="39 and the asking one")
            assert edge.http("POST", "/echo", {"go": 1}).status == 201
            for i, s in enumerate(waiting):
                assert [a[0] for a in answers(s, 2 if i < 20 else 1)] == ([200, 200] if i < 20 else [200])


def test_drain_finishes_what_is_under_way(edge):
    release = threading.Event()

    def late(bus, d):
        release.wait(20 * SLOW)
        bus.reply(d, "late")
    with echo(edge, echo_held=late) as w:
        routed(edge, "/echo/1")
        with concurrent.futures.ThreadPoolExecutor(1) as ex:
            f = ex.submit(edge.http, "GET", "/held")
            wait_for(lambda: any(d.topic == "echo.held" for d in w.seen), what="the request")
            stopped = threading.Thread(target=edge.the_edge.stop)
            stopped.start()
            wait_for(lambda: "evt=draining" in edge.the_edge.log(), what="the drain")
            release.set()
            r = f.result(20 * SLOW)
            assert r.status == 200 and r.json() == "late"
            stopped.join(20 * SLOW)
            assert edge.the_edge.p.returncode == 0
