"""One who sends much does not stand in the way of one who sends little: shown by order, not by a clock."""
import signal

from taxiwire import encode, pack

from bus import new_id
from conftest import free_port, wait_for


def burst(bus, n, size=100):
    """n PUBs in PACKs, all on their way before anything is waited for."""
    body, ids, frames, room = pack(b"x" * size), [], [], 0
    for _ in range(n):
        id = new_id()
        frame = encode("PUB", "flood.x", id, {}, body)
        ids.append(id)
        frames.append(frame)
        room += len(frame) + 8
        if room > 200_000:
            bus.send_frame(encode("PACK", "", new_id(), {}, pack(frames)))
            frames, room = [], 0
    if frames:
        bus.send_frame(encode("PACK", "", new_id(), {}, pack(frames)))
    return ids


def unread(port):
    """The bytes that lie at each of its connections."""
    rows = [line.split() for f in ("tcp", "tcp6") for line in open(f"/proc/net/{f}").readlines()[1:]]
    return [int(r[4].split(":")[1], 16) for r in rows if r[1].endswith(f":{port:04X}") and r[3] == "01"]


def test_one_publish_overtakes_a_flood(house):
    house.bus_endpoint = f"tcp://127.0.0.1:{(port := free_port())}"
    house.broker()
    flooder, light = house.bus(), house.bus()
    start = light.pub("light.x", 0).meta["seq"]
    flooder.req("sys.stats")
    house.the_broker.p.send_signal(signal.SIGSTOP)  # so that all of it is there before any of it is read
    sent = burst(flooder, 8000)
    ids = [light.start("PUB", "light.x", {}, f"{n:1000}") for n in (1, 2)]
    wait_for(lambda: min(unread(port)) > 2000, 20, "both of them to have been sent")
    house.the_broker.p.send_signal(signal.SIGCONT)
    seq, last = (light.finish(id).meta["seq"] for id in ids)
    assert seq - start < 4000 and last - start < 4000, "it waited for what the other had sent before"
    everything = {flooder.finish(id).meta["seq"] for id in sent}
    assert len(everything) == 8000 and not {seq, last} & everything
    assert max(everything) == light.pub("light.x", 3).meta["seq"] - 1


def test_what_waits_for_its_turn_outlives_its_sender(house):
    """A peer that goes away has said what it said: nothing is half stored, and the broker drains."""
    house.broker()
    flooder, light = house.bus(), house.bus()
    light.pub("light.x", 0)
    sent = burst(flooder, 4000)
    light.pub("light.x", 1)
    flooder.close()
    again = house.bus()
    repeats = [again.pub("flood.x", pack(b"x" * 100), id=id).meta for id in sent[:50]]
    assert all(m.get("again") for m in repeats)
    assert house.the_broker.stop() == 0
