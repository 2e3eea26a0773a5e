#!/usr/bin/python3
"""The broker alone, killed with -9 again and again under publishers and workers that die too.

    tests/chaos/bus.py --rounds 12 --seed 1

Publishers write down what was answered OK; workers what they processed.  At the end: everything answered was processed, nothing
was invented, no seq was given twice, the envelopes of each key were first processed in journal order, and every repeat was
marked `again`.  A worker that NAKs an envelope refuses later ones of its key until the PONG to a PING sent with its last NAK
of that key (PROTOCOL.md, Groups): what was on its way when the broker read the NAK cannot be told from what came after.
"""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import msgpack
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import taxiwire  # noqa: E402
from bus import Bus, BusError, new_id  # noqa: E402

BIN = pathlib.Path(os.environ.get("TAXI_BIN", ROOT / "build" / "debug" / "bin")).resolve()
WINDOW, CREDIT, REFUSE = 64, 100, 0.01


def publisher(base, name, seed):
    rnd = random.Random(seed)
    bus = Bus(f"ipc://{base}/bus")
    sent, ok = open(f"{base}/sent.{name}", "a"), open(f"{base}/ok.{name}", "a")
    out, count, ending = {}, 0, False
    while not ending or out:
        ending = ending or os.path.exists(f"{base}/stop-publishing")
        while len(out) < WINDOW and not ending:
            id, key = new_id(), rnd.choice([None, "a", "b", "c", "d"])
            frame = taxiwire.encode("PUB", f"t.{name}", id, {"key": key} if key else {}, msgpack.packb([name, count]))
            count += 1
            print(id.hex(), file=sent, flush=True)
            out[id] = [frame, 0.0]
        now = time.monotonic()
        for call in out.values():
            if now - call[1] > 1.0:  # not answered: again, under the same id
                try:
                    bus.sock.send(call[0], zmq.DONTWAIT)
                    call[1] = now
                except zmq.Again:
                    break
        bus.pump(0.05)
        for id in [i for i in out if i in bus.answers]:
            a = bus.answers.pop(id)
            if a.verb == "OK":
                print(id.hex(), a.meta["seq"], file=ok, flush=True)
                del out[id]
            elif a.meta["retry"] == "never":
                sys.exit(f"refused: {a.meta}")


def worker(base, name, seed):
    rnd = random.Random(seed)
    bus = Bus(f"ipc://{base}/bus")
    done = open(f"{base}/done.{name}", "a")
    refusing, record = {}, None
    take = bus._take

    def with_pongs(frame):
        v = taxiwire.decode(frame)
        if v[1] == "PONG":
            bus.deliveries += [("pong", key, v[3]) for key, ping in refusing.items() if ping == v[3]]
        take(frame)
    bus._take = with_pongs
    while True:
        try:
            bus.sub("t.>", group="g", credit=CREDIT, tries=1000, ack_ms=3000, from_="all", many=True)
            break
        except (BusError, TimeoutError):
            continue
    while not os.path.exists(f"{base}/stop-working"):
        bus.pump(0.05)
        if record != (bus.epoch, bus.session):
            record = (bus.epoch, bus.session)
            refusing.clear()
        deliveries, bus.deliveries = bus.deliveries, []
        for d in deliveries:
            if isinstance(d, tuple):
                if refusing.get(d[1]) == d[2]:
                    del refusing[d[1]]
                continue
            key = d.meta.get("key")
            if key in refusing or rnd.random() < REFUSE:
                nak = taxiwire.encode("NAK", "", new_id(), {"group": "g", "seq": d.head["seq"], "try": d.head["try"],
                                                            "delay": rnd.randrange(50)})
                ping = new_id()
                if key:
                    refusing[key] = ping
                bus.sock.send(taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb([nak, taxiwire.encode("PING", "", ping, {})])))
                continue
            print(time.monotonic_ns(), d.id.hex(), d.head["seq"], key or "-", int(bool(d.head.get("again"))), file=done, flush=True)
            bus.ack(d)


