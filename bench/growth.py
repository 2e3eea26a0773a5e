#!/usr/bin/env python3
"""What a journal of many records costs: the same work on a small one and on a large one, and the time to be ready after
kill -9.  Prints ratios; CPU and bytes written are those of the broker, which other load does not change much.

    bench/growth.py [--small 10000] [--large 10000000] [--count 20000] [--dir /tmp] [--bin build/release/bin]

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
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
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


def load(args, b, name, new_id):
    """args.count records in BATCHes of 50: what the broker spends on each."""
    bus = Bus(f"ipc://{b.base}/bus", timeout=120)
    pad = b"x" * 100

    def some(at):
        bus.batch([("a.b.c", new_id(at + k), {}, pad) for k in range(50)])
    for at in range(0, 1000, 50):
        some(at + 1_000_000)
    cpu, wrote, began = b.cpu_us(), b.written(), time.monotonic()
    for at in range(0, args.count, 50):
        some(at)
    cpu, wrote, took = b.cpu_us() - cpu, b.written() - wrote, time.monotonic() - began
    bus.close()
    print(f"  {name:10} {cpu / args.count:8.2f} us CPU {wrote / args.count:8.0f} bytes written "
          f"{took / args.count * 1e6:8.2f} us", flush=True)
    return {"cpu": cpu, "bytes": wrote, "time": took}


def measure(args, n):
    base = pathlib.Path(tempfile.mkdtemp(prefix="grow", dir=args.dir))
    try:
        (base / "journal").mkdir(mode=0o700)
        began = time.monotonic()
        make(args, base, n)
        print(f"{n} records, {(base / 'journal' / 'journal.db').stat().st_size / 1e6:.0f} MB, made in "
              f"{time.monotonic() - began:.0f} s", flush=True)
        b = Broker(args, base)
        out = {"start": b.start()}
        out["clock"] = load(args, b, "clock ids", clock_id)
        out["random"] = load(args, b, "random ids", lambda i: os.urandom(16))
        ready = []
        for _ in range(5):
            b.end(signal.SIGKILL)
            ready.append(b.start())
        out["ready"] = statistics.median(ready)
        print(f"  ready after kill -9 in {out['ready'] * 1000:.0f} ms", flush=True)
        b.end()
        return out
    finally:
        shutil.rmtree(base, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--small", type=int, default=10_000)
    p.add_argument("--large", type=int, default=10_000_000)
    p.add_argument("--count", type=int, default=20_000)
    p.add_argument("--dir", default="/tmp")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "release" / "bin")
    args = p.parse_args()
    a, b = measure(args, args.small), measure(args, args.large)
    print(f"ratios, {args.large} to {args.small} records:")
    for kind in ("clock", "random"):
        print(f"  {kind + ' ids':10} CPU {b[kind]['cpu'] / a[kind]['cpu']:.2f}  bytes "
              f"{b[kind]['bytes'] / a[kind]['bytes']:.2f}  time {b[kind]['time'] / a[kind]['time']:.2f}")
    print(f"  ready {b['ready'] / a['ready']:.2f} ({b['ready'] * 1000:.0f} ms)")


if __name__ == "__main__":
    main()
