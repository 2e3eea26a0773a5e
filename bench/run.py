#!/usr/bin/python3
"""Taxiway beside its peers, in one run:  make bench

Every server is started in a directory of its own on free ports and killed at the end, also on Ctrl-C.  What is not installed
becomes a row that says so.  scripts/deps.sh --bench installs what Debian has.
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import page  # noqa: E402
import rows as R  # noqa: E402
import servers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def options():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--runs", type=int, default=5, help="rounds of each row")
    a.add_argument("--secs", type=float, default=1.25, help="how long each load runs")
    a.add_argument("--only", default=".*", help="rows whose whole id matches this expression: req-64 req-1 pub-1 pub-64 pub-1024 consume feed feed-one "
                   "http triggers fair-flood fair-late groups memory")
    a.add_argument("--backlog-gb", type=float, default=1.0, help="size of the backlog whose broker is weighed")
    a.add_argument("--build", default=str(ROOT / "build" / "release"), help="where the programs are")
    a.add_argument("--dir", default="/tmp", help="where the servers keep their data")
    a.add_argument("--write", help="write the page to this file")
    a.add_argument("--json", help="write every single result to this file")
    return a.parse_args()


def wanted(args, *ids):
    return any(re.fullmatch(args.only, i) for i in ids)


def make_rows(b, args):
    t = b.get(servers.Taxiway)
    if t is None:
        sys.exit(f"bench: the broker: {b.why[(servers.Taxiway, '')]}")
    t.echo()
    rows = []
    if wanted(args, "req-64", "req-1"):
        rows += R.request_rows(b, t)
    if wanted(args, "pub-1", "pub-64", "pub-1024"):
        rows += R.publish_rows(b, t)
    if wanted(args, "consume"):
        rows += R.consume_row(b, t)
    if wanted(args, "feed", "feed-one"):
        rows += R.feed_rows(b, t)
    if wanted(args, "http", "triggers"):
        t.edge()
        t.tower()
        rows += R.http_rows(b, t)
    if wanted(args, "fair-flood", "fair-late"):
        rows += R.fairness_rows(b, t)
    if wanted(args, "groups"):
        try:
            rows += R.growth_row(b)
        except (OSError, RuntimeError) as e:
            say(f"groups: {e}")
    return [r for r in rows if wanted(args, r.id)]


def attempt(run, got, name, row):
    try:
        got.append(run())
    except Exception as e:  # one peer that fails must not take the others' rows with it
        say(f"{row.title}: {name} failed: {e}")
        return str(e).splitlines()[0]
    return ""


def measure(row, runs):
    """Rounds that alternate; whoever fails once is out of this row."""
    for i in range(runs):
        say(f"{row.title}, round {i + 1} of {runs}")
        sides = ([("Taxiway", row.ours, row)] if row.ours else []) + [(o.name, o.run, o) for o in row.beside if o.run]
        # Nobody always follows the same one, nor pays for what it left to be written.
        random.Random(f"{row.id} {i}").shuffle(sides)
        for name, run, side in sides:
            os.sync()
            why = attempt(run, side.got, name, row)
            if why and side is row:
                return
            if why:
                side.run, side.why, side.got = None, f"failed: {why[:80]}", []


def main():
    args = options()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    args.load_before = os.getloadavg()[0]
    base = tempfile.mkdtemp(prefix="taxibench", dir=args.dir)
    yard = servers.Yard(base, pathlib.Path(args.build).resolve())
    try:
        b = R.Bench(yard, int(args.secs * 1000), say)
        rows, memory = make_rows(b, args), []
        for row in rows:
            measure(row, args.runs)
        if wanted(args, "memory"):
            say("memory")
            memory = R.memory(b, args.backlog_gb)
        say(f"done in {time.monotonic() - begun:.0f} s")
        print(page.table(rows, memory))
        for line in page.below(rows, memory):
            print(f"below target: {line}")
        if args.write:
            commands = ["scripts/deps.sh --bench", f'make bench BENCH="--runs {args.runs} --secs {args.secs:g} --backlog-gb {args.backlog_gb:g}"']
            pathlib.Path(args.write).write_text(page.page(rows, memory, args, b, commands))
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(
                [{"row": r.id, "taxiway": r.got, **{o.name: o.got for o in r.beside}} for r in rows], indent=1))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        yard.close()
        shutil.rmtree(base, ignore_errors=True)


main()
