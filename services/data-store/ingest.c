#include "services/data-store/ingest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { SQL_MS = 30000, TRIES = 50 };

struct ingest {
	struct svc *svc;
	struct ingest_options o;
	struct run_house house;
	bool draining;
};

static struct run *
find(struct ingest *in, const uint8_t uuid[16])
{
	struct run *r;

	LIST_EACH (r, &in->house.runs, struct run, link)
		if (memcmp(r->uuid, uuid, 16) == 0 && !r->over)
			return r;
	return NULL;
}

/* The uuid in the body, else the envelope's id. */
static void
uuid_of(const struct worker_msg *m, uint8_t uuid[16])
{
	struct doc d;
	struct span text;

	memcpy(uuid, m->env.id, 16);
	if (doc_parse(&d, m->env.body) == 0) {
		text = doc_str(&d.root, "uuid");
		if (text.p == NULL || uuid_parse(text, uuid) == -1)
			memcpy(uuid, m->env.id, 16);
	}
	doc_fini(&d);
}

static void
on_trigger(void *arg, struct worker_msg *m)
{
	struct ingest *in = arg;
	struct run *r;
	uint8_t uuid[16];

	uuid_of(m, uuid);
	r = find(in, uuid);
	if (in->draining) {
		worker_nak(m, 0, "draining");
	} else if (r != NULL && worker_msg_is_void(r->msg)) {
		run_adopt(r, m);
	} else if (r != NULL) {
		worker_nak(m, RUN_ACK_MS / 4, "this trigger is being worked on");
	} else {
		run_start(&in->house, m, uuid);
	}
}

static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct ingest *in = arg;
	uint8_t uuid[16];
	struct run *r;

	if (uuid_parse(topic_token(m->env.topic, 1), uuid) == 0 && (r = find(in, uuid)) != NULL)
		run_cancelled(r);
	worker_drop(m);
}

static void
on_run_ended(void *arg)
{
	struct ingest *in = arg;

	svc_check_ready(in->svc);
}

struct ingest *
ingest_new(struct svc *s, const struct ingest_options *o)
{
	struct ingest *in = xcalloc(1, sizeof *in);
	struct run_house *h = &in->house;

	in->svc = s;
	in->o = *o;
	list_init(&h->runs);
	h->loop = svc_loop(s);
	h->by = svc_name(s);
	h->database = o->database;
	h->objects = o->objects;
	h->max_file = o->max_file;
	h->pull_ms = o->pull_ms;
	h->load_ms = o->load_ms;
	h->ended = on_run_ended;
	h->arg = in;
	if (objects_open(o->objects) == -1) {
		free(in);
		return NULL;
	}
	h->fetch = fetch_new(h->loop);
	h->pg = pg_new(h->loop, o->database, SQL_MS);
	return in;
}

void
ingest_start(struct ingest *in)
{
	struct worker_sub_spec triggers = {.pattern = "trigger.data-store.v1._.Ingest",
	    .group = "data-store.ingest",
	    .from = "all",
	    .ack_ms = RUN_ACK_MS,
	    .tries = TRIES,
	    .credit = (unsigned)in->o.runs,
	    .msg = on_trigger,
	    .arg = in};
	struct worker_sub_spec cancels = {.pattern = "cancel.*", .msg = on_cancel, .arg = in};

	in->house.client = svc_client(in->svc);
	worker_sub(svc_worker(in->svc), &triggers);
	worker_sub(svc_worker(in->svc), &cancels);
}

void
ingest_drain(struct ingest *in)
{
	struct run *r;

	in->draining = true;
	LIST_EACH (r, &in->house.runs, struct run, link)
		if (!r->ending)
			run_again(r, 0, "draining");
}

bool
ingest_is_idle(const struct ingest *in)
{
	return list_empty(&in->house.runs);
}

void
ingest_free(struct ingest *in)
{
	struct run *r;

	if (in == NULL)
		return;
	/* Answers that the end of the connection brings are nobody's. */
	LIST_EACH (r, &in->house.runs, struct run, link)
		r->turn++;
	pg_free(in->house.pg);
	while ((r = LIST_FIRST(&in->house.runs, struct run, link)) != NULL)
		run_free(r);
	fetch_free(in->house.fetch);
	free(in);
}

unsigned
ingest_stats(const struct ingest *in, struct buf *out)
{
	const struct run_house *h = &in->house;
	const struct {
		const char *name;
		uint64_t v;
	} all[] = {{"runsSucceeded", h->succeeded}, {"runsFailed", h->failed},
	    {"runsHandedBack", h->again}, {"filesLoaded", h->files}, {"rowsLoaded", h->rows}};
	unsigned n = sizeof all / sizeof *all;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, all[i].name);
		mp_put_u64(out, all[i].v);
	}
	return n;
}
