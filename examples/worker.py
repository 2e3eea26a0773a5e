#!/usr/bin/python3
"""A worker for OT-2 triggers with nothing but pyzmq and msgpack.  Copy it and put your robot where `work` is."""
import os
import time
import uuid

import msgpack
import zmq

GROUP, PATTERN = "example-python", "trigger.OT-2.v1alpha1.>"


def frame(verb, topic="", id=None, meta=None, body=None):
    head = msgpack.packb([1, verb, topic, id or uuid.uuid4().bytes, meta or {}])
    return head if body is None else head + msgpack.packb(body)


def work(trigger):
    """One row for each well: here the robot would move."""
    wells = trigger["spec"] if isinstance(trigger["spec"], list) else [trigger["spec"]]
    return [{"index": i, "data": {"wellIndex": i, **well}} for i, well in enumerate(wells)]


def handle(sock, trigger_id, trigger):
    """Say running, work, publish rows and success in one BATCH; returns its id."""
    me, meta = str(trigger_id), {"key": str(trigger_id), "root": trigger_id.bytes}
    # Ids that depend on the trigger alone: if we die and another worker repeats this, the broker knows them.
    ids = [uuid.uuid5(trigger_id, f"{GROUP}/{step}").bytes for step in ("running", "rows", "succeeded", "batch")]
    sock.send(frame("PUB", f"status.{me}", ids[0], meta, {"uuid": me, "status": "running", "by": GROUP}))
    rows = work(trigger)
    sock.send(frame("BATCH", "", ids[3], {}, [
        ["rows.in", ids[1], meta, {"uuid": me, "rows": rows}],
        [f"status.{me}", ids[2], meta, {"uuid": me, "status": "succeeded", "by": GROUP, "detail": {"rows": len(rows)}}]]))
    return ids[3]


sock, session, acks, last_ping = zmq.Context().socket(zmq.DEALER), None, {}, 0.0
sock.connect(os.environ.get("TAXI_BUS", "tcp://127.0.0.1:5570"))
while True:
    if time.monotonic() - last_ping > 1:
        sock.send(frame("PING"))
        last_ping = time.monotonic()
    if not sock.poll(1000):
        continue
    unpacker = msgpack.Unpacker()
    unpacker.feed(sock.recv())
    head, *rest = unpacker
    if head[1] == "PONG" and (head[4]["epoch"], head[4]["session"]) != session:
        session, acks = (head[4]["epoch"], head[4]["session"]), {}  # a new broker, or it forgot us: subscribe again
        sock.send(frame("SUB", PATTERN, None, {"group": GROUP, "credit": 16}, {"name": GROUP}))
    elif head[1] == "MSG":  # rest is the sender's header and body; acknowledged when the broker has our results
        acks[handle(sock, uuid.UUID(bytes=rest[0][3]), rest[1])] = {"group": head[4]["group"], "seqs": [head[4]["seq"]]}
    elif head[1] == "OK" and head[3] in acks:
        sock.send(frame("ACK", "", None, acks.pop(head[3])))
    elif head[1] == "ERR":
        print("the bus said", head[4]["code"], head[4].get("detail"), flush=True)
