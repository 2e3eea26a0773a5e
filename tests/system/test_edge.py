"""The edge alone: HTTP as it is spoken badly, limits, who may come in.  No broker is there, so whatever needs one is 503."""
import gzip
import json
import os
import re
import socket
import time
import uuid

import pytest

from conftest import SLOW, Proc, free_port, wait_for
from looks import read_all


@pytest.fixture
def edge(house):
    """edge(*options) starts one without a broker and returns when it serves."""
    def start(*args):
        house.http_port = free_port()
        p = house.proc("edge-http", "--listen", f"127.0.0.1:{house.http_port}", *args).spawn()

        def up():
            assert p.alive(), p.log()
            try:
                return house.http("GET", "/healthz").status == 200
            except OSError:
                return False
        wait_for(up, what="the edge")
        return p
    yield start
    for p in house.procs:
        os.close(p.ready_fd)


def connect(house):
    s = socket.create_connection(("127.0.0.1", house.http_port), timeout=20 * SLOW)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def raw(house, data):
    with connect(house) as s:
        s.sendall(data)
        return read_all(s)


def responses(data):
    """Split what came into (status, headers, body); bodies by Content-Length."""
    out = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        h = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        n = int(h.get("content-length", 0))
        out.append((int(lines[0].split()[1]), h, data[:n]))
        data = data[n:]
    return out


def is_problem(status, headers, body, code=None):
    assert headers["content-type"] == "application/problem+json"
    p = json.loads(body)
    assert p["status"] == status
    assert {"type", "title", "status", "instance", "retryable", "code"} <= p.keys()
    assert p["instance"] == headers["x-request-id"]
    if code:
        assert p["code"] == code
    return p


HOST = b"Host: localhost\r\n"


def test_what_needs_no_bus(house, edge):
    p = edge()
    r = house.http("GET", "/healthz")
    assert r.status == 200 and r.json() == {"status": "alive"} and r.body.endswith(b"\n")
    assert house.http("GET", "/version").json()["name"] == "edge-http"
    r = house.http("GET", "/readyz")
    assert r.status == 503
    failing = {c["name"] for c in r.json()["checks"] if not c["ok"]}
    assert failing == {"bus", "routes"}
    r = house.http("HEAD", "/healthz")
    assert r.status == 200 and r.body == b"" and int(r.headers["content-length"]) > 0
    r = house.http("GET", "/metrics")
    assert r.status == 200 and r.headers["content-type"].startswith("text/plain")
    text = r.body.decode()
    assert re.search(r'taxiway_http_requests_total\{method="GET",route="/healthz",status="200"\} \d', text)
    assert "taxiway_broker_up 0" in text
    assert p.stop() == 0


def test_until_the_first_load_all_else_is_503(house, edge):
    edge()
    for path in ("/triggers", "/nothing", "/openapi.json"):
        r = house.http("GET", path)
        assert r.status == 503 and "retry-after" in r.headers
        assert is_problem(503, r.headers, r.body)["retryable"] is True
    r = house.http("POST", "/bus/publish/a.b", {"x": 1})
    assert r.status == 503
    is_problem(503, r.headers, r.body)


def test_request_id_and_trace(house, edge):
    edge()
    rid = str(uuid.uuid4())
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    r = house.http("GET", "/healthz", headers={"X-Request-Id": rid.upper(), "traceparent": trace})
    assert r.headers["x-request-id"] == rid
    got = r.headers["traceparent"].split("-")
    assert got[1] == trace.split("-")[1] and got[2] != trace.split("-")[2]
    for bad in ("x", "not a uuid at all", rid + "0"):
        r = house.http("GET", "/healthz", headers={"X-Request-Id": bad, "traceparent": "00-zz"})
        assert r.headers["x-request-id"] != bad
        assert uuid.UUID(r.headers["x-request-id"]).version == 7
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", r.headers["traceparent"])


