#!/usr/bin/python3
"""A worker for OT-2 triggers.  Put your robot where `work` is."""
import asyncio
import pathlib
import signal
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients" / "python"))
import taxiway  # noqa: E402

GROUP, PATTERN = "example-python", "trigger.OT-2.v1alpha1.>"


def work(trigger):
    """One row for each well: here the robot would move."""
    wells = trigger["spec"] if isinstance(trigger["spec"], list) else [trigger["spec"]]
    return [{"index": i, "data": {"wellIndex": i, **well}} for i, well in enumerate(wells)]


async def handle(bus, m):
    """Say running, work, publish rows and success in one BATCH."""
    me = uuid.UUID(bytes=m.id)
    # Ids that depend on the trigger alone: if we die and another worker repeats this, the broker knows them.
    running, rows_id, succeeded = (uuid.uuid5(me, f"{GROUP}/{step}").bytes for step in ("running", "rows", "succeeded"))
    topic, status = f"status.{me}", {"uuid": str(me), "by": GROUP}
    await bus.publish(topic, {**status, "status": "running"}, id=running, key=str(me), because=m)
    rows = await asyncio.to_thread(work, m.body)
    await bus.batch([("rows.in", {"uuid": str(me), "rows": rows}, {"id": rows_id, "key": str(me)}),
                     (topic, {**status, "status": "succeeded", "detail": {"rows": len(rows)}}, {"id": succeeded, "key": str(me)})],
                    because=m)


async def main():
    async with taxiway.Bus(name=GROUP) as bus:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(bus.drain()))
        async with bus.work(PATTERN, GROUP, credit=16) as triggers:
            async for m in triggers:
                with m:  # acked at the end of it, given back if it raises
                    await handle(bus, m)


asyncio.run(main())
