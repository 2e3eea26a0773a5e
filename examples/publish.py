#!/usr/bin/python3
"""Publish a trigger straight onto the bus, with pyzmq and msgpack, and wait until it is on disk."""
import os
import sys
import time

import msgpack
import zmq


def uuid7():
    b = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    b[6], b[8] = 0x70 | (b[6] & 0x0F), 0x80 | (b[8] & 0x3F)
    return bytes(b)


trigger_id = uuid7()
text = trigger_id.hex()
text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
trigger = {"uuid": text, "apiVersion": "OT-2/v1alpha1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 2},
           "spec": [{"volume": 50}, {"volume": 60}], "metadata": {"source": "examples/publish.py", "spec": {}}}

sock = zmq.Context().socket(zmq.DEALER)
sock.linger = 0
sock.connect(os.environ.get("TAXI_BUS", "tcp://127.0.0.1:5570"))
head = [1, "PUB", "trigger.OT-2.v1alpha1._.PlateTransfer", trigger_id, {}]
sock.send(msgpack.packb(head) + msgpack.packb(trigger))
if not sock.poll(10000):
    sys.exit("no broker answered within 10 s")
unpacker = msgpack.Unpacker()
unpacker.feed(sock.recv())
answer = next(unpacker)
if answer[1] != "OK":
    sys.exit(f"refused: {answer[4]}")
print(text, "stored as seq", answer[4]["seq"], "owed to", answer[4]["groups"], "groups")
