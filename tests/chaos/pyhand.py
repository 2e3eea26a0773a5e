#!/usr/bin/python3
"""The processes of tests/chaos in Python, to be killed as those in C (hand.h says what a ledger holds): a worker written from
the protocol page, and a publisher through the edge."""
import argparse
import http.client
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))

stop = threading.Event()


class Ledger:
    def __init__(self, path):
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def write(self, text, sync=True):
        os.write(self.fd, text.encode())
        if sync:
            os.fdatasync(self.fd)


def ready(a):
    if a.ready_fd >= 0:
        os.write(a.ready_fd, b"\n")


def publish(a):
    rnd, ledger, conn, may = random.Random(a.seed), Ledger(a.ledger), None, 0
    n = 0
    ready(a)
    while not stop.is_set():
        if n >= may:
            may = n + 100
            ledger.write(f"S {may}\n", sync=False)
        key = rnd.choice("--abcdefgh")
        text = f"{a.name} {n} {key} {'x' * rnd.randrange(1, 100)}"
        crc = f"{zlib.crc32(text.encode()):08x}"
        while True:
            try:
                conn = conn or http.client.HTTPConnection("127.0.0.1", a.port, timeout=10)
                conn.request("POST", "/chaos", json.dumps(f"{text} {crc}"),
                             {"Content-Type": "application/json", "Idempotency-Key": f"{a.name}-{n}"})
                r = conn.getresponse()
                body = r.read()
                if r.status == 201:
                    ledger.write(f"O {n} {json.loads(body)['seq']} {key} {crc}\n")
                    break
                if r.status < 500 and r.status not in (404, 409):  # 404: nobody serves it yet; 409: the first try still runs
                    sys.exit(f"{r.status} {body[:500]}")
            except (OSError, http.client.HTTPException):
                conn.close()
                conn = None
            if stop.is_set():
                return
            stop.wait(0.01)
        n += 1


def work(a):
    import taxiwire
    from bus import Bus, BusError, new_id
    import msgpack

    rnd, ledger, bus = random.Random(a.seed), Ledger(a.ledger), Bus(a.bus)
    refusing, session, take = {}, None, bus._take

    def with_pongs(frame):
        v = taxiwire.decode(frame)
        if v[1] == "PONG":
            bus.deliveries += [("pong", key, v[3]) for key, ping in refusing.items() if ping == v[3]]
        take(frame)
    bus._take = with_pongs
    while not stop.is_set():
        try:
            bus.sub("t.>", group=a.group, credit=100, tries=1000, ack_ms=1000, from_="all", many=True)
            break
        except (BusError, TimeoutError):
            continue
    ready(a)
    while not stop.is_set():
        bus.pump(0.05)
        if session != (bus.epoch, bus.session):
            session = (bus.epoch, bus.session)
            refusing.clear()
        deliveries, bus.deliveries = bus.deliveries, []
        out, acks = [], []
        for d in deliveries:
            if isinstance(d, tuple):
                if refusing.get(d[1]) == d[2]:
                    del refusing[d[1]]
                continue
            key = d.meta.get("key")
            back = key in refusing or rnd.random() < 0.005
            out.append(f"{'N' if back else 'A'} {time.monotonic_ns()} {d.head['seq']} {d.head['try']} "
                       f"{int(bool(d.head.get('again')))} {d.body}\n")
            if not back:
                acks.append(d)
                continue
            nak = taxiwire.encode("NAK", "", new_id(), {"group": a.group, "seq": d.head["seq"], "try": d.head["try"],
                                                        "delay": rnd.randrange(50)})
            ping = new_id()
            if key:
                refusing[key] = ping
            bus.sock.send(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb([nak, taxiwire.encode("PING", "", ping, {})])))
        if out:
            ledger.write("".join(out))
        for d in acks:
            bus.ack(d)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--role", choices=["http", "work"], required=True)
    p.add_argument("--ledger", required=True)
    p.add_argument("--name", default="http")
    p.add_argument("--bus", default="")
    p.add_argument("--group", default="g")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--ready-fd", type=int, default=-1)
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work(a) if a.role == "work" else publish(a)


main()
