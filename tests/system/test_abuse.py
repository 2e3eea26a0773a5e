"""Peers that keep to the protocol and ask for too much: it costs them, and nobody else."""
import json
import socket
import time

import pytest

from bus import BusError
from conftest import SLOW, wait_for
from looks import read_all, rss


def api(paths):
    return json.dumps({"paths": paths}, separators=(",", ":"))


def test_announcements_of_many_paths_do_not_hold_up_the_edge(house):
    """16 services with 15,000 paths each: comparing each with each took minutes, in which nothing was answered."""
    house.broker()
    house.edge()
    bus, good = house.bus(), house.bus()
    for n in range(16):
        bus.sub(f"live.r{n}.>", {"name": f"rogue{n}", "version": "1", "api": api({f"/r{n}/{i}": {} for i in range(15000)})}, serve=True)
    good.sub("good.x", {"name": "good", "version": "1", "api": api({"/good": {"get": {"x-taxiway": {"topic": "good.x"}}}})}, serve=True)

    def announced():
        bus.pump()
        good.pump()
        began = time.monotonic()
        assert house.http("GET", "/healthz", timeout=10).status == 200
        assert time.monotonic() - began < 10 * SLOW
        return b'"/good"' in house.http("GET", "/openapi.json", timeout=10).body
    wait_for(announced, 30, "the route of the good service")


def test_claims_end_before_the_list_of_services_does(house):
    """Claims are kept for good, and sys.services answers all of them: without an end to them it would be over a frame, for ever."""
    house.broker()
    bus, other = house.bus(), house.bus()
    with pytest.raises(BusError) as e:
        bus.req("sys.claim", {"path": "/" + "p" * 255, "name": "n"})
    assert e.value.code == "INVALID"
    pad = "/" + "p" * 240
    ids, refused = [], 0

    def finish(b, id):
        try:
            b.finish(id)
            return 0
        except BusError as e:
            assert e.code == "QUOTA"
            return 1
    for i in range(8300):  # one name may have 1,024 of them, one session 4,096
        b = bus if i % 2 else other
        ids.append((b, b.start("REQ", "sys.claim", {"ttl": 20000}, {"path": f"{pad}{i}", "name": f"n{i % 10}"})))
        if len(ids) == 500:
            refused += finish(*ids.pop(0))
    refused += sum(finish(*i) for i in ids)
    assert refused == 8300 - 8192
    assert bus.req("sys.claim", {"path": pad + "0", "name": "other"}).body["name"] == "n0", "what is claimed is still told"
    assert len(bus.req("sys.services").body["claims"]) == 8192
    bus.req("sys.claim.forget", {"path": pad + "0"})
    assert house.bus().req("sys.claim", {"path": "/new", "name": "new"}).body["name"] == "new"


def test_a_query_over_the_memory_of_a_connection(house):
    """libmicrohttpd gives such a request up between its target and its header, and says nothing of it: it must not be kept."""
    house.broker()
    house.edge("--header-timeout-ms", "300")
    query = "/healthz?" + "&".join(f"a{i}=1" for i in range(3000))

    def round_of(n):
        socks = [socket.create_connection(("127.0.0.1", house.http_port), timeout=20 * SLOW) for _ in range(n)]
        for s in socks:
            s.sendall(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for s in socks:
            with s:
                read_all(s)
    round_of(100)
    before = rss(house.the_edge)
    for _ in range(5):
        round_of(100)
    assert rss(house.the_edge) - before < 8 << 20
    assert house.http("GET", "/healthz").status == 200


def test_large_descriptions_hide_nobody_else(house):
    """One peer with 70 descriptions of 255 KiB: sys.services still answers, and a service that comes later gets its route."""
    house.broker()
    house.edge()
    rogue = house.bus()
    for n in range(70):
        rogue.sub(f"t.r{n}", {"name": "rogue", "pad": "x" * 261000 + str(n)}, serve=True)
    good = house.bus()
    api = {"openapi": "3.1.0", "paths": {"/good": {"get": {"operationId": "good", "x-taxiway": {"topic": "t.good"},
                                                           "responses": {"200": {"description": "ok"}}}}}}
    good.sub("t.good", {"name": "good", "version": "1", "api": json.dumps(api)}, serve=True, credit=10)

    def routed():
        for b in (rogue, good):
            b.pump()
        return house.http("GET", "/openapi.json").json()["paths"].get("/good")
    wait_for(routed, 30, "the route of the service that came after")
