#!/usr/bin/python3
"""Side by side in one run, printed as ratios:  make bench

Request/reply through the bus beside plain zmq_proxy, through edge and bus beside plain libmicrohttpd, and durable publishes
beside a plain file with fdatasync.  Medians of --runs; a run of each kind in turn, so that a noisy minute hits all of them.
"""
import argparse
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))
from conftest import House, free_port  # noqa: E402

BIN = ROOT / "build" / "release" / "bin"


def load(mode, endpoint, clients, window, seconds):
    r = subprocess.run([BIN / "load", mode, endpoint, str(clients), str(window), str(seconds)], capture_output=True, text=True,
                       timeout=seconds + 30)
    if r.returncode != 0:
        raise RuntimeError(f"load {mode}: {r.stderr}")
    return tuple(float(x) for x in r.stdout.split())


def wrk(url, connections, seconds, script=None):
    cmd = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"] + (["-s", script] if script else []) + [url]
    out = subprocess.run(cmd, capture_output=True, text=True, timeout=seconds + 30).stdout
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    if "Non-2xx" in out:
        raise RuntimeError(f"{url}: {out}")

    def us(q):
        v, unit = re.search(rf"{q}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(v) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    return rps, us(50), us(99)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--runs", type=int, default=3)
    a.add_argument("--seconds", type=int, default=2)
    a.add_argument("--write", help="also write the table to this file")
    args = a.parse_args()
    sec = args.seconds

    with tempfile.TemporaryDirectory(prefix="taxibench", dir="/tmp") as base:
        h = House(base)
        h.bus_endpoint = f"tcp://127.0.0.1:{free_port()}"
        h.proc_bin = BIN
        h.broker()
        workers = [h.proc("echo", program=BIN / "echo").start() for _ in range(2)]
        h.edge()
        hello_port = free_port()
        hello = subprocess.Popen([BIN / "hello", str(hello_port)])
        edge = f"http://127.0.0.1:{h.http_port}"
        end = time.monotonic() + 20
        while h.http("GET", "/bench/echo").status != 200 and time.monotonic() < end:
            time.sleep(0.05)
        trigger = pathlib.Path(base) / "publish.lua"
        trigger.write_text('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body=\'{"a":1}\'\n')

        bus = h.bus_endpoint
        proxy = f"tcp://127.0.0.1:{free_port()}"
        disk = f"{base}/file"
        pairs = [  # name, ours, beside what, theirs
            ("REQ/REP, 1 client, 1 outstanding", lambda: load("req", bus, 1, 1, sec), "zmq_proxy", lambda: load("proxy", proxy, 1, 1, sec)),
            ("REQ/REP, 4 clients, 1 outstanding each", lambda: load("req", bus, 4, 1, sec), "zmq_proxy", lambda: load("proxy", proxy, 4, 1, sec)),
            ("REQ/REP, 4 clients, 64 outstanding each", lambda: load("req", bus, 4, 64, sec), "zmq_proxy", lambda: load("proxy", proxy, 4, 64, sec)),
            ("durable PUB → OK, 1 outstanding", lambda: load("pub", bus, 1, 1, sec), "file, fdatasync a record", lambda: load("file", disk, 1, 1, sec)),
            ("durable PUB → OK, 64 outstanding", lambda: load("pub", bus, 1, 64, sec), "file, fdatasync 64 records", lambda: load("file", disk, 1, 64, sec)),
            ("durable PUB → OK, 1,024 outstanding", lambda: load("pub", bus, 1, 1024, sec), "file, fdatasync 1,024 records", lambda: load("file", disk, 1, 1024, sec)),
            ("HTTP echo through edge, bus and worker, 1 connection", lambda: wrk(f"{edge}/bench/echo", 1, sec), "libmicrohttpd hello", lambda: wrk(f"http://127.0.0.1:{hello_port}/", 1, sec)),
            ("HTTP echo through edge, bus and worker, 64 connections", lambda: wrk(f"{edge}/bench/echo", 64, sec), "libmicrohttpd hello", lambda: wrk(f"http://127.0.0.1:{hello_port}/", 64, sec)),
            ("HTTP durable publish, 64 connections", lambda: wrk(f"{edge}/bus/publish/bench.rows", 64, sec, str(trigger)), "libmicrohttpd hello", lambda: wrk(f"http://127.0.0.1:{hello_port}/", 64, sec)),
        ]
        got = {p[0]: ([], []) for p in pairs}
        try:
            for run in range(args.runs):
                for name, ours, _, theirs in pairs:
                    print(f"run {run + 1}/{args.runs}: {name}", file=sys.stderr, flush=True)
                    got[name][0].append(ours())
                    got[name][1].append(theirs())
        finally:
            hello.terminate()
            for w in workers:
                w.stop()
            h.close()

    def mid(rows, i):
        return statistics.median(r[i] for r in rows)
    lines = [f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.release()}; medians of {args.runs} runs of "
             f"{sec} s; 128-byte bodies; -O2.  Read the ratios: the machine is shared.", "",
             "| work | a second | p50 µs | p99 µs | beside | a second | p50 µs | p99 µs | ratio |", "|---|--:|--:|--:|---|--:|--:|--:|--:|"]
    for name, _, beside, _ in pairs:
        o, t = got[name]
        lines.append(f"| {name} | {mid(o, 0):,.0f} | {mid(o, 1):,.0f} | {mid(o, 2):,.0f} | {beside} | {mid(t, 0):,.0f} | "
                     f"{mid(t, 1):,.0f} | {mid(t, 2):,.0f} | {mid(o, 0) / mid(t, 0):.2f} |")
    text = "\n".join(lines)
    print(text)
    if args.write:
        pathlib.Path(args.write).write_text(f"# Benchmarks\n\n`make bench` wrote this page.\n\n{text}\n")


main()
