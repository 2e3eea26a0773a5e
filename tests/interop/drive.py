"""The driver program of each client as an object, a broker of their own to talk to, and a stand-in for the broker that
says what a real one cannot be made to say.  Independent of the clients under test: taxiway's own are only in the drivers."""
import collections
import ctypes
import functools
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import msgpack
import zmq

import taxiwire
from bus import beat_all, new_id

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "interop"
sys.path.insert(0, str(ROOT / "tests"))
from waiting import SLOW, one_at_a_time, wait_for  # noqa: E402,F401

BIN = pathlib.Path(os.environ.get("TAXI_BIN", ROOT / "build" / "debug" / "bin")).resolve()
BUILD = BIN.parent.name if BIN.parent.name in ("debug", "release", "asan", "tsan", "cov") else "debug"
NODE = ROOT / "build" / "node"


class Failed(Exception):
    def __init__(self, err):
        super().__init__(err)
        self.code, self.retry, self.detail = err["code"], err["retry"], err["detail"]


def run(*cmd, **kw):
    r = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, timeout=300, **kw)
    assert r.returncode == 0, f"{cmd}\n{r.stdout[-2000:]}\n{r.stderr[-4000:]}"
    return r.stdout


@functools.cache
def c_driver():
    """`make install` into a directory, and the driver built far from the tree with what pkg-config says."""
    top = BIN.parent / "installed"

    def make():
        run("make", "-s", f"BUILD={BUILD}", f"O={BIN.parent}", "install-lib", f"DESTDIR={top}", "PREFIX=/usr", cwd=ROOT)
        env = {**os.environ, "PKG_CONFIG_PATH": str(top / "usr/lib/pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(top)}
        flags = run("pkg-config", "--cflags", "--libs", "taxiway", env=env).split()
        shutil.copy(HERE / "driver.c", top / "prog.c")
        san = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(BUILD, [])
        new = top / f"prog-{os.getpid()}"
        run("cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", *san, "prog.c", *flags, "-o", new, cwd=top)
        new.rename(top / "prog")
        return [top / "prog"], {"LD_LIBRARY_PATH": str(top / "usr/lib")}
    return one_at_a_time(top, make)


@functools.cache
def node_driver():
    """The two files beside their packages, as who copies them has it."""
    def make():
        for f in (ROOT / "clients" / "node").iterdir():
            shutil.copy(f, NODE)
        lock = (NODE / "package-lock.json").read_bytes()
        stamp = NODE / "node_modules" / ".for"
        if not stamp.exists() or stamp.read_bytes() != lock:
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
            stamp.write_bytes(lock)
        return ["node", HERE / "driver.mjs"], {"TAXIWAY_MJS": str(NODE / "taxiway.mjs")}
    return one_at_a_time(NODE, make)


def py_driver():
    return [sys.executable, HERE / "driver.py"], {}


DRIVERS = {"c": c_driver, "python": py_driver, "node": node_driver}


def with_us():
    """In a child: it ends when we do, however that comes about."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Driver:
    """One program of a user's.  Commands may be under way together; what comes is sorted into answers and events."""

    def __init__(self, lang, endpoint, **env):
        cmd, more = DRIVERS[lang]()
        self.log = tempfile.TemporaryFile()
        self.p = subprocess.Popen([str(c) for c in cmd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                  env={**os.environ, **more, "TAXI_BUS": endpoint, **env}, preexec_fn=with_us)
        self.lang, self.n, self.lines = lang, 0, queue.SimpleQueue()
        self.answers, self.msgs, self.parts, self.cancelled = {}, [], collections.defaultdict(list), set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.p.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def pump(self, wait=0.0):
        try:
            line = self.lines.get(timeout=wait) if wait else self.lines.get_nowait()
        except queue.Empty:
            return False
        if line is None:
            self.lines.put(None)
            self.log.seek(0)
            raise RuntimeError(f"the {self.lang} driver ended with {self.p.wait()}: {self.log.read()[-3000:].decode()}")
        if "n" in line:
            self.answers[line["n"]] = line
        elif "msg" in line:
            self.msgs.append({**line, "seq": line.get("seq") or None, "key": line.get("key")})
        elif "part" in line:
            self.parts[line["part"]].append(line["body"])
        else:
            self.cancelled.add(line["cancel"])
        return True

    def until(self, cond, what, timeout=20.0):
        end = time.monotonic() + timeout * SLOW
        while not (v := cond()):
            beat_all()
            if not self.pump(0.05) and time.monotonic() > end:
                raise TimeoutError(f"{self.lang}: {what} did not come within {timeout * SLOW} s; has {self.msgs}")
        while self.pump():
            pass
        return v

    def start(self, do, **kw):
        self.n += 1
        self.p.stdin.write(json.dumps({"n": self.n, "do": do, **kw}).encode() + b"\n")
        self.p.stdin.flush()
        return self.n

    def ended(self, n):
        while self.pump():
            pass
        return n in self.answers

    def finish(self, n, timeout=20.0):
        a = self.until(lambda: self.answers.pop(n, None), f"the answer to command {n}", timeout)
        if "err" in a:
            raise Failed(a["err"])
        return a["ok"]

    def call(self, do, **kw):
        return self.finish(self.start(do, **kw))

    def sub(self, name, pattern, **kw):
        return self.call("sub", name=name, pattern=pattern, **kw)

    def msg(self, sub=None, timeout=20.0, **where):
        def first():
            for i, m in enumerate(self.msgs):
                if (sub is None or m["sub"] == sub) and all(m[k] == v for k, v in where.items()):
                    return self.msgs.pop(i)
            return None
        return self.until(first, f"a delivery of {sub or 'any'} {where}", timeout)

    def take(self, sub, n):
        return [self.msg(sub) for _ in range(n)]

    def close(self):
        self.p.stdin.close()
        code = self.p.wait(30 * SLOW)
        self.log.seek(0)
        text = self.log.read().decode()
        assert code == 0 and "Sanitizer" not in text and "runtime error" not in text, f"{self.lang} ended with {code}: {text[-3000:]}"

    def kill9(self):
        self.p.kill()
        self.p.wait()


class Broker:
    def __init__(self, *args, endpoint=None):
        self.base = tempfile.mkdtemp(prefix="taxi", dir="/tmp")
        self.endpoint, self.args = endpoint or f"ipc://{self.base}/bus", args
        self.start()

    def spawn(self):
        self.r, w = os.pipe()
        with open(f"{self.base}/log", "ab") as log:
            self.p = subprocess.Popen([BIN / "broker", "--bind", self.endpoint, "--feed", f"ipc://{self.base}/feed", "--journal",
                                       f"{self.base}/journal", "--ready-fd", str(w), *self.args], stdout=log, stderr=log, pass_fds=[w],
                                      preexec_fn=with_us)
        os.close(w)

    def start(self):
        self.spawn()
        got = os.read(self.r, 1)
        os.close(self.r)
        assert got == b"\n", pathlib.Path(self.base, "log").read_text()[-3000:]
        return time.monotonic()

    def kill9(self):
        self.p.kill()
        self.p.wait()

    def close(self):
        self.p.send_signal(signal.SIGTERM)
        code = self.p.wait(30 * SLOW)
        log = pathlib.Path(self.base, "log").read_text()
        shutil.rmtree(self.base, ignore_errors=True)
        assert code == 0 and "Sanitizer" not in log, log[-3000:]


class Frame:
    """What a client sent.  `pack`: the number of the PACK it came in, None when alone."""

    def __init__(self, peer, raw, pack):
        _, self.verb, self.topic, self.id, self.meta, body = taxiwire.decode(raw)
        self.peer, self.pack, self.raw_body = peer, pack, body

    @property
    def body(self):
        return taxiwire.unpack(self.raw_body)


class FakeBroker:
    """A ROUTER that answers PING, and else only what a test says.  `mute`: not even that."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="taxi", dir="/tmp")
        self.endpoint = f"ipc://{self.base}/bus"
        self._listen()
        self.epoch, self.mute, self.packs, self.got, self.peer = new_id(), False, 0, [], None

    def restart(self):
        self.epoch = new_id()

    def _listen(self):
        self.sock = zmq.Context.instance().socket(zmq.ROUTER)
        self.sock.linger = 0
        self.sock.bind(self.endpoint)

    def hang_up(self):
        """Its connections end; it is the same broker when they come again."""
        self.sock.close(0)
        self._listen()

    def close(self):
        self.sock.close(0)
        shutil.rmtree(self.base, ignore_errors=True)

    def send(self, frame):
        self.sock.send_multipart([self.peer, frame])

    def pong(self, id):
        self.send(taxiwire.encode("PONG", "", id, {"epoch": self.epoch, "session": 1, "features": ["pack"]}))

    def ok(self, f, **meta):
        self.send(taxiwire.encode("OK", "", f.id, meta))

    def event(self, group, seq, topic="t.a", body=None, try_=1, **meta):
        inner = taxiwire.encode("PUB", topic, new_id(), meta, msgpack.packb(body))
        return taxiwire.encode("MSG", topic, new_id(), {"group": group, "seq": seq, "try": try_}, inner)

    def pack(self, *frames):
        return taxiwire.encode("PACK", "", new_id(), {}, msgpack.packb(list(frames)))

    def _take(self, peer, raw, pack=None):
        f = Frame(peer, raw, pack)
        self.peer = peer
        if f.verb == "PACK":
            self.packs += 1
            for inner in msgpack.unpackb(f.raw_body):
                self._take(peer, inner, self.packs)
            return
        if f.verb == "PING" and pack is None and not self.mute:
            self.pong(f.id)
        self.got.append(f)

    def expect(self, verb, timeout=20.0, where=lambda f: True):
        end = time.monotonic() + timeout * SLOW
        while True:
            for i, f in enumerate(self.got):
                if f.verb == verb and where(f):
                    return self.got.pop(i)
            if time.monotonic() > end:
                raise TimeoutError(f"{verb} did not come; there are {[x.verb for x in self.got]}")
            if self.sock.poll(50):
                self._take(*self.sock.recv_multipart())

    def turn(self):
        """A full exchange of PING and PONG from now on: whatever was sent before has come."""
        self.got = [f for f in self.got if f.verb != "PING"]
        for _ in range(2):
            self.expect("PING", where=lambda f: f.pack is None)
