"""Real processes, started and killed by the tests: broker, edge, services, plugins, Postgres.

TAXI_BIN names the directory with the programs (default build/debug/bin).  Nothing here sleeps for a fixed time: a
process is up when it wrote its newline to the ready fd, and everything else is waited for as a state, with a bound.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "interop")]
from bus import Bus, beat_all  # noqa: E402
from waiting import SLOW, free_port, meanwhile, one_at_a_time, wait_for  # noqa: E402,F401

BIN = pathlib.Path(os.environ.get("TAXI_BIN", ROOT / "build" / "debug" / "bin")).resolve()
meanwhile.append(beat_all)
PGBIN = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))[-1]


class Proc:
    """One process of ours.  start() returns when it is ready."""

    def __init__(self, name, args=(), env=None, log_dir=None, program=None):
        self.name, self.args, self.program = name, [str(a) for a in args], str(program or BIN / name)
        self.env = {**os.environ, **{k: str(v) for k, v in (env or {}).items()}}
        self.env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:quarantine_size_mb=4")
        self.log_path = pathlib.Path(log_dir) / f"{name}-{id(self):x}.log"
        self.p, self.killed = None, False

    def spawn(self):
        """Start without waiting; ready() waits."""
        r, w = os.pipe()
        with open(self.log_path, "ab") as log:
            self.p = subprocess.Popen([self.program, *self.args, "--ready-fd", str(w)], stdout=log, stderr=log,
                                      stdin=subprocess.DEVNULL, env=self.env, pass_fds=[w])
        os.close(w)
        self.ready_fd, self.killed = r, False
        return self

    def ready(self, timeout=30.0):
        os.set_blocking(self.ready_fd, False)

        def came():
            try:
                b = os.read(self.ready_fd, 1)
            except BlockingIOError:
                return False
            if b == b"":
                raise RuntimeError(f"{self.name} ended with {self.p.wait()} before it was ready:\n{self.log()[-3000:]}")
            return True
        try:
            wait_for(came, timeout, f"readiness of {self.name} (log: {self.log()[-2000:]})")
        finally:
            os.close(self.ready_fd)
        return self

    def start(self, timeout=30.0):
        return self.spawn().ready(timeout)

    def spawn_bare(self):
        """A user's program, which tells nobody when it is ready."""
        with open(self.log_path, "ab") as log:
            self.p = subprocess.Popen([self.program, *self.args], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        return self

    def kill9(self):
        if self.p and self.p.poll() is None:
            self.killed = True
            self.p.send_signal(signal.SIGKILL)
        if self.p:
            self.p.wait()

    def stop(self, timeout=30.0):
        """SIGTERM; returns the exit code, which is 0 for a clean drain."""
        if self.p is None or self.p.poll() is not None:
            return self.p.returncode if self.p else None
        self.p.send_signal(signal.SIGTERM)
        try:
            return self.p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Postgres:
    """A private cluster on a unix socket, run as an unprivileged user when we are root."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.data, self.sock = self.base / "data", self.base / "s"
        self.user = "taxitest"
        self.as_user = []
        if os.geteuid() == 0:
            self.as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
            shutil.chown(self.base, "nobody", "nogroup")
        os.chmod(self.base, 0o755)

    def _run(self, *cmd):
        subprocess.run([*self.as_user, *map(str, cmd)], check=True, stdout=subprocess.DEVNULL, cwd="/",
                       env={**os.environ, "LC_ALL": "C.UTF-8"})

    def init(self):
        self._run("mkdir", "-p", self.sock)
        self._run(PGBIN / "initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                  "--no-sync")
        self.start()
        self.make_template()
        self.stop()

    def copy_of(self, data):
        self._run("mkdir", "-p", self.sock)
        subprocess.run(["cp", "-a", data, self.data], check=True)
        return self

    def start(self):
        log = open(self.base / "log", "ab")
        self.p = subprocess.Popen([*self.as_user, PGBIN / "postgres", "-D", self.data, "-c", "listen_addresses=",
                                   "-c", f"unix_socket_directories={self.sock}", "-c", "shared_buffers=32MB", "-c", "fsync=off",
                                   "-c", "max_connections=60"], stdout=log, stderr=log, cwd="/")
        log.close()

        def up():
            if self.p.poll() is not None:  # a predecessor's shared memory may still be there: once more
                return self.start() or True
            return subprocess.run([PGBIN / "pg_isready", "-q", "-h", self.sock, "-U", self.user]).returncode == 0
        wait_for(up, 60, "Postgres", 0.1)

    def kill9(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait()

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
            self.p.wait(60)

    def url(self, db):
        return f"postgresql:///{db}?host={self.sock}&user={self.user}"

    def connect(self, db):
        import psycopg2
        c = psycopg2.connect(self.url(db))
        c.autocommit = True
        return c

    def create(self, db, migrate=True):
        self._run(PGBIN / "createdb", "-h", self.sock, "-U", self.user, "-T", "taxi_template" if migrate else "template1", db)
        return self.url(db)

    def make_template(self):
        """One database with every migration, copied by each test."""
        self.create("taxi_template", migrate=False)
        for m in sorted(ROOT.glob("services/*/migrations")):
            if (m / "sqitch.plan").exists():
                subprocess.run(["sqitch", "--quiet", "deploy", "--verify", "--target",
                                "db:pg:" + self.url("taxi_template").split(":", 1)[1]], cwd=m, check=True,
                               env={**os.environ, "SQITCH_FULLNAME": "test", "SQITCH_EMAIL": "test@localhost", "TZ": "UTC"})


@pytest.fixture(scope="session")
def pg(tmp_path_factory):
    """A cluster of each process that tests; the first makes what all of them copy."""
    here = tmp_path_factory.getbasetemp()
    made = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "pg"
    base = tempfile.mkdtemp(prefix="taxipg", dir="/tmp")

    def make():
        if not (made / "data").exists():
            first = Postgres(tempfile.mkdtemp(prefix="taxipg", dir="/tmp"))
            first.init()
            shutil.move(first.data, made / "data.new")
            (made / "data.new").rename(made / "data")
            shutil.rmtree(first.base)
    one_at_a_time(made, make)
    p = Postgres(base).copy_of(made / "data")
    p.start()
    try:
        yield p
    finally:
        p.stop()
        shutil.rmtree(base, ignore_errors=True)


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class House:
    """A broker and whatever a test adds, below one short directory."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.bus_endpoint = f"ipc://{self.base}/bus"
        self.procs, self.buses = [], []
        self.http_port = None
        self.database = None

    def proc(self, name, *args, env=None, program=None):
        p = Proc(name, args, {"TAXI_BUS": self.bus_endpoint, **({"TAXI_DATABASE_URL": self.database} if self.database else {}),
                              **(env or {})}, self.base, program)
        self.procs.append(p)
        return p

    def broker(self, *args):
        journal = self.base / "journal"
        self.feed_endpoint = f"ipc://{self.base}/feed"
        self.the_broker = self.proc("broker", "--bind", self.bus_endpoint, "--feed", self.feed_endpoint, "--journal", journal,
                                    *args).start()
        return self.the_broker

    def edge(self, *args):
        self.http_port = self.http_port or free_port()
        self.the_edge = self.proc("edge-http", "--listen", f"127.0.0.1:{self.http_port}", "--shards", "2", *args).start()
        return self.the_edge

    def bus(self, **kw):
        b = Bus(self.bus_endpoint, **{"timeout": 20 * SLOW, **kw})
        self.buses.append(b)
        return b

    def http(self, method, path, body=None, headers=None, timeout=30):
        """One request.  A dict or list body is sent as JSON."""
        beat_all()
        c = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout * SLOW)
        h = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            h.setdefault("Content-Type", "application/json")
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            return Response(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def close(self):
        for b in self.buses:
            b.close()
        codes = []
        for p in reversed(self.procs):
            if p.alive():
                codes.append((p.name, p.stop()))
            elif p.p and p.p.returncode < 0 and not p.killed:
                codes.append((p.name, p.p.returncode))
        return codes

    def check_logs(self):
        """No process may have left a sanitizer report, whatever the test did to it."""
        for p in self.procs:
            text = p.log()
            for mark in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer"):
                assert mark not in text, f"{p.name}: {text[text.index(mark):][:4000]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the processes of its house said."""
    report = (yield).get_result()
    h = getattr(item, "funcargs", {}).get("house")
    if report.failed and h:
        report.sections += [(f"{p.name} (pid {p.p and p.p.pid}) said", p.log()[-4000:]) for p in h.procs]


@pytest.fixture
def house():
    base = tempfile.mkdtemp(prefix="taxi", dir="/tmp")
    h = House(base)
    ok = False
    try:
        yield h
        ok = True
    finally:
        codes = h.close()
        if ok:
            h.check_logs()
            assert all(code == 0 for _, code in codes), f"a process did not drain cleanly, or died: {codes}"
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def bus(house):
    """A client of a broker with nothing said to it."""
    house.broker()
    return house.bus()


@pytest.fixture
def full(house, pg):
    """The whole house: broker, database, edge, and helpers to add services."""
    db = "t" + os.path.basename(house.base).replace("_", "").lower()
    house.database = pg.create(db)
    house.db = lambda: pg.connect(db)
    house.broker()
    yield house
