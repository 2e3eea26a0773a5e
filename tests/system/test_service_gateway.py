"""A service call: the first provider, then the second while the first is stopped under load, then one started by hand."""
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.parse

import pytest

from conftest import ROOT, SLOW, wait_for

RATES = {"EUR": 0.92, "GBP": 0.79, "USD": 1.0}
PATH = "/services/currency_exchange/v1/rates?base=USD&currencies=EUR,GBP"


class Upstream(http.server.ThreadingHTTPServer):
    """Any HTTP server that answers in the declared shape; `mode` says how it behaves."""
    daemon_threads = True
    request_queue_size = 512
    mode = "ok"
    calls, most = 0, 1 << 30  # what is above `most` hangs

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            q = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            mode = self.server.mode
            self.server.calls += 1
            if mode == "hang" or self.server.calls > self.server.most:
                self.server.released.wait(60)
            status = {"ok": 200, "hang": 200, "shape": 200}.get(mode, 503)
            rates = {c: RATES[c] for c in q.get("symbols", "EUR,GBP").split(",")}
            body = json.dumps({"no": "rates"} if mode == "shape" else {"base": q["base"], "date": "2026-11-20", "rates": rates}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def upstream():
    s = Upstream()
    yield s
    s.released.set()
    s.shutdown()
    s.server_close()


@pytest.fixture
def gateway(house, upstream):
    h = house
    h.broker()
    catalogue = h.base / "catalogue"
    shutil.copytree(ROOT / "services" / "service-gateway" / "catalogue", catalogue)
    h.first = h.proc("provider-http-rates", env={"PLUGIN_HTTP_RATES_URL": f"http://127.0.0.1:{upstream.server_port}"}).start()
    h.second = h.proc("provider-fixed-rates").start()
    h.proc("service-gateway", "--catalogue", catalogue).start()
    h.edge()
    wait_for(lambda: h.http("GET", PATH).status == 200, 20, "the route")
    return h


def test_first_provider_answers_and_says_so(gateway):
    r = gateway.http("GET", PATH)
    assert r.status == 200
    assert r.json() == {"base": "USD", "datetime": "2026-11-20",
                        "rates": [{"currency": "EUR", "value": 0.92}, {"currency": "GBP", "value": 0.79}]}
    assert r.headers["x-provider"] == "http-rates" and r.headers["x-attempts"] == "1"


@pytest.mark.parametrize("mode", ["error", "hang", "shape"])
def test_a_bad_upstream_moves_on(gateway, upstream, mode):
    upstream.mode = mode
    r = gateway.http("GET", PATH)
    assert r.status == 200
    assert r.headers["x-provider"] == "fixed-rates" and r.headers["x-attempts"] == "2"


def test_no_error_under_1000_calls_while_the_first_dies(gateway, upstream):
    """All calls are in flight at once: sent natively, then the first provider is killed with -9, with some of them in hand."""
    bus = gateway.bus()
    upstream.most = upstream.calls + 100
    body = {"base": "USD", "currencies": "EUR"}
    ids = [bus.start("REQ", "service.currency_exchange.v1.rates", {"ttl": 30000}, body) for _ in range(1000)]
    gateway.first.kill9()
    providers = {}
    for id in ids:
        a = bus.finish(id)  # raises on any ERR
        assert a.body["base"] == "USD"
        p = a.meta["headers"]["X-Provider"]
        providers[p] = providers.get(p, 0) + 1
    assert sum(providers.values()) == 1000
    assert providers.get("fixed-rates", 0) > 0, "the first one did not answer all of them"


def test_the_second_answers_while_the_first_is_stopped_and_a_third_started_by_hand(gateway):
    assert gateway.first.stop() == 0
    r = gateway.http("GET", PATH)
    assert r.status == 200 and r.headers["x-provider"] == "fixed-rates"
    assert gateway.second.stop() == 0
    r = gateway.http("GET", PATH)
    assert r.status == 503, r.body
    problem = r.json()
    assert problem["code"] == "NO_WORKERS" and problem["retryable"] is True
    assert [a["provider"] for a in problem["attempts"]] == ["http-rates", "fixed-rates"]
    gateway.proc("provider-fixed-rates", env={"PLUGIN_FIXED_RATES_NAME": "by-hand", "PLUGIN_FIXED_RATES_TABLE": "USD=1,EUR=0.5,GBP=0.25"}).start()
    r = wait_for(lambda: (lambda r: r if r.status == 200 else None)(gateway.http("GET", PATH)), 20, "the third provider")
    assert r.headers["x-provider"] == "by-hand"
    assert r.json()["rates"] == [{"currency": "EUR", "value": 0.5}, {"currency": "GBP", "value": 0.25}]


def test_bad_requests_name_the_field(gateway):
    r = gateway.http("GET", "/services/currency_exchange/v1/rates?base=usd&nonsense=1")
    assert r.status == 422
    assert r.headers["content-type"].startswith("application/problem+json")
    assert "/base" in [e["pointer"] for e in r.json()["errors"]]
    assert gateway.http("GET", "/services/currency_exchange/v1/nothing").status == 404
    assert gateway.http("POST", PATH, {}).status == 405


def test_what_nobody_knows_is_404_only_when_all_say_so(gateway):
    assert gateway.first.stop() == 0
    r = gateway.http("GET", "/services/currency_exchange/v1/rates?base=XXX")
    assert r.status == 503 and r.json()["attempts"][1]["code"] == "NOT_FOUND", "the one that is away might know"
    assert len(r.json()["attempts"]) == 2 and "headers" not in r.json()


def test_a_url_that_is_none_is_refused(house):
    house.broker()
    from conftest import BIN
    for url in ("ftp://x", "http://x/"):
        r = subprocess.run([BIN / "provider-http-rates", "--url", url, "--bus", house.bus_endpoint], capture_output=True, text=True,
                           timeout=30 * SLOW)
        assert r.returncode == 100 and url in r.stderr


def test_schema_lists_what_can_be_called(gateway):
    r = gateway.http("GET", "/services/_schema")
    assert r.status == 200
    s = r.json()[0]
    assert (s["name"], s["version"]) == ("currency_exchange", 1)
    assert s["methods"]["rates"]["request_schema"]["properties"]["base"]["default"] == "USD"
    assert gateway.http("GET", "/services/currency_exchange/v1").json() == s
    paths = gateway.http("GET", "/openapi.json").json()["paths"]
    assert "/services/currency_exchange/v1/rates" in paths


def test_a_broken_catalogue_stops_the_start(house):
    house.broker()
    d = house.base / "c"
    d.mkdir()
    (d / "x.yaml").write_text("service: x\nversion: 0\n")
    from conftest import BIN
    r = subprocess.run([BIN / "service-gateway", "--catalogue", d, "--bus", house.bus_endpoint], capture_output=True, text=True,
                       timeout=30 * SLOW, env={**os.environ})
    assert r.returncode == 100
    assert "x.yaml" in r.stderr and "version" in r.stderr
