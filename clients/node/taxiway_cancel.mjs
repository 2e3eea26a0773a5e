// Under taxiway.mjs: what `cancels` of work() does.  Who publishes cancel.<id of an event> takes it back: the `signal` of one
// in hand aborts, and it is still to be finished; one that comes later is never handed over, but acked, with status.<id>
// "cancelled".
import { createHash } from 'node:crypto';
import { BusError, key } from './taxiway_link.mjs';

const RECENT = 1024, ASK = 2000, SAY = 10000;
const REASON = 'cancelled, but its status could not be published';

const text = (id) => Buffer.from(id).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

export class Cancels {
	#bus; #recent = new Set(); // between our look and the delivery; the oldest first

	constructor(bus) {
		this.#bus = bus;
		this.#listen(bus.subscribe('cancel.*', { from: 'new', credit: RECENT })).catch(() => {}); // refused: as without
	}

	async #listen(tail) {
		for (let m; (m = await tail.next());) {
			const id = key(Buffer.from(m.topic.slice(7).replaceAll('-', ''), 'hex'));
			if (m.body === null || this.#recent.has(id)) continue; // a marker that is taken away is no cancel
			this.#recent.add(id);
			if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.values().next().value);
			for (const s of this.#bus.subs) {
				for (const w of s.hand) if (w.asked && key(w.id) === id) w._cancel(new BusError('GONE', 'it was cancelled'));
			}
		}
	}

	/** Whether this one was cancelled, before it is handed over.  Who cannot be asked has cancelled nothing. */
	ask(m) {
		m.asked = this.#bus.request('sys.retained', { topic: `cancel.${text(m.id)}` }, { ttl: ASK, again: true })
			.then((a) => (a.body?.seq ?? null) !== null, () => false)
			.then((was) => { m.asked = { was: was || this.#recent.has(key(m.id)) }; });
	}

	/** Its end without the callee. */
	tell(m) {
		const uuid = text(m.id), hash = createHash('sha256');
		for (const part of ['cancelled', uuid, m.group]) {
			const size = Buffer.alloc(8);
			size.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
			hash.update(size).update(part);
		}
		const dig = hash.digest(), id = Buffer.from(dig.subarray(0, 16)); // a UUIDv8: said twice, stored once
		id[6] = 0x80 | (id[6] & 0x0f);
		id[8] = 0x80 | (id[8] & 0x3f);
		const status = { uuid, status: 'cancelled', by: m.group, at: new Date().toISOString() };
		this.#bus.publish(`status.${uuid}`, status, { id, dig, key: uuid, because: m, timeout: SAY })
			.then(() => m.ack(), () => m.nak({ reason: REASON }));
	}
}
