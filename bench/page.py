"""The table, and the page around it."""
import os
import pathlib
import platform
import statistics

import servers as s


def median(got, key):
    v = [g[key] for g in got if key in g]
    return statistics.median(v) if v else None


def ratio(row, other):
    """Median of the rounds' ratios: the two of a round ran within seconds of each other."""
    pairs = [(o[row.metric], t[row.metric]) for o, t in zip(row.got, other.got)]
    return statistics.median(o / t for o, t in pairs) if pairs else None


def verdict(r, other):
    if other.target is None:
        return ""
    if r is None:
        return "not run"
    ok = {"≥": r >= other.target, "≤": r <= other.target, ">": r > other.target}[other.wants]
    return "ok" if ok else "**below**" if other.wants != "≤" else "**above**"


def us(got):
    p50, p99 = median(got, "p50"), median(got, "p99")
    return f"{p50:,.0f} / {p99:,.0f}" if p99 and p99 > 1 else ""


def number(v):
    return "" if v is None else f"{v:,.0f}" if v >= 100 else f"{v:,.2f}"


def table(rows, memory):
    out = ["| work | ours | p50 / p99 µs | CPU µs | beside | theirs | p50 / p99 µs | CPU µs | ratio | wanted | |",
           "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|---|"]
    for row in rows:
        for i, other in enumerate(row.beside):
            title = f"{row.title} ({row.unit})" if row.unit != "a second" else row.title
            ours = (title, number(median(row.got, row.metric)), us(row.got), number(median(row.got, "cpu"))) if i == 0 else ("",) * 4
            r = ratio(row, other)
            wanted = "" if other.target is None else f"{other.wants} {other.target:g}"
            theirs = other.why if other.run is None else number(median(other.got, row.metric))
            out.append(f"| {' | '.join(ours)} | {other.name} | {theirs} | {us(other.got)} | {number(median(other.got, 'cpu'))} | {number(r)} | {wanted} | {verdict(r, other)} |")
    if memory:
        out += ["", "| memory | | wanted | |", "|---|--:|--:|---|"]
        out += [f"| {what} | {value} | {target} | {'ok' if ok else '**above**'} |" for what, value, target, ok in memory]
    return "\n".join(out)


def below(rows, memory):
    bad = [f"{row.title}: {ratio(row, o):.2f} × {o.name}, wanted {o.wants} {o.target:g}"
           for row in rows for o in row.beside if "**" in verdict(ratio(row, o), o)]
    return bad + [f"{what}: {value}, wanted {target}" for what, value, target, ok in memory if not ok]


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def notes():
    """What was found by profile, written by hand."""
    f = pathlib.Path(__file__).resolve().parent / "notes.md"
    return [f.read_text().strip(), ""] if f.exists() else []


def page(rows, memory, args, bench, commands):
    mem = next(int(x.split()[1]) for x in open("/proc/meminfo") if x.startswith("MemTotal")) / 2**20
    ups = [it for it in bench.up.values() if it is not None]
    versions = [f"Taxiway {next((u.version for u in ups if isinstance(u, s.Taxiway)), '?')}"]
    versions += [f"{p} {v}" for p in ("libzmq5", "nats-server", "libnats-dev", "redis-server", "libhiredis-dev", "rabbitmq-server", "librabbitmq-dev",
                                      "mosquitto", "libmosquitto-dev", "libsqlite3-0", "nginx-light", "libmicrohttpd12", "wrk") if (v := s.package(p))]
    how = {u.name: u.how for u in ups}
    bad = below(rows, memory)
    text = [
        "# Benchmarks", "",
        f"`make bench` wrote this page: {args.runs} rounds of {args.secs:g} s for every row.", "",
        f"Machine: {cpu_model()}, {os.cpu_count()} cores, {mem:.0f} GiB, Linux {platform.release()}; the servers, the clients and the workers share "
        f"the cores and the disk. Load average when it began: {args.load_before:.1f}"
        + (" (others were at work: trust the ratios little, the CPU more)." if args.load_before > 1 else "."), "",
        table(rows, memory), "",
        *(["Below target:", "", *[f"- {line}" for line in bad]] if bad else ["No row is below its target."]), "",
        "## How to read it", "",
        "- In a round every row's peers run one after the other, each for the same time, in another order each round and after a sync of the disk. Rates and latencies are medians of the "
        "rounds; the ratio is the median of the rounds' own ratios, as the two sides of one round met the same noise. More is better, but for cost and memory.",
        "- Bodies are 128 bytes. Every load is a C program that shares the loop, the clock and the histogram (`bench/lib/load.c`); only how a thing is sent and an "
        "answer taken is the peer's own (`bench/peer_*.c`), each by the library its documentation names. Ours are bare DEALERs that speak the "
        "protocol with PACK, as hiredis speaks RESP in a pipeline; `taxi bench` measures the client library.",
        "- CPU is what server, workers and load took together for one message: of two that share two cores, the cheaper one is the faster one.",
        "- REQ/REP: one server process, two worker processes, one load process with four connections (threads). Publish: one publisher. "
        "Consume: a backlog is laid first, then drained by one consumer with 1,024 in flight, every message acknowledged.",
        "- The feed's and its peers' subscribers are the same 1,000 connections in one thread, read by hand (`bench/lib/wire.c`); a fan-out counts when all have it. "
        "Ours ask for PACK by their prefix (proto/PROTOCOL.md, Feed) and count each envelope in it; plain XPUB sends topic and body, two frames a message.",
        "- HTTP: wrk, one thread, 64 connections. `POST /triggers` is answered once the trigger is in the journal; the database is away and is not waited for.",
        "- JetStream 2.9 has no `sync_interval`; a store in a directory with `chattr +S` makes the kernel sync each of its writes, which is what the option of later "
        "versions does after each. A redis that is `always` syncs once for all that arrived in one turn of its loop, our journal for all that came during the commit before.",
        "- \"wanted\" is the goal of the row; rows without one are there to compare.", "",
        *notes(),
        "## Configurations", "",
        *[f"- {name}: {text}." for name, text in how.items()], "",
        "## Versions", "", ", ".join(versions) + ".", "",
        "## Commands", "", "```", *commands, "```", ""]
    return "\n".join(text)
