#include "edge-http/scrape.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "edge-http/announce.h"
#include "edge-http/scrape_text.h"
#include "proto/limits.h"

enum { SCRAPE_MS = 1000, PROCESSES_MAX = 256, TEXT_MAX_BYTES = 16 * 1024 * 1024 };

/* One question; its text waits until all are answered, so that the lines come in one order. */
struct asked {
	struct scrape *s;
	char *topic;
	struct buf text;
};

struct scrape {
	struct http_req *r; /* NULL: nobody waits any more */
	struct asked v[PROCESSES_MAX + 2];
	size_t n;
	unsigned open;
	bool asking;
};

static void
forget(void *job)
{
	struct scrape *s = job;

	s->r = NULL;
}

static void
scrape_free(struct scrape *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].topic);
		buf_fini(&s->v[i].text);
	}
	free(s);
}

static void
own_text(struct http_req *r, struct buf *out)
{
	const struct edge *e = r->sh->edge;
	const struct metrics *all[EDGE_SHARDS_MAX];

	for (unsigned i = 0; i < e->nshards; i++)
		all[i] = e->metrics[i];
	metrics_head(out, "taxiway_info", "gauge", "the version of the edge");
	buf_printf(out, "taxiway_info{version=\"%s\"} 1\n", TAXI_VERSION);
	metrics_write(all, e->nshards, out);
}

static void
end(struct scrape *s)
{
	struct http_req *r = s->r;
	struct answer *a = r ? &r->answer : NULL;

	if (s->open > 0 || s->asking)
		return;
	if (r) {
		r->job = NULL;
		r->job_end = NULL;
		a->status = 200;
		(void)str_copy(
		    a->type, sizeof a->type, span_str("text/plain; version=0.0.4; charset=utf-8"));
		own_text(r, &a->body);
		for (size_t i = 0; i < s->n; i++) {
			if (i == 2)
				scrape_text_process_head(&a->body);
			buf_put(&a->body, s->v[i].text.p, s->v[i].text.n);
		}
		if (r->suspended)
			http_answered(r);
	}
	scrape_free(s);
}

static void
on_answer(void *arg, const struct env *e)
{
	struct asked *q = arg;
	struct scrape *s = q->s;
	struct doc d = {0};
	bool known = e->verb == ENV_REP && doc_parse(&d, e->body) == 0;

	if (q == &s->v[0]) {
		scrape_text_broker(known ? &d.root : NULL, &q->text);
	} else if (q == &s->v[1] && known) {
		scrape_text_groups(&d.root, &q->text);
	} else if (known) {
		scrape_text_process(span_str(q->topic), &d.root, &q->text);
	}
	doc_fini(&d);
	s->open--;
	end(s);
}

static void
ask(struct scrape *s, const char *topic)
{
	struct asked *q = &s->v[s->n++];
	struct env e;

	*q = (struct asked){.s = s, .topic = xstrdup(topic)};
	buf_init(&q->text, TEXT_MAX_BYTES);
	env_init(&e, ENV_REQ, span_str(topic), NULL);
	if (shard_bus_is_up(s->r->sh) &&
	    client_call(s->r->sh->client, &e, SCRAPE_MS, on_answer, q) == ERR_OK) {
		s->open++;
	} else if (q == &s->v[0]) {
		scrape_text_broker(NULL, &q->text);
	}
}

void
scrape(struct http_req *r)
{
	struct scrape *s = xcalloc(1, sizeof *s);
	const char *topic;

	s->r = r;
	s->asking = true;
	r->job = s;
	r->job_end = forget;
	ask(s, "sys.stats");
	ask(s, "sys.groups");
	for (size_t i = 0;
	     i < PROCESSES_MAX && (topic = announce_process(r->sh->announce, i)) != NULL; i++)
		ask(s, topic);
	s->asking = false;
	end(s);
}
