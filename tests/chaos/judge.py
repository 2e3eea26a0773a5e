"""What must be true of a bout, told by the ledgers of those that took part and by what the journal holds at its end.

No word of the broker about its own doing is believed where a ledger knows better.  `facts_of(dir)` reads the ledgers (hand.h
says what is in them), chaos.py adds what it read from the bus; `judge` returns a list of (rule, sentence).
"""
import collections
import copy
import zlib

TRIES = {"g": 1000, "h": 3}
COUNTED = ("NAK", "ACK_TIMEOUT", "WORKER_LOST", "TRIES", "draining")

Ok = collections.namedtuple("Ok", "who n seq key crc")
Done = collections.namedtuple("Done", "what at seq try_no again text who")
Stored = collections.namedtuple("Stored", "text key exp topic")
Dead = collections.namedtuple("Dead", "reason tries at")


class Facts:
    def __init__(self):
        self.sent = collections.Counter()  # publisher -> numbers below this may have been sent
        self.batches = []  # (publisher, first number, how many)
        self.ok, self.done = [], collections.defaultdict(list)  # done: group -> [Done]
        self.stored = {}  # seq -> Stored
        self.dead = collections.defaultdict(dict)  # group -> seq -> Dead
        self.died_again = []  # letters of an envelope that has one
        self.groups = {}  # group -> as sys.groups has it
        self.log = []


def lines(path):
    """A kill may tear the last line; any other is whole."""
    whole = path.read_text(errors="replace").split("\n")[:-1]
    return [line.split(" ", 5) for line in whole]


def facts_of(base):
    f = Facts()
    for path in sorted(base.glob("pub.*")):
        who = path.name[4:]
        for w in lines(path):
            if w[0] == "S":
                f.sent[who] = max(f.sent[who], int(w[1]))
            elif w[0] == "B":
                f.batches.append((who, int(w[1]), int(w[2])))
            else:
                f.ok.append(Ok(who, int(w[1]), int(w[2]), w[3], w[4]))
    for path in sorted(base.glob("work.*")):
        group = path.name.split(".")[1]
        for w in lines(path):
            f.done[group].append(Done(w[0], int(w[1]), int(w[2]), int(w[3]), w[4] == "1", w[5], path.name))
    for path in sorted(base.glob("log.*")):
        for line in open(path, errors="replace"):
            if "lvl=error" in line or "Sanitizer" in line or "runtime error" in line or "invariant" in line:
                f.log.append(f"{path.name}: {line.strip()}")
    return f


def read_text(text):
    """(publisher, number, key), or None when it is not what a publisher wrote."""
    w = text.split(" ")
    if len(w) != 5 or f"{zlib.crc32(text[:-9].encode()):08x}" != w[4]:
        return None
    return w[0], int(w[1]), w[2]


def fill(f):
    """Retention took records that all groups had done: what was answered, delivered or died was stored."""
    seen = {d.seq: d.text for group in f.done for d in f.done[group]}
    for seq in {o.seq for o in f.ok} | seen.keys() | {q for group in f.dead for q in f.dead[group]}:
        if seq not in f.stored:
            text = seen.get(seq, "")
            key = text.split(" ")[2] if text.count(" ") == 4 else ""
            f.stored[seq] = Stored(text, "" if key == "-" else key, None, "")


def publishing(f):
    """What was answered OK is stored, once, as it was sent; nothing else is."""
    who = {}
    for seq, s in f.stored.items():
        if s.text == "" and s.exp is None:
            continue  # gone, and nobody was handed it: then endings() knows it as lost
        t = read_text(s.text)
        if t is None or t[1] >= f.sent[t[0]] or t[2] != (s.key or "-"):
            yield "invented", f"{seq} is stored and was not sent: {s}"
        elif t[:2] in who:
            yield "stored twice", f"{t[:2]} is {who[t[:2]]} and {seq}"
        else:
            who[t[:2]] = seq
    for name, first, n in f.batches:
        there = sum((name, first + i) in who for i in range(n))
        if there not in (0, n) and not any(s.exp is None for s in f.stored.values()):
            yield "torn", f"{there} of {n} items of the BATCH at {name} {first} are stored"
    for o in f.ok:
        if o.seq not in f.stored:
            yield "lost", f"{o} was answered and is not stored"
        elif f.stored[o.seq].text and (who.get((o.who, o.n)) != o.seq or not f.stored[o.seq].text.endswith(f" {o.crc}")):
            yield "lost", f"{o} was answered; {f.stored[o.seq]} is stored"


