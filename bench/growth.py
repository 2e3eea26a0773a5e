#!/usr/bin/python3
"""What a journal of many records costs: the same work on a small one and on a large one, and the time to be ready after
kill -9.  Prints ratios; CPU and bytes written are those of the broker, which other load does not change much.

    bench/growth.py [--small 10000] [--large 10000000] [--count 10000] [--rounds 7] [--dir /tmp] [--bin …]

The journals are made with SQL (0.25 GB a million records); their old records have no valid checksum, which nobody reads.
"""
import argparse
import os
import pathlib
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "interop")]
from bus import Bus  # noqa: E402

T0 = int(time.time() * 1000) - 3600_000


def table(poly=0x82F63B78):
    t = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (poly if i & 1 else 0)
        t.append(i)
    return t


class Broker:
    def __init__(self, args, base):
        self.base, self.args = base, args

    def start(self):
        r, w = os.pipe()
        began = time.monotonic()
        self.p = subprocess.Popen([self.args.bin / "broker", "--bind", f"ipc://{self.base}/bus", "--feed", "", "--journal",
                                   self.base / "journal", "--ready-fd", str(w), "--log-level", "error"], pass_fds=[w])
        os.close(w)
        if os.read(r, 1) != b"\n":
            raise SystemExit("the broker did not start")
        os.close(r)
        return time.monotonic() - began

    def end(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        self.p.wait()

    def cpu_us(self):
        tasks = pathlib.Path(f"/proc/{self.p.pid}/task").glob("*/schedstat")
        return sum(int(t.read_text().split()[0]) for t in tasks) / 1000

    def written(self):
        return int(next(x for x in open(f"/proc/{self.p.pid}/io") if x.startswith("wchar")).split()[1])


def make(args, base, n):
    """n records of 128 bytes, half an hour old, and their ids: half as a clock makes them, half as a digest does."""
    b = Broker(args, base)
    b.start()
    b.end()
    db = sqlite3.connect(base / "journal" / "journal.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=DELETE")
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-200000")
    frame, dig = b"\x95" + b"x" * 127, b"d" * 36
    ids = range(1, n + 1)
    db.execute("BEGIN")
    db.executemany("INSERT INTO records(seq, at, exp, id, crc, topic, key, frame) VALUES(?,?,0,?,0,'a.b.c',NULL,?)",
                   ((i, T0, i.to_bytes(16, "big"), frame) for i in ids))
    step, clock = (1 << 128) // n, T0 << 80
    known = sorted([(clock + i).to_bytes(16, "big") for i in range(n // 2)] +
                   [(i * step + int.from_bytes(os.urandom(8), "big")).to_bytes(16, "big") for i in range(n - n // 2)])
    db.executemany("INSERT INTO dedup_0(id, dig, seq, groups) VALUES(?,?,?,1)",
                   ((id, dig, i + 1) for i, id in enumerate(known)))
    kept = n * len(frame)
    gen, since = 3, T0
    meta = b"".join(v.to_bytes(8, "little") for v in (n, T0, kept, gen, since))
    db.execute("UPDATE meta SET head=?, at=?, kept=?, gen=?, since=?, crc=?", (n, T0, kept, gen, since, crc_of(meta)))
    db.execute("COMMIT")
    db.execute("PRAGMA journal_mode=WAL")
    db.close()


def crc_of(meta):
    """As journal_crc_num over one number after the other: each continues the one before."""
    c = 0
    for at in range(0, len(meta), 8):
        c = crc_continue(c, meta[at:at + 8])
    return c


def crc_continue(crc, data, t=table()):
    c = crc ^ 0xFFFFFFFF
    for b in data:
        c = (c >> 8) ^ t[(c ^ b) & 0xFF]
    return c ^ 0xFFFFFFFF


def clock_id(i):
    return (int(time.time() * 1000) << 80 | 7 << 76 | i).to_bytes(16, "big")


def load(args, b, new_id):
    """args.count records in BATCHes of 50: what the broker spends on each."""
    bus = Bus(f"ipc://{b.base}/bus", timeout=120)
    pad = b"x" * 100
    cpu, wrote, began = b.cpu_us(), b.written(), time.monotonic()
    for at in range(0, args.count, 50):
        bus.batch([("a.b.c", new_id(at + k), {}, pad) for k in range(50)])
    out = {"cpu": (b.cpu_us() - cpu) / args.count, "bytes": (b.written() - wrote) / args.count,
           "time": (time.monotonic() - began) / args.count * 1e6}
    bus.close()
    return out


def middle(rounds, key):
    return statistics.median(r[key] for r in rounds)


def set_up(args, n):
    base = pathlib.Path(tempfile.mkdtemp(prefix="grow", dir=args.dir))
    (base / "journal").mkdir(mode=0o700)
    began = time.monotonic()
    make(args, base, n)
    print(f"{n} records, {(base / 'journal' / 'journal.db').stat().st_size / 1e6:.0f} MB, made in "
          f"{time.monotonic() - began:.0f} s", flush=True)
    return Broker(args, base)


def ready(b):
    took = []
    for _ in range(5):
        b.end(signal.SIGKILL)
        took.append(b.start())
    return statistics.median(took)


def compare(args, brokers):
    """By turns, so that whatever else the machine does happens to both."""
    for kind, new_id in (("clock ids", clock_id), ("random ids", lambda i: os.urandom(16))):
        rounds = [[], []]
        for at in range(args.rounds + 1):
            for b, r in zip(brokers, rounds):
                r.append(load(args, b, new_id))
        small, large = [r[1:] for r in rounds]  # the first warms up
        for n, r in ((args.small, small), (args.large, large)):
            print(f"  {kind:10} {n:9} records: {middle(r, 'cpu'):6.2f} us CPU, {middle(r, 'bytes'):6.0f} bytes written, "
                  f"{middle(r, 'time'):7.2f} us a record")
        ratio = {k: middle(large, k) / middle(small, k) for k in ("cpu", "bytes", "time")}
        print(f"  {kind:10} ratio: CPU {ratio['cpu']:.2f}  bytes {ratio['bytes']:.2f}  time {ratio['time']:.2f}", flush=True)
    small, large = map(ready, brokers)
    print(f"  ready after kill -9: {small * 1000:.0f} ms and {large * 1000:.0f} ms")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--small", type=int, default=10_000)
    p.add_argument("--large", type=int, default=10_000_000)
    p.add_argument("--count", type=int, default=10_000, help="records a round")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--dir", default="/tmp")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "release" / "bin")
    args = p.parse_args()
    brokers = []
    try:
        for n in (args.small, args.large):
            brokers.append(set_up(args, n))
        for b in brokers:
            print(f"  started in {b.start() * 1000:.0f} ms", flush=True)
        compare(args, brokers)
    finally:
        for b in brokers:
            if b.p.poll() is None:
                b.end()
            shutil.rmtree(b.base, ignore_errors=True)


if __name__ == "__main__":
    main()
