#!/usr/bin/python3
"""Rows posted in batches while processes are killed with -9; an external, fsynced ledger is the oracle.

    tests/chaos/house.py --rounds 10 --rows 100000 --seed 1

A whole installation of its own (scripts/up.sh) runs; four posters send batches with an Idempotency-Key each and write down,
fsynced, what was answered 202.  A round is one kill -9 of the broker, the edge, a pusher, the data gateway or Postgres, in turn, at a random point of the
traffic; s6 restarts it.  Half way through, scale.sh makes it three pusher-postgres.  At the end:
acked ⊆ delivered ⊆ sent by row id, each exactly once, in Postgres and in the CSV files.
"""
import argparse
import csv
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "up"))
from instance import Instance, wait_for  # noqa: E402

VICTIMS = ["broker", "edge-http", "pusher-postgres", "data-gateway", "postgres"]
ROWS_A_BATCH = 100


class Ledger:
    """One line a fact, fsynced before anybody acts on it."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self.lock = threading.Lock()

    def write(self, *fact):
        with self.lock:
            os.write(self.fd, (json.dumps(fact) + "\n").encode())
            os.fsync(self.fd)


class Poster(threading.Thread):
    def __init__(self, run, n):
        super().__init__(daemon=True)
        self.run_, self.n, self.acked, self.sent, self.retries = run, n, 0, 0, 0
        self.error = None
        self.conn = None

    def run(self):
        try:
            batch = 0
            while not self.run_.stop.is_set():
                self.post(batch)
                batch += 1
        except Exception as e:  # the main thread reports it
            self.error = e

    def post(self, batch):
        r = self.run_
        first = batch * ROWS_A_BATCH
        ids = [f"{self.n}-{first + i}" for i in range(ROWS_A_BATCH)]
        key = f"{r.seed}-{self.n}-{batch}"
        body = json.dumps({"uuid": r.uuids[batch % len(r.uuids)],
                           "rows": [{"index": i, "data": {"rowId": id, "value": i}} for i, id in enumerate(ids)]})
        r.ledger.write("sent", self.n, first, ROWS_A_BATCH)
        self.sent += ROWS_A_BATCH
        end = time.monotonic() + 120
        while True:
            try:
                if self.conn is None:
                    self.conn = http.client.HTTPConnection("127.0.0.1", r.inst.http_port, timeout=20)
                self.conn.request("POST", "/data/batch", body, {"Content-Type": "application/json", "Idempotency-Key": key})
                a = self.conn.getresponse()
                text = a.read()
                if a.status == 202:
                    r.ledger.write("acked", self.n, first, ROWS_A_BATCH, json.loads(text)["receipt"])
                    self.acked += ROWS_A_BATCH
                    return
                if a.status < 500:
                    raise AssertionError(f"{a.status} {text[:500]}")
            except (OSError, http.client.HTTPException):
                self.conn.close()
                self.conn = None
            self.retries += 1
            if time.monotonic() > end:
                raise TimeoutError("a batch was not taken within 120 s")
            r.stop.wait(0.02)


class Run:
    def __init__(self, args):
        self.args, self.seed = args, args.seed
        self.random = random.Random(args.seed)
        self.inst = Instance()
        self.stop = threading.Event()
        self.ledger = Ledger(self.inst.base / "ledger")
        self.uuids = [str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for _ in range(16)]
        self.posters = [Poster(self, n) for n in range(4)]

    def acked(self):
        for p in self.posters:
            if p.error:
                raise p.error
        return sum(p.acked for p in self.posters)

    def kill(self, name):
        old = self.inst.kill9(name)
        print(f"  {self.acked():>8} acked: kill -9 {name} (pid {old})", flush=True)
        wait_for(lambda: self.inst.pid(name) not in (0, old), 60, f"the return of {name}")

    def traffic(self):
        rounds, rows = self.args.rounds, self.args.rows
        step = max(rows // (rounds + 1), 1)
        for p in self.posters:
            p.start()
        for k in range(rounds):
            at = self.acked() + self.random.randint(step // 2, step)
            wait_for(lambda at=at: self.acked() >= at, 180, f"{at} acked rows", 0.002)
            if k == rounds // 2:
                print(f"  {self.acked():>8} acked: scale.sh pusher-postgres 3", flush=True)
                self.inst.script("scale.sh", "pusher-postgres", 3)
            self.kill(VICTIMS[k % len(VICTIMS)])
        wait_for(lambda: self.acked() >= rows, 300, f"{rows} acked rows")
        self.stop.set()
        for p in self.posters:
            p.join()
        self.acked()

    def in_postgres(self):
        return [r[0] for r in self.inst.sql("SELECT data->>'rowId' FROM data_gateway_out.rows")]

    def in_csv(self):
        ids = []
        for f in sorted((self.inst.state / "csv").glob("*.csv")):
            with open(f, newline="") as fh:
                ids += [row["rowId"] for row in csv.DictReader(fh)]
        return ids

    def caught_up(self):
        out = os.popen(f"{self.inst.bin}/taxi groups -o json --bus tcp://127.0.0.1:{self.inst.bus_port} 2>&1").read()
        try:
            groups = {g["group"]: g["owed"] for g in json.loads(out)["groups"]}
        except ValueError:
            return False
        return all(groups.get(g, 1) == 0 for g in ("pusher-postgres", "pusher-csv-file"))

    def check(self):
        wait_for(self.caught_up, 300, "both destinations to catch up", 0.5)
        acked = {f"{p.n}-{i}" for p in self.posters for i in range(p.acked)}
        sent = {f"{p.n}-{i}" for p in self.posters for i in range(p.sent)}
        lines = [json.loads(line) for line in open(self.inst.base / "ledger")]
        assert sum(x[3] for x in lines if x[0] == "acked") == len(acked), "the ledger and the posters differ"
        bad = []
        for name, got in (("postgres", self.in_postgres()), ("csv-file", self.in_csv())):
            have = set(got)
            lost, invented, twice = acked - have, have - sent, len(got) - len(have)
            print(f"  {name}: {len(got)} rows; lost {len(lost)}, invented {len(invented)}, twice {twice}", flush=True)
            if lost or invented or twice:
                bad.append((name, sorted(lost)[:5], sorted(invented)[:5], twice))
        assert not bad, bad
        return len(acked)

    def go(self):
        ok = False
        try:
            self.inst.up("--no-build")
            t = time.monotonic()
            self.traffic()
            n = self.check()
            ok = True
            retries = sum(p.retries for p in self.posters)
            print(f"chaos ok: {n} rows acked, each exactly once in both destinations; {self.args.rounds} kills, "
                  f"{retries} retries, {time.monotonic() - t:.0f} s, seed {self.seed}", flush=True)
        finally:
            self.stop.set()
            if not ok:
                keep = pathlib.Path("/tmp") / f"chaos-{self.seed}.log"
                keep.write_text(self.inst.log())
                print(f"chaos failed: seed {self.seed}; the end of the log is kept in {keep}", flush=True)
            self.inst.down()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=10)
    a.add_argument("--rows", type=int, default=100000)
    a.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = a.parse_args()
    print(f"chaos: {args.rounds} kills over at least {args.rows} rows, seed {args.seed}", flush=True)
    Run(args).go()


main()
