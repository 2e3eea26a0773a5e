"""The rows of the table: what is measured, beside whom, and what is wanted of the ratio."""
import dataclasses
import itertools
import json
import pathlib
import re
import resource
import shutil
import subprocess
from typing import Callable, Optional

import servers as s


@dataclasses.dataclass
class Beside:
    name: str
    run: Optional[Callable]  # None: cannot be run here, `why` says so
    target: Optional[float] = None
    why: str = ""
    wants: str = "≥"  # or ≤, or > (more than)
    got: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Row:
    id: str
    title: str
    ours: Callable
    beside: list
    unit: str = "a second"
    metric: str = "rate"
    got: list = dataclasses.field(default_factory=list)


class Bench:
    """What the rows share: the servers that are up, and how a load is run."""

    def __init__(self, yard, ms, say):
        self.yard, self.ms, self.say = yard, ms, say
        self.up, self.why, self.n = {}, {}, itertools.count()

    def get(self, kind, variant="", **kw):
        """The server, started when it is first wanted; None when it cannot run here (self.why says)."""
        key = (kind, variant)
        if key not in self.up:
            self.why[key] = s.missing(kind, self.yard) if kind in s.NEEDS else ""
            self.up[key] = None
            if not self.why[key]:
                self.say(f"starting {variant or kind.__name__.lower()}")
                try:
                    self.up[key] = kind(self.yard, **kw)
                except (OSError, RuntimeError, subprocess.CalledProcessError) as e:
                    self.why[key] = f"did not start: {str(e).splitlines()[0]}"
                    self.say(f"{kind.__name__}: {e}")
        return self.up[key]

    def timed(self, cmd, timeout):
        """Run a load; its output, and the CPU that it, the servers and their workers took."""
        before, own = self.yard.cpu_us(), resource.getrusage(resource.RUSAGE_CHILDREN)
        r = subprocess.run(list(map(str, cmd)), capture_output=True, text=True, timeout=timeout)
        if r.returncode != 0:
            raise RuntimeError(f"{pathlib.Path(cmd[0]).name} {cmd[1]}: {r.stderr[-500:]}")
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        return r.stdout, self.yard.cpu_us() - before + (now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime) * 1e6

    def load(self, program, mode, at, **opts):
        o = {"ms": self.ms, **opts}
        out, cpu = self.timed([self.yard.loads / program, mode, at, *(f"--{k}={v}" for k, v in o.items())],
                              1900 if "count" in o else o["ms"] / 1000 + 60)
        got = json.loads(out)
        if mode in ("pub", "consume") and got["done"] < o.get("count", 0):
            raise RuntimeError(f"{program} {mode}: only {got['done']} of {o['count']} came")
        # What was done while warming up, a tenth of the time, is in the CPU alone.
        return {**got, "cpu": cpu / max(1, got["done"] * (1 if "count" in o else 1.1))}

    def library(self, kind, at, *opts):
        """The same by libtaxiway, as `taxi bench` does it."""
        secs = max(1, round(self.ms / 1000))
        out, cpu = self.timed([self.yard.bin / "taxi", "bench", kind, "--bus", at, "--secs", secs, "-o", "json", *opts], secs + 60)
        got = json.loads(out)
        return {"rate": got["rate"], **got["us"], "cpu": cpu / max(1, got["rate"] * (got["secs"] + 0.3))}

    def wrk(self, url, script=None):
        secs = max(1, round(self.ms / 1000))
        out, cpu = self.timed(["wrk", "-t1", "-c64", f"-d{secs}s", "--latency"] + (["-s", script] if script else []) + [url], secs + 60)
        if "Non-2xx" in out or "Requests/sec" not in out:
            raise RuntimeError(f"{url}: {out}")

        def us(q):
            v, unit = re.search(rf"{q}%\s+([\d.]+)(us|ms|s)", out).groups()
            return float(v) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
        return {"rate": rate, "p50": us(50), "p99": us(99), "cpu": cpu / max(1, rate * secs)}

    def beside(self, kind, run, target=None, label="", name=None, wants="≥", **kw):
        it = self.get(kind, label, **kw)
        name = name or kind.name
        if it is None:
            return Beside(name, None, target, self.why[(kind, label)], wants)
        return Beside(name, lambda: run(it), target, "", wants)


def request_rows(b, t):
    def row(w, targets):
        return Row(
            f"req-{w}", f"REQ/REP, 4 clients × {w} outstanding, 2 workers",
            lambda: b.load("peer_taxi", "req", t.at, name="bench.echo", clients=4, window=w),
            [b.beside(s.Proxy, lambda p: b.load("peer_zmq", "req", p.at, clients=4, window=w), targets[0]),
             b.beside(s.Nats, lambda p: b.load("peer_nats", "req", p.at, name=f"q{w}", clients=4, window=w), targets[1]),
             b.beside(s.Redis, lambda p: b.load("peer_redis", "req", p.at, name="q", clients=4, window=w), targets[2]),
             Beside("Taxiway by its client library", lambda: b.library("req", t.at, "--clients", 4, "--window", w, "--workers", 0, "--topic", "bench.echo"))])
    return [row(64, (0.85, 2.0, 1.0)), row(1, (0.95, 1.0, None))]


