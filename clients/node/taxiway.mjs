// A program's place on the Taxiway bus: three files to copy (this, taxiway_link.mjs, taxiway_cancel.mjs), on the packages zeromq and
// @msgpack/msgpack, written from proto/PROTOCOL.md.
//
//	const bus = new Bus({ name: 'hello' });
//	await bus.publish('lab.hello', { n: 1 });                                  // the broker's disk has it
//	for await (const m of bus.work('trigger.OT-2.>', 'ot2')) {                 // shared with whoever else is in the group
//		try { await runRobot(m.body); m.ack(); } catch (e) { m.nak({ reason: String(e) }); }
//	}
//
// Times are milliseconds.  What is refused rejects with BusError: its code, and whether to try again.  The bus wants a PING
// each second from this loop, so whoever hangs looks dead: what computes for seconds belongs into a worker_thread.
import { Cancels } from './taxiway_cancel.mjs';
import { BusError, Link, RETRY, encode, key, newId, pack } from './taxiway_link.mjs';

export { BusError, newId };

const PART = 256 << 10, BATCH = 1024, CREDIT = 64, TOKEN = '[A-Za-z0-9_-]+';

/** A delivery: of a group to be finished by ack, nak or reject, a request by reply or fail, a tail's by nothing.  `head` is
 * the bus's part of it.  `signal` aborts when its requester left or the session is over, or when the event was cancelled. */
export class Message {
	#sub; #generation; #abort = new AbortController(); #room; #waiting = []; #parts = 0;
	finished = false;

