"""Keys and permissions, with real sockets: who is let in, who is who, who may what, and what happens when that changes."""
import json
import os
import signal
import socket
import struct
import subprocess
import time

import pytest
import zmq

import taxiwire
from bus import Bus, BusError, new_id
from conftest import BIN, ROOT, SLOW, free_port, wait_for
from looks import refused, stats

ADMIN = "sys.acl sys.acl.reload sys.peers sys.services sys.stats sys.groups sys.cursor sys.claim sys.dead.show sys.dead.ls"


def taxi(*args, ok=True, env=None):
    p = subprocess.run([BIN / "taxi", *map(str, args)], capture_output=True, text=True, timeout=60 * SLOW,
                       env={**os.environ, **(env or {})})
    assert not ok or p.returncode == 0, p.stderr
    return p


class Keys:
    """The --keys directory of a broker, and the keys of its clients."""

    def __init__(self, house):
        self.house, self.dir = house, house.base / "keys"
        self.tcp = f"tcp://127.0.0.1:{free_port()}"
        self.feed = f"tcp://127.0.0.1:{free_port()}"
        taxi("keys", "new", self.dir / "broker.key")
        self.server = self.public("broker.key")
        self.entries = {}

    def public(self, name):
        return taxi("keys", "show", self.dir / name).stdout.strip().encode()

    def pair(self, name):
        """(public, secret) of a new pair in files."""
        taxi("keys", "new", self.dir / f"{name}.key", "--name", name)
        return zmq.auth.load_certificate(str(self.dir / f"{name}.key_secret"))

    def allow(self, name, key=None, **fields):
        """An entry, on disk at the next write()."""
        self.entries.setdefault(name, []).append((key, fields))
        return self.write()

    def write(self):
        text = ""
        for name, several in self.entries.items():
            for key, fields in several:
                text += name + "\n" + (f'    key = "{key.decode()}"\n' if key else "")
                text += "".join(f'    {k.replace("_", "-")} = "{v}"\n' for k, v in fields.items())
        (self.dir / "acl").write_text(text)
        return self

    def broker(self, *args):
        h = self.house
        h.the_broker = h.proc("broker", "--keys", self.dir, "--bind", f"{h.bus_endpoint},{self.tcp}", "--feed", self.feed,
                              "--journal", h.base / "journal", *args).start()
        return h.the_broker

    def bus(self, pair, **kw):
        b = Bus(self.tcp, **{"timeout": 20 * SLOW, "curve": (*pair, self.server), **kw})
        self.house.buses.append(b)
        return b

    def peer(self, name, **fields):
        """A new key with this entry, connected."""
        pair = self.pair(name)
        self.allow(name, pair[0], **fields)
        return pair


@pytest.fixture
def keys(house):
    import zmq.auth  # noqa: F401
    return Keys(house)


def denied(fn, *words):
    e = refused(fn)
    assert e.code == "DENIED", str(e)
    for w in words:
        assert w in e.detail["detail"], e.detail
    return e


