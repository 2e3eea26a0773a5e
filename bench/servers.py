"""The servers of a bench: started in a private directory on free ports, killed at the end.

Each has `version`, `how` (its configuration, said on the page) and `missing` (why it cannot run here, or "").
"""
import ctypes
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import time

LIBC = ctypes.CDLL(None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def package(name):
    r = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name], capture_output=True, text=True)
    status, _, version = r.stdout.partition(" ")
    return version if r.returncode == 0 and status == "installed" else None


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _child():
    LIBC.prctl(1, signal.SIGKILL)  # dies with us, however we die


def cpu_us(pid):
    return sum(int(open(f"/proc/{pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{pid}/task")) / 1000


class Yard:
    """What was started.  close() ends all of it."""

    def __init__(self, base, build):
        self.base, self.bin, self.loads = pathlib.Path(base), pathlib.Path(build) / "bin", pathlib.Path(build) / "bench"
        self.procs = []
        os.chmod(self.base, 0o755)  # some of them run as nobody

    def dir(self, name, owner=None):
        d = self.base / name
        d.mkdir(parents=True, exist_ok=True)
        if owner and os.geteuid() == 0:
            p = pwd.getpwnam(owner)
            os.chown(d, p.pw_uid, p.pw_gid)
        return d

    def spawn(self, cmd, name, env=None, cwd=None, pass_fds=()):
        with open(self.base / f"{name}.log", "ab") as log:
            p = subprocess.Popen([str(c) for c in cmd], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=cwd or self.base,
                                 env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_child, pass_fds=pass_fds)
        p.label = name
        self.procs.append(p)
        return p

    def taxi(self, prog, name, *args, env=None):
        """One of our own processes; returns when it says it is ready."""
        r, w = os.pipe()
        p = self.spawn([prog, *args, "--ready-fd", w], name, env=env, pass_fds=[w])
        os.close(w)
        with os.fdopen(r, "rb", buffering=0) as f:
            if not select.select([f], [], [], 30)[0] or f.read(1) != b"\n":
                raise RuntimeError(f"{name} did not start:\n{self.log(name)}")
        return p

    def log(self, name):
        return (self.base / f"{name}.log").read_text(errors="replace")[-1500:]

    def wait_port(self, port, p, secs=60):
        end = time.monotonic() + secs
        while time.monotonic() < end:
            if p.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{p.label} does not listen:\n{self.log(p.label)}")

    def cpu_us(self):
        """CPU time so far of everything that was started here and lives."""
        mine, total = {p.pid for p in self.procs}, 0
        for d in os.listdir("/proc"):
            try:
                if d.isdigit() and os.getsid(int(d)) in mine:
                    total += cpu_us(d)
            except (OSError, ValueError):  # gone meanwhile
                pass
        return total

    def end(self, p):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(p.pid, sig)
            except ProcessLookupError:
                break
            try:
                p.wait(3)
                break
            except subprocess.TimeoutExpired:
                pass
        if p in self.procs:
            self.procs.remove(p)

    def close(self):
        for p in reversed(self.procs[:]):
            self.end(p)


class Taxiway:
    name, how = "Taxiway", "broker with its journal on disk, every OK after an fdatasync; defaults"

    def __init__(self, yard, label="taxiway"):
        self.yard, self.label = yard, label
        self.version = subprocess.run([yard.bin / "taxi", "--version"], capture_output=True, text=True).stdout.split()[-1]
        self.at, self.feed = f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"
        self.broker = yard.taxi(yard.bin / "broker", label, "--bind", self.at, "--feed", self.feed, "--journal",
                                yard.base / f"{label}.journal")

    def echo(self, n=2):
        for i in range(n):
            self.yard.taxi(self.yard.loads / "echo", f"{self.label}-echo{i}", env={"TAXI_BUS": self.at})

    def edge(self):
        self.http = f"http://127.0.0.1:{(port := free_port())}"
        self.yard.taxi(self.yard.bin / "edge-http", f"{self.label}-edge", "--listen", f"127.0.0.1:{port}", env={"TAXI_BUS": self.at})

    def tower(self):
        # Accepting a trigger waits for the journal alone; it is recorded when the database is there.
        self.yard.taxi(self.yard.bin / "control-tower", f"{self.label}-tower",
                       env={"TAXI_BUS": self.at, "TAXI_DATABASE_URL": f"postgresql:///none?host={self.yard.base}"})

    def rss(self, field="VmRSS"):
        for line in open(f"/proc/{self.broker.pid}/status"):
            if line.startswith(field):
                return int(line.split()[1]) * 1024

    def end(self):
        self.yard.end(self.broker)


class Proxy:
    name, how = "zmq_proxy", "ROUTER and DEALER in a process of its own, one I/O thread, no high-water marks"

    def __init__(self, yard):
        self.version = package("libzmq5")
        self.at, back = f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"
        yard.spawn([yard.loads / "peer_zmq", "proxy", self.at, "--name", back], "zmq_proxy")
        for i in range(2):
            yard.spawn([yard.loads / "peer_zmq", "serve", back], f"zmq-serve{i}")


class Nats:
    name = "NATS"

    def __init__(self, yard, synced=False):
        self.name = "JetStream, every write synced" if synced else "NATS"
        self.how = ("as the other, its store in a directory with `chattr +S`, so that each write(2) is on the disk when it returns: "
                    "2.9 has no sync_interval" if synced else
                    "one server; JetStream: file store of one replica, fsync every two minutes (the default, which 2.9 cannot change); "
                    "nats.c: workers in a queue group, js_PublishAsync, push consumer with explicit acks, SendAsap where one is outstanding")
        self.version = package("nats-server")
        label = "nats-synced" if synced else "nats"
        store = yard.dir(f"{label}.store")
        if synced:
            subprocess.run(["chattr", "+S", store], check=True, capture_output=True)
        port = free_port()
        self.at = f"127.0.0.1:{port}"
        conf = yard.base / f"{label}.conf"
        conf.write_text(f'host: 127.0.0.1\nport: {port}\njetstream {{ store_dir: "{store}" }}\n')
        yard.wait_port(port, yard.spawn([program("nats-server"), "-c", conf], label))
        if not synced:
            for name, window in (("q1", 1), ("q64", 64)):
                for i in range(2):
                    yard.spawn([yard.loads / "peer_nats", "serve", self.at, "--name", name, "--window", window], f"nats-{name}-{i}")


class Redis:
    name = "Redis"

    def __init__(self, yard, durable=False):
        self.name = "Redis, appendfsync always" if durable else "Redis"
        self.how = ("`appendonly yes`, `appendfsync always`, no rewrite during the run, no snapshots" if durable else
                    "nothing on disk; requests and answers in lists, by BLMPOP of up to 64 and RPUSH, in pipelines of hiredis")
        self.version = package("redis-server")
        label = "redis-always" if durable else "redis"
        port = free_port()
        self.at = f"127.0.0.1:{port}"
        yard.wait_port(port, yard.spawn([program("redis-server"), "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", yard.dir(label),
                                         "--appendonly", "yes" if durable else "no", "--appendfsync", "always",
                                         "--auto-aof-rewrite-percentage", "0"], label))
        if not durable:
            for i in range(2):
                yard.spawn([yard.loads / "peer_redis", "serve", self.at, "--name", "q"], f"redis-serve{i}")


class Rabbit:
    name, how = "RabbitMQ", "one node, quorum queue, publisher confirms; consumer: prefetch 1,024, one ack for 64; librabbitmq"

    def __init__(self, yard):
        self.version = package("rabbitmq-server")
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        d = yard.dir("rabbit", "nobody")
        port, dist, epmd = free_port(), free_port(), free_port()
        self.at = f"127.0.0.1:{port}"
        conf, plugins = yard.base / "rabbit.conf", yard.base / "rabbit.plugins"
        conf.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.file.level = warning\ndistribution.listener.interface = 127.0.0.1\n"
                        f"distribution.listener.port_range.min = {dist}\ndistribution.listener.port_range.max = {dist}\n")
        plugins.write_text("[].")
        env = {"ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(d), "LC_ALL": "C.UTF-8",
               "RABBITMQ_NODENAME": f"bench{port}@localhost", "RABBITMQ_CONFIG_FILE": str(conf.with_suffix("")),
               "RABBITMQ_MNESIA_BASE": str(d / "mnesia"), "RABBITMQ_LOG_BASE": str(d / "log"), "RABBITMQ_PID_FILE": str(d / "pid"),
               "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins), "RABBITMQ_CONF_ENV_FILE": "/dev/null"}
        yard.spawn([*user, program("epmd")], "epmd", env=env, cwd="/")
        p = yard.spawn([*user, "/usr/lib/rabbitmq/bin/rabbitmq-server"], "rabbitmq", env=env, cwd="/")
        yard.wait_port(port, p, 90)


class Mosquitto:
    name, how = "Mosquitto", "QoS 1, persistence on (saved every 30 minutes, its default: nothing is synced), no limit of what is in flight"

    def __init__(self, yard):
        self.version = package("mosquitto")
        port = free_port()
        self.at = f"127.0.0.1:{port}"
        d = yard.dir("mosquitto", "nobody")
        conf = yard.base / "mosquitto.conf"
        conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {d}/\n"
                        "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
                        f"{'user nobody' if os.geteuid() == 0 else ''}\n")
        yard.wait_port(port, yard.spawn([program("mosquitto"), "-c", conf], "mosquitto"))


