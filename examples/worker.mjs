#!/usr/bin/node
// A worker for OT-2 triggers.  Put your robot where `work` is.  clients/node/README.md says what to install.
import { createHash } from 'node:crypto';

const { Bus } = await import(process.env.TAXIWAY_MJS ?? '../clients/node/taxiway.mjs');
const GROUP = 'example-node', PATTERN = 'trigger.OT-2.v1alpha1.>';
const bus = new Bus({ name: GROUP });

/** One row for each well: here the robot would move. */
async function work(trigger) {
	return [trigger.spec].flat().map((well, index) => ({ index, data: { wellIndex: index, ...well } }));
}

/** Say running, work, publish rows and success in one batch. */
async function handle(m) {
	// Ids that depend on the trigger alone: if we die and another worker repeats this, the broker knows them.
	const id = (step) => createHash('sha256').update(m.id).update(`${GROUP}/${step}`).digest().subarray(0, 16);
	const uuid = Buffer.from(m.id).toString('hex').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
	const topic = `status.${uuid}`, common = { key: uuid }, status = { uuid, by: GROUP };
	await bus.publish(topic, { ...status, status: 'running' }, { ...common, id: id('running'), because: m });
	const rows = await work(m.body);
	await bus.batch([
		{ topic: 'rows.in', body: { uuid, rows }, ...common, id: id('rows') },
		{ topic, body: { ...status, status: 'succeeded', detail: { rows: rows.length } }, ...common, id: id('succeeded') },
	], { because: m });
}

process.on('SIGTERM', () => bus.drain().then(() => bus.close()));
for await (const m of bus.work(PATTERN, GROUP, { credit: 16 })) {
	try {
		await handle(m);
		m.ack();
	} catch (e) {
		m.nak({ reason: String(e).slice(0, 200) });
	}
}