def silent(b, seconds=0.7):
    """No answer comes: not let in."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        b.pump(0.05)
    return b.epoch is None


def test_only_keys_that_are_listed_are_let_in(house, keys):
    good, bad = keys.peer("good", publish="a.>"), keys.pair("bad")
    keys.broker()
    assert keys.bus(good).pub("a.b").meta["seq"] == 1
    assert silent(keys.bus(bad)), "a key that is not listed"
    assert silent(keys.bus((b"", b""), curve=None)), "no key on the port of keys"
    wrong = keys.bus(good)
    wrong.server = None
    wrong.curve = (*good, bad[0])
    wrong._open()
    assert silent(wrong), "another broker's key"
    local = house.bus()
    assert local.pub("anything.at.all").meta["seq"] == 2, "ipc is local, and says nothing of `local` in the acl"

    def refused_all():
        drops = stats(local)["drops"]
        return drops["key_refused"] >= 1 and drops["handshake"] >= 2
    wait_for(refused_all, 20, "the strangers to have tried")
    assert "evt=key_refused" in house.the_broker.log() and "evt=handshake_failed" in house.the_broker.log()


def test_every_verb_is_held_to_its_list(house, keys):
    lab = keys.peer("lab", publish="trigger.> live.x", subscribe="status.* sys.changed", request="tower.> sys.peers",
                    serve="provider.*.send", groups="lab.*", route="provider-email")
    keys.broker()
    b = keys.bus(lab)
    b.pub("trigger.a.b", key="k")
    b.pub("live.x", 1)
    denied(lambda: b.pub("trigger"), "publish", "trigger", "lab")
    denied(lambda: b.pub("live.y", 1), "live.y")
    denied(lambda: b.pub("sys.changed", 1))
    ids = [new_id() for _ in range(3)]
    e = denied(lambda: b.batch([("trigger.a", ids[0], {}, 1), ("trigger.b", ids[1], {}, 1), ("rows.in", ids[2], {}, 1)]), "rows.in")
    assert e.detail["index"] == 2
    assert b.batch([("trigger.a", ids[0], {}, 1)]).meta["seqs"], "nothing of the refused one was stored"
    denied(lambda: b.req("rows.get"), "request", "rows.get")
    denied(lambda: b.req("sys.stats"), "sys.stats")
    denied(lambda: b.req("sys.acl.reload"))
    with pytest.raises(BusError) as e:
        b.req("tower.x")
    assert e.value.code == "NO_WORKERS"
    b.sub("status.*", credit=1)
    b.sub("status.x", group="lab.a")
    denied(lambda: b.sub("status.>"), "subscribe", "status.>")
    denied(lambda: b.sub(">"))
    denied(lambda: b.sub("sys.dead"))
    b.subs.clear()
    denied(lambda: b.sub("status.y", group="other"), "group", "other")
    b.sub("provider.email.send", serve=True)
    denied(lambda: b.sub("provider.>", serve=True), "serve")
    denied(lambda: b.sub("sys.ping.lab", serve=True))
    api = json.dumps({"paths": {"/x": {}}})
    b.sub("provider.sms.send", {"name": "provider-email", "version": "1", "api": api}, serve=True)
    denied(lambda: b.sub("provider.fax.send", {"name": "tower", "version": "1", "api": api}, serve=True), "paths")
    denied(lambda: b.sub("provider.fax.send", {"version": "1", "api": {"paths": {}}}, serve=True))
    two = b"\x83\xa4name\xaeprovider-email\xa4name\xa5tower\xa3api\x80"
    denied(lambda: b.call("SUB", "provider.fax.send", {"serve": True}, two))
    denied(lambda: b.pub("trigger.a", **{"as": {"sub": "root"}}), "act-as")
    denied(lambda: b.req("tower.x", **{"as": {"sub": "root"}}), "act-as")
    assert [g["group"] for g in house.bus().req("sys.groups").body["groups"]] == ["lab.a"]
    assert stats(house.bus())["drops"]["denied"] >= 18
    b.subs.clear()


def test_identity_goes_where_it_is_asked_for(house, keys):
    pub = keys.peer("writer", publish="a.> live.>", request="echo sys.cursor")
    work = keys.peer("worker", subscribe="> live.>", serve="echo", request=ADMIN)
    edge = keys.peer("edge", publish=">", request=">", act_as=1)
    keys.broker()
    w, p, e, local = keys.bus(work), keys.bus(pub), keys.bus(edge), house.bus()
    w.sub(">", credit=100)
    w.sub("live.>", credit=100)
    w.sub("a.>", group="g", tries=1)
    w.sub("echo", serve=True)
    p.pub("a.b", 1, src="file-1", cur=b"7")
    local.pub("a.b", 2)
    p.pub("live.x", 3)
    e.pub("a.b", 4, **{"as": {"sub": "ann"}})
    got = [w.recv() for _ in range(7)]
    assert sorted((d.head["from"], d.body) for d in got) == [("edge", 4), ("edge", 4), ("local", 2), ("local", 2), ("writer", 1),
                                                            ("writer", 1), ("writer", 3)]
    assert [d.head["as"] for d in got if d.body == 4] == [{"sub": "ann"}] * 2
    id = e.start("REQ", "echo", {"ttl": 20000, "as": {"sub": "ann"}}, 5)
    d = w.recv(where=lambda d: d.is_request)
    assert (d.head["from"], d.head["as"]) == ("edge", {"sub": "ann"})
    w.reply(d, 6)
    assert e.finish(id).body == 6
    who = {x["identity"]: x["subs"] for x in w.req("sys.peers").body["peers"]}
    assert who == {"worker": 4, "writer": 0, "edge": 0, "local": 0}
    assert {s["identity"] for s in w.req("sys.services").body["services"] if s["live"]} == {"worker"}
    with pytest.raises(BusError) as x:
        e.pub("a.b", 8, src="file-1", cur=b"8")
    assert x.value.code == "CONFLICT", "a src belongs to the identity that first set it"
    assert p.req("sys.cursor", {"src": "file-1"}).body["cur"] == b"7"
    for d in got:
        if "group" in d.head:
            w.reject(d)
    wait_for(lambda: len(w.req("sys.dead.ls").body["items"]) == 3, 10, "dead letters")


def test_identity_outlives_a_restart(house, keys):
    pub, work = keys.peer("writer", publish="a"), keys.peer("worker", subscribe="a")
    b = keys.broker()
    keys.bus(work).sub("a", group="g", from_="all")
    p = keys.bus(pub)
    for i in range(3):
        p.pub("a", i, src="s", cur=bytes([i]))
    b.kill9()
    keys.broker()
    w = keys.bus(work)
    w.sub("a", group="g", from_="all")
    assert [(d.head["from"], d.body) for d in (w.recv(), w.recv(), w.recv())] == [("writer", 0), ("writer", 1), ("writer", 2)]


def test_routing_ids_are_no_identity(house, keys):
    a, b = keys.peer("a", publish="a"), keys.peer("b", publish="b")
    keys.broker()
    first = keys.bus(a, routing_id=b"same")
    first.pub("a", 1)
    second = keys.bus(b, routing_id=b"same")
    assert silent(second), "while one has the routing id, another does not take it"
    local = house.bus()
    first.pub("a", 2)
    first.close()
    second.close()
    wait_for(lambda: stats(local)["counters"]["connections"] == 1, 10, "both connections to be gone")
    second._open()  # before the broker misses the first
    second.pub("b", 3)
    denied(lambda: second.pub("a", 4), "entry b")
    names = [x["identity"] for x in local.req("sys.peers").body["peers"]]
    assert sorted(names) == ["b", "local"], "the peer of before is gone with its key"
    log = house.the_broker.log()  # what comes first: its successor, or the look whether it is still there
    assert "reason=replaced" in log or "reason=unreachable" in log


def raw_null_client(path, properties):
    """A NULL handshake by hand, with properties of our choice."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20 * SLOW)
    s.connect(path)
    s.sendall(b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
    meta = b"".join(bytes([len(k)]) + k + struct.pack(">I", len(v)) + v for k, v in properties)
    body = b"\x05READY" + meta
    s.sendall(bytes([4, len(body)]) + body)
    got = b""
    while not got.endswith(b"\x08Identity\x00\x00\x00\x00"):  # what is sent before its READY would be a part of the handshake
        more = s.recv(4096)
        assert more, got
        got += more
    return s


def test_a_user_id_is_not_taken_from_a_stranger(house, keys):
    """libzmq shows a peer's own properties beside ours: over ipc anybody could call himself the holder of a key."""
    boss = keys.peer("boss", publish=">")
    keys.allow("local", publish="nothing", request="sys.peers")
    keys.broker()
    for claim in (boss[0], b"boss", b"0" * 32 + boss[0]):
        s = raw_null_client(str(house.base / "bus"), [(b"Socket-Type", b"DEALER"), (b"Identity", b"x%d" % len(claim)), (b"User-Id", claim)])
        frame = taxiwire.encode("PUB", "secret.topic", new_id(), {}, b"\x01")
        s.sendall(bytes([0, len(frame)]) + frame)
        data = b""
        while b"DENIED" not in data and b"\xa2OK" not in data:
            more = s.recv(4096)
            assert more, data
            data += more
        assert b"DENIED" in data and b"entry local" in data
        s.close()
    denied(lambda: house.bus().pub("secret.topic"), "entry local")
    assert house.bus().req("sys.peers").body["peers"]


def test_two_keys_of_one_name_while_one_replaces_the_other(house, keys):
    old, new = keys.pair("old"), keys.pair("new")
    keys.entries["robot"] = [(old[0], {"publish": "a", "subscribe": "a"}), (new[0], {"publish": "a", "subscribe": "a"})]
    keys.write()
    keys.broker()
    a, b = keys.bus(old), keys.bus(new)
    a.pub("a", 1, src="s", cur=b"1")
    b.pub("a", 2, src="s", cur=b"2", was=b"1")
    del keys.entries["robot"][0]
    keys.write()
    house.bus().req("sys.acl.reload")
    b.pub("a", 3, src="s", cur=b"3", was=b"2")
    assert silent_after(a)


def silent_after(b, seconds=1.0):
    """Whatever it sends is not answered any more."""
    id = new_id()
    try:
        b.sock.send(taxiwire.encode("PUB", "a", id, {}, b"\x09"), zmq.DONTWAIT)
        b.finish(id, seconds)
    except zmq.Again:
        b.pump(0.1)
    except (TimeoutError, BusError):
        pass
    else:
        return False
    return True


def test_a_revoked_key_is_cut_off(house, keys):
    lab, other = keys.peer("lab", publish="a", subscribe="a >", request="sys.peers"), keys.peer("other", publish="a", subscribe=">")
    keys.broker()
    b, o, local = keys.bus(lab), keys.bus(other), house.bus()
    b.sub("a", group="g")
    o.pub("a", 1)
    b.recv()  # in flight when the key goes
    feed = zmq.Context.instance().socket(zmq.SUB)
    feed.linger = 0
    feed.curve_publickey, feed.curve_secretkey, feed.curve_serverkey = (*lab, keys.server)
    feed.subscribe(b"")
    feed.connect(keys.feed)

    def fed(value):
        o.pub("a", value)
        return feed.poll(50)
    wait_for(lambda: fed(2), 10, "the feed")
    connections = stats(local)["counters"]["connections"]
    del keys.entries["lab"]
    keys.write()
    os.kill(house.the_broker.p.pid, signal.SIGHUP)
    wait_for(lambda: "lab" not in [x["identity"] for x in local.req("sys.peers").body["peers"]], 10, "the end of its session")
    wait_for(lambda: stats(local)["counters"]["connections"] == connections - 1, 10, "the end of its connection")
    assert silent_after(b)
    while feed.poll(300):
        feed.recv_multipart()
    o.pub("a", 3)
    assert not feed.poll(500), "nor does the feed reach it"
    feed.close(0)
    o.sub("a", group="g")
    assert o.recv().head["again"], "what it had in hand goes to another"
    keys.allow("lab", lab[0], publish="a")
    local.req("sys.acl.reload")
    assert keys.bus(lab).pub("a", 4).meta["seq"], "the key is let in again"


def test_the_feed_is_for_keys_that_may_hear_everything(house, keys):
    all_, some = keys.peer("all", subscribe="> status.x"), keys.peer("some", subscribe="a.> b.>", publish="a.b")
    keys.broker()
    b, readers = keys.bus(some), {}
    for name, pair in (("all", all_), ("some", some), ("none", None)):
        s = readers[name] = zmq.Context.instance().socket(zmq.SUB)
        s.linger = 0
        if pair:
            s.curve_publickey, s.curve_secretkey, s.curve_serverkey = (*pair, keys.server)
        s.subscribe(b"")
        s.connect(keys.feed)

    def fed():
        b.pub("a.b")
        return readers["all"].poll(50)
    wait_for(fed, 10, "the feed")
    assert not readers["some"].poll(300) and not readers["none"].poll(0)
    for s in readers.values():
        s.close(0)


def test_less_is_allowed_after_a_reload(house, keys):
    lab = keys.peer("lab", publish="a b", subscribe="a b", serve="c")
    keys.broker()
    b, local = keys.bus(lab), house.bus()
    b.pub("b")
    b.sub("b", credit=10)
    session = b.session
    keys.entries["lab"] = [(lab[0], {"publish": "a", "subscribe": "a", "serve": "c"})]
    keys.write()
    local.req("sys.acl.reload")
    b.subs.clear()
    wait_for(lambda: (b.pump(0.1), b.session != session)[1], 10, "a new session: what it subscribed to is no longer allowed")
    denied(lambda: b.pub("b"))
    b.pub("a")


def test_a_group_that_is_given_another_pattern(house, keys):
    lab = keys.peer("lab", publish="a.>", subscribe="a.>")
    keys.broker()
    b, local = keys.bus(lab), house.bus()
    b.sub("a.*", group="g", credit=10)
    session = b.session
    local.req("sys.groups.set", {"group": "g", "pattern": "a.b"})
    local.pub("a.b", 1)
    assert b.recv().topic == "a.b" and b.session == session, "what it may have it goes on having"
    assert [s["pattern"] for s in local.req("sys.services").body["services"] if s.get("group") == "g"] == ["a.b"]
    b.subs.clear()
    local.req("sys.groups.set", {"group": "g", "pattern": "secret.>"})
    local.pub("secret.x", 1)
    wait_for(lambda: (b.pump(0.1), b.session != session)[1], 10, "a new session: it may not have what the group is owed now")
    assert not b.deliveries
    denied(lambda: b.sub("secret.>", group="g"), "secret.>")


@pytest.mark.parametrize("text,where", [
    ("lab\n    publish = a..b\n", ["acl:2", "lab", "publish"]),
    ("lab\n    publish = a\n", ["lab", "key"]),
    ("lab\n    kee = x\n", ["lab", "kee"]),
    ("x" * 1100, ["acl:1"]),
    ("\0\1\2", ["acl:1"]),
    ("#" * 1024 + "\n", None),
    (None, ["No such file"]),
], ids=["pattern", "no-key", "no-such-field", "long-line", "bytes", "only-a-comment", "no-file"])
def test_a_faulty_file_is_refused_whole(house, keys, text, where):
    lab = keys.peer("lab", publish="a")
    keys.broker()
    b, local = keys.bus(lab), house.bus()
    b.pub("a")
    acl = keys.dir / "acl"
    if text is None:
        acl.unlink()
    else:
        acl.write_text(text)
    if where is None:
        local.req("sys.acl.reload")
        assert silent_after(b)
        return
    with pytest.raises(BusError) as e:
        local.req("sys.acl.reload")
    assert e.value.code == "INVALID"
    for w in where:
        assert w in e.value.detail["detail"], e.value.detail
    b.pub("a")
    assert "evt=acl_refused" in house.the_broker.log()
    assert local.req("sys.acl").body["who"][0]["name"] == "lab"


def test_garbage_for_an_acl(house, keys):
    lab = keys.peer("lab", publish="a")
    keys.broker()
    b, local = keys.bus(lab), house.bus()
    acl = keys.dir / "acl"
    for junk in (os.urandom(1 << 20), b"a\n" * (1 << 19), b" " * (1 << 20), b"a\n    publish = " + b"a " * 500, b"\xff" * (1 << 21)):
        acl.write_bytes(junk)
        began = time.monotonic()
        with pytest.raises(BusError) as e:
            local.req("sys.acl.reload")
            raise BusError("INVALID", "", "blanks alone are an empty file")
        assert e.value.code == "INVALID" and time.monotonic() - began < 2 * SLOW
        if junk.strip() == b"":
            keys.write()
            local.req("sys.acl.reload")
            b = keys.bus(lab)
    acl.unlink()
    acl.mkdir()
    with pytest.raises(BusError):
        local.req("sys.acl.reload")
    b.pub("a")


def test_reloads_under_load(house, keys):
    lab, flip = keys.peer("lab", publish="a", subscribe="a"), keys.pair("flip")
    keys.broker()
    local, b = house.bus(), keys.bus(lab)
    b.sub("a", group="g", credit=1000)
    f = keys.bus(flip)
    sent = acked = 0
    end = time.monotonic() + 3
    ids = []
    while time.monotonic() < end:
        if sent % 2:
            keys.entries["flip"] = [(flip[0], {"publish": "a", "subscribe": "a"})]
        else:
            keys.entries.pop("flip", None)
        keys.write()
        local.req("sys.acl.reload")
        for _ in range(20):
            ids.append(b.start("PUB", "a", {}, sent))
        try:
            f.sock.send(taxiwire.encode("PUB", "a", new_id(), {}, b"\x01"), zmq.DONTWAIT)
        except zmq.Again:
            pass
        f.pump()
        while len(ids) > 100:
            acked += b.finish(ids.pop(0)).meta["seq"] > 0
        for d in b.deliveries:
            b.ack(d)
        b.deliveries.clear()
        sent += 1
    for i in ids:
        b.finish(i)
    assert sent > 20 and acked > 0
    assert len(local.req("sys.peers").body["peers"]) <= 3


def test_claims_are_bounded_by_name_and_held_to_route(house, keys):
    svc = keys.peer("svc", request="sys.claim", route="mine")
    edge = keys.peer("edge", request="sys.claim", act_as=1)
    keys.broker()
    s, e = keys.bus(svc), keys.bus(edge)
    s.req("sys.claim", {"path": "/mine", "name": "mine"})
    denied(lambda: s.req("sys.claim", {"path": "/other", "name": "other"}), "other")
    assert e.req("sys.claim", {"path": "/other", "name": "other"}).body["name"] == "other"
    assert s.req("sys.claim", {"path": "/other", "name": "mine"}).body["name"] == "other"
    ids = [s.start("REQ", "sys.claim", {"ttl": 20000}, {"path": f"/mine/{i}", "name": "mine"}) for i in range(1100)]
    refused = 0
    for i in ids:
        try:
            s.finish(i)
        except BusError as x:
            assert x.code == "QUOTA"
            refused += 1
    assert refused == 1100 - 1023
    assert e.req("sys.claim", {"path": "/tower", "name": "tower"}).body["name"] == "tower", "one name's claims leave room for others"


def test_a_bind_that_is_not_loopback_wants_keys(house, keys):
    for option in ("--bind", "--feed"):
        p = subprocess.run([BIN / "broker", "--memory", "--bind", "tcp://127.0.0.1:*", "--feed", "", option, "tcp://0.0.0.0:*"],
                           capture_output=True, text=True, timeout=20 * SLOW)
        assert p.returncode == 100 and "without --keys" in p.stderr
    p = subprocess.run([BIN / "broker", "--memory", "--bind", "tcp://127.0.0.1:*", "--feed", "", "--keys", house.base / "no-such"],
                       capture_output=True, text=True, timeout=20 * SLOW)
    assert p.returncode == 100 and "keys_refused" in p.stderr and "no-such" in p.stderr
    lab = keys.peer("lab", publish="a")
    port = free_port()
    keys.tcp = f"tcp://0.0.0.0:{port}"
    keys.broker()
    keys.tcp = f"tcp://127.0.0.1:{port}"
    keys.bus(lab).pub("a")
    (keys.dir / "broker.key_secret").chmod(0o644)
    p = subprocess.run([BIN / "broker", "--memory", "--keys", keys.dir, "--bind", f"tcp://127.0.0.1:{free_port()}", "--feed", ""],
                       capture_output=True, text=True, timeout=20 * SLOW)
    assert p.returncode != 0 and "chmod 600" in p.stderr


def test_the_command_line(house, keys):
    keys.broker()
    env = {"TAXI_BUS": house.bus_endpoint}
    key, broker = keys.dir / "me.key", keys.dir / "broker.key"
    taxi("keys", "new", key)
    assert (key.parent / "me.key_secret").stat().st_mode & 0o777 == 0o600
    before = (key.parent / "me.key_secret").read_text()
    assert taxi("keys", "new", key, ok=False).returncode == 1 and (key.parent / "me.key_secret").read_text() == before
    mine = {"TAXI_BUS": keys.tcp, "TAXI_KEY": str(key), "TAXI_BROKER_KEY": str(broker)}
    began = time.monotonic()
    p = taxi("pub", "a.b", "1", ok=False, env=mine)
    assert p.returncode == 7 and "does not know this key" in p.stderr and time.monotonic() - began < 3 * SLOW
    p = taxi("keys", "allow", "--keys", keys.dir, "me", key, "--publish", "a.>", "--request", "sys.ping.broker", env=env)
    assert "has read it" in p.stderr
    assert "stored" in taxi("pub", "a.b", "1", env=mine).stdout
    assert taxi("pub", "b.b", "1", ok=False, env=mine).returncode == 7
    (keys.dir / "acl").write_text("# kept\n" + (keys.dir / "acl").read_text() + "# the end\n")
    taxi("keys", "allow", "--keys", keys.dir, "me", key, "--publish", "b.>", env=env)
    taxi("keys", "allow", "--keys", keys.dir, "local", "--request", "sys.>", env=env)
    text = (keys.dir / "acl").read_text()
    assert text.startswith("# kept\nme\n") and text.count("\nme\n") == 1 and "# the end\nlocal\n" in text
    assert "stored" in taxi("pub", "b.b", "1", env=mine).stdout
    assert taxi("keys", "allow", "--keys", keys.dir, "you", key, "--publish", "b", ok=False, env=env).returncode == 1
    assert taxi("keys", "allow", "--keys", keys.dir, "you", keys.dir / "none", "--publish", "b", ok=False, env=env).returncode == 1
    assert taxi("keys", "allow", "--keys", keys.dir, "you", key, "--publish", "b..c", ok=False, env=env).returncode == 2
    assert json.loads(taxi("keys", "show", "--keys", keys.dir, "-o", "json").stdout)[0]["name"] == "me"
    p = taxi("keys", "revoke", "--keys", keys.dir, "me", env={"TAXI_BUS": f"ipc://{house.base}/nobody"})
    assert "No broker answered" in p.stderr
    assert "stored" in taxi("pub", "b.b", "2", env=mine).stdout, "the broker was not told yet"
    taxi("req", "sys.acl.reload", env=env)
    assert taxi("pub", "b.b", "3", ok=False, env=mine).returncode == 7
    p = taxi("pub", "a.b", "1", ok=False, env={"TAXI_BUS": keys.tcp})
    assert p.returncode == 7 and "--key" in p.stderr
    assert taxi("pub", "a.b", "1", ok=False, env={"TAXI_BUS": keys.tcp, "TAXI_KEY": str(key)}).returncode == 2


def test_a_house_behind_keys(house, keys):
    """Edge and a service, each with a key of its own, over tcp."""
    env = {"TAXI_BUS": house.bus_endpoint, "TAXI_KEYS": str(keys.dir)}
    procs = {"edge-http": ["--service", "edge-http", "--act-as", "--subscribe", "sys.changed",
                           "--request", "> sys.services sys.claim sys.stats sys.groups sys.stats.>"],
             "service-gateway": ["--service", "service-gateway", "--serve", "service.> services.>", "--subscribe", "sys.changed",
                                 "--request", "> sys.services"]}
    keys.broker()
    for name, rights in procs.items():
        taxi("keys", "new", keys.dir / f"{name}.key")
        taxi("keys", "allow", "--keys", keys.dir, name, keys.dir / f"{name}.key", *rights, env=env)
        options = ["--catalogue", ROOT / "services/service-gateway/catalogue"] if name == "service-gateway" else []
        options += ["--bus", keys.tcp, "--key", keys.dir / f"{name}.key", "--broker-key", keys.server.decode()]
        if name == "edge-http":
            house.edge(*options)
        else:
            house.proc(name, *options).start()
    wait_for(lambda: "/services/" in house.http("GET", "/openapi.json").body.decode(), 20, "the service's paths")
    assert house.http("GET", "/services/_schema").status == 200, "asked over the bus"
    who = {x["identity"] for x in house.bus().req("sys.peers").body["peers"]}
    assert {"edge-http", "service-gateway"} <= who
    assert "evt=denied" not in house.the_broker.log(), house.the_broker.log()[-3000:]
    taxi("keys", "revoke", "--keys", keys.dir, "service-gateway", env=env)
    p = next(p for p in house.procs if p.name == "service-gateway")
    wait_for(lambda: "evt=handshake_failed" in p.log() and "does not know this key" in p.log(), 20, "its log to say why")
    house.bus().pump()


def test_a_group_over_the_quota_is_not_created(house):
    house.broker()
    bus = house.bus()
    ids = [bus.start("SUB", "t.x", {"group": f"g{i}"}) for i in range(4096)]
    more = [bus.start("SUB", "t.x", {"group": f"over{i}"}) for i in range(5)]
    for i in ids:
        bus.finish(i, 60 * SLOW)
    for i in more:
        with pytest.raises(BusError) as e:
            bus.finish(i)
        assert e.value.code == "QUOTA"
    assert len(house.bus().req("sys.groups").body["groups"]) == 4096


def test_garbage_behind_a_good_handshake(house, keys):
    lab = keys.peer("lab", publish="a", request="sys.stats")
    keys.broker()
    b, junk = keys.bus(lab), keys.bus(lab)
    wait_for(lambda: (junk.pump(0.05), junk.epoch)[1], 10, "the handshake")
    good = taxiwire.encode("PUB", "a", new_id(), {}, b"\x01")
    for i in range(300):
        n = i % len(good)
        junk.sock.send(os.urandom(i))
        junk.sock.send(good[:n] + os.urandom(3) + good[n:])
        junk.sock.send_multipart([os.urandom(20)] * (i % 7 + 2))
        junk.sock.send(b"")
    junk.sock.send(b"\x95\x01\xa3PUB\xa1a\xc4\x10" + bytes(16) + b"\x80" + b"\xdd\xff\xff\xff\xff" * 100)
    assert b.pub("a", 1).meta["seq"]
    # Peers are read in turn: the garbage may still be on its way when another's PUB is answered.
    wait_for(lambda: stats(b)["drops"]["multipart"] >= 300, 20, "all of it read")
    assert stats(b)["drops"]["bad_envelope"] > 100
    big = keys.bus(lab)
    big.sock.send(bytes(33 << 20))  # over ZMQ_MAXMSGSIZE: its connection ends, and nothing else does
    assert b.pub("a", 2).meta["seq"]
