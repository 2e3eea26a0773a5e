#!/usr/bin/python3
"""Commands in as JSON lines, what the Python client makes of them out as JSON lines (see drive.py)."""
import asyncio
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "clients" / "python"))
import taxiway  # noqa: E402

msgs, subs, calls, handles = {}, {}, {}, iter(range(1, 1 << 30))


def say(**line):
    print(json.dumps(line, default=lambda b: b.hex()), flush=True)


def raw(c, *keys):
    return {k: c[k].encode() if k in ("cur", "was") else c[k] for k in keys if k in c}


def id_of(c):
    return bytes.fromhex(c["id"]) if "id" in c else None


async def pump(name, sub):
    async for m in sub:
        h = next(handles)
        msgs[h] = m
        say(msg=h, sub=name, topic=m.topic, body=m.body, id=m.id.hex(), seq=m.seq, key=m.key, request=m.is_request,
            again=m.head.get("again", False), retained=m.head.get("retain", False), **{"try": m.attempt})
        if m.is_request or hasattr(m, "gone"):
            asyncio.ensure_future(m.cancelled.wait()).add_done_callback(lambda f, h=h: f.cancelled() or say(cancel=h))


async def request(bus, c, kw):
    kw.update({"ttl": c.get("ttl", 20), "again": c.get("again")})
    if not c.get("parts"):
        calls[c["n"]] = f = bus.request(c["topic"], c.get("body"), id=id_of(c), **kw)
        return {"body": (await f).body}
    calls[c["n"]] = asyncio.current_task()
    gate = c["gate"] = asyncio.Semaphore(0 if c.get("hold") else 1 << 30)
    calls[-c["n"]] = gate
    async for body in bus.stream(c["topic"], c.get("body"), window=c.get("window", 8), **kw):
        say(part=c["n"], body=body)
        await gate.acquire()
    return {"body": None}


async def do(bus, c):
    what, m = c["do"], msgs.get(c.get("m"))
    if what == "publish":
        a = await bus.publish(c["topic"], c.get("body"), id=id_of(c), timeout=c.get("timeout"),
                              **raw(c, "key", "exp", "retain", "src", "cur", "was"))
        return {"id": a.id.hex(), "seq": a.seq, "groups": a.meta.get("groups")}
    if what == "many":
        all_ = await asyncio.gather(*(bus.publish(c["topic"], i) for i in range(c["count"])))
        return {"seqs": sorted(a.seq for a in all_)}
    if what == "big":
        return {"seq": (await bus.publish(c["topic"], bytes(c["bytes"]))).seq}
    if what == "batch":
        a = await bus.batch([(i["topic"], i.get("body"), {**raw(i, "key"), "id": id_of(i)}) for i in c["items"]],
                            **raw(c, "src", "cur", "was"))
        return {"seqs": a.meta.get("seqs") or a.body or []}
    if what == "request":
        return await request(bus, c, {})
    if what == "more":
        for _ in range(c["count"]):
            calls[-c["of"]].release()
    elif what == "cancel":
        calls[c["of"]].cancel()
    elif what == "sub":
        kw = {k: c[k] for k in ("group", "serve", "credit", "tries") if k in c}
        if "ack" in c:
            kw["ack_ms"] = int(c["ack"] * 1000)
        if "from" in c:
            kw["from"] = c["from"]
        if c.get("cancels"):
            subs[c["name"]] = s = bus.work(c["pattern"], cancels=True, **kw)
        else:
            subs[c["name"]] = s = bus._sub(c["pattern"], {"credit": 64, **kw})
        await s.ready
        asyncio.create_task(pump(c["name"], s))
    elif what == "unsub":
        await subs.pop(c["name"]).close()
    elif what == "drain":
        return {"idle": await bus.drain(10)}
    elif what == "ack":
        m.ack()
    elif what == "nak":
        m.nak(c.get("delay"), c.get("reason"))
    elif what == "reject":
        m.reject(c.get("reason"))
    elif what == "extend":
        m.extend(c["seconds"])
    elif what == "reply":
        m.reply(c.get("body"))
    elif what == "part":
        await m.part(c.get("body"))
    elif what == "fail":
        m.fail(c["code"], c.get("text"))
    elif what == "void":
        return {"void": m.void}
    return {}


async def answer(bus, c):
    try:
        say(n=c["n"], ok=await do(bus, c))
    except taxiway.BusError as e:
        say(n=c["n"], err={"code": e.code, "retry": e.retry, "detail": e.detail})
    except asyncio.CancelledError:
        say(n=c["n"], err={"code": "GONE", "retry": "never", "detail": None})


async def main():
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with taxiway.Bus(key=os.environ.get("TAXI_KEY"), broker_key=os.environ.get("TAXI_BROKER_KEY"), name="driver") as bus:
        tasks = set()
        while line := await lines.readline():
            t = asyncio.create_task(answer(bus, json.loads(line)))
            tasks.add(t)
            t.add_done_callback(tasks.discard)


asyncio.run(main())