def one_by_one(f):
    """A publisher that waits for each answer finds its envelopes in its own order."""
    last = {}
    for o in sorted(o for o in f.ok if o.who.startswith("http")):
        if o.seq < last.get(o.who, 0):
            yield "order in", f"{o} after {last[o.who]}"
        last[o.who] = o.seq


def deliveries(f, group):
    plain, first, by_key = {}, {}, collections.defaultdict(list)
    for d in sorted(f.done[group], key=lambda d: d.at):
        s = f.stored.get(d.seq)
        if s is None or s.text != d.text or d.what == "?":
            yield "invented", f"{group}: {d} was delivered; stored is {s}"
            continue
        if not d.again and d.try_no == 1:
            if d.seq in plain:
                yield "not marked", f"{group}: {d} was {plain[d.seq]} before"
            plain[d.seq] = d
        # One that was rejected had its turn, even if a crash forgot it and it comes again.  One that was taken back from a
        # worker that stood still, and expired, is nobody's any more: that worker may do it whenever it wakes up.
        gone = d.seq in f.dead[group] and f.dead[group][d.seq].reason == "EXPIRED"
        if d.what in "AR" and d.seq not in first and not gone:
            first[d.seq] = d
            if s.key:
                by_key[s.key].append(d)
    for key, went in by_key.items():
        for a, b in zip(went, went[1:]):
            if b.seq < a.seq:
                yield "order", f"{group}: key {key}: {b} after {a}"


def endings(f, group):
    acked = {d.seq for d in f.done[group] if d.what == "A"}
    rejected = {d.seq for d in f.done[group] if d.what == "R"}
    dead, g = f.dead[group], f.groups[group]
    for seq in f.stored:
        if seq not in acked and seq not in dead:
            yield "lost", f"{group}: {seq} {f.stored[seq]} was neither processed nor is it a dead letter"
    for seq, d in dead.items():
        s = f.stored.get(seq)
        if s is None:
            yield "invented", f"{group}: {d} of {seq}, which is not stored"
        elif d.reason == "EXPIRED":
            if s.exp is not None and (not s.exp or d.at < s.exp):
                yield "dead", f"{group}: {seq} {d} but it expires at {s.exp}"
        elif d.reason == "chosen":
            if seq not in rejected:
                yield "dead", f"{group}: {seq} {d} but nobody rejected it"
        elif d.reason not in COUNTED or d.tries != TRIES[group]:
            yield "dead", f"{group}: {seq} {d} before its {TRIES[group]} tries were used"
    # What the broker counted, through all its lives, is what the ledgers and the journal say.
    counted = [g[k] for k in ("received", "acked", "dead", "dropped", "owed")]
    true = [len(f.stored), len((acked & f.stored.keys()) - dead.keys()), len(dead), 0, 0]
    if counted != true:
        yield "sum", f"{group}: received, acked, dead, dropped, owed are {true}; the broker counted {counted}"


def judge(f):
    wrong = [*publishing(f), *one_by_one(f)]
    for group in f.groups:
        wrong += [*deliveries(f, group), *endings(f, group)]
    wrong += [("dead twice", text) for text in f.died_again]
    return wrong + [("log", line) for line in f.log]


def count(f):
    n = collections.Counter(stored=len(f.stored), answered=len(f.ok))
    n["trimmed"] += sum(s.exp is None for s in f.stored.values())
    for group in f.groups:
        took = [d for d in f.done[group] if d.what == "A"]
        n["processed"] += len({d.seq for d in took})
        n["again"] += len(took) - len({d.seq for d in took})
        n["refused"] += sum(d.what == "N" for d in f.done[group])
        n["dead"] += len(f.dead[group])
    return n


