// Under taxiway.mjs: frames, the connection that heals (PING, sessions, PACK, keys), and calls that wait for their end.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { decodeMulti, encode as encodeValue } from '@msgpack/msgpack';
import { Dealer } from 'zeromq';

export const FRAME = 16 << 20, HEADER = 8 << 10, PACK = 1 << 20;
const PING = 1000, LOST = 5000;
const TOPIC = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,15}$/;
export const RETRY = { BUSY: 'later', DRAINING: 'later', NO_WORKERS: 'later', QUOTA: 'later',
	TIMEOUT: 'uncertain', WORKER_LOST: 'uncertain', INTERNAL: 'uncertain', UPSTREAM: 'uncertain' };
const IN = { useBigInt64: true, mapKeyConverter: (k) => (typeof k === 'object' ? JSON.stringify(k) : String(k)) };
const OUT = { useBigInt64: true, ignoreUndefined: true };

/** retry: "never"; "later" (certainly not executed); "uncertain" (repeat only under the same id, or what may run twice). */
export class BusError extends Error {
	constructor(code, detail, retry) {
		super(`${code}: ${detail?.detail ?? detail ?? ''}`);
		Object.assign(this, { name: 'BusError', code, detail, retry: retry ?? RETRY[code] ?? 'never' });
	}
}

/** A UUIDv7. */
export function newId() {
	const b = randomBytes(16);
	b.writeUIntBE(Date.now(), 0, 6);
	b[6] = 0x70 | (b[6] & 0x0f);
	b[8] = 0x80 | (b[8] & 0x3f);
	return b;
}

/** msgpack knows 64 bits where numbers of this language know 53: beyond those a value is a BigInt, within them never. */
function walk(v, leaf) {
	if (Array.isArray(v)) return v.map((x) => walk(x, leaf));
	if (v === null || typeof v !== 'object') return leaf(v);
	if (Object.getPrototypeOf(v) !== Object.prototype) return v;
	return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, walk(x, leaf)]));
}
const narrow = (v) => (typeof v === 'bigint' && Number.isSafeInteger(Number(v)) ? Number(v) : v);
const widen = (v) => (Number.isSafeInteger(v) && (v > 0xffffffff || v < -0x80000000) ? BigInt(v) : v);

export const pack = (v) => (v === undefined || v === null ? new Uint8Array(0) : encodeValue(walk(v, widen), OUT));
export const key = (id) => Buffer.from(id).toString('hex');

export function encode(verb, topic = '', id = newId(), meta = {}, raw = new Uint8Array(0)) {
	const head = encodeValue([1, verb, topic, id, walk(meta, widen)], OUT);
	if (head.length > HEADER || head.length + raw.length > FRAME) {
		throw new BusError('TOO_BIG', 'a header is at most 8 KiB, a frame 16 MiB');
	}
	return raw.length ? Buffer.concat([head, raw]) : Buffer.from(head);
}

/** The header; then, for MSG, the sender's as `inner`; then the body.  What cannot be read behind a header is `bad`. */
export function decode(frame) {
	const objects = decodeMulti(frame, IN);
	const header = () => {
		const [version, verb, topic, id, meta] = objects.next().value ?? [];
		if ((version !== 1 && version !== 1n) || typeof verb !== 'string' || typeof topic !== 'string' || !(id instanceof Uint8Array) ||
			id.length !== 16 || meta === null || Object.getPrototypeOf(meta ?? 0) !== Object.prototype) {
			throw new TypeError('no envelope of version 1');
		}
		return { verb, topic, id, meta: walk(meta, narrow), body: null };
	};
	const e = (() => {
		try { return header(); } catch (error) { throw new BusError('BAD_ENVELOPE', error.message); }
	})();
	try {
		if (e.verb === 'MSG') e.inner = header();
		const body = objects.next();
		(e.inner ?? e).body = body.done ? null : walk(body.value, narrow);
	} catch (error) { e.bad = error; }
	return e;
}

/** A DEALER that heals.  Bus adds deliveries: onUp (subscribe), onDown (it is over), onPong, onFrame. */
export class Link {
	#sock = null; #session = null; #out = []; #up = false; #pings; #heard; #ping = false; #flushing = false; #timer; #soon = false;
	#answered = Date.now(); #warned = false; #bytes = 0; #max; #options;
	calls = new Map();

