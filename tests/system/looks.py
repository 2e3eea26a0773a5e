"""What many tests here ask of a broker and its process.  Each is one look, or a wait for what a look is to show."""
import contextlib
import os
import threading

import pytest

import taxiwire
from bus import BusError, new_id
from conftest import wait_for


def group(bus, name):
    """What sys.groups says of it; None when there is none."""
    return next((g for g in bus.req("sys.groups").body["groups"] if g["group"] == name), None)


def settled(bus, name, *others, **want):
    """Wait until the group shows these values; the others live meanwhile."""
    def look():
        for b in (bus, *others):
            b.pump()
        g = group(bus, name)
        return g if g and all(g[k] == v for k, v in want.items()) else None
    return wait_for(look, 30, f"group {name} with {want}")


def call(bus, what, /, **body):
    return bus.req(what, body).body


def letters(bus, n, **which):
    """The dead letters, when there are so many."""
    return wait_for(lambda: (lambda i: len(i) == n and i)(call(bus, "sys.dead.ls", **which)["items"]), 20, f"{n} dead letters")


def stats(bus):
    return bus.req("sys.stats").body


def flush(bus):
    """Everything this peer said before has been read."""
    return bus.req("sys.ping.broker").body


def refused(fn, *args, **kw):
    """The error that the call must end with."""
    with pytest.raises(BusError) as e:
        fn(*args, **kw)
    return e.value


def code(fn, *args, **kw):
    return refused(fn, *args, **kw).code


def frame(verb, topic="", meta=None, body=None, id=None):
    return taxiwire.encode(verb, topic, id or new_id(), meta or {}, body)


def rss(proc):
    """Resident bytes of a process of ours."""
    with open(f"/proc/{proc.p.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_all(sock):
    """What comes until the other side ends it, one way or another."""
    got = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return got
        if not more:
            return got
        got += more


@contextlib.contextmanager
def killed_now_and_then(proc, pause):
    """kill -9 and a new start, pause() seconds after the one before, until the block ends; then it runs."""
    over, failed = threading.Event(), []

    def kill():
        try:
            while not over.wait(pause()):
                proc.kill9()
                proc.start()
        except Exception as e:  # said below: nobody looks at a thread
            failed.append(e)
    t = threading.Thread(target=kill)
    t.start()
    try:
        yield
    finally:
        over.set()
        t.join()
    assert not failed, failed