# ---- it must be able to say no ----

def tampered(f):
    """(what was done, rule that must be broken, facts): each a lie that the judge has to see."""
    def lie(why, rule, change):
        g = copy.copy(f)
        g.sent, g.ok, g.stored, g.groups = f.sent.copy(), list(f.ok), dict(f.stored), copy.deepcopy(f.groups)
        g.done = collections.defaultdict(list, {k: list(v) for k, v in f.done.items()})
        g.dead = collections.defaultdict(dict, {k: dict(v) for k, v in f.dead.items()})
        return (why, rule, g) if change(g) is not False else None

    def forget_ack(g):
        seq = next(d.seq for d in g.done["g"] if d.what == "A" and d.seq not in g.dead["g"])
        g.done["g"] = [d for d in g.done["g"] if d.seq != seq]

    def forget_stored(g):
        del g.stored[g.ok[len(g.ok) // 2].seq]

    def tear(g):
        who = {read_text(s.text)[:2]: seq for seq, s in g.stored.items()}
        seq = next((who[b[:2]] for b in g.batches if b[:2] in who), None)
        if seq is None:
            return False
        del g.stored[seq]

    def invent_delivery(g):
        g.done["g"].append(g.done["g"][0]._replace(seq=max(g.stored) + 7))

    def invent_stored(g):
        text = "p1-0 99999999 - a"
        g.stored[max(g.stored) + 1] = Stored(f"{text} {zlib.crc32(text.encode()):08x}", "", 0, "t.p1")

    def store_twice(g):
        g.stored[max(g.stored) + 1] = g.stored[g.ok[0].seq]

    def change_byte(g):
        d = g.done["g"][0]
        g.done["g"][0] = d._replace(text=d.text.replace("a", "b"))

    def unmark(g):
        twice = collections.Counter(d.seq for d in g.done["g"])
        seq, n = twice.most_common(1)[0]
        if n < 2:
            return False
        g.done["g"] = [d._replace(again=False, try_no=1) if d.seq == seq else d for d in g.done["g"]]

    def reorder(g):
        first = {}
        for i, d in enumerate(sorted(g.done["g"], key=lambda d: d.at)):
            if d.what == "A" and f.stored[d.seq].key == "a":
                first.setdefault(d.seq, d)
        a, b = list(first.values())[:2]
        g.done["g"] = [d for d in g.done["g"] if d.seq not in (a.seq, b.seq)] + [a._replace(at=b.at), b._replace(at=a.at)]

    def die_early(g):
        seq = next(iter(g.stored))
        g.dead["g"][seq] = Dead("NAK", 2, 1)

    def miscount(g):
        g.groups["g"]["dropped"] += 1

    def swap_answers(g):
        at = [i for i, o in enumerate(g.ok) if o.who.startswith("http")][:2]
        if len(at) < 2:
            return False
        a, b = (g.ok[i] for i in at)
        g.ok[at[0]], g.ok[at[1]] = a._replace(seq=b.seq), b._replace(seq=a.seq)

    lies = [lie("all that a worker wrote of one envelope is gone", "lost", forget_ack),
            lie("an answered record is not in the journal", "lost", forget_stored),
            lie("a BATCH of which a part is stored", "torn", tear),
            lie("a delivery nobody stored", "invented", invent_delivery),
            lie("a record nobody sent", "invented", invent_stored),
            lie("one publication under two seqs", "stored twice", store_twice),
            lie("a changed byte", "invented", change_byte),
            lie("a repeat that is not marked", "not marked", unmark),
            lie("two envelopes of a key the wrong way round", "order", reorder),
            lie("a dead letter before its tries were used", "dead", die_early),
            lie("a count that does not add up", "sum", miscount),
            lie("answers of one publisher the wrong way round", "order in", swap_answers)]
    return [x for x in lies if x is not None]


def blind_to(f):
    """The lies that judge does not see."""
    return [f"{why} ({rule})" for why, rule, g in tampered(f) if rule not in {r for r, _ in judge(g)}]