	constructor({ bus = process.env.TAXI_BUS ?? 'tcp://127.0.0.1:5570', key: file, brokerKey, maxPending = 64 << 20 } = {}) {
		this.#options = { endpoint: bus, file, brokerKey };
		this.#max = maxPending;
		setImmediate(() => { this.#open(); this.#tick(); }); // when the constructors are through
	}

	get up() { return this.#up; }

	#curve() {
		const { endpoint, file = process.env.TAXI_KEY, brokerKey = process.env.TAXI_BROKER_KEY } = this.#options;
		if (!file || !endpoint.startsWith('tcp:')) return {};
		const read = (path, what) => readFileSync(path, 'utf8').match(new RegExp(`${what} *= *"(.{40})"`))?.[1];
		const secret = existsSync(`${file}_secret`) ? `${file}_secret` : file;
		return { curvePublicKey: read(secret, 'public-key'), curveSecretKey: read(secret, 'secret-key'),
			curveServerKey: existsSync(brokerKey) ? read(brokerKey, 'public-key') : brokerKey };
	}

	#open() {
		this.#sock?.close();
		const s = this.#sock = new Dealer({ linger: 0, immediate: true, sendTimeout: 0, reconnectInterval: 50,
			reconnectMaxInterval: 250, maxMessageSize: 2 * FRAME, ...this.#curve() });
		const news = () => s === this.#sock && this.#news();
		s.events.on('handshake', news);
		s.events.on('disconnect', news);
		s.connect(this.#options.endpoint);
		this.#heard = Date.now();
		this.#news();
		(async () => {
			for await (const [frame] of s) if (s === this.#sock) this.#take(frame);
		})().catch(() => {}); // closed
	}

	/** A connection came or went: nothing but PING until the PONG to a PING of now. */
	#news() {
		this.#up = false;
		this.#pings = randomBytes(8);
		for (const delay of [0, 5, 50, 200]) setTimeout(() => this.#up || this.#sendPing(), delay).unref();
	}

	#tick() {
		const began = Date.now();
		if (began - this.#heard > LOST) { // a fresh socket, so that nothing stale waits inside libzmq
			this.#session = null;
			this.#down();
			this.#open();
		}
		if (began - this.#answered > LOST && !this.#warned) {
			this.#warned = true;
			const { endpoint, file = process.env.TAXI_KEY } = this.#options;
			console.warn(`taxiway: no broker answers at ${endpoint}: it is not up, or refuses ${file ? `the key ${file}` : 'who has no key'}; trying on`);
		}
		this.#sendPing();
		this.#timer = setTimeout(() => {
			// When it was we who stood still, what came meanwhile is still to be read.
			if (Date.now() - began > LOST / 2) this.#heard = this.#answered = Date.now() - PING;
			this.#tick();
		}, this.#up ? PING : PING / 4);
	}

	#sendPing() {
		this.#ping = true;
		this.#flush();
	}

