#include "services/service-gateway/found.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/str.h"
#include "proto/doc.h"
#include "proto/topic.h"

#define LOOK_EVERY_MS 10000

struct entry {
	char service[65], name[65];
};

struct found {
	struct worker *w;
	struct timer again;
	bool asking, changed; /* changed: news came while the answer was under way */
	unsigned n;
	struct entry v[FOUND_MAX];
};

static void look(struct found *f);

static int
by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = strcmp(x->service, y->service);

	return c ? c : strcmp(x->name, y->name);
}

static void
take(struct found *f, const msgpack_object *service)
{
	struct span pattern = doc_str(service, "pattern");
	struct entry *e = &f->v[f->n];

	if (!span_is(doc_str(service, "kind"), "serve") ||
	    !span_is(topic_token(pattern, 0), "provider") || f->n == FOUND_MAX)
		return;
	if (doc_i64(service, "workers", 0) > 0 &&
	    str_copy(e->service, sizeof e->service, topic_token(pattern, 1)) &&
	    str_copy(e->name, sizeof e->name, topic_token(pattern, 2)))
		f->n++;
}

static void
answered(void *arg, const struct env *e)
{
	struct found *f = arg;
	const msgpack_object *list;
	struct doc d;

	f->asking = false;
	if (e->verb == ENV_REP && doc_parse(&d, e->body) == 0) {
		list = doc_get(&d.root, "services");
		f->n = 0;
		for (uint32_t i = 0;
		     list && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size; i++)
			take(f, &list->via.array.ptr[i]);
		qsort(f->v, f->n, sizeof f->v[0], by_name);
		doc_fini(&d);
	}
	if (f->changed)
		look(f);
}

static void
look(struct found *f)
{
	struct client *c = worker_client(f->w);
	struct loop *l = link_loop(client_link(c));
	struct env e;

	f->changed = f->asking;
	if (f->asking)
		return;
	env_init(&e, ENV_REQ, span_str("sys.services"), NULL);
	f->asking = client_call(c, &e, 2000, answered, f) == ERR_OK;
	loop_timer(l, &f->again, loop_now(l) + LOOK_EVERY_MS);
}

static void
on_timer(struct timer *t)
{
	look(LIST_ITEM(t, struct found, again));
}

static void
on_changed(void *arg, struct worker_msg *m)
{
	worker_drop(m);
	look(arg);
}

struct found *
found_new(struct worker *w)
{
	struct found *f = xcalloc(1, sizeof *f);
	struct worker_sub_spec spec = {.pattern = "sys.changed", .msg = on_changed, .arg = f};

	f->w = w;
	f->again.fn = on_timer;
	worker_sub(w, &spec);
	look(f);
	return f;
}

void
found_free(struct found *f)
{
	if (f == NULL)
		return;
	loop_timer_clear(link_loop(client_link(worker_client(f->w))), &f->again);
	free(f);
}

unsigned
found_names(const struct found *f, const char *service, const char *names[], unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n && n < max; i++) {
		if (strcmp(f->v[i].service, service) != 0 ||
		    (n > 0 && strcmp(names[n - 1], f->v[i].name) == 0))
			continue;
		names[n++] = f->v[i].name;
	}
	return n;
}
