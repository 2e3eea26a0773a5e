"""Waiting for a state, free ports, and things made once: what every kind of test here shares."""
import fcntl
import itertools
import os
import socket
import threading
import time

SLOW = float(os.environ.get("TAXI_SLOW", "1"))  # multiplies every bound: sanitizers, busy machines
meanwhile = []  # what is to be called while somebody waits
_never = threading.Event()


def wait_for(cond, timeout=20.0, what="condition", every=0.02):
    """Call cond until it returns something true.  A bound, not a nap: the first true answer ends it."""
    end = time.monotonic() + timeout * SLOW
    while True:
        v = cond()
        if v:
            return v
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {timeout * SLOW} s")
        for f in meanwhile:
            f()
        _never.wait(every)


_ports = itertools.count(os.getpid())


def free_port():
    """Below what the kernel gives out by itself, and a range for each of the processes that test side by side: a port that was free
    a moment ago is then still free when its server binds it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9")[2:]) % 10
    for _ in range(2000):
        port = 12000 + 2000 * worker + next(_ports) % 2000
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def one_at_a_time(dir, make):
    """Several processes want the same thing made: the first makes it."""
    dir.mkdir(parents=True, exist_ok=True)
    with open(dir / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make()


def free_ports(n):
    return [free_port() for _ in range(n)]