def publish_rows(b, t):
    def redis(p, w):
        b.load("peer_redis", "wipe", p.at)
        return b.load("peer_redis", "pub", p.at, name="s", window=w)

    def nats(p, w):
        b.load("peer_nats", "stream", p.at, name="s")
        return b.load("peer_nats", "pub", p.at, name="s", window=w)

    def rabbit(p, w):
        b.load("peer_rabbit", "queue", p.at, name="s")
        try:
            return b.load("peer_rabbit", "pub", p.at, name="s", window=w)
        finally:
            b.load("peer_rabbit", "drop", p.at, name="s")

    def sqlite(w):
        d = b.yard.dir(f"sqlite{next(b.n)}")
        try:
            return b.load("peer_sqlite", "pub", d / "log.db", window=w)
        finally:
            shutil.rmtree(d)

    def row(w, redis_wants, synced_wants, unsynced_wants, rabbit_wants):
        rows = [
            b.beside(s.Redis, lambda p: redis(p, w), redis_wants, label="durable", name="Redis, appendfsync always", durable=True),
            b.beside(s.Nats, lambda p: nats(p, w), synced_wants, label="synced", name="JetStream, every write synced", synced=True),
            b.beside(s.Nats, lambda p: nats(p, w), unsynced_wants, name="JetStream, unsynced (its default)", wants=">"),
            b.beside(s.Rabbit, lambda p: rabbit(p, w), rabbit_wants, name="RabbitMQ quorum"),
            b.beside(s.Mosquitto, lambda p: b.load("peer_mosquitto", "pub", p.at, window=w), name="Mosquitto QoS 1, unsynced"),
        ]
        here = (b.yard.loads / "peer_sqlite").exists()
        rows.append(Beside(f"plain SQLite, {w} a commit", (lambda: sqlite(w)) if here else None, None, "not installed: libsqlite3-dev"))
        rows.append(Beside("Taxiway by its client library", lambda: b.library("pub", t.at, "--window", w)))
        return Row(f"pub-{w}", f"durable PUB → OK, {w:,} outstanding",
                   lambda: b.load("peer_taxi", "pub", t.at, name="rows", window=w), rows)
    return [row(1, 1.0, 1.4, None, None), row(64, 1.3, 20.0, 1.0, None), row(1024, 2.0, None, None, 9.0)]


def consume_row(b, t):
    def fill_and_drain(program, at, rate, make, drop, name):
        n = int(rate * b.ms / 1000)
        b.load(program, make, at, name=name, count=1)
        b.load(program, "pub", at, name=name, count=n, window=1024)
        try:
            return b.load(program, "consume", at, name=name, count=n, window=1024)
        finally:
            if drop:
                b.load(program, drop, at, name=name)

    def ours():
        name = f"c{next(b.n)}"
        got = fill_and_drain("peer_taxi", t.at, 150000, "groups", None, name)
        subprocess.run([b.yard.bin / "taxi", "req", "--bus", t.at, "sys.groups.delete", json.dumps({"group": f"{name}-0"})],
                       capture_output=True, check=True)
        return got

    def redis(p):
        b.load("peer_redis", "wipe", p.at)
        return fill_and_drain("peer_redis", p.at, 150000, "group", None, "c")
    return [Row("consume", "durable consume with ack, `many`", ours, [
        b.beside(s.Nats, lambda p: fill_and_drain("peer_nats", p.at, 150000, "stream", "drop", "c"), 1.0, name="JetStream push"),
        b.beside(s.Redis, redis, 2.0, label="durable", name="Redis, appendfsync always", durable=True),
        b.beside(s.Rabbit, lambda p: fill_and_drain("peer_rabbit", p.at, 25000, "queue", "drop", "c"), 3.0, name="RabbitMQ quorum")])]


def feed_rows(b, t):
    def times(got):
        return {**got, "rate": got["rate"] * 1000, "cpu": got["cpu"] / 1000}
    def plain():
        return times(b.load("peer_wire", "xpub", f"tcp://127.0.0.1:{s.free_port()}", window=64))

    def row(id, mode, title, xpub, nats):
        return Row(id, f"feed, 1 → 1,000 subscribers{title}, 64 outstanding", lambda: times(b.load("peer_wire", mode, t.at, name=t.feed, window=64)),
                   [Beside("plain XPUB", plain, xpub), b.beside(s.Nats, lambda p: times(b.load("peer_wire", "nats", p.at, window=64)), nats)],
                   unit="deliveries a second")
    return [row("feed", "many", " that take PACK", 0.9, 2.0), row("feed-one", "feed", " that do not", None, None)]


