#!/usr/bin/node
// Commands in as JSON lines, what the Node client makes of them out as JSON lines (see drive.py).
import { createInterface } from 'node:readline';

const { Bus, BusError } = await import(process.env.TAXIWAY_MJS ?? '../../clients/node/taxiway.mjs');
const bus = new Bus({ name: 'driver', key: process.env.TAXI_KEY, brokerKey: process.env.TAXI_BROKER_KEY });
const msgs = new Map(), subs = new Map(), aborts = new Map(), gates = new Map();
let handles = 0;

const hex = (b) => Buffer.from(b).toString('hex');
const plain = (k, v) => (v instanceof Uint8Array ? hex(v) : typeof v === 'bigint' ? String(v) : v);
const say = (line) => process.stdout.write(`${JSON.stringify(line, plain)}\n`);
const idOf = (c) => (c.id ? Buffer.from(c.id, 'hex') : undefined);
const pick = (c, ...keys) => Object.fromEntries(keys.filter((k) => k in c).map((k) => [k, k === 'cur' || k === 'was' ? Buffer.from(c[k]) : c[k]]));

async function pump(name, sub) {
	for (let m; (m = await sub.next());) {
		const h = ++handles;
		msgs.set(h, m);
		say({ msg: h, sub: name, topic: m.topic, body: m.body, id: hex(m.id), seq: m.seq, key: m.key, request: m.isRequest,
			again: m.head.again ?? false, retained: m.head.retain ?? false, try: m.attempt });
		m.signal.addEventListener('abort', () => say({ cancel: h }));
	}
}

async function request(c) {
	const abort = new AbortController();
	aborts.set(c.n, abort);
	const options = { ttl: (c.ttl ?? 20) * 1000, again: c.again, signal: abort.signal };
	if (!c.parts) return { body: (await bus.request(c.topic, c.body, { ...options, id: idOf(c) })).body };
	const gate = { free: c.hold ? 0 : Infinity, open: () => {} };
	gates.set(c.n, gate);
	for await (const body of bus.stream(c.topic, c.body, { ...options, window: c.window ?? 8 })) {
		say({ part: c.n, body });
		while (gate.free <= 0 && !abort.signal.aborted) {
			await new Promise((open) => { gate.open = open; abort.signal.addEventListener('abort', open); });
		}
		gate.free--;
	}
	return { body: null };
}

const verbs = {
	async publish(c) {
		const a = await bus.publish(c.topic, c.body, { id: idOf(c), timeout: c.timeout && c.timeout * 1000,
			...pick(c, 'key', 'exp', 'retain', 'src', 'cur', 'was') });
		return { id: hex(a.id), seq: a.seq, groups: a.meta.groups };
	},
	async many(c) {
		const all = await Promise.all(Array.from({ length: c.count }, (_, i) => bus.publish(c.topic, i)));
		return { seqs: all.map((a) => a.seq).sort((a, b) => a - b) };
	},
	async big(c) { return { seq: (await bus.publish(c.topic, Buffer.alloc(c.bytes))).seq }; },
	async batch(c) {
		const items = c.items.map((i) => ({ topic: i.topic, body: i.body, id: idOf(i), ...pick(i, 'key') }));
		return { seqs: await bus.batch(items, pick(c, 'src', 'cur', 'was')) };
	},
	request,
	more(c) { const g = gates.get(c.of); g.free += c.count; g.open(); },
	cancel(c) { aborts.get(c.of).abort(); },
	async sub(c) {
		const o = pick(c, 'credit', 'tries', 'from', 'cancels');
		const s = c.group ? bus.work(c.pattern, c.group, { ...o, ack: c.ack && Math.round(c.ack * 1000) })
			: c.serve ? bus.serve(c.pattern, o) : bus.subscribe(c.pattern, o);
		await s.ready;
		subs.set(c.name, s);
		pump(c.name, s);
	},
	async unsub(c) { await subs.get(c.name).close(); },
	async drain() { return { idle: await bus.drain(10000) }; },
	ack(c) { msgs.get(c.m).ack(); },
	nak(c) { msgs.get(c.m).nak({ delay: c.delay && Math.round(c.delay * 1000), reason: c.reason }); },
	reject(c) { msgs.get(c.m).reject(c.reason); },
	extend(c) { msgs.get(c.m).extend(c.seconds * 1000); },
	reply(c) { msgs.get(c.m).reply(c.body); },
	async part(c) { await msgs.get(c.m).part(c.body); },
	fail(c) { msgs.get(c.m).fail(c.code, c.text); },
	void(c) { return { void: msgs.get(c.m).void }; },
};

async function answer(c) {
	try {
		say({ n: c.n, ok: await verbs[c.do](c) ?? {} });
	} catch (e) {
		const gone = e.name === 'AbortError';
		if (!gone && !(e instanceof BusError)) throw e;
		say({ n: c.n, err: gone ? { code: 'GONE', retry: 'never', detail: null } : { code: e.code, retry: e.retry, detail: e.detail } });
	}
}

for await (const line of createInterface({ input: process.stdin })) answer(JSON.parse(line));
await bus.close();
