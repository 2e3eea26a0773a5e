"""The command line as the tests call it."""
import json
import os
import subprocess

import pytest

from bus import beat_all
from conftest import BIN, SLOW, wait_for


class Taxi:
    def __init__(self, house):
        self.house = house
        self.env = {**os.environ, "TAXI_BUS": house.bus_endpoint, "XDG_STATE_HOME": str(house.base / "state"),
                    "TMPDIR": str(house.base), "TZ": "<+0215>-02:15"}

    def __call__(self, *args, stdin=None, code=0, env=None, timeout=60):
        """Run it to its end; the exit code is part of what is expected, unless it is None."""
        beat_all()
        r = subprocess.run([BIN / "taxi", *map(str, args)], capture_output=True, text=True, timeout=timeout * SLOW, input=stdin or "",
                           env={**self.env, **(env or {})})
        assert code in (None, r.returncode), (args, r.returncode, r.stdout, r.stderr)
        assert "AddressSanitizer" not in r.stderr and "runtime error" not in r.stderr, r.stderr
        return r

    def json(self, *args, **kw):
        return json.loads(self(*args, "-o", "json", **kw).stdout)

    def lines(self, *args, **kw):
        return [json.loads(x) for x in self(*args, "-o", "json", **kw).stdout.splitlines()]

    def start(self, *args, **kw):
        kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": self.env, **kw}
        return subprocess.Popen([BIN / "taxi", *map(str, args)], **kw)

    def tail(self, bus, *args, pattern):
        """A started `taxi sub` whose subscription the broker has."""
        p = self.start("sub", *args, pattern)
        wait_for(lambda: [s for s in bus.req("sys.services").body["services"] if s["pattern"] == pattern], 20, "the tail")
        return p


@pytest.fixture
def taxi(house):
    house.broker()
    return Taxi(house)


def kill_letters(bus, n, topic="rows.in", group="pusher-x", reason="column 7 is no number"):
    """n dead letters of a group."""
    bus.sub(topic, group=group, credit=n)
    for i in range(n):
        bus.pub(topic, {"uuid": f"u{i}", "n": i})
    for _ in range(n):
        bus.reject(bus.recv(), reason)
    return wait_for(lambda: [d for d in bus.req("sys.dead.ls", {"group": group}).body["items"]][n - 1:], 20, "the dead letters")