def http_rows(b, t):
    script = b.yard.base / "trigger.lua"
    script.write_text('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\n'
                      'wrk.body=\'{"apiVersion":"OT-2/v1alpha1","protocol":"PlateTransfer","plate":{"rows":1,"columns":2},'
                      '"spec":[{"volume":50},{"volume":60}]}\'\n')
    if not s.program("wrk"):
        return []
    return [
        Row("http", "HTTP echo through edge, bus and worker, 64 connections", lambda: b.wrk(f"{t.http}/bench/echo"),
            [b.beside(s.Nginx, lambda p: b.wrk(f"{p.http}/"), 1.0)]),
        Row("triggers", "POST /triggers, durable, 64 connections", lambda: b.wrk(f"{t.http}/triggers", script),
            [Beside("the echo above", lambda: b.wrk(f"{t.http}/bench/echo"), 0.5)])]


def growth_row(b):
    """Two brokers that differ in their groups; what counts is the broker's CPU for a message."""
    def start(label, n):
        t = b.get(s.Taxiway, label, label=label)
        b.load("peer_taxi", "groups", t.at, name="g", count=n)
        return t

    def cost(t):
        before = s.cpu_us(t.broker.pid)
        got = b.load("peer_taxi", "pub", t.at, name="g", window=1024)
        # The load's warm-up is not in `done` but in the CPU: a tenth of the time.
        return {**got, "cost": (s.cpu_us(t.broker.pid) - before) / (got["done"] * 1.1)}
    many, few = start("groups-10000", 10000), start("groups-10", 10)
    return [Row("groups", "cost of a durable PUB with 10,000 groups", lambda: cost(many),
                [Beside("with 10 groups", lambda: cost(few), 1.5, wants="≤")], unit="µs of the broker's CPU", metric="cost")]


def fairness_rows(b, t):
    """One who publishes one at a time, alone and in company; what counts is how long the slowest in a hundred takes."""
    def lone():
        return b.load("peer_taxi", "pub", t.at, name="lone", window=1)

    def beside(mode, **opts):
        p = subprocess.Popen([b.yard.loads / "peer_taxi", mode, t.at, *(f"--{k}={v}" for k, v in opts.items())],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=s._child)
        try:
            return lone()
        finally:
            p.kill()
            p.wait()

    def flood():
        return beside("pub", name="flood", window=1024, ms=int(b.ms * 2 + 1000))

    def late():
        name, n = f"late{next(b.n)}", int(300000 * b.ms / 1000)
        b.load("peer_taxi", "groups", t.at, name=name, count=1)
        b.load("peer_taxi", "pub", t.at, name=name, count=n, window=1024)
        got = beside("consume", name=name, count=n, window=64)
        subprocess.run([b.yard.bin / "taxi", "req", "--bus", t.at, "sys.groups.delete", json.dumps({"group": f"{name}-0"})],
                       capture_output=True, check=True)
        return got
    return [Row(f"fair-{what}", f"a lone durable publisher beside {title}", run, [Beside("alone", lone, 2.0, wants="≤")],
                unit="µs at p99", metric="p99")
            for what, title, run in (("flood", "a flood of 1,024 outstanding", flood), ("late", "a group that catches up", late))]


def memory(b, gb):
    """[(what, value, target, ok)]; measured once, on brokers of their own."""
    t = s.Taxiway(b.yard, "memory")
    idle = t.rss()
    n = 5000
    p = subprocess.Popen([b.yard.loads / "peer_wire", "idle", t.at, f"--peers={n}"], stdout=subprocess.PIPE, text=True, preexec_fn=s._child)
    try:
        if p.stdout.readline().strip() != "ready":
            raise RuntimeError("the idle peers did not get their PONGs")
        each = (t.rss() - idle) / n
    finally:
        p.kill()
        p.wait()
    t.end()
    out = [("idle broker, resident", f"{idle / 2**20:.1f} MiB", "< 12 MiB", idle < 12 * 2**20),
           (f"an idle peer, of {n:,}", f"{each / 1024:.1f} KiB", "< 40 KiB", each < 40 * 1024)]
    t = s.Taxiway(b.yard, "backlog")
    b.load("peer_taxi", "groups", t.at, name="owed", count=1)
    size, total = 4096, int(gb * 10**9)

    def fill(n):
        b.load("peer_taxi", "pub", t.at, name="owed", count=n // size, window=256, size=size)
        return t.rss()
    early = fill(total // 2)
    late = fill(total - total // 2)
    t.end()
    out.append((f"broker with a backlog of {gb:g} GB owed to a group, and with half of it", f"{late / 2**20:.1f} MiB, {early / 2**20:.1f} MiB",
                "does not grow", late < 1.1 * early + 2 * 2**20))
    return out
