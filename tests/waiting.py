"""Waiting for a state, and free ports: what every kind of test here shares."""
import os
import socket
import threading
import time

SLOW = float(os.environ.get("TAXI_SLOW", "1"))  # multiplies every bound: sanitizers, busy machines
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
        _never.wait(every)


def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def free_port():
    return free_ports(1)[0]