	constructor(sub, generation, head, { topic, id, meta, body, bad }) {
		this.#sub = sub;
		this.#generation = generation;
		this.#room = meta.window ?? 8;
		Object.assign(this, { head: head.meta, headId: head.id, topic, id, meta, body, bad, key: meta.key, root: meta.root ?? id,
			seq: head.meta.seq, group: head.meta.group, attempt: head.meta.try, isRequest: 'left' in head.meta,
			signal: this.#abort.signal });
	}

	/** Its session is over: others get it, and finishing it says nothing. */
	get void() { return this.#generation !== this.#sub.bus.generation; }

	#say(verb, meta, raw, final = true) {
		if (this.finished) return;
		const frame = encode(verb, '', this.headId, this.isRequest ? meta : { group: this.group, seq: this.seq, ...meta }, raw);
		if (!this.void) this.#sub.bus._send(frame);
		this.finished = final;
		if (final) this.#sub._finished(this);
	}

	ack() { if (this.group) this.#say('ACK', { seqs: [this.seq] }); }

	/** Again, after `delay` ms or the broker's backoff; `untried`: it was not begun, no try is counted. */
	nak({ delay, reason, untried } = {}) {
		if (this.finished || !this.group) return;
		// With the NAK in one PACK, so that its PONG comes before anything that is sent after the NAK.
		const ping = this.key === undefined || this.void ? null : this.#sub._refuse(this.key);
		this.#say('NAK', { try: this.attempt, delay, reason, again: untried });
		if (ping) this.#sub.bus._send(encode('PING', '', ping));
	}

	reject(reason) { this.#say('REJECT', { try: this.attempt, reason }); }

	extend(ms) { this.#say('EXTEND', { try: this.attempt, ms }, undefined, false); }

	reply(body, meta = {}) { this.#say('REP', this.#parts ? { part: this.#parts, ...meta } : meta, pack(body)); }

	fail(code, detail, retry = RETRY[code] ?? 'never') {
		this.#say('ERR', { code, retry, detail: typeof detail === 'string' ? { detail } : detail });
	}

	/** Waits until the requester has room for it; rejects with GONE when it left. */
	async part(body) {
		const raw = pack(body);
		if (raw.length > PART) throw new BusError('TOO_BIG', 'a part is at most 256 KiB');
		while (this.#room <= 0 && !this.signal.aborted) await new Promise((go) => { this.#waiting.push(go); });
		if (this.signal.aborted) throw new BusError('GONE', 'the requester has left');
		this.#room--;
		this.#say('REP', { more: true, part: this.#parts++ }, raw, false);
	}

	_more(n) {
		this.#room += n;
		for (const go of this.#waiting.splice(0)) go();
	}

	_cancel(why = new BusError('GONE', 'the requester has left')) {
		this.#abort.abort(why);
		this._more(0);
	}
}

/** `for await` gives messages, until close() or drain(); leaving the loop closes it.  `ready` is settled by the broker. */
export class Subscription {
	#queue = []; #news = () => {}; #taken = 0; #refused = new Map(); #error = null; #settled = {};
	closed = false; hand = new Set(); id = null;

	constructor(bus, pattern, meta, desc) {
		Object.assign(this, { bus, pattern, meta, desc, group: meta.group });
		this.match = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', TOKEN).replace('>', '.+')}$`);
		this.rank = pattern.split('.').map((t) => (t === '>' ? '2' : t === '*' ? '1' : '0')).join('');
		this.ready = new Promise((yes, no) => { this.#settled = { yes, no }; });
		this.ready.catch(() => {}); // the iterator throws it too
	}

	async* [Symbol.asyncIterator]() {
		try {
			for (let m; (m = await this.next());) yield m;
		} finally {
			if (!this.closed) await this.close();
		}
	}

	/** The next message; null when no more will come. */
	async next() {
		while (!this.#queue.length && !this.closed && !this.#error) await new Promise((news) => { this.#news = news; });
		if (this.#error) throw this.#error;
		const m = this.#queue.shift() ?? null;
		if (m?.asked instanceof Promise) { // in order: behind it the others wait too
			this.#queue.unshift(m);
			await m.asked;
			return this.next();
		}
		if (m?.asked && (m.asked.was || m.signal.aborted)) {
			this.cancels.tell(m);
			return this.next();
		}
		if (m && !m.group && !m.isRequest && ++this.#taken * 2 >= this.meta.credit) { // a tail gives credit back as it is read
			this.bus._send(encode('MORE', '', this.id, { n: this.#taken }));
			this.#taken = 0;
		}
		return m;
	}

	/** What was not yet taken goes back; what was taken may still be finished. */
	async close() {
		this.bus.subs.delete(this);
		await this.bus._call('UNSUB', this.pattern, { group: this.group, serve: this.meta.serve }).catch(() => {});
		for (const m of this.#queue.splice(0)) {
			if (m.isRequest) m.fail('DRAINING', 'unsubscribed'); else m.nak({ delay: 0, reason: 'unsubscribed', untried: true });
		}
		this._end();
	}

	_end() { this.closed = true; this.#news(); }

	_settle(error) { if (error) { this.#error = error; this.#settled.no(error); } else this.#settled.yes(); this.#news(); }

	_put(m) {
		if (m.group || m.isRequest) this.hand.add(m);
		if (m.bad && m.isRequest) m.fail('BAD_ENVELOPE', m.bad.message);
		else if (m.bad) m.reject(`unreadable: ${m.bad.message}`.slice(0, 100));
		else if (this.#refused.has(m.key)) m.nak({ reason: 'one before it of its key went back', untried: true });
		else {
			this.cancels?.ask(m);
			this.#queue.push(m);
		}
		this.#news();
	}

	/** The broker has those of this key back already, and what is under way is refused until the PONG: order by key. */
	_refuse(k) {
		const ping = newId();
		this.#refused.set(k, key(ping));
		for (const m of this.#queue.filter((m) => m.key === k)) this.hand.delete(m);
		this.#queue = this.#queue.filter((m) => m.key !== k);
		return ping;
	}

	_pong(id) { for (const [k, ping] of this.#refused) if (ping === id) this.#refused.delete(k); }

	_void() { this.#queue = []; this.hand.clear(); this.#refused.clear(); this.#taken = 0; }

	_finished(m) { this.hand.delete(m); this.bus._requests.delete(key(m.headId)); }
}

export class Bus extends Link {
	subs = new Set(); generation = 0; _requests = new Map(); #name; #cancels = null;

	/** bus: endpoint (default $TAXI_BUS); key: file of our keys (taxi keys new); brokerKey: its public key or a file. */
	constructor(options = {}) {
		super(options);
		this.#name = options.name ?? 'node';
	}

	/** meta: key, exp (unix ms), retain, src, cur, was, dig; `because`: the message it is done for.  A repeat under the same id
	 * is stored once.  → {id, seq, meta, body} */
	publish(topic, body, { id, because, timeout, signal, ...meta } = {}) {
		return this._call('PUB', topic, { root: because?.root, ...meta }, pack(body), { id, timeout, signal });
	}

	/** [{topic, body, id, key…}]: all are stored or none, and src, cur, was move a cursor with them.  → their seqs */
	async batch(items, { id, timeout, because, signal, ...meta } = {}) {
		if (items.length > BATCH) throw new BusError('TOO_BIG', `a batch is at most ${BATCH}`);
		const raw = pack(items.map(({ topic, body, id: item = newId(), ...m }) =>
			[topic, item, because ? { root: because.root, ...m } : m, body]));
		const a = await this._call('BATCH', '', meta, raw, { id, timeout, signal });
		return a.meta.seqs ?? a.body ?? [];
	}

	/** again: may be run twice.  `signal` cancels it, at the worker too.  → {body, meta} */
	request(topic, body, { ttl = 5000, id, because, signal, onPart, ...meta } = {}) {
		return this._call('REQ', topic, { root: because?.root, ...meta }, pack(body), { id, timeout: ttl, signal, onPart });
	}

	/** Every part of the answer, then its last body if there is one; more is asked for as they are taken. */
	async* stream(topic, body, { window = 8, signal, ...options } = {}) {
		const parts = [], id = newId(), left = new AbortController();
		let news = () => {}, end = null;
		const onPart = (part) => { parts.push(part); news(); };
		signal?.addEventListener('abort', () => left.abort(signal.reason), { once: true });
		this.request(topic, body, { ...options, id, window, onPart, signal: left.signal })
			.then((last) => { end = { last }; }, (error) => { end = { error }; }).finally(() => news());
		try {
			for (;;) {
				while (!parts.length && !end) await new Promise((resolve) => { news = resolve; });
				if (!parts.length) break;
				yield parts.shift().body;
				this._more(id);
			}
			if (end.error) throw end.error;
			if (end.last.body !== null) yield end.last.body;
		} finally {
			left.abort();
		}
	}

	/** A live tail, what is retained first; from: "all" or {seq} replays what is on disk. */
	subscribe(pattern, { credit = CREDIT, ...meta } = {}) { return this.#sub(pattern, { credit, ...meta }); }

	/** Share a durable group.  ack: ms for a message; tries; from: "all", {seq} or {time: unix ms}; cancels: one whose cancel.<id>
	 * was published is taken back: its `signal` aborts, or it never comes. */
	work(pattern, group, { credit = CREDIT, ack, cancels, ...meta } = {}) {
		if (cancels) this.#cancels ??= new Cancels(this);
		return this.#sub(pattern, { group, credit, ack_ms: ack, ...meta }, undefined, cancels ? this.#cancels : null);
	}

	serve(pattern, { credit = CREDIT, desc, ...meta } = {}) { return this.#sub(pattern, { serve: true, credit, ...meta }, desc); }

	/** Ask for no more, and wait until what is in hand is finished and every call has ended.  → true if that came in time */
	async drain(timeout = 10000) {
		const until = Date.now() + timeout;
		const busy = () => this.calls.size > 0 || [...this.subs].some((s) => s.hand.size > 0);
		await this._call('BYE', '', {}, undefined, { timeout }).catch(() => {}); // without a broker there is nobody to tell
		for (const s of this.subs) s._end();
		while (busy() && Date.now() < until) await new Promise((resolve) => { setTimeout(resolve, 10); });
		return !busy();
	}

	/** What was said so far has arrived, if there is a broker; what is still in hand goes to others. */
	async close() {
		if (this.up) await this._call('BYE', '', {}, undefined, { timeout: 2000 }).catch(() => {});
		this._stop();
		this.onDown();
		for (const s of this.subs) s._end();
	}

	#sub(pattern, meta, desc = { name: this.#name, pid: process.pid }, cancels = null) {
		const s = Object.assign(new Subscription(this, pattern, { ...meta, many: true }, pack(desc)), { cancels });
		this.subs.add(s);
		this.#ask(s);
		return s;
	}

	/** The first refusal is the caller's, later ones may pass. */
	#ask(s) {
		s.id = this.up && this.subs.has(s) ? newId() : null;
		if (!s.id) return;
		this._call('SUB', s.pattern, s.meta, s.desc, { id: s.id, timeout: 10000 }).then(() => { s.live = true; s._settle(); }, (e) => {
			if (e.code === 'WORKER_LOST') return; // asked again with the next session
			if (!s.live) s._settle(e);
			else setTimeout(() => this.#ask(s), e.retry === 'never' ? 5000 : 1000).unref();
		});
	}

	/** In the session of before, only who came while it was away. */
	onUp(fresh) { for (const s of this.subs) if (fresh || !s.id) this.#ask(s); }

	onDown() {
		this.generation++;
		for (const m of this._requests.values()) m._cancel();
		this._requests.clear();
		for (const s of this.subs) s._void();
	}

	onPong(id) { for (const s of this.subs) s._pong(id); }

	onFrame({ verb, id, meta, inner, bad }) {
		const request = this._requests.get(key(id));
		if (verb === 'CANCEL') request?._cancel();
		if (verb === 'MORE') request?._more(meta.n ?? 0);
		if (verb !== 'MSG' || !inner) return;
		const subs = [...this.subs];
		const s = 'left' in meta ? subs.filter((s) => s.meta.serve && s.match.test(inner.topic)).sort((a, b) => (a.rank < b.rank ? -1 : 1))[0]
			: subs.find((s) => (meta.group ? s.group === meta.group : s.id && key(s.id) === key(id)));
		if (!s) {
			if ('left' in meta) this._send(encode('ERR', '', id, { code: 'NO_WORKERS', retry: 'later' }));
			return;
		}
		const m = new Message(s, this.generation, { id, meta }, { ...inner, bad });
		if (m.isRequest) this._requests.set(key(id), m);
		s._put(m);
	}
}
