#!/usr/bin/python3
"""Everything is killed with -9 at random points, again and again; external, fsynced ledgers are the oracle.

    tests/chaos/chaos.py --rounds 1000 --seed 7

A bout is a fresh set-up: a broker, an edge with a service behind it, two publishers on the bus and one through the edge, three
workers of the group `g` (two in C, one in Python) and one of `h`, which has three tries.  A round of it lets some traffic pass
and then kills (SIGKILL), halts (SIGSTOP, SIGCONT) or drains (SIGTERM) one of them, or several at once; whoever is gone is
started again.  At the end of a bout everything is worked off and judged (judge.py): no answered envelope lost, none invented,
order per key, repeats only where they were marked, received = delivered + dead + dropped + pending.

A bout that fails keeps its directory and is run again by `--seed S --bout B`.  `--prove` shows that the verdict can be no:
ledgers are tampered with, and a broker is started with a journal that was put back to an earlier moment.
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "interop"), str(pathlib.Path(__file__).resolve().parent)]
import judge  # noqa: E402
from bus import Bus, BusError  # noqa: E402
from waiting import SLOW, free_port  # noqa: E402

BIN = pathlib.Path(os.environ.get("TAXI_BIN", ROOT / "build" / "release" / "bin")).resolve()
HAND = BIN.parent / "tests" / "chaos" / "hand"
PYHAND = pathlib.Path(__file__).resolve().parent / "pyhand.py"
ROUNDS_A_BOUT = 25
moment = threading.Event()  # never set: a wait that ends by its bound


class Stuck(Exception):
    pass


class Hand:
    """One process under a name; another is started in its place when it is gone."""

    def __init__(self, bout, name, argv, ledger=None):
        self.bout, self.name, self.argv, self.ledger = bout, name, argv, ledger
        self.life, self.p, self.stopped = 0, None, False

    def start(self):
        argv = [str(x) for x in self.argv]
        if self.ledger:
            who = f"{self.ledger}-{self.life}"
            argv += ["--ledger", f"{self.bout.base}/{who}", "--seed", str(self.bout.rnd.getrandbits(31))]
            if who.startswith("pub."):
                argv += ["--name", who[4:]]
        r, w = os.pipe()
        with open(f"{self.bout.base}/log.{self.name}", "ab") as log:
            self.p = subprocess.Popen([*argv, "--ready-fd", str(w)], pass_fds=[w], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        os.close(w)
        self.ready_fd, self.stopped = r, False
        self.life += 1

    def ready(self, timeout):
        """True: it wrote its newline; False: not within the time."""
        if self.ready_fd is None:
            return True
        os.set_blocking(self.ready_fd, False)
        end = time.monotonic() + timeout
        while True:
            try:
                if os.read(self.ready_fd, 1) == b"":
                    raise Stuck(f"{self.name} ended with {self.p.wait()} before it was ready")
                self.forget_ready()
                return True
            except BlockingIOError:
                if time.monotonic() > end:
                    return False
                moment.wait(0.002)

    def forget_ready(self):
        if self.ready_fd is not None:
            os.close(self.ready_fd)
        self.ready_fd = None

    def signal(self, s):
        self.p.send_signal(s)
        self.stopped = s == signal.SIGSTOP or (self.stopped and s != signal.SIGCONT)

    def end(self, timeout=None):
        """Waits until it is gone; its exit code."""
        try:
            return self.p.wait(timeout and timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise Stuck(f"{self.name} did not end within {timeout * SLOW} s") from None
        finally:
            self.forget_ready()

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
        self.end()


class Bout:
    def __init__(self, seed, number, rounds, talk):
        self.rnd, self.rounds, self.talk = random.Random(f"{seed}/{number}"), rounds, talk
        self.base = pathlib.Path(tempfile.mkdtemp(prefix=f"taxichaos-{seed}-{number}-", dir="/tmp"))
        bus, port = f"ipc://{self.base}/bus", free_port()
        c = [HAND, "--bus", bus, "--drain-ms", "5000"]
        rate, window = self.rnd.choice([(4, 32), (4, 32), (20, 256), (60, 1000)])
        self.retain = self.rnd.random() < 0.25 and isinstance(number, int)

        def hand(name, argv, ledger=None):
            return Hand(self, name, argv, ledger)
        self.broker = hand("broker", [BIN / "broker", "--bind", bus, "--feed", "", "--journal", f"{self.base}/journal",
                                 *(["--retain-ms", "100"] if self.retain else [])])
        self.edge = hand("edge", [BIN / "edge-http", "--bus", bus, "--listen", f"127.0.0.1:{port}", "--drain-ms", "2000"])
        self.gate = hand("gate", [*c, "--role", "gate"])
        self.publishers = [hand(f"p{i}", [*c, "--role", "publish", "--rate", rate, "--window", window], f"pub.p{i}") for i in (1, 2)]
        self.http = hand("http", [PYHAND, "--role", "http", "--port", port], "pub.http")
        self.workers = [hand(f"w{i}", [*c, "--role", "work"], f"work.g.c{i}") for i in (1, 2)]
        self.workers.append(hand("py", [PYHAND, "--role", "work", "--bus", bus], "work.g.py"))
        self.workers.append(hand("wh", [*c, "--role", "work", "--group", "h", "--nak", "60"], "work.h.c"))
        self.all = [self.broker, self.edge, self.gate, *self.publishers, self.http, *self.workers]
        self.endpoint, self.due, self.kills = bus, [], 0

    # ---- time passes ----

    def tick(self, wait=0.005):
        """What is due by now: a halted one goes on, one that is gone comes again."""
        moment.wait(wait)
        now = time.monotonic()
        for item in [d for d in self.due if d[0] <= now]:
            self.due.remove(item)
            item[1]()
        for h in self.all:
            if h.p.poll() is not None and not any(d[2] is h for d in self.due):
                raise Stuck(f"{h.name} ended by itself with {h.p.returncode}")

    def later(self, seconds, fn, hand):
        self.due.append((time.monotonic() + seconds, fn, hand))

    def written(self, kind):
        return sum(e.stat().st_size for e in os.scandir(self.base) if e.name.startswith(kind))

    def traffic(self, more=None):
        """Until some more (bytes of the ledgers) was answered and processed."""
        more = more or {"pub.": self.rnd.choice([0, 500, 5000, 15000]) * self.rnd.random(),
                        "work.": self.rnd.choice([0, 1000, 10000, 30000]) * self.rnd.random()}
        want = {k: self.written(k) + n for k, n in more.items()}
        end = time.monotonic() + 90 * SLOW
        while any(self.written(k) < n for k, n in want.items()):
            if time.monotonic() > end:
                raise Stuck(f"no traffic any more: {want}, {[(h.name, h.p.poll(), h.stopped) for h in self.all]}")
            self.tick(0.01)

    # ---- a round ----

    def again(self, h):
        h.end()
        h.start()

    def harm(self, h):
        how = self.rnd.choices(["kill", "kill, late", "kill, early", "halt", "drain"], [50, 15, 10, 15, 10])[0]
        if any(d[2] is h for d in self.due):
            return
        self.kills += 1
        self.talk(f"{how} {h.name}")
        if how == "halt":
            h.signal(signal.SIGSTOP)
            self.later(self.rnd.choice([0.05, 0.5, 1.5, 1.5, 7]) * self.rnd.random(), lambda: h.signal(signal.SIGCONT), h)
        elif how == "drain":
            h.signal(signal.SIGTERM)
            h.signal(signal.SIGCONT)
            if self.rnd.random() < 0.3:
                self.later(self.rnd.random() * 0.1, lambda: (h.kill(), self.again(h)), h)
            else:
                self.wait_end(h, time.monotonic() + 30 * SLOW)
        else:
            h.kill()
            if how == "kill, late":
                self.later(self.rnd.random(), lambda: self.again(h), h)
                return
            self.again(h)
            if how == "kill, early":  # once more, somewhere in its beginning
                h.ready(self.rnd.random() * 0.1)
                h.kill()
                self.again(h)

    def wait_end(self, h, bound):
        if h.p.poll() is not None:
            self.again(h)
        elif time.monotonic() > bound:
            raise Stuck(f"{h.name} does not end after SIGTERM")
        else:
            self.later(0.01, lambda: self.wait_end(h, bound), h)

    def victims(self):
        kinds = [[self.broker], [self.broker], self.workers, self.publishers, [self.edge], [self.gate], [self.http]]
        n = self.rnd.choices([1, 2, 3, len(self.all)], [60, 20, 15, 5])[0]
        if n == len(self.all):
            return set(self.all)
        return {self.rnd.choice(self.rnd.choice(kinds)) for _ in range(n)}

    def one_round(self):
        self.traffic()
        for h in sorted(self.victims(), key=lambda h: h.name):
            self.harm(h)
            if self.rnd.random() < 0.5:
                self.tick(self.rnd.random() * 0.02)

    # ---- the end ----

    def settle(self):
        end = time.monotonic() + 60 * SLOW
        while self.due and time.monotonic() < end:
            self.tick()
        if not self.broker.ready(60 * SLOW):
            raise Stuck("the broker does not get ready")
        for h in self.all:
            if not h.ready(30 * SLOW):
                raise Stuck(f"{h.name} does not get ready")
        for h in [*self.publishers, self.http]:
            h.signal(signal.SIGTERM)
        for h in [*self.publishers, self.http]:
            if h.end(30) != 0:
                raise Stuck(f"{h.name} ended with {h.p.returncode}")
            self.all.remove(h)

    def groups(self, bus):
        return {g["group"]: g for g in bus.req("sys.groups").body["groups"]}

    def look(self, f):
        """Works everything off, then what the journal holds."""
        bus = Bus(self.endpoint)
        end = time.monotonic() + 150 * SLOW
        while True:
            f.groups = self.groups(bus)
            if all(g["owed"] == 0 for g in f.groups.values()) and set(f.groups) == {"g", "h"}:
                break
            if time.monotonic() > end:
                raise Stuck(f"not worked off: {f.groups}")
            bus.pump(0.05)
            self.tick(0)
        self.read_stored(bus, f)
        after = 0
        while after is not None:
            page = bus.req("sys.dead.ls", {"after": after, "limit": 1000}).body
            for d in page["items"]:
                if d["seq"] in f.dead[d["group"]]:
                    f.died_again.append(f"{d}")
                f.dead[d["group"]][d["seq"]] = judge.Dead(d["reason"], d["tries"], at_ms(d["at"]))
            after = page["next"]
        bus.close()

    def read_stored(self, bus, f):
        """Everything from the beginning on, up to a record that is published for this."""
        import taxiwire
        end = bus.pub("end.of-bout").meta["seq"]
        bus.sub(">", credit=2000, from_="all", bytes=64 << 20)
        seen, seq = 0, 0
        while seq < end:
            d = bus.recv(60 * SLOW)
            seq = d.head["seq"]
            if d.topic.startswith("t."):
                f.stored[seq] = judge.Stored(d.body, d.meta.get("key", ""), d.meta.get("exp", 0), d.topic)
            seen += 1
            if seen % 1000 == 0:
                bus.sock.send(taxiwire.encode("MORE", "", d.head_id, {"n": 1000}))

    def finish(self):
        for h in reversed(self.all):
            h.signal(signal.SIGTERM)
            h.signal(signal.SIGCONT)
        for h in reversed(self.all):
            if h.end(30) != 0:
                raise Stuck(f"{h.name} ended with {h.p.returncode}")

    def run(self, between=lambda bout, k: None):
        f = None
        try:
            # Both groups are there before anything is stored: retention keeps nothing for later ones.
            for h in [self.broker, self.workers[0], self.workers[-1]]:
                h.start()
                if not h.ready(60 * SLOW):
                    raise Stuck(f"{h.name} does not get ready")
            for h in self.all:
                if h.p is None:
                    h.start()
            for k in range(self.rounds):
                self.one_round()
                between(self, k)
            self.settle()
            f = judge.Facts()
            self.look(f)
            self.finish()
            told = judge.facts_of(self.base)
            told.stored, told.dead, told.died_again, told.groups = f.stored, f.dead, f.died_again, f.groups
            if self.retain:
                judge.fill(told)
            return told, judge.judge(told)
        except (Stuck, BusError, TimeoutError) as e:
            return f, [("stuck", f"{e}")]
        finally:
            for h in self.all:
                if h.p is not None and h.p.poll() is None:
                    h.p.kill()
                    h.p.wait()


def at_ms(text):
    import datetime
    if isinstance(text, int):
        return text
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def put_back(bout, k):
    """Between two rounds the journal becomes what it was some rounds ago: a disk that forgot."""
    if k not in (2, 6):
        return
    bout.traffic({"pub.": 2000, "work.": 2000})
    while any(d[2] is bout.broker for d in bout.due):
        bout.tick()
    bout.broker.kill()
    if k == 2:
        shutil.copytree(bout.base / "journal", bout.base / "old")
    else:
        shutil.rmtree(bout.base / "journal")
        shutil.copytree(bout.base / "old", bout.base / "journal")
    bout.broker.start()


def prove(args, talk):
    bout = Bout(args.seed, "prove", args.rounds, talk)
    facts, wrong = bout.run()
    if wrong:
        sys.exit(f"the bout itself is not good: {wrong[:3]}, kept in {bout.base}")
    blind = judge.blind_to(facts)
    shutil.rmtree(bout.base)
    for b in blind:
        print("NOT SEEN:", b)
    print(f"{args.rounds} rounds: {dict(judge.count(facts))}")
    print(f"{len(judge.tampered(facts)) - len(blind)} of {len(judge.tampered(facts))} lies in the ledgers were seen")
    bout = Bout(args.seed, "forgetful", 9, talk)
    _, wrong = bout.run(put_back)
    shutil.rmtree(bout.base)
    rules = sorted({r for r, _ in wrong})
    print(f"a journal put back to an earlier moment: {len(wrong)} wrong, {rules}")
    sys.exit(1 if blind or not {"lost", "stuck"} & set(rules) else 0)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=20)
    a.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    a.add_argument("--bout", type=int, help="only this one")
    a.add_argument("--prove", action="store_true")
    a.add_argument("--keep-going", action="store_true", help="after a failed bout too")
    a.add_argument("--verbose", action="store_true")
    args = a.parse_args()
    begin = time.monotonic()

    def talk(text):
        if args.verbose:
            print(f"  {time.monotonic() - begin:8.3f} {text}", flush=True)
    print(f"chaos: {args.rounds} rounds, seed {args.seed}", flush=True)
    if args.prove:
        prove(args, talk)
    total, failed, kills = judge.count(judge.Facts()), 0, 0
    for number in range((args.rounds + ROUNDS_A_BOUT - 1) // ROUNDS_A_BOUT):
        if args.bout is not None and number != args.bout:
            continue
        bout = Bout(args.seed, number, min(ROUNDS_A_BOUT, args.rounds - number * ROUNDS_A_BOUT), talk)
        facts, wrong = bout.run()
        kills += bout.kills
        counts = judge.count(facts) if facts else {}
        total.update(counts)
        print(f"  bout {number}: {bout.rounds} rounds{', retention' if bout.retain else ''}, {bout.kills} harmed, {dict(counts)}, {time.monotonic() - begin:.0f} s", flush=True)
        for rule, text in wrong[:20]:
            print(f"WRONG ({rule}): {text}", flush=True)
        if wrong:
            failed += 1
            print(f"{len(wrong)} wrong; again by --seed {args.seed} --bout {number} --rounds {args.rounds}; kept in {bout.base}", flush=True)
            if not args.keep_going:
                sys.exit(1)
            continue
        shutil.rmtree(bout.base)
    print(f"chaos {'ok' if not failed else f'FAILED in {failed} bouts'}: {args.rounds} rounds, {kills} harmed, {dict(total)}, "
          f"{time.monotonic() - begin:.0f} s, seed {args.seed}", flush=True)
    sys.exit(1 if failed else 0)


main()