class Nginx:
    name = "nginx proxy_pass → libmicrohttpd"
    how = "nginx: 2 worker processes, proxy_pass with keepalive connections, no access log; libmicrohttpd hello: epoll, 2 threads"

    def __init__(self, yard):
        self.version = package("nginx-light") or package("nginx")
        hello, port = free_port(), free_port()
        self.http = f"http://127.0.0.1:{port}"
        yard.wait_port(hello, yard.spawn([yard.loads / "hello", hello], "hello"))
        d = yard.dir("nginx")
        temps = "".join(f"  {k}_temp_path {d}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = yard.base / "nginx.conf"
        conf.write_text(
            f"daemon off;\nworker_processes 2;\npid {d}/pid;\nerror_log stderr;\nevents {{ worker_connections 1024; }}\nhttp {{\n"
            f"  access_log off;\n  keepalive_requests 1000000000;\n{temps}"
            f"  upstream hello {{ server 127.0.0.1:{hello}; keepalive 64; keepalive_requests 1000000000; }}\n"
            f"  server {{\n    listen 127.0.0.1:{port};\n    location / {{ proxy_pass http://hello; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; }\n  }\n}\n')
        yard.wait_port(port, yard.spawn([program("nginx"), "-e", "stderr", "-c", conf], "nginx"))


# What each needs: Debian packages, a program of bench/ that its library had to be there for.
NEEDS = {
    Proxy: ([], "peer_zmq"),
    Nats: (["nats-server"], "peer_nats"),
    Redis: (["redis-server"], "peer_redis"),
    Rabbit: (["rabbitmq-server"], "peer_rabbit"),
    Mosquitto: (["mosquitto"], "peer_mosquitto"),
    Nginx: (["nginx"], "hello"),
}
LIBRARY = {"peer_nats": "libnats-dev", "peer_redis": "libhiredis-dev", "peer_rabbit": "librabbitmq-dev", "peer_mosquitto": "libmosquitto-dev",
           "hello": "libmicrohttpd-dev", "peer_sqlite": "libsqlite3-dev"}


def missing(kind, yard):
    """Why this one cannot run here; "" when it can."""
    packages, load = NEEDS[kind]
    gone = [p for p in packages if not program(p)]
    if not (yard.loads / load).exists():
        gone.append(LIBRARY.get(load, load))
    return f"not installed: {', '.join(gone)}" if gone else ""
