#!/usr/bin/python3
"""Publish a trigger straight onto the bus, and wait until it is on disk."""
import asyncio
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients" / "python"))
import taxiway  # noqa: E402


async def main():
    id = taxiway.new_id()
    trigger = {"uuid": str(uuid.UUID(bytes=id)), "apiVersion": "OT-2/v1alpha1", "protocol": "PlateTransfer",
               "plate": {"rows": 1, "columns": 2}, "spec": [{"volume": 50}, {"volume": 60}],
               "metadata": {"source": "examples/publish.py", "spec": {}}}
    async with taxiway.Bus(name="publish") as bus:
        a = await bus.publish("trigger.OT-2.v1alpha1._.PlateTransfer", trigger, id=id, timeout=10)
    print(trigger["uuid"], "stored as seq", a.seq, "owed to", a.meta["groups"], "groups")

try:
    asyncio.run(main())
except taxiway.BusError as e:
    sys.exit(f"refused, to be tried again {e.retry}: {e}")
