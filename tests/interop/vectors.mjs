// The golden vectors through the codec of the Node client: what they mean, and the same bytes again.  A frame that must be
// refused may only be refused as BusError.  Says how many were read, encoded and refused.
import { deepStrictEqual, strictEqual } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';

const { BusError, decode, encode, pack } = await import(process.env.TAXIWAY_MJS.replace('taxiway.mjs', 'taxiway_link.mjs'));
const [dir] = process.argv.slice(2);
const count = { read: 0, encoded: 0, refused: 0, cut: 0 };

/** What a JSON value of a vector means in this language; numbers beyond 53 bits are BigInts, a float is a number. */
function means(v) {
	if (Array.isArray(v)) return v.map(means);
	if (v === null || typeof v !== 'object') return v;
	const [[tag, x]] = Object.entries(v).concat([['', null]]);
	if (tag === '$bin') return Buffer.from(x, 'hex');
	if (tag === '$u64') return Number.isSafeInteger(Number(x)) ? Number(x) : BigInt(x);
	if (tag === '$float') return Number({ inf: Infinity, '-inf': -Infinity }[x] ?? x);
	if (tag === '$map') return Object.fromEntries(x.map(([k, y]) => [typeof k === 'object' ? JSON.stringify(means(k)) : String(k), means(y)]));
	return Object.fromEntries(Object.entries(v).map(([k, y]) => [k, means(y)]));
}
const odd = (v) => /\$ext|\$map|\$float|__proto__|\d{16}/.test(JSON.stringify(v ?? null)); // what JSON.parse or this language bends

function check(e, c) {
	strictEqual(e.verb, c.verb);
	strictEqual(e.topic, c.topic);
	strictEqual(Buffer.from(e.id).toString('hex'), c.id);
	for (const [k, v] of Object.entries(c.meta)) if (!odd(v)) deepStrictEqual(e.meta[k], means(v), k);
	if (c.inner) check(e.inner, c.inner);
	else if (!odd(c.body)) deepStrictEqual(e.body, means(c.body) ?? null);
}

for (const name of readdirSync(dir).filter((f) => f.endsWith('.hex')).map((f) => f.slice(0, -4))) {
	const frames = readFileSync(`${dir}/${name}.hex`, 'latin1').split('\n').slice(0, -1).map((l) => Buffer.from(l, 'hex'));
	const cases = JSON.parse(readFileSync(`${dir}/${name}.json`, 'utf8'));
	frames.forEach((frame, i) => {
		const c = cases[i];
		try {
			if (c.error) {
				try { decode(frame); } catch (e) { if (!(e instanceof BusError)) throw e; count.refused++; }
				return;
			}
			const e = decode(frame);
			check(e, c);
			count.read++;
			if (c.canonical && !c.inner && !odd(c.body) && !odd(c.meta)) {
				deepStrictEqual(encode(e.verb, e.topic, e.id, e.meta, 'body' in c && c.body === null ? new Uint8Array([0xc0]) : pack(e.body)), frame);
				count.encoded++;
			}
			for (let n = 0; c.cuts && n < frame.length; n++) {
				try { decode(frame.subarray(0, n)); } catch (e) { if (!(e instanceof BusError)) throw e; count.cut++; }
			}
		} catch (e) {
			throw new Error(`${name}: ${c.about}: ${frame.toString('hex').slice(0, 200)}`, { cause: e });
		}
	});
}
console.log(JSON.stringify(count));