	_send(frame) {
		this.#out.push(frame);
		if (this.#soon) return;
		this.#soon = true;
		setImmediate(() => { this.#soon = false; this.#flush(); });
	}

	/** What one turn of the loop gathered, in as few frames as may be. */
	async #flush() {
		if (this.#flushing || !this.#sock) return;
		this.#flushing = true;
		const sock = this.#sock;
		let batch = [], session = null;
		try {
			while (this.#ping || (this.#up && this.#out.length)) {
				if (this.#ping) {
					this.#ping = false;
					await sock.send(encode('PING', '', Buffer.concat([this.#pings, randomBytes(8)]), { features: ['pack'] }));
					continue;
				}
				let n = 0, size = 0;
				for (; n < this.#out.length && (n === 0 || size + this.#out[n].length < PACK - 100); n++) size += this.#out[n].length + 5;
				batch = this.#out.splice(0, n);
				session = this.#session;
				await sock.send(n === 1 ? batch[0] : encode('PACK', '', newId(), {}, pack(batch)));
				batch = [];
			}
		} catch { // no connection, or its queue is full
			if (session === this.#session) this.#out.unshift(...batch);
			if (this.#out.length) setTimeout(() => this.#flush(), 10).unref();
		}
		this.#flushing = false;
	}

	#take(frame) {
		let e;
		try { e = decode(frame); } catch { return; }
		const { verb, id, meta, body } = e;
		this.#heard = this.#answered = Date.now();
		if (verb === 'PACK') {
			for (const f of Array.isArray(body) ? body : []) this.#take(f);
		} else if (verb === 'PING') {
			this._send(encode('PONG', '', id));
		} else if (verb === 'PONG') {
			this.onPong(key(id));
			if (this.#pings.equals(id.subarray(0, 8))) this.#pong(key(meta.epoch) + meta.session); // not one of a connection before
		} else if (verb === 'OK' || verb === 'REP' || verb === 'ERR') {
			this.#answer(e);
		} else {
			this.onFrame(e);
		}
	}

	#pong(session) {
		const fresh = session !== this.#session;
		this.#up = true;
		if (this.#warned) console.warn(`taxiway: the broker at ${this.#options.endpoint} answers`);
		this.#warned = false;
		if (fresh) {
			this.#down();
			this.#session = session;
		}
		this.onUp(fresh);
		for (const c of this.calls.values()) if (!c.sent) this.#go(c);
	}

	/** What was under way may be repeated under its id, or is lost. */
	#down() {
		this.#out = [];
		this.onDown();
		for (const c of [...this.calls.values()].filter((c) => c.sent)) {
			c.sent = false;
			if (!c.kept) this.#end(c, new BusError('WORKER_LOST', 'the connection to the broker was lost'));
		}
	}

	_call(verb, topic = '', meta = {}, raw = undefined, { id = newId(), timeout = 0, onPart, signal } = {}) {
		return new Promise((resolve, reject) => {
			if ((verb === 'PUB' || verb === 'REQ') && !(TOPIC.test(topic) && topic.length < 256)) throw new BusError('BAD_TOPIC', topic);
			const c = { verb, topic, meta, raw, id, timeout, onPart, resolve, reject, sent: false, tried: false, signal,
				until: Date.now() + timeout, window: meta.window ?? 8, size: encode(verb, topic, id, meta, raw).length,
				kept: verb === 'PUB' || verb === 'BATCH' || Boolean(meta.again) };
			signal?.throwIfAborted();
			if (this.calls.has(key(id))) throw new BusError('CONFLICT', 'that id is under way');
			if (this.#bytes + c.size > this.#max) throw new BusError('BUSY', 'too much is under way');
			this.#bytes += c.size;
			this.calls.set(key(id), c);
			c.abort = () => { reject(signal.reason); this.#end(c, null, true); };
			signal?.addEventListener('abort', c.abort, { once: true });
			this.#arm(c);
			if (this.#up) this.#go(c);
		});
	}

	#arm(c) {
		clearTimeout(c.timer);
		if (!c.timeout || c.window <= 0) return; // while we are the slow ones, time does not count
		c.timer = setTimeout(() => this.#end(c, new BusError(c.tried ? 'TIMEOUT' : 'BUSY', 'no answer before the deadline'), true), c.timeout);
	}

	#go(c) {
		c.sent = c.tried = true;
		const left = c.verb === 'REQ' ? { ttl: Math.max(1, c.until - Date.now()) } : {};
		this._send(encode(c.verb, c.topic, c.id, { ...c.meta, ...left }, c.raw));
	}

	#end(c, end, cancel = false) {
		if (!this.calls.delete(key(c.id))) return;
		this.#bytes -= c.size;
		clearTimeout(c.timer);
		c.signal?.removeEventListener('abort', c.abort);
		if (cancel && c.sent && c.verb === 'REQ') this._send(encode('CANCEL', '', c.id));
		if (end instanceof Error) c.reject(end); else c.resolve(end);
	}

	#answer({ verb, id, meta, body, bad }) {
		const c = this.calls.get(key(id));
		if (!c) return;
		const answer = { id, meta, body, seq: meta.seq };
		if (verb === 'ERR') this.#end(c, new BusError(meta.code, meta.detail, meta.retry));
		else if (bad) this.#end(c, new BusError('UPSTREAM', `the answer cannot be read: ${bad.message}`), true);
		else if (!meta.more) this.#end(c, answer);
		else if (!c.onPart) this.#end(c, new BusError('UPSTREAM', 'the answer comes in parts: use stream'), true);
		else {
			c.kept = false;
			c.window--;
			this.#arm(c);
			c.onPart(answer);
		}
	}

	_more(id) {
		const c = this.calls.get(key(id));
		if (!c) return;
		c.window++;
		this.#arm(c);
		this._send(encode('MORE', '', id, { n: 1 }));
	}

	_stop() {
		clearTimeout(this.#timer);
		for (const c of [...this.calls.values()]) this.#end(c, new BusError('DRAINING', 'this program is ending'));
		this.#up = false;
		this.#sock?.close();
		this.#sock = null;
	}
}