def test_methods(house, edge):
    edge()
    r = house.http("POST", "/healthz")
    assert r.status == 405 and r.headers["allow"] == "GET, HEAD, OPTIONS"
    is_problem(405, r.headers, r.body, "METHOD_NOT_ALLOWED")
    assert house.http("BREW", "/healthz").status == 405
    r = house.http("OPTIONS", "/bus/publish/x")
    assert r.status == 204 and r.headers["allow"] == "POST, OPTIONS"
    assert not any(h.startswith("access-control") for h in r.headers)
    (status, _, _), = responses(raw(house, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"))
    assert status == 204


@pytest.mark.parametrize("headers,status", [
    ({"Host": "evil.example"}, 403),
    ({"Host": "localhost.evil.example"}, 403),
    ({"Host": "LocalHost:1"}, 200),
    ({"Via": "1.1 proxy"}, 403),
    ({"Forwarded": "for=1.2.3.4"}, 403),
    ({"X-Forwarded-For": "1.2.3.4"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 200),  # /healthz is declared safe
])
def test_who_may_come_in(house, edge, headers, status):
    edge()
    r = house.http("GET", "/healthz", headers=headers)
    assert r.status == status
    if status == 403:
        is_problem(403, r.headers, r.body, "DENIED")


def test_pages_of_other_sites(house, edge):
    edge()
    own = f"http://127.0.0.1:{house.http_port}"
    for headers, status in (({"Origin": own}, 503), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
                            ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 503)):
        assert house.http("POST", "/bus/publish/a", {}, headers).status == status, headers


def test_behind_a_proxy_nobody_is_trusted(house, edge):
    edge("--behind-proxy")
    headers = {"X-Forwarded-For": "1.2.3.4"}
    assert house.http("GET", "/healthz", headers=headers).status == 200
    r = house.http("POST", "/bus/publish/a", {}, headers)
    assert r.status == 401 and "www-authenticate" in r.headers
    assert house.http("GET", "/metrics").status == 401


def test_wrong_options(house):
    for args in (["--listen", "0.0.0.0:0"], ["--listen", "nonsense"], ["--listen", "127.0.0.1:99999"], ["--hosts", ","],
                 ["--max-body", "16m"], ["--shards", "0"]):
        p = Proc("edge-http", args, {"TAXI_BUS": house.bus_endpoint}, house.base)
        p.spawn()
        os.close(p.ready_fd)
        assert p.p.wait(20 * SLOW) == 100, args


def test_a_second_edge_on_the_address_is_refused(house, edge):
    edge()
    p = Proc("edge-http", ["--listen", f"127.0.0.1:{house.http_port}"], {"TAXI_BUS": house.bus_endpoint}, house.base)
    p.spawn()
    os.close(p.ready_fd)
    assert p.p.wait(20 * SLOW) == 111
    assert "Address already in use" in p.log()


def post(house, body, headers=None, path="/bus/publish/a.b"):
    return house.http("POST", path, body, headers)


def test_bodies_that_cannot_be_read(house, edge):
    edge()
    js = {"Content-Type": "application/json"}
    r = post(house, b'{"a": 1,\n "b": }', js)
    assert r.status == 400
    assert "line 2, column" in is_problem(400, r.headers, r.body, "BAD_REQUEST")["detail"]
    for bad in (b'{"a":1}x', b'"\xff"', b'{"a":1,"a":2}', b"[" * 40 + b"]" * 40):
        assert post(house, bad, js).status == 400, bad
    assert post(house, b"{}", {"Content-Type": "text/plain"}).status == 415
    assert post(house, b"{}", {"Content-Type": "application/json; charset=latin1"}).status == 415
    assert post(house, b"{}", {"Content-Type": "application/vnd.x+json"}).status == 503
    assert post(house, b"{}", {**js, "Content-Encoding": "br"}).status == 415
    assert post(house, b"{}", {**js, "Content-Encoding": "gzip"}).status == 400
    assert post(house, gzip.compress(b"{}"), {**js, "Content-Encoding": "gzip"}).status == 503
    assert post(house, gzip.compress(b"{}")[:-4], {**js, "Content-Encoding": "gzip"}).status == 400
    for key in ("", "k" * 256):
        assert post(house, b"{}", {**js, "Idempotency-Key": key}).status == 400


def test_bodies_that_are_too_big(house, edge):
    edge("--max-body", "100k")
    js = {"Content-Type": "application/json"}
    big = b'"' + b"x" * (200 * 1024) + b'"'
    # refused by its length alone: nothing of the body was sent
    with connect(house) as s:
        s.sendall(b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n")
        (status, h, body), = responses(read_all(s))
    assert status == 413 and h["connection"] == "close"
    is_problem(413, h, body, "TOO_BIG")
    # a client that sends all before it reads gets the answer, not a reset
    r = post(house, big, js)
    assert r.status == 413
    with connect(house) as s:
        s.sendall(b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(64):
            try:
                s.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError:
                break
        got = read_all(s)
    (status, h, body), = responses(got)
    assert status == 413
    is_problem(413, h, body, "TOO_BIG")
    # a little over, in chunks: the rest is read, and the connection kept
    one = b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    one += b"1a000\r\n" + b"x" * 0x1a000 + b"\r\n0\r\n\r\n"
    got = responses(raw(house, one + b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"))
    assert [g[0] for g in got] == [413, 200]
    # a bomb
    r = post(house, gzip.compress(b'"' + b"0" * (50 * 1024 * 1024) + b'"'), {**js, "Content-Encoding": "gzip"})
    assert r.status == 413


def test_expect_continue(house, edge):
    edge()
    head = b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: %s\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with connect(house) as s:
        s.sendall(head % b"application/json")
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"{}")
        assert b" 503 " in s.recv(4096).split(b"\r\n")[0]
    with connect(house) as s:
        s.sendall(head % b"text/plain")
        assert responses(read_all(s))[0][0] == 415


def test_requests_that_could_hide_another(house, edge):
    edge()
    post_ = b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    inner = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    for more in (b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
                 b"Content-Length: 0\r\nContent-Length: 40\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n",
                 b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: xchunked\r\n",
                 b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                 b"Content-Length: -1\r\n", b"Content-Length: 5x\r\n", b"Content-Length: +5\r\n",
                 b"Content-Length: 99999999999999999999999\r\n", b"Host: 127.0.0.1\r\n",
                 b"Content-Length : 5\r\n"):
        got = responses(raw(house, post_ + more + b"\r\n0\r\n\r\n" + inner + inner))
        assert len(got) == 1, (more, got)
        assert got[0][0] in (400, 413), (more, got)


def test_malformed(house, edge):
    p = edge()
    for data in (b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\xff\xfe\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                 b"GET / HTTP/1.1\r\n\r\n", b"GET /%zz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
                 b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"GET http:///x HTTP/1.1\r\n" + HOST + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 100000 + b"\r\n\r\n", b"GET /" + b"y" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"fffffffffffffffff\r\n"):
        with connect(house) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = read_all(s)
            assert got == b"" or re.match(rb"HTTP/1.1 [45]", got), (data[:60], got)
            assert got.count(b"HTTP/1.1 ") <= 1, (data[:60], got)
    assert p.alive()
    assert house.http("GET", "/healthz").status == 200


def test_a_query_of_too_many_parts_is_414(house, edge):
    edge()
    with_parts = lambda n: b"GET /version?" + b"&".join([b"a"] * n) + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    (status, _, _), = responses(raw(house, with_parts(256)))
    assert status == 200
    # 500 leave libmicrohttpd no memory for the header, 5,000 none for themselves
    for n in (257, 480, 490, 495, 500, 5000):
        (status, h, body), = responses(raw(house, with_parts(n)))
        assert status == 414, n
        assert json.loads(body)["code"] == "URI_TOO_LONG" and h["content-type"] == "application/problem+json"
    assert house.http("GET", "/version").status == 200


def test_absolute_target(house, edge):
    edge()
    for target, host, status in ((b"http://localhost/healthz", b"localhost", 200), (b"http://evil.example/healthz", b"localhost", 403)):
        got = responses(raw(house, b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"))
        assert got[0][0] == status


def test_pipelining_and_keep_alive(house, edge):
    edge()
    one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    two = b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    three = b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    last = b"GET /version HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    got = responses(raw(house, (one + two + three) * 20 + last))
    assert [g[0] for g in got] == [200, 503, 415] * 20 + [200]
    assert len({g[1]["x-request-id"] for g in got}) == 61
    with connect(house) as s:  # byte by byte
        for b in one + two:
            s.send(bytes([b]))
        s.shutdown(socket.SHUT_WR)
        assert [g[0] for g in responses(read_all(s))] == [200, 503]


def test_gzip_answers(house, edge):
    edge()
    plain = house.http("GET", "/metrics")
    assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
    r = house.http("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert r.headers["content-encoding"] == "gzip" and len(r.body) < len(plain.body)
    assert b"taxiway_http_requests_total" in gzip.decompress(r.body)
    assert "content-encoding" not in house.http("GET", "/metrics", headers={"Accept-Encoding": "gzip;q=0"}).headers
    assert "content-encoding" not in house.http("GET", "/healthz", headers={"Accept-Encoding": "gzip"}).headers


def test_slow_clients(house, edge):
    edge("--header-timeout-ms", "400", "--body-timeout-ms", "400")
    drip = [b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: loc",
            b"POST /bus/publish/a HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"]
    for start in drip:
        with connect(house) as s:
            s.sendall(start)
            s.settimeout(0.1)
            got, end = b"", time.monotonic() + 20 * SLOW
            while time.monotonic() < end:  # a byte now and then does not make it less slow
                try:
                    b = s.recv(65536)
                    if not b:
                        break
                    got += b
                except socket.timeout:
                    try:
                        s.send(b"x")
                    except OSError:
                        pass
                except ConnectionResetError:
                    break
            else:
                pytest.fail(f"never ended: {start!r}")
        (status, h, body), = responses(got)
        assert status == 408 and h["connection"] == "close"
        assert json.loads(body)["code"] == "REQUEST_TIMEOUT"
    text = house.http("GET", "/metrics").body.decode()
    assert "taxiway_http_dropped_slow_header_total 2" in text
    assert "taxiway_http_dropped_slow_body_total 1" in text


def test_many_connections(house, edge):
    edge("--max-connections", "64", "--shards", "2")
    held = [connect(house) for _ in range(300)]  # what is over the limit waits in the kernel
    for s in held[:10]:
        s.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    for s in held:
        s.close()
    wait_for(lambda: house.http("GET", "/healthz").status == 200, what="room again")

    def gauge():
        m = re.search(r"^taxiway_http_connections (\d+)$", house.http("GET", "/metrics").body.decode(), re.M)
        return int(m[1]) == 1
    wait_for(gauge, what="connections to be counted down")


def test_drain_ends_idle_connections(house, edge):
    p = edge()
    with connect(house) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"200 OK" in s.recv(4096)
        t = time.monotonic()
        assert p.stop() == 0
        assert s.recv(1) == b""
        assert time.monotonic() - t < 8 * SLOW
