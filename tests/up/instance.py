"""A whole Taxiway of its own, by scripts/up.sh: own directories, own ports, gone afterwards."""
import http.client
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from waiting import free_ports, wait_for  # noqa: E402,F401


class Instance:
    """`clone` is where scripts/ lies; `user` runs everything as that user (only when we are root)."""

    def __init__(self, clone=ROOT, user=None):
        self.clone, self.user = pathlib.Path(clone), user
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="taxiup", dir="/tmp"))
        os.chmod(self.base, 0o755)
        self.http_port, self.bus_port, self.feed_port = free_ports(3)
        self.env = {**os.environ, "TAXI_HTTP_PORT": str(self.http_port), "TAXI_BUS_PORT": str(self.bus_port),
                    "TAXI_FEED_PORT": str(self.feed_port), "TAXI_STATE_DIR": f"{self.base}/state",
                    "TAXI_RUN_DIR": f"{self.base}/run"}
        self.state = self.base / "state"
        self.as_root = os.geteuid() == 0 and user is None
        if self.as_root:
            self.env["TAXI_PREFIX"] = f"{self.base}/opt"
        if user:
            w = pwd.getpwnam(user)
            os.chown(self.base, w.pw_uid, w.pw_gid)
            self.env.update(HOME=w.pw_dir, USER=user)
            self.env.pop("XDG_RUNTIME_DIR", None)

    @property
    def bin(self):
        return self.base / "opt" / "bin" if self.as_root else self.clone / "build" / "release" / "bin"

    def script(self, name, *args, check=True, timeout=300):
        cmd = [str(self.clone / "scripts" / name), *map(str, args)]
        if self.user:
            cmd = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", *cmd]
        r = subprocess.run(cmd, env=self.env, text=True, capture_output=True, timeout=timeout, cwd="/",
                           stdin=subprocess.DEVNULL)
        if check and r.returncode != 0:
            raise AssertionError(f"{name} {args} ended with {r.returncode}\n{r.stdout}\n{r.stderr}\n{self.log()[-3000:]}")
        return r

    def up(self, *args):
        return self.script("up.sh", *args)

    def log(self):
        p = self.state / "log" / "current"
        return p.read_text(errors="replace") if p.exists() else ""

    def pid(self, name):
        r = subprocess.run(["s6-svstat", "-o", "pid", str(self.state / "service" / name)], text=True, capture_output=True)
        return int(r.stdout) if r.returncode == 0 and r.stdout.strip() not in ("", "-1") else 0

    def kill9(self, name):
        pid = self.pid(name)
        if pid > 0:
            os.kill(pid, signal.SIGKILL)
        return pid

    def http(self, method, path, body=None, headers=None, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        h = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            h.setdefault("Content-Type", "application/json")
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def sql(self, text, *params):
        """As whoever the cluster belongs to, through psql: the socket's directory is closed to others."""
        assert not params
        user = "taxiway" if self.as_root else pwd.getpwuid(os.geteuid()).pw_name if not self.user else self.user
        cmd = ["psql", "-h", f"{self.base}/run", "-U", user, "-d", "taxiway", "-qAtc", text]
        if os.geteuid() == 0:
            cmd = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *cmd]
        r = subprocess.run(cmd, text=True, capture_output=True, env={**os.environ, "HOME": "/"}, cwd="/")
        if r.returncode != 0:
            raise RuntimeError(r.stderr)
        return [line.split("|") for line in r.stdout.splitlines()]

    def down(self):
        try:
            self.script("down.sh", check=False)
        finally:
            shutil.rmtree(self.base, ignore_errors=True)