class Run:
    def __init__(self, rounds, seed):
        self.rnd, self.seed, self.rounds = random.Random(seed), seed, rounds
        self.base = tempfile.mkdtemp(prefix="taxibus", dir="/tmp")
        self.workers, self.started = [], 0

    def start_broker(self):
        r, w = os.pipe()
        with open(f"{self.base}/log", "ab") as log:
            self.broker = subprocess.Popen([BIN / "broker", "--bind", f"ipc://{self.base}/bus", "--feed", "", "--journal",
                                            f"{self.base}/journal", "--ready-fd", str(w)], pass_fds=[w], stderr=log)
        os.close(w)
        ready = os.read(r, 1)
        os.close(r)
        if ready != b"\n":
            sys.exit(f"the broker did not start:\n{open(f'{self.base}/log').read()[-3000:]}")

    def spawn(self, role):
        self.started += 1
        return subprocess.Popen([sys.executable, __file__, "--role", role, "--base", self.base, "--seed",
                                 str(self.seed * 1000 + self.started)])

    def one_round(self):
        time.sleep(self.rnd.uniform(0.3, 2))
        if self.rnd.random() < 0.3:
            i = self.rnd.randrange(len(self.workers))
            self.workers[i].kill()
            self.workers[i].wait()
            self.workers[i] = self.spawn("worker")
        else:
            if self.rnd.random() < 0.8:
                self.broker.kill()
            else:
                self.broker.terminate()
            self.broker.wait()
            self.start_broker()

    def traffic(self):
        self.start_broker()
        publishers = [self.spawn("publisher") for _ in range(2)]
        self.workers = [self.spawn("worker") for _ in range(3)]
        for _ in range(self.rounds):
            self.one_round()
        open(f"{self.base}/stop-publishing", "w").close()
        for p in publishers:
            if p.wait(120) != 0:
                sys.exit("a publisher failed")
        bus = Bus(f"ipc://{self.base}/bus")
        end = time.monotonic() + 120
        while time.monotonic() < end:
            head = bus.req("sys.groups").body
            g = head["groups"][0]
            if g["owed"] == 0:
                break
            bus.pump(0.2)
        open(f"{self.base}/stop-working", "w").close()
        for w in self.workers:
            w.wait(60)
        self.broker.terminate()
        if self.broker.wait(60) != 0:
            yield "the broker did not end cleanly"
        if g["owed"] != 0 or g["floor"] != head["head"]:
            yield f"not everything was worked off: {g}"

    def lines(self, kind):
        for f in sorted(os.listdir(self.base)):
            if f.startswith(kind + "."):
                for line in open(f"{self.base}/{f}"):
                    yield line.split()

    def judge(self):
        sent = {line[0] for line in self.lines("sent")}
        ok = {line[0]: int(line[1]) for line in self.lines("ok")}
        done = sorted((int(t), id, int(seq), key, again == "1") for t, id, seq, key, again in
                      (line for line in self.lines("done") if len(line) == 5))
        print(f"sent {len(sent)}, answered {len(ok)}, processed {len(done)}")
        seen, last = {}, {}
        for _, id, seq, key, again in done:
            if id in seen:
                if seen[id] != seq:
                    yield f"{id} was {seen[id]} and is {seq}"
                if not again:
                    yield f"a repeat of {seq} is not marked"
                continue
            seen[id] = seq
            if key != "-" and seq < last.get(key, 0):
                yield f"key {key}: {seq} after {last[key]}"
            last[key] = max(seq, last.get(key, 0))
        if missing := [ok[i] for i in ok if i not in seen]:
            yield f"{len(missing)} were answered and never processed, {min(missing)} is the first"
        if invented := [i for i in seen if i not in sent]:
            yield f"{len(invented)} were never sent"
        if len(set(ok.values())) != len(ok):
            yield "a seq was given twice"
        for line in open(f"{self.base}/log", errors="replace"):
            if "lvl=error" in line or "Sanitizer" in line:
                yield line.strip()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=12)
    a.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    a.add_argument("--role", choices=["publisher", "worker"], help=argparse.SUPPRESS)
    a.add_argument("--base", help=argparse.SUPPRESS)
    args = a.parse_args()
    if args.role:
        {"publisher": publisher, "worker": worker}[args.role](args.base, str(args.seed), args.seed)
        return
    run = Run(args.rounds, args.seed)
    print(f"seed {args.seed}")
    wrong = [*run.traffic(), *run.judge()]
    for w in wrong[:20]:
        print("WRONG:", w)
    if wrong:
        sys.exit(f"{len(wrong)} wrong; everything is kept in {run.base}")
    shutil.rmtree(run.base)
    print("good")


main()
